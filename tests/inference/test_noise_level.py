"""The noise level by maximum likelihood: exact for densities that are known, near the truth for a trained one."""

import pytest
import torch
from torch import Tensor

import mszoo
from mszoo.errors import ImageSizeError, UnsupportedError
from mszoo.inference import denoise_image, estimate_sigma
from mszoo.inference.noise_level import LARGEST, SMALLEST
from tests import factories


def noisy(sigma: list[float], size: tuple[int, int, int] = (1, 32, 32), deviation: float = 1.0) -> Tensor:
    """White images of mean 0.5 with noise of a standard deviation each."""
    generator = torch.Generator().manual_seed(0)
    x, z = torch.randn(2, len(sigma), *size, generator=generator)
    return 0.5 + deviation * x + torch.tensor(sigma)[:, None, None, None] * z


@pytest.mark.parametrize(("levels", "variance"), [(0, 1.0), (0, 0.01), (1, None), (2, None)])
def test_the_most_likely_variance_of_white_images_is_known(levels: int, variance: float | None):
    """Pixels of variance v + t: the likelihood is largest where that is their mean square."""
    v = variance or 1.0
    y = noisy([0.5, 1.0, 2.0], deviation=v**0.5)
    found = factories.gaussian(levels, variance=variance).noise_level(y)
    torch.testing.assert_close(found, (y - 0.5).square().mean((1, 2, 3)) - v, rtol=2e-3, atol=1e-3)


def test_no_level_beyond_those_that_are_looked_for():
    model = factories.gaussian(variance=1.0)
    still, loud = torch.full((1, 1, 16, 16), 0.5), noisy([100.0])[..., :16, :16]
    assert model.noise_level(still).sqrt().item() == pytest.approx(SMALLEST, rel=1e-3)
    assert model.noise_level(loud).sqrt().item() == pytest.approx(LARGEST, rel=1e-3)


@pytest.mark.parametrize("levels", [0, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_image_has_its_own(levels: int, dtype: torch.dtype):
    model, y = factories.energy(levels).to(dtype), noisy([0.1, 0.4, 1.5]).to(dtype)
    together = model.noise_level(y)
    assert together.shape == (3,)
    assert together.dtype == dtype
    torch.testing.assert_close(torch.cat([model.noise_level(one[None]) for one in y]), together, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("head", ["anchored", "inner_product", "squared_norm"])
def test_it_is_where_the_density_is_largest(head: str):
    model, y = factories.energy(head=head), noisy([0.2, 0.8])
    found = -model.energy(y, model.noise_level(y))
    for t in torch.logspace(2 * torch.log10(torch.tensor(SMALLEST)), 2 * torch.log10(torch.tensor(LARGEST)), 13):
        assert (found >= -model.energy(y, float(t)) - 1e-3 * found.abs()).all()


@pytest.mark.parametrize("levels", [0, 2])
def test_energies_denoise_without_sigma(levels: int):
    model, y = factories.energy(levels), noisy([0.1, 0.6])
    torch.testing.assert_close(model.denoise(y), model.denoise(y, model.noise_level(y).sqrt()))
    assert model.denoise(y[..., :29, :31], pad=True).shape == (2, 1, 29, 31)
    inside = y.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model.denoise(inside).sum(), inside)
    held = y.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model.denoise(held, model.noise_level(y).sqrt()).sum(), held)
    torch.testing.assert_close(slope, expected)


@pytest.mark.parametrize("size", [(40, 51), (3, 5), (300, 270)])
def test_photographs_of_any_size_and_number_of_channels(size: tuple[int, int]):
    model = factories.gaussian(2)
    y = noisy([0.5, 2.0], (3, *size))
    sigma = estimate_sigma(model, y)
    assert sigma.shape == (2, 3)
    if min(size) > 5:
        torch.testing.assert_close(sigma, torch.tensor([[0.5], [2.0]]).expand(2, 3), rtol=0.25, atol=0)
    torch.testing.assert_close(denoise_image(model, y), denoise_image(model, y, sigma))


def test_a_trained_energy_knows_the_noise():
    generator = torch.Generator().manual_seed(0)
    # smooth, as a photograph is: noise under a wide blur
    x = torch.nn.functional.interpolate(torch.rand(6, 1, 5, 5, generator=generator), (32, 32), mode="bicubic")
    sigma = torch.tensor([0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
    y = x + sigma[:, None, None, None] * torch.randn(x.shape, generator=generator)
    found = mszoo.load("cifar10-grey-energy").noise_level(y).sqrt()
    torch.testing.assert_close(found, sigma, rtol=0.15, atol=0)


def test_what_has_no_density_is_refused():
    y = torch.rand(1, 1, 16, 16)
    with pytest.raises(UnsupportedError, match="energy at every scale"):
        factories.denoiser().noise_level(y)
    with pytest.raises(ImageSizeError, match="multiples of 4"):
        factories.energy(2).noise_level(torch.rand(1, 1, 18, 16))
    with pytest.raises(UnsupportedError, match="no derivative in y"):
        factories.energy().noise_level(y.requires_grad_())
