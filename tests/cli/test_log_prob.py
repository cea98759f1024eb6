"""Ranking images by their probability: through the function and the command line."""

from __future__ import annotations

import csv
import math
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import mszoo
from mszoo.data import ImageDataset
from mszoo.errors import ImageSizeError
from mszoo.evaluation import plots, probabilities, probability, read_likelihoods
from mszoo.evaluation.probability import cut, large_enough
from tests.factories import gaussian


@pytest.fixture
def model() -> mszoo.MultiScaleModel:
    """A Gaussian about mid-grey, by an anchored head whose network answers nothing."""
    return gaussian(levels=1)


class Blank(ImageDataset):
    """Black images of given sizes."""

    def __init__(self, sizes: list[tuple[int, int]]) -> None:
        super().__init__(1)
        self._sizes = sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, i: int) -> torch.Tensor:
        return torch.zeros(1, *self._sizes[i])


@pytest.fixture
def sheets(monkeypatch: pytest.MonkeyPatch) -> list:
    """What is drawn on contact sheets."""
    drawn, draw = [], plots.sheet
    monkeypatch.setattr(plots, "sheet", lambda rows, title: (drawn.append(rows), draw(rows, title))[1])
    return drawn


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


@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=8), st.sampled_from([1, 2, 4, 8])
)
def test_images_that_are_too_small_are_named_and_left_out(sizes: list[tuple[int, int]], unit: int) -> None:
    data = Blank(sizes)
    fit = [i for i, (height, width) in enumerate(sizes) if height >= unit and width >= unit]
    if not fit:
        with pytest.raises(ImageSizeError, match=f"{unit}x{unit} .*: image 0 is {sizes[0][0]}x{sizes[0][1]}"):
            large_enough(data, unit)
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert large_enough(data, unit) == fit
    named = [f"skipped: image {i} is {h}x{w}, the model needs {unit}x{unit}" for i, (h, w) in enumerate(sizes)]
    assert [str(w.message) for w in caught] == [text for i, text in enumerate(named) if i not in fit]
    assert all(min(cut(data[i], unit).shape[1:]) >= unit for i in fit)


@pytest.mark.parametrize("name", ["!.png", "2b.png", "z.png"])  # first, in the middle, last
def test_a_small_image_changes_no_other(model: mszoo.MultiScaleModel, folder: Path, name: str) -> None:
    before = list(probabilities(model, mszoo.create("dataset", "image_folder", 1, path=str(folder))))
    Image.new("L", (9, 1)).save(folder / name)
    with pytest.warns(UserWarning, match=f"{name} is 1x9, the model needs 2x2"):
        after = list(probabilities(model, mszoo.create("dataset", "image_folder", 1, path=str(folder))))
    assert after == before


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
    assert "no image could be measured" in complaints


def test_sources_of_small_images_do_not_stop_the_others(
    mszoo_command, model: mszoo.MultiScaleModel, folder: Path, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path / "model")
    Image.new("L", (1, 3)).save(tmp_path / "tiny.png")
    Image.new("L", (1, 4)).save(folder / "small.png")
    code, printed, complaints = mszoo_command("log-prob", tmp_path / "tiny.png", folder, "--model", tmp_path / "model")
    assert code == 0
    assert "5 image(s)" in printed
    assert "tiny.png is 3x1" in complaints
    assert "small.png is 4x1" in complaints
    code, _, complaints = mszoo_command("log-prob", tmp_path / "tiny.png", "--model", tmp_path / "model")
    assert code == 1
    assert "tiny.png is 3x1" in complaints


def test_images_of_one_name_keep_their_own_row(
    mszoo_command, model: mszoo.MultiScaleModel, tmp_path: Path, sheets: list
) -> None:
    model.save_pretrained(tmp_path / "model")
    for name, contrasts in (("a", (5, 60)), ("b", (90, 30))):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for i, contrast in enumerate(contrasts):
                pixels = 127 + contrast * np.random.default_rng(i).uniform(-1, 1, (8, 8))
                Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "one.png")
                archive.write(tmp_path / "one.png", f"img/{i}.png")
    code, _, complaints = mszoo_command(
        "log-prob", tmp_path / "a.zip", tmp_path / "b.zip", "--model", tmp_path / "model", "--out", tmp_path / "out"
    )
    assert code == 0, complaints
    with (tmp_path / "out" / "log-prob.csv").open() as handle:
        names = [row["image"] for row in csv.DictReader(handle)]
    assert names == [
        f"{tmp_path}/{name}" for name in ("a.zip/img/0.png", "b.zip/img/1.png", "a.zip/img/1.png", "b.zip/img/0.png")
    ]
    (shown,) = sheets[0]
    assert [title for title, _ in shown] == [
        (Path(name).name, f"{model.log_prob(image[None], 'dB/dim').item():.2f} dB/dim")
        for name, (_, image) in zip(names, shown, strict=True)
    ]
    assert len({title for title, _ in shown}) == 4


