"""Samples and super-resolution, of a model whose density is known: images of one grey each."""

import pytest
import torch

from mszoo.errors import ImageSizeError, UnsupportedError
from mszoo.inference import Schedule, downsample, sample, super_resolve
from tests.inference.exact import constant_images

QUICK = Schedule(h0=0.1, beta=0.5, floor=1e-3)


@pytest.mark.parametrize("levels", [0, 1, 2, 4])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("basis", ["haar", "db3"])
def test_samples_are_of_the_density(levels, channels, basis):
    model = constant_images(levels, channels, basis)
    images = sample(model, 4, (16, 32), generator=0, coarse=QUICK, detail=QUICK, contrast=None)
    assert images.shape == (4, channels, 16, 32)
    flat = images.mean((2, 3), keepdim=True)
    torch.testing.assert_close(images, flat.expand_as(images), rtol=0, atol=1e-5)
    assert flat.std() > 0.01, "no two alike"


def test_an_image_is_the_same_alone_and_in_any_batch():
    model = constant_images()
    many = model.sample(5, 16, generator=3, coarse=QUICK, detail=QUICK, contrast=None)
    few = model.sample(2, 16, generator=torch.Generator().manual_seed(3), coarse=QUICK, detail=QUICK, contrast=None)
    torch.testing.assert_close(few, many[:2], rtol=0, atol=1e-5)


def test_the_coarsest_image_is_stretched():
    """Generated coarsest images have little contrast; ``contrast`` brings their local means to a range."""
    seen = {}
    model = constant_images()
    model.coarse.conditioner.forward = lambda y, t=None, cond=None: y * 0  # type: ignore[method-assign]
    images = sample(
        model, 2, 32, generator=0, coarse=Schedule(sigma_end=1.0, floor=1e3), detail=QUICK, contrast=(0.1, 0.7),
        on_step=lambda j, k, y, sigma: seen.setdefault(j, y.shape),
    )  # fmt: skip
    means = downsample(model, images, 4)
    for mean in means:
        assert mean.min().item() == pytest.approx(0.1, abs=1e-4)
        assert mean.max().item() == pytest.approx(0.7, abs=1e-4)
    assert seen == {2: (2, 1, 8, 8), 1: (2, 3, 8, 8), 0: (2, 3, 16, 16)}


@pytest.mark.parametrize("basis", ["haar", "db2", "sym4"])
@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("mean_of", [1, 3])
def test_super_resolution_keeps_the_low_pass(basis, factor, mean_of):
    model, low = constant_images(2, 3, basis), torch.rand(2, 3, 8, 12)
    large = super_resolve(model, low, factor, mean_of=mean_of, generator=1, sampler=QUICK)
    assert large.shape == (2, 3, 8 * factor, 12 * factor)
    torch.testing.assert_close(downsample(model, large, factor), low, rtol=0, atol=1e-5)


@pytest.mark.parametrize("factor", [0, 1, 3, 6, -2])
def test_factors_that_are_no_power_of_two(factor):
    with pytest.raises(UnsupportedError, match="power of two"):
        super_resolve(constant_images(), torch.rand(1, 1, 8, 8), factor)


def test_impossible_questions():
    model = constant_images(levels=1)
    with pytest.raises(UnsupportedError, match="1 levels enlarges by at most 2, not by 4"):
        super_resolve(model, torch.rand(1, 1, 8, 8), 4)
    with pytest.raises(ImageSizeError, match="takes images"):
        super_resolve(model, torch.rand(1, 3, 8, 8), 2)
    with pytest.raises(ImageSizeError, match="15x15 pixels does not fit this model: both sides must be multiples of 2"):
        sample(model, 1, 15)
    flat = constant_images(levels=0)
    for question in (lambda: downsample(flat, torch.rand(1, 1, 8, 8), 2), lambda: super_resolve(flat, torch.rand(1))):
        with pytest.raises(UnsupportedError, match="no basis"):
            question()
