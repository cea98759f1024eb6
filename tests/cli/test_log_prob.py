"""Ranking images by their probability: through the function and the command line."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mszoo
from mszoo.evaluation import probabilities, read_likelihoods
from mszoo.evaluation.probability import cut

CONDITIONER = {"name": "bias_free_cnn", "receptive_field": 5, "depth": 3, "width": 4}
CONDITIONER |= {"norm": "none", "activation": "gelu", "noise_embedding": True}


@pytest.fixture
def model() -> mszoo.MultiScaleModel:
    """A Gaussian about mid-grey, by an anchored head whose network answers nothing."""
    head = {"name": "anchored", "levels": 0}
    config = {"coarse": {"conditioner": CONDITIONER, "head": head}}
    config |= {"basis": "haar", "levels": 1, "detail": {"conditioner": CONDITIONER, "head": head}}
    made = mszoo.MultiScaleModel.from_config(config).eval()
    for scale in made.scales:
        torch.nn.init.zeros_(scale.conditioner.last.weight)  # type: ignore[arg-type]
    with torch.no_grad():
        made.coarse.mean.fill_(1.0)  # type: ignore[operator]
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    rng = np.random.default_rng(0)
    for i, (contrast, size) in enumerate([(0, (8, 8)), (120, (8, 8)), (40, (9, 13)), (80, (8, 8)), (10, (8, 8))]):
        pixels = 127 + contrast * rng.uniform(-1, 1, size)
        Image.fromarray(pixels.astype(np.uint8)).save(images / f"{i}.png")
    return images


@pytest.mark.parametrize("together", [None, 1, 2, 100])
def test_every_image_gets_its_own_probability(model: mszoo.MultiScaleModel, folder: Path, together: int | None) -> None:
    data = mszoo.create("dataset", "image_folder", 1, path=str(folder))
    rows = {row.image: row for row in probabilities(model, data, together)}
    assert len(rows) == len(data)
    for i, image in enumerate(data):
        row, x = rows[data.label(i)], cut(image, 2)[None]
        assert (row.height, row.width) == x.shape[-2:]
        assert row.log_prob == pytest.approx(model.log_prob(x).item(), rel=1e-5)
        assert row.db_per_dim == pytest.approx(model.log_prob(x, "dB/dim").item(), rel=1e-5)
        assert row.nll == pytest.approx(model.nll(x).item(), rel=1e-5)


@pytest.mark.parametrize("unit", [1, 2, 8])
def test_the_middle_is_cut_out(unit: int) -> None:
    image = torch.rand(3, 17, 23)
    middle = cut(image, unit)
    assert middle.shape[1:] == (17 // unit * unit, 23 // unit * unit)
    top, left = (17 - middle.shape[1]) // 2, (23 - middle.shape[2]) // 2
    assert torch.equal(middle, image[:, top : top + middle.shape[1], left : left + middle.shape[2]])


def test_evaluating_an_energy_keeps_its_likelihood(
    mszoo_command, model: mszoo.MultiScaleModel, folder: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "model"
    model.save_pretrained(saved)
    for _ in range(2):  # the second result replaces the first
        code, printed, complaints = mszoo_command("evaluate", saved, "--data", folder, "--sigma", "0.1")
        assert code == 0, complaints
    (result,) = read_likelihoods(saved)
    rows = list(probabilities(model, mszoo.create("dataset", "image_folder", 1, path=str(folder))))
    assert result.data == "images"
    assert result.images == len(rows)
    assert result.nll == pytest.approx(sum(row.nll for row in rows) / len(rows))
    assert f"{result.nll:.4f} bits/dim" in printed
    assert f"{result.nll:.4f} bits/dim" in mszoo_command("info", saved)[1]


def test_command_line(mszoo_command, model: mszoo.MultiScaleModel, folder: Path, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    out = tmp_path / "out"
    code, printed, complaints = mszoo_command(
        "log-prob", folder, tmp_path / "nowhere", "--model", tmp_path / "model", "--out", out
    )
    assert code == 0, complaints
    assert "5 image(s)" in printed
    assert "nowhere" in complaints
    with (out / "log-prob.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    values = [float(row["db_per_dim"]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert [Path(row["image"]).stem for row in rows] == ["0", "4", "2", "3", "1"]  # by contrast
    for row in rows:
        d = int(row["height"]) * int(row["width"])
        assert float(row["nll"]) == pytest.approx(8 - float(row["log_prob"]) / d / math.log(2), abs=1e-4)
    for name in ("log-prob.png", "most-and-least.png"):
        assert min(Image.open(out / name).size) > 100


def test_bad_requests_have_clear_answers(mszoo_command, folder: Path, tmp_path: Path) -> None:
    code, _, complaints = mszoo_command("log-prob", folder, "--model", "photographs-haar-rf13")
    assert code == 1
    assert "has no energy" in complaints
    code, _, complaints = mszoo_command("log-prob", tmp_path / "nowhere", "--model", "photographs-haar-rf13")
    assert code == 1
    assert "no image could be read" in complaints