def test_parquet_is_refused_before_anything_is_measured(
    mszoo_command, monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # not installed
    monkeypatch.setattr(mszoo, "load", lambda *_: pytest.fail("a model was loaded"))
    code, _, complaints = mszoo_command(
        "log-prob", folder, "--model", "photographs-haar-rf13", "--format", "parquet", "--out", tmp_path
    )
    assert code == 1
    assert "pip install pyarrow" in complaints


def test_parquet_holds_the_same_table(
    mszoo_command, model: mszoo.MultiScaleModel, folder: Path, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    model.save_pretrained(tmp_path / "model")
    words = "log-prob", folder, "--model", tmp_path / "model", "--out", tmp_path / "out"
    for kind in ("csv", "parquet"):
        code, _, complaints = mszoo_command(*words, "--format", kind, "--overwrite")
        assert code == 0, complaints
    with (tmp_path / "out" / "log-prob.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    found = parquet.read_table(tmp_path / "out" / "log-prob.parquet").to_pylist()
    assert [{name: str(value) for name, value in row.items()} for row in found] == rows


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("bad", [{"1"}, {"0", "3"}, {"0", "1", "2", "3", "4"}], ids=len)
def test_images_without_a_finite_log_p(
    mszoo_command,
    model: mszoo.MultiScaleModel,
    folder: Path,
    tmp_path: Path,
    sheets: list,
    monkeypatch: pytest.MonkeyPatch,
    wrong: float,
    bad: set[str],
) -> None:
    data = mszoo.create("dataset", "image_folder", 1, path=str(folder))
    peaks = {cut(data[i], 2).max().item() for i in range(5) if str(i) in bad}
    measure = probability.log_prob

    def broken(model: mszoo.MultiScaleModel, x: torch.Tensor) -> torch.Tensor:
        hit = torch.tensor([one.max().item() in peaks for one in x])
        return torch.where(hit, wrong, measure(model, x))

    monkeypatch.setattr(probability, "log_prob", broken)
    model.save_pretrained(tmp_path / "model")
    out = tmp_path / "out"
    code, printed, complaints = mszoo_command("log-prob", folder, "--model", tmp_path / "model", "--out", out)
    assert code == 0, complaints
    assert f"{len(bad)} image(s) have no finite log p" in complaints
    assert all((f"{i}.png" in complaints) == (i in bad) for i in "01234")
    with (out / "log-prob.csv").open() as handle:
        rows = {Path(row["image"]).stem: float(row["db_per_dim"]) for row in csv.DictReader(handle)}
    good = [value for name, value in rows.items() if name not in bad]
    assert list(rows.values())[: len(good)] == sorted(good, reverse=True)
    assert {name for name, value in rows.items() if not math.isfinite(value)} == bad
    assert ("mean" in printed) == bool(good)
    assert not good or f"{len(good)} image(s), mean {sum(good) / len(good):.3f} dB/dim" in printed
    assert [title for row in (sheets or [[]])[0] for title, _ in row] == [
        (f"{name}.png", f"{value:.2f} dB/dim") for name, value in rows.items() if name not in bad
    ]
    assert (out / "log-prob.png").exists() == (len(good) > 1)
    assert ("no log-prob.png" in printed) == (len(good) == 1)


@pytest.mark.parametrize("levels", [0, 2])
def test_maps_are_drawn_of_the_images_that_are_shown(levels: int, tmp_path: Path, mszoo_command) -> None:
    gaussian(levels).save_pretrained(tmp_path / "model")
    (tmp_path / "photos").mkdir()
    for i in range(5):
        noise = np.random.default_rng(i).integers(0, 50 * (i + 1), (16, 24), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "photos" / f"a{i}.png")
    words = "log-prob", tmp_path / "photos", "--model", tmp_path / "model", "--show", 2, "--maps"
    code, _, complaints = mszoo_command(*words)
    assert code == 1
    assert "--out FOLDER" in complaints
    assert mszoo_command(*words, "--out", tmp_path / "out")[0] == 0
    drawn = sorted((tmp_path / "out" / "maps").iterdir())
    assert [path.name[:4] for path in drawn] == ["001-", "002-", "003-", "004-"]
    widths = {Image.open(path).width for path in drawn}
    assert len(widths) == 1
    assert widths.pop() > 300 * (levels + 2)
