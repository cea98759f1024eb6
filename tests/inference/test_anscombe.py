"""Photon noise becomes white, and comes back without a bias."""

import math

import numpy as np
import pytest
import torch

import mszoo
from mszoo.data.images import to_unit
from mszoo.data.photographs import photograph
from mszoo.errors import OptionsError
from mszoo.evaluation import psnr
from mszoo.inference import Anscombe, denoise_image, denoise_poisson
from tests.factories import identity

NOISE = [(0.01, 0.0), (0.1, 0.0), (1.0, 0.0), (0.01, 0.05), (0.001, 0.02), (0.1, 0.3), (1e-4, 0.05)]


def exact_mean(transform: Anscombe, read: float, photons: float) -> torch.Tensor:
    """E[stabilize(y)] by summing over counts and read noise."""
    counts = np.arange(int(photons + 20 * math.sqrt(photons + 1) + 50))
    normal = np.linspace(-8, 8, 2001)
    weight = np.exp(-(normal**2) / 2) / np.exp(-(normal**2) / 2).sum()
    logs = counts * math.log(max(photons, 1e-300)) - photons - np.array([math.lgamma(k + 1) for k in counts])
    y = torch.from_numpy(transform.gain * counts[:, None] + read * normal)
    return (torch.from_numpy(np.exp(logs)[:, None] * weight) * transform.stabilize(y)).sum().reshape(1, 1, 1, 1)


@pytest.mark.parametrize(("gain", "read"), NOISE)
@pytest.mark.parametrize("photons", [0, 0.1, 0.5, 2, 10, 60, 101, 300])
def test_the_inverse_is_unbiased(gain, read, photons):
    transform = Anscombe(gain, read)
    found = transform.recover(exact_mean(transform, read, photons)).item() / gain
    assert found == pytest.approx(photons, abs=1e-5 if photons < 100 else 1e-2)


@pytest.mark.parametrize(("gain", "read"), [(0.05, 0.0), (0.02, 0.05), (0.1, 0.3)])
def test_the_noise_is_white_and_as_said(gain, read):
    generator = torch.Generator().manual_seed(0)
    x = torch.linspace(0.25, 1, 4, dtype=torch.float64).reshape(4, 1, 1, 1).expand(4, 1, 200, 200)
    y = gain * torch.poisson(x / gain, generator) + read * torch.randn(x.shape, generator=generator).double()
    transform = Anscombe(gain, read)
    spread = transform.stabilize(y).flatten(1).std(1)
    torch.testing.assert_close(spread, torch.full_like(spread, transform.sigma), rtol=0.06, atol=0)


def test_black_and_white_stay_and_types_too():
    transform = Anscombe(0.1, 0.02)
    ends = torch.tensor([0.0, 1.0]).half().reshape(1, 1, 1, 2)
    assert torch.equal(transform.stabilize(ends), ends)
    assert transform.recover(ends).dtype == torch.float16
    assert transform.recover(torch.full((1, 1, 1, 1), -3.0)).item() == 0, "no light is less than none"


@pytest.mark.parametrize("name", ["photographs-grey", "photographs-haar-rf13", "cifar10-grey-energy"])
@pytest.mark.parametrize(("gain", "read"), [(1 / 20, 0.0), (1 / 60, 0.02)])
def test_better_than_taking_the_noise_for_white(name, gain, read):
    model, x = (
        mszoo.load(name),
        to_unit(photograph("camera", 1))[None, :, 64:160, 160:256],
    )  # a black coat, a bright sky
    generator = torch.Generator().manual_seed(0)
    y = gain * torch.poisson(x / gain, generator) + read * torch.randn(x.shape, generator=generator)
    white = denoise_image(model, y, None if model.blind else (gain * x.mean() + read**2).sqrt().item())
    ours = denoise_poisson(model, y, gain, read)
    assert psnr(ours, x) > psnr(white, x) + 0.1
    assert (ours - x).mean().abs() < 0.01


def test_tiles_and_channels_are_those_of_any_image():
    y = torch.rand(1, 3, 40, 30)
    whole, tiled = (denoise_poisson(identity(), y, 0.01, tile=tile) for tile in (None, 16))
    torch.testing.assert_close(whole, tiled)
    assert whole.shape == y.shape


@pytest.mark.parametrize("noise", [(0, 0), (-1, 0), (0.1, -1), (float("nan"), 0), (0.1, float("inf"))], ids=str)
def test_noise_that_means_nothing_is_refused(noise):
    with pytest.raises(OptionsError, match=r"gain|read"):
        Anscombe(*noise)
