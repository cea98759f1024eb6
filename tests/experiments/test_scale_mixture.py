"""The scale mixture: its shortcuts are exact, and training goes the right way."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from mszoo.evaluation.plots import figure_of, save_figure
from mszoo.experiments.scale_mixture import RadialEnergy, compare, exact_log_prob, normalize, plot, train


class Exact(RadialEnergy):
    """The true energy, less a constant."""

    def __init__(self, d: int, missing: float) -> None:
        super().__init__(d, width=4)
        self.missing = missing

    def forward(self, square: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return -exact_log_prob(square, t, self.d) - self.missing


@pytest.mark.parametrize("t", [0.0, 0.01, 3.0])
def test_exact_density_is_that_of_the_mixture(t: float) -> None:
    d, y = 5, 3 * torch.randn(10, 5, dtype=torch.float64)
    parts = [
        torch.distributions.MultivariateNormal(torch.zeros(d, dtype=torch.float64), (s**2 + t) * torch.eye(d).double())
        for s in (1.0, 4.0)
    ]
    expected = torch.stack([p.log_prob(y) for p in parts]).logsumexp(0) - math.log(2)
    torch.testing.assert_close(exact_log_prob(y.square().sum(1), torch.full((10,), t), d), expected)


def test_derivatives_are_those_of_the_energy() -> None:
    energy = RadialEnergy(10, width=8).double()
    square, t = torch.rand(4).double() * 10 + 1, torch.rand(4).double() + 0.1
    slopes = energy.derivatives(square, t)
    h = 1e-5
    for slope, (ds, dt) in zip(slopes, ((h, 0), (0, h)), strict=True):
        difference = (energy(square + ds, t + dt) - energy(square - ds, t - dt)) / (2 * h)
        torch.testing.assert_close(slope, difference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("missing", [-40.0, 0.0, 700.0])
def test_the_constant_is_found_to_the_authors_precision(missing: float) -> None:
    # 0.005 dB per dimension is what the formula with the data's variance is good for.
    for row in compare({"exact": Exact(1000, missing)}):
        assert abs(row.error) < 0.005
    assert abs(normalize(Exact(1000, missing)) - missing) < 1


@pytest.mark.slow
def test_training_lowers_the_error(tmp_path: Path) -> None:
    energies = {
        name: train(True, d=20, steps=steps, batch=64, rate=5e-3) for name, steps in (("early", 1), ("dual", 800))
    }
    rows = compare(energies)
    errors = {name: max(abs(r.error) for r in rows if r.objective == name and r.radius in (1, 4)) for name in energies}
    assert errors["dual"] < errors["early"] / 3
    save_figure(figure_of(lambda axes: plot(axes, rows)), tmp_path / "plot.png")
    assert min(Image.open(tmp_path / "plot.png").size) > 200


def test_same_seed_same_energy() -> None:
    one, same, other = (train(True, d=20, steps=3, batch=8, seed=seed) for seed in (1, 1, 2))
    square, t = torch.rand(4), torch.rand(4)
    assert torch.equal(one(square, t), same(square, t))
    assert not torch.equal(one(square, t), other(square, t))
