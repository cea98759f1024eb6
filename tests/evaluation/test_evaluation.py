"""The whole evaluation: what it measures, of what, and under which name it is kept."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mszoo
from mszoo.errors import CheckpointError, DataError, ImageSizeError
from mszoo.evaluation import (
    Likelihood,
    Result,
    evaluate,
    probabilities,
    psnr_curve,
    read_likelihoods,
    read_results,
    write_result,
)
from mszoo.recipe import SIGMAS, EvaluationConfig
from tests.evaluation.conftest import Images
from tests.factories import denoiser, gaussian


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "photos"
    images.mkdir()
    for i, shape in enumerate([(16, 12), (20, 16)]):
        pixels = np.random.default_rng(i).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{i}.png")
    return images


def test_the_noise_levels_of_all_who_measure_are_the_same():
    assert inspect.signature(evaluate).parameters["sigmas"].default == SIGMAS
    assert tuple(EvaluationConfig().sigmas) == SIGMAS
    found = evaluate(denoiser(), Images(torch.rand(1, 8, 8)))
    assert [row.sigma for row in found.psnr.rows] == list(SIGMAS)


@pytest.mark.parametrize("views", [1, 4])
@pytest.mark.parametrize("seed", [0, 7])
def test_psnr_is_that_of_the_curve(views, seed):
    model, images = denoiser(levels=1), Images(torch.rand(1, 16, 20), torch.rand(1, 12, 12))
    found = evaluate(model, images, sigmas=[0.1, 0.4], seed=seed, views=views)
    assert found.psnr.rows == list(psnr_curve(model, images, [0.1, 0.4], seed, views))
    assert (found.psnr.seed, found.psnr.views) == (seed, views)
    assert found.likelihood is None
    assert len(found.seconds) == 2
    assert min(found.seconds) > 0


def test_a_density_is_asked_for_its_likelihood():
    model, images = gaussian(), Images(torch.rand(1, 8, 8), torch.rand(1, 9, 16))
    found = evaluate(model, images, sigmas=[0.1])
    assert found.likelihood is not None
    bits = [row.nll for row in probabilities(model, images)]
    assert found.likelihood.nll == pytest.approx(sum(bits) / 2)
    assert found.results == [found.psnr, found.likelihood]


def test_images_that_a_density_cannot_split_keep_their_psnr():
    model = gaussian(levels=1)  # sides are multiples of 2
    with pytest.warns(UserWarning, match="log p is not measured: .*2x2"):
        found = evaluate(model, Images(torch.rand(1, 1, 7)), sigmas=[0.1])
    assert found.likelihood is None
    assert found.psnr.rows[0].images == 1


def test_data_may_be_a_path_or_nothing(folder):
    model = denoiser()
    for data, name, count in [
        (folder, "photos", 2),
        (str(folder), "photos", 2),
        (f"{folder}/*0.png", "*0", 1),
        (folder / "1.png", "1", 1),
        (mszoo.create("dataset", "image_folder", 1, path=str(folder)), "image_folder", 2),
        (Images(torch.rand(1, 8, 8)), "Images", 1),
    ]:
        found = evaluate(model, data, sigmas=[0.1])
        assert (found.psnr.data, found.psnr.rows[0].images) == (name, count)
    assert evaluate(model, folder, sigmas=[0.1], name="set12").psnr.data == "set12"
    with pytest.raises(DataError, match="nowhere"):
        evaluate(model, "nowhere")


def test_the_default_photograph():
    found = evaluate(denoiser(), sigmas=[0.1])
    assert (found.psnr.data, found.psnr.rows[0].images) == ("photographs", 1)


def test_channels_that_do_not_fit_are_refused_before_anything_is_measured():
    measured = []
    with pytest.raises(ImageSizeError, match="takes 3 channels, the images have 1"):
        evaluate(denoiser(channels=3), Images(torch.rand(1, 8, 8)), progress=lambda *n: measured.append(n))
    assert not measured


def test_a_grey_model_sees_each_channel_and_tells_no_likelihood():
    colour = torch.rand(3, 8, 8)
    found = evaluate(gaussian(), Images(colour), sigmas=[0.1])
    assert found.likelihood is None
    assert found.psnr.rows[0].noisy == pytest.approx(20, abs=1.5)


@pytest.mark.parametrize("dense", [True, False])
def test_progress_comes_to_its_end(dense):
    steps: list[tuple[int, int]] = []
    images = Images(*torch.rand(3, 1, 8, 8))
    model = gaussian() if dense else denoiser()
    evaluate(model, images, sigmas=[0.1, 0.2], progress=lambda done, total: steps.append((done, total)))
    total = 3 * (3 if dense else 2)
    assert steps == [(i, total) for i in range(1, total + 1)]


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2Jwiped", "x" * 5000, "caf\udce9", "a\u2028b\x85c", "\u202egnp.txt"])
def test_whatever_the_data_is_called_the_results_are_read_back(tmp_path, name):
    found = evaluate(gaussian(), Images(torch.rand(1, 8, 8)), sigmas=[0.1], name=name)
    for result in found.results:
        write_result(tmp_path, result)
    assert read_results(tmp_path) == [found.psnr]
    assert read_likelihoods(tmp_path) == [found.likelihood]
    assert found.psnr.data.isprintable()


@pytest.mark.parametrize("result", [Result("a\nb", 0, []), Likelihood("\x1b", 1, 0.0, 0.0), Result("x" * 1001, 0, [])])
def test_what_could_not_be_read_back_is_not_written(tmp_path, result):
    write_result(tmp_path, Result("good", 0, []))
    before = (tmp_path / "evaluation.json").read_text()
    with pytest.raises(CheckpointError, match="not kept: data"):
        write_result(tmp_path, result)
    assert (tmp_path / "evaluation.json").read_text() == before
    assert json.loads(before)["psnr"][0]["data"] == "good"
