"""What the page answers, without a browser."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

import mszoo
from mszoo.errors import DataError
from mszoo.web import denoise, draw, enlarge, fill, log_prob
from mszoo.web.photographs import MOST_PIXELS, at_most, given, take


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)).save(path)
    ([photo], []) = take([path])
    return photo


def test_files_are_read_told_of_and_removed(tmp_path):
    good, bad, large = tmp_path / "good.png", tmp_path / "bad.png", tmp_path / "large.png"
    Image.new("RGB", (20, 10), "red").save(good)
    bad.write_bytes(b"GIF89a nothing")
    Image.new("1", (MOST_PIXELS + 1, 1)).save(large)
    photos, faults = take([good, bad, large])
    assert [(photo.name, tuple(photo.own.shape), tuple(photo.grey.shape)) for photo in photos] == [
        ("good.png", (3, 10, 20), (1, 10, 20))
    ]
    assert "bad.png cannot be read" in faults[0]
    assert "large.png is too large" in faults[1]
    assert str(tmp_path) not in "".join(faults)
    assert not list(tmp_path.iterdir())


def test_no_photograph_is_a_users_error():
    with pytest.raises(DataError, match="drop a photograph"):
        given(None)


@pytest.mark.parametrize("size", [(40, 50), (500, 90), (30, 300)])
def test_what_is_brought_down_keeps_its_shape(size):
    height, width = at_most(torch.rand(3, *size), 64).shape[-2:]
    assert max(height, width) == min(64, max(size))
    assert height / width == pytest.approx(size[0] / size[1], rel=0.2)


def test_a_photograph_too_small_for_a_model_is_told():
    with pytest.raises(DataError, match="smaller than the 8 pixels"):
        at_most(torch.rand(1, 7, 40), 64, unit=8)


def test_noise_is_added_as_told(photo):
    (noisy, _), line = denoise.denoise(photo, "photographs-grey-fast", 0.3, denoise.FOUND, 0.1)
    assert noisy.shape == (40, 48, 3)
    assert "PSNR 10." in line  # -20 log10 0.3


def test_a_filled_hole_leaves_the_rest_as_it_is(photo):
    layer = np.zeros((40, 48, 4), np.uint8)
    layer[10:14, 20:26] = 255
    (holed, filled), line = fill.fill(photo, {"layers": [layer]}, "photographs-grey-fast", 0)
    known = np.ones((40, 48), bool)
    known[10:14, 20:26] = False
    assert "24 of 1,920" in line
    assert (holed[~known] == 255).all()
    assert np.abs(holed[known].astype(int) - filled[known]).max() <= 1


@pytest.mark.parametrize("painted", [None, {"layers": []}, {"layers": [np.zeros((40, 48, 4), np.uint8)]}])
def test_without_a_hole_there_is_nothing_to_fill(photo, painted):
    with pytest.raises(DataError, match="paint a hole"):
        fill.fill(photo, painted, "photographs-grey-fast", 0)


def test_a_hole_of_another_photograph_or_without_a_rest_is_told(photo):
    with pytest.raises(DataError, match="another photograph"):
        fill.fill(photo, {"layers": [np.full((8, 8, 4), 255, np.uint8)]}, "photographs-grey-fast", 0)
    with pytest.raises(DataError, match="nothing is left"):
        fill.fill(photo, {"layers": [np.full((40, 48, 4), 255, np.uint8)]}, "photographs-grey-fast", 0)


def test_the_scales_add_up_to_log_p(photo):
    table, maps = log_prob.probability(photo, "cifar10-grey-haar-energy")
    rows = [line.split("|") for line in table.splitlines()[4:]]
    model = mszoo.load("cifar10-grey-haar-energy")
    with torch.no_grad():
        log_p = model.log_prob(photo.grey[None]).item()
    assert sum(float(row[4]) for row in rows) == pytest.approx(8 - log_p / (40 * 48 * math.log(2)), abs=0.002)
    assert sum(int(row[2].replace(",", "")) for row in rows) == 40 * 48
    assert maps.ndim == 3


@pytest.mark.slow
def test_enlarging_and_drawing_tell_their_steps(photo):
    steps = []
    (before, after), _ = enlarge.enlarge(photo, "cifar10-grey-haar-energy", 2, 0, lambda *given: steps.append(given))
    assert before.shape == after.shape == (80, 96, 3)
    assert steps
    steps.clear()
    pictures, line = draw.draw("cifar10-grey-haar-energy", 2, 16, 0, lambda *given: steps.append(given))
    assert [one.shape for one in pictures] == [(16, 16, 3)] * 2
    assert "seed 0" in line
    assert steps
