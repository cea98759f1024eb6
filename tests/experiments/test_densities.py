"""The exact densities are exact: they integrate, match their samples, and obey the diffusion of noise."""

from __future__ import annotations

import math

import pytest
import torch

from mszoo.experiments.densities import CorrelatedGaussian, Density, GaussianMixture, Laplacians, WhiteGaussian

SMALL = {
    "white": WhiteGaussian((1, 1, 1)),
    "mixture": GaussianMixture((1, 1, 1), components=3),
    "laplacian": Laplacians((1, 1, 1)),
}
ALL = {
    "white": WhiteGaussian((3, 4, 6)),
    "correlated": CorrelatedGaussian((2, 8, 4), reach=2.0),
    "mixture": GaussianMixture((1, 4, 4), components=3),
    "laplacians": Laplacians((1, 4, 4)),
}


@pytest.mark.parametrize("t", [0.0, 1e-6, 0.01, 1.0, 100.0])
@pytest.mark.parametrize("name", SMALL)
def test_it_integrates_to_one(name: str, t: float) -> None:
    reach = 8 * math.sqrt(t) + 4
    y = torch.linspace(0.5 - reach, 0.5 + reach, 400_001, dtype=torch.float64)
    p = torch.exp(-SMALL[name].energy(y.reshape(-1, 1, 1, 1), t))
    assert torch.trapezoid(p, y).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_samples_have_its_entropy(name: str) -> None:
    density = ALL[name]
    x = density.sample(20_000, torch.Generator().manual_seed(5))
    assert x.shape == (20_000, *density.shape)
    energies = density.energy(x, 0.0)
    error = energies.std() / math.sqrt(len(x))
    assert abs(energies.mean() - density.entropy()) < 5 * error


@pytest.mark.parametrize("t", [0.003, 0.1, 2.0])
@pytest.mark.parametrize("name", ALL)
def test_time_score_is_that_of_diffusion(name: str, t: float) -> None:
    """dU/dt at y is E[d / 2t - |y - x|^2 / 2t^2 | y], whatever function of y weighs it."""
    density: Density = ALL[name]
    generator = torch.Generator().manual_seed(2)
    x = density.sample(4000, generator).double()
    y = x + math.sqrt(t) * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    step = 1e-4 * t
    slope = (density.energy(y, t + step) - density.energy(y, t - step)) / (2 * step)
    expected = density.d / (2 * t) - (y - x).flatten(1).square().sum(1) / (2 * t**2)
    # E[(expected - slope) g(y)] = 0 for every g: tried with g = 1 and g = slope.
    for g in (torch.ones_like(slope), slope / slope.abs().mean()):
        error = (expected - slope) * g
        assert abs(error.mean()) < 5 * error.std() / math.sqrt(len(error))


def test_far_tails_of_laplacians_are_finite() -> None:
    y = torch.tensor([-40.0, 0.5, 40.0]).reshape(3, 1, 1, 1)
    for t in (1e-9, 1e-3, 1.0):
        energy = Laplacians((1, 1, 1)).energy(y, t)
        assert energy.isfinite().all()
        assert energy[0].item() == pytest.approx(energy[2].item(), rel=0.05)
