"""Verbs under ``accelerate launch``: two processes share the images, and write what one writes."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import save_image
from tests.factories import energy, identity
from tests.launching import TWO

COUNT = 7


def run(*words: object, several: bool) -> str:
    """What the command prints."""
    done = subprocess.run(
        [sys.executable, "-m", *((*TWO, "-m") if several else ()), "mszoo", *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **({"ACCELERATE_USE_CPU": "true"} if several else {})},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i in range(COUNT):
        save_image(tmp_path / "photos" / f"{i}.png", 16, 12 + 4 * (i % 3))
    return tmp_path / "photos"


def test_evaluate(photos: Path, tmp_path: Path) -> None:
    tables = []
    for several in (False, True):
        place = tmp_path / f"several-{several}"
        energy(levels=1).save_pretrained(place / "model")
        words = [
            "evaluate",
            place / "model",
            "--data",
            photos,
            "--sigma",
            "0.1",
            "--sigma",
            "0.4",
            "--out",
            place / "out",
        ]
        printed = run(*words, several=several)
        assert printed.count("7 image(s)") == 2  # of the PSNR, and of log p: one process tells
        with open(place / "out" / "psnr.csv", newline="") as file:
            tables.append([{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)])
    assert tables[0] == tables[1]
    one, other = (tmp_path / f"several-{several}" / "model" / "evaluation.json" for several in (False, True))
    assert one.read_bytes() == other.read_bytes()


def test_denoise(photos: Path, tmp_path: Path) -> None:
    identity().save_pretrained(tmp_path / "model")
    words = ["denoise", photos, "--model", tmp_path / "model", "--add-noise", "0.1"]
    run(*words[:2], tmp_path / "one", *words[2:], several=False)
    printed = run(*words[:2], tmp_path / "two", *words[2:], several=True)
    assert sorted(re.findall(r"(\d)\.png", printed)) == [str(i) for i in range(COUNT)]
    assert sorted(re.findall(r"(\d) written", printed)) == ["3", "4"]
    for i in range(COUNT):
        assert (tmp_path / "two" / f"{i}.png").read_bytes() == (tmp_path / "one" / f"{i}.png").read_bytes()
    assert len(list((tmp_path / "two").iterdir())) == COUNT
