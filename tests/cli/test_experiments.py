"""`mszoo experiment`: every one leaves a table and a plot."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.factories import energy


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("energy")
    energy(head={"name": "anchored", "basis": "haar", "levels": 1}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 256, (9, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    ("name", "words", "rows"),
    [
        ("scale-mixture", ["--steps", 3], 70),
        ("known-densities", ["laplacians", "--steps", 2], 5),
        ("generalization", ["MODEL", "MODEL", "--data", "DATA", "--data", "DATA/0.png"], 2),
        ("transformations", ["MODEL", "--data", "DATA"], 14),
        ("dimensionality", ["MODEL", "--data", "DATA", "--images", 2, "--draws", 2], 32),
        ("denoisers", ["MODEL", "MODEL", "--data", "DATA"], 9),
        ("histogram", ["MODEL", "--data", "DATA"], 4),
    ],
)
def test_table_and_plot(
    mszoo_command, model: Path, data: Path, tmp_path: Path, name: str, words: list, rows: int
) -> None:
    given = [str(w).replace("MODEL", str(model)).replace("DATA", str(data)) for w in words]
    code, printed, complaints = mszoo_command("experiment", name, *given, "--out", tmp_path)
    assert code == 0, complaints
    with (tmp_path / f"{name}.csv").open() as handle:
        assert len(list(csv.reader(handle))) == rows + 1
    assert min(Image.open(tmp_path / f"{name}.png").size) > 100
    assert f"{name}.png" in printed


@pytest.mark.parametrize(
    "words", [["transformations", "MODEL"], ["denoisers", "MODEL", "MODEL"], ["histogram", "MODEL"]]
)
def test_an_image_that_is_too_small_is_skipped(mszoo_command, data: Path, tmp_path: Path, words: list) -> None:
    energy(levels=1).save_pretrained(tmp_path / "model")  # sides are multiples of 2
    shutil.copytree(data, tmp_path / "data")
    Image.new("L", (9, 1)).save(tmp_path / "data" / "1b.png")
    given = [w.replace("MODEL", str(tmp_path / "model")) for w in words]
    tables = []
    for folder in (data, tmp_path / "data"):
        code, _, complaints = mszoo_command("experiment", *given, "--data", folder, "--out", tmp_path, "--overwrite")
        assert code == 0, complaints
        assert ("1b.png is 1x9" in complaints) == (folder != data)
        tables.append((tmp_path / f"{words[0]}.csv").read_text())
    assert tables[0] == tables[1]


def test_the_histogram_shows_pictures(mszoo_command, model: Path, data: Path, tmp_path: Path) -> None:
    code, printed, complaints = mszoo_command("experiment", "histogram", model, "--data", data, "--out", tmp_path)
    assert code == 0, complaints
    assert "histogram-images.png" in printed
    width, height = Image.open(tmp_path / "histogram-images.png").size
    assert min(width, height) > 400  # four rows


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["known-densities", "laplacian"], "did you mean 'laplacians'"),
        (["histogram", "photographs-haar-rf13", "--data", "DATA"], "has no energy"),
        (["histogram", "MODEL", "--data", "nowhere"], "nowhere"),
        (["generalisation"], "No such command"),
    ],
)
def test_mistakes_are_named(mszoo_command, model: Path, data: Path, tmp_path: Path, words: list, message: str) -> None:
    given = [w.replace("MODEL", str(model)).replace("DATA", str(data)) for w in words]
    code, printed, complaints = mszoo_command("experiment", *given, *(["--out", tmp_path] if len(words) > 1 else []))
    assert code != 0
    assert message in complaints + printed
