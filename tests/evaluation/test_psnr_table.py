"""PSNR of a collection: a row for each image and noise level, in their order, each once, however often it was ended."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import mszoo
from mszoo.cli import app
from mszoo.data import ImageDataset, ImageFolder
from mszoo.errors import DataError, MszooError
from mszoo.evaluation import psnr_curve, psnr_of, psnr_table, read_results
from mszoo.processes import Processes
from tests.factories import energy
from tests.launching import TWO

ALONE = Processes(0, 1, torch.device("cpu"))
SIGMAS = [0.1, 0.4]


@pytest.fixture
def model() -> mszoo.MultiScaleModel:
    return energy(levels=1)


def write_images(folder: Path, count: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        height, width = ((8, 8), (9, 12), (16, 6))[i % 3]
        Image.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8)).save(folder / f"{i:03}.png")
    return folder


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_are_those_of_each_image(model, tmp_path: Path, suffix: str) -> None:
    folder = write_images(tmp_path / "images", 7)
    damaged = folder / "004.png"
    damaged.write_bytes(damaged.read_bytes()[:45])
    images, out = ImageFolder(1, path=str(folder)), tmp_path / f"psnr.{suffix}"
    with pytest.warns(UserWarning, match=r"004\.png cannot be read"):
        means = psnr_table(model, images, out, ALONE, sigmas=SIGMAS, weights="w", seed=3)
    with pytest.warns(UserWarning, match=r"004\.png"):
        assert means == list(psnr_curve(model, images, SIGMAS, seed=3))
    if suffix == "parquet":
        rows = pytest.importorskip("pyarrow.parquet").read_table(out).to_pylist()
    else:
        with open(out, newline="") as file:
            rows = list(csv.DictReader(file))
    of = [(i, sigma) for i in (0, 1, 2, 3, 5, 6) for sigma in SIGMAS]
    assert len(rows) == len(of)
    for row, (i, sigma) in zip(rows, of, strict=True):
        assert (Path(row["image"]).name, float(row["sigma"])) == (f"{i:03}.png", sigma)
        assert (int(row["height"]), int(row["width"])) == tuple(images[i].shape[-2:])
        assert (float(row["noisy"]), float(row["denoised"])) == psnr_of(model, images[i], sigma, 3, i)
    assert list(tmp_path.glob("*.part")) == []


def test_no_image_is_a_fault(model, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images", 1)
    images = ImageFolder(1, path=str(folder))
    (folder / "000.png").write_bytes(b"")
    with pytest.raises(DataError, match="no image that can be read"), pytest.warns(UserWarning, match=r"000\.png"):
        psnr_table(model, images, tmp_path / "psnr.csv", ALONE, sigmas=SIGMAS, weights="w")


class Interrupted(ImageDataset):
    """Six images, the last two of which cannot be had today."""

    def __init__(self, fail: bool, name: str = "image") -> None:
        super().__init__(1)
        self._fail, self._name, self.read = fail, name, []

    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> torch.Tensor:
        if i == 4 and self._fail:
            raise KeyboardInterrupt
        self.read.append(i)
        return torch.full((1, 8, 8 + 2 * i), i / 10)

    def label(self, i: int) -> str:
        return f"{self._name} {i}"


def test_what_was_ended_goes_on_with_the_same_measurement_alone(model, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    same = {"sigmas": SIGMAS, "weights": "w", "seed": 0, "views": 1}
    means = psnr_table(model, Interrupted(False), whole, ALONE, **same)
    with pytest.raises(KeyboardInterrupt):
        psnr_table(model, Interrupted(True), out, ALONE, **same)
    with pytest.raises(MszooError, match=r"holds 4 row\(s\).*--resume"):
        psnr_table(model, Interrupted(False), out, ALONE, **same)
    for other, told in (
        ({"weights": "v"}, "another model's"),
        ({"sigmas": [0.1, 0.3]}, "at other noise levels"),
        ({"sigmas": [0.1]}, "at other noise levels"),
        ({"seed": 1}, "of another seed"),
        ({"views": 2}, "another number of views"),
    ):
        with pytest.raises(MszooError, match=told):
            psnr_table(model, Interrupted(False), out, ALONE, **same | other, resume=True)
    with pytest.raises(MszooError, match="of other images"):
        psnr_table(model, Interrupted(False, "picture"), out, ALONE, **same, resume=True)
    images = Interrupted(False)
    assert psnr_table(model, images, out, ALONE, **same, resume=True) == means
    assert images.read == [4, 5]
    assert out.read_bytes() == whole.read_bytes()


def test_two_processes_killed_in_the_middle_write_what_one_writes(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images", 150)
    energy(levels=1).save_pretrained(tmp_path / "model")
    words = ["-m", "mszoo", "evaluate", str(tmp_path / "model"), "--data", str(folder), "--sigma", "0.1"]
    alone = subprocess.run(
        [sys.executable, *words, "--out", str(tmp_path / "one.csv")], capture_output=True, text=True, timeout=300
    )
    assert alone.returncode == 0, alone.stderr
    assert "150 row(s) of 150 image(s)" in alone.stdout
    command = [sys.executable, "-m", *TWO, *words, "--out", str(tmp_path / "two.csv")]
    env = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    part = tmp_path / "two.csv.part"
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as ended:
        deadline = time.monotonic() + 200
        while not all(file.exists() and file.stat().st_size > 0 for file in (part / "0.rows", part / "1.rows")):
            assert ended.poll() is None, "it ended too early"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        for process in [*psutil.Process(ended.pid).children(recursive=True), ended]:
            process.kill()
    assert not (tmp_path / "two.csv").exists()
    done = subprocess.run([*command, "--resume"], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    assert done.stdout.count("150 row(s) of 150 image(s)") == 1


def test_a_name_that_is_no_line_is_kept_as_one(tmp_path: Path) -> None:
    """A path may hold anything; what a checkpoint keeps can be read again."""
    folder = write_images(tmp_path / "two\nlines", 2)
    energy(levels=1).save_pretrained(tmp_path / "model")
    words = ["evaluate", str(tmp_path / "model"), "--data", str(folder), "--sigma", "0.1"]
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "psnr.csv")])
    assert result.exit_code == 0, result.output
    [kept] = read_results(tmp_path / "model")
    assert kept.data == "two lines"
    assert kept.rows[0].images == 2
