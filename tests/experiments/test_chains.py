"""Chains of scales learn densities whose every conditional is known: in total, and scale by scale."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import mszoo
from mszoo.experiments.densities import CorrelatedGaussian
from mszoo.inference import log_prob_scales
from mszoo.randomness import Draw
from mszoo.recipe import TrainingConfig
from mszoo.training.optimization import make_average, make_optimizer, make_scheduler
from mszoo.training.step import Step

SIZE = 16
HAAR = mszoo.create("basis", "haar")


class Known(ABC):
    """Grey images whose log p is known at every scale of a Haar basis of one level."""

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Images (count, 1, SIZE, SIZE)."""

    @abstractmethod
    def log_prob_scales(self, x: Tensor) -> list[Tensor]:
        """log p of the details given the coarser image and of that, in nats, (B,) each."""


class Field(Known):
    """A correlated Gaussian: so is its coarser image, and what is left of log p is the details'."""

    def __init__(self) -> None:
        self.density = CorrelatedGaussian((1, SIZE, SIZE), reach=2.0)
        power = torch.fft.ifft2(self.density.power).real  # covariance of the first pixel with all
        rows = torch.stack([power.roll((i, j), (0, 1)) for i in range(SIZE) for j in range(SIZE)])
        low, _ = HAAR.analyze(rows.reshape(-1, 1, SIZE, SIZE))
        low, _ = HAAR.analyze(low.flatten(1).T.reshape(-1, 1, SIZE, SIZE))
        self.coarse = torch.distributions.MultivariateNormal(torch.ones(len(low)).double(), low.flatten(1))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return self.density.sample(count, generator)

    def log_prob_scales(self, x: Tensor) -> list[Tensor]:
        low, _ = HAAR.analyze(x.double())
        coarse = self.coarse.log_prob(low.flatten(1))
        return [-self.density.energy(x, 0.0) - coarse, coarse]


class ScaleMixture(Known):
    """Details are Gaussians of a random size that the coarser image, a correlated Gaussian, shows: larger at edges."""

    def __init__(self) -> None:
        self.coarse = CorrelatedGaussian((1, SIZE // 2, SIZE // 2), deviation=0.5, reach=2.0)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        low = self.coarse.sample(count, generator)
        return HAAR.synthesize(low, self.size(low) * torch.randn(count, 3, *low.shape[-2:], generator=generator))

    def log_prob_scales(self, x: Tensor) -> list[Tensor]:
        low, detail = HAAR.analyze(x.double())
        details = torch.distributions.Normal(0, self.size(low)).log_prob(detail)
        return [details.flatten(1).sum(1), -self.coarse.energy(low, 0.0)]

    @staticmethod
    def size(low: Tensor) -> Tensor:
        """0.05, and two fifths of the deviation within 3 x 3 pixels."""
        mean, square = (F.avg_pool2d(F.pad(v, (1, 1, 1, 1), mode="replicate"), 3, 1) for v in (low, low.square()))
        return 0.05 + 0.4 * (square - mean.square()).clamp_min(0).sqrt()


def chain(density: Known) -> mszoo.MultiScaleModel:
    """A small chain that has seen the density's variances, and nothing else."""
    torch.manual_seed(0)
    network = {"name": "bias_free_cnn", "activation": "gelu", "noise_embedding": True, "zero_output": True}
    details = {**network, "norm": "channel", "receptive_field": 5, "depth": 4, "width": 24}
    coarse = {**network, "norm": "none", "receptive_field": 13, "depth": 6, "width": 16}
    model = mszoo.MultiScaleModel.from_config(
        {
            "basis": "haar",
            "levels": 1,
            "detail": {"conditioner": details, "head": "predictive"},
            "coarse": {"conditioner": coarse, "head": {"name": "anchored", "levels": 2, "offset": True}},
        }
    )
    images = density.sample(4096, torch.Generator().manual_seed(0))
    for head, part in zip(model.scales, model.decompose(images), strict=True):
        head.fit([part])
    return model.eval()


# A network with norms, on top of small ones that predict, learns fastest by Adam; one without by AdaMuon.
OPTIMIZERS = {"name": "adam", "lr": 1e-2}, {"name": "adamuon", "lr": 5e-3}
NOISES = {"psnr": [60, -15]}, {"psnr": [60, -30]}


def trained(model: mszoo.MultiScaleModel, density: Known, steps: int) -> mszoo.MultiScaleModel:
    """By dual score matching, one scale after the other."""
    objectives = [mszoo.create("objective", "dual_score_matching", time_weight=10, noise=noise) for noise in NOISES]
    for scale, optimization in enumerate(OPTIMIZERS):
        settings = TrainingConfig.model_validate(
            {"steps": steps, "optimizer": optimization, "warmup": 50, "ema": 0.99, "clip": 1.0}
        )
        step, generator = Step(model, objectives, [scale]), torch.Generator().manual_seed(1)
        optimizer, average = make_optimizer(step, settings), make_average(step, settings)
        scheduler = make_scheduler(optimizer, settings)
        for number in range(steps):
            scheduler.step_update(number)
            loss, _ = step(density.sample(32, generator), Draw(0, number, list(range(32))))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(step.parameters(), 1.0)
            optimizer.step()
            assert average is not None
            average.update(step, step=number + 1)
        model = average.module.model
    return model.eval()


def prices(model: mszoo.MultiScaleModel, density: Known) -> tuple[float, float, float]:
    """How many bits a dimension the model loses on the known density: in total, on the details, on the coarse image.

    Below zero it is not quite normalized.
    """
    x = density.sample(2000, torch.Generator().manual_seed(1))
    with torch.no_grad():
        learned = [part.double() for part in log_prob_scales(model, x)]
    details, coarse = (
        (exact - found).mean().item() / math.log(2)
        for exact, found in zip(density.log_prob_scales(x), learned, strict=True)
    )
    d = SIZE**2
    return (details + coarse) / d, details / (3 * d / 4), coarse / (d / 4)


@pytest.mark.parametrize("known", [Field, ScaleMixture])
def test_the_known_split_is_that_of_a_density(known: type[Known]) -> None:
    """E exp(log q - log p) is 1 for every normalized q: here for p with its images a little larger."""
    density, generator = known(), torch.Generator().manual_seed(2)
    x = density.sample(20_000, generator)
    exact = torch.stack(density.log_prob_scales(x)).sum(0)
    scale = 1.01
    other = torch.stack(density.log_prob_scales(0.5 + (x - 0.5) / scale)).sum(0) - SIZE**2 * math.log(scale)
    assert (other - exact).exp().mean() == pytest.approx(1, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(("known", "steps"), [(Field, 600), (ScaleMixture, 900)])
def test_a_chain_learns_a_known_density_at_every_scale(known: type[Known], steps: int) -> None:
    density = known()
    model = chain(density)
    before, after = prices(model, density), prices(trained(model, density, steps), density)
    print(f"bits/dim above the entropy, total, details, coarse: {before} before, {after} after")
    assert before[0] > 0.06
    assert abs(after[0]) < 0.03
    assert max(map(abs, after[1:])) < 0.05


def test_the_mixture_is_one() -> None:
    """Details of a Gaussian have a kurtosis of 3."""
    _, details = HAAR.analyze(ScaleMixture().sample(2000, torch.Generator().manual_seed(3)))
    assert details.pow(4).mean() / details.square().mean().square() > 3.5
