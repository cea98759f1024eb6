"""Energies learned by dual score matching against the exact ones: Gaussians, a mixture, independent Laplacians."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from mszoo.experiments.densities import DENSITIES, Density
from mszoo.heads import EnergyHead
from mszoo.inference import normalize
from mszoo.model import MultiScaleModel
from mszoo.objectives import Draw, DualScoreMatching
from mszoo.objectives.noise import NoiseLevels
from mszoo.recipe import ModelConfig, TrainingConfig
from mszoo.training.optimization import make_average, make_optimizer, make_scheduler

__all__ = ["SETTINGS", "Row", "Setting", "compare", "energies", "plot", "train"]


@dataclass(frozen=True)
class Setting:
    """How a density is learned.

    Attributes:
        conditioner: the network's name and options.
        levels: of the anchored head's db4 bands.
        training: steps, batch and optimizer.
    """

    conditioner: dict[str, Any]
    levels: int
    training: TrainingConfig


def _training(steps: int, batch: int, rate: float) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {
            "steps": steps,
            "batch_size": batch,
            "optimizer": {"name": "adamuon", "lr": rate},
            "scheduler": "cosine",
            "warmup": 50,
            "ema": 0.995,
        }
    )


def _unet(width: int, scales: int) -> dict[str, Any]:
    return {"name": "unet", "width": width, "scales": scales, "embedding": "log", "zero_output": True}


SETTINGS = {
    "white-gaussian": Setting(_unet(8, 3), 4, _training(500, 32, 1e-3)),
    "correlated-gaussian": Setting(_unet(8, 3), 4, _training(2000, 32, 1e-3)),
    "gaussian-mixture": Setting(_unet(32, 2), 0, _training(2000, 128, 1e-3)),
    "laplacians": Setting(_unet(32, 2), 0, _training(2000, 128, 1e-3)),
}
"""By the name of the density."""


@dataclass(frozen=True)
class Row:
    """A learned energy against the exact one at one noise level, in bits per dimension.

    Attributes:
        density: its name.
        d: dimension.
        t: noise variance.
        exact: mean of the exact energy over noisy images; at t = 0 the entropy.
        learned: mean of the learned, normalized energy; at t = 0 the cross-entropy.
        difference: learned less exact: at t = 0 the price of the model in bits.
        deviation: root mean square of the difference, image by image.
    """

    density: str
    d: int
    t: float
    exact: float
    learned: float
    difference: float
    deviation: float


def train(
    density: Density,
    setting: Setting,
    steps: int | None = None,
    seed: int = 0,
    progress: Callable[[int], object] = lambda step: None,
) -> MultiScaleModel:
    """Learn a density from an endless supply of its images, by dual score matching from PSNR 90 to -30 dB.

    Args:
        density: what to draw from.
        setting: network, head and optimizer.
        steps: instead of the setting's.
        seed: of weights, images and noise.
        progress: called after each step.
    """
    torch.manual_seed(seed)
    scale = {"conditioner": setting.conditioner, "head": {"name": "anchored", "levels": setting.levels}}
    model = MultiScaleModel.from_config(ModelConfig.model_validate({"channels": density.shape[0], "coarse": scale}))
    settings = setting.training.model_copy(update={"steps": steps or setting.training.steps})
    generator = torch.Generator().manual_seed(seed)
    head = model.coarse
    head.fit([(density.sample(4096, generator), None)])
    objective = DualScoreMatching(noise=NoiseLevels.model_validate({"psnr": (90, -30)}))
    optimizer, average = make_optimizer(model, settings), make_average(model, settings)
    scheduler = make_scheduler(optimizer, settings)
    for step in range(settings.steps):
        scheduler.step_update(step)
        x = density.sample(settings.batch_size, generator)
        y, t = objective.corrupt(x, Draw(seed, step, list(range(len(x)))))
        loss, _ = objective.loss(head, x, y, t, None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if average is not None:
            average.update(model, step=step + 1)
        progress(step)
    return (model if average is None else average.module).eval()


@torch.no_grad()
def energies(model: MultiScaleModel, density: Density, t: float, count: int = 2048) -> tuple[Tensor, Tensor]:
    """Learned, normalized energies of noisy images, and the exact ones, in nats, (count,) each."""
    head, generator = model.coarse, torch.Generator().manual_seed(3)
    assert isinstance(head, EnergyHead)
    constant = normalize(model, density.shape[1:]).value
    x = density.sample(count, generator)
    y = x + math.sqrt(t) * torch.randn(x.shape, generator=generator)
    learned = [head.energy(part, torch.full((len(part),), t)) for part in y.split(256)]
    return torch.cat(learned).double() + constant, density.energy(y, t)


def compare(
    name: str, model: MultiScaleModel, times: Sequence[float] = (0.0, 1e-4, 1e-2, 0.1, 1.0), count: int = 2048
) -> list[Row]:
    """Learned against exact energies of the density of that name at several t."""
    density, rows = DENSITIES[name], []
    for t in times:
        learned, exact = (u / (density.d * math.log(2)) for u in energies(model, density, t, count))
        difference = learned - exact
        # The difference varies far less from image to image than either energy.
        mean = density.entropy() / (density.d * math.log(2)) if t == 0 else exact.mean().item()
        gap = difference.mean().item()
        deviation = difference.square().mean().sqrt().item()
        rows.append(Row(name, density.d, t, mean, mean + gap, gap, deviation))
    return rows


def plot(models: dict[str, MultiScaleModel], path: Path) -> None:
    """Learned against exact energy of single images, without noise and with some."""
    figure = Figure(figsize=(3.2 * len(models), 3.2), layout="constrained")
    panels = figure.subplots(1, len(models), squeeze=False)[0]
    for axes, (name, model) in zip(panels, models.items(), strict=True):
        density = DENSITIES[name]
        for t in (0.0, 1e-2):
            learned, exact = (u / (density.d * math.log(2)) for u in energies(model, density, t, 512))
            axes.plot(exact, learned, ".", markersize=3, label=f"t = {t:g}")
        low, high = axes.get_xlim()
        axes.plot([low, high], [low, high], color="0.3", linewidth=0.8)
        axes.set(title=name, xlabel="exact U (bits per dimension)")
    panels[0].set(ylabel="learned U (bits per dimension)")
    panels[0].legend()
    figure.savefig(path, dpi=120)
