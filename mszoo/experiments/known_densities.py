"""Energies that were learned against the exact ones: Gaussians, a mixture, independent Laplacians."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from mszoo.conditioners import BiasFreeCNN, Conditioner
from mszoo.experiments.dense import Dense
from mszoo.experiments.densities import DENSITIES, Density, Shape
from mszoo.heads import AnchoredEnergy, EnergyHead
from mszoo.inference import normalize
from mszoo.model import MultiScaleModel
from mszoo.objectives import Contrastive, DualScoreMatching, Objective
from mszoo.randomness import Draw
from mszoo.recipe import TrainingConfig
from mszoo.training.denormals import flushed_denormals
from mszoo.training.optimization import make_average, make_optimizer, make_scheduler

__all__ = ["OBJECTIVES", "SETTINGS", "EnergyRow", "Setting", "compare", "draw", "energies", "plot", "train"]


Network = Callable[[Shape], Conditioner]


@dataclass(frozen=True)
class Setting:
    """How a density is learned.

    Attributes:
        network: for images of a shape.
        levels: of the anchored head's db4 bands.
        training: steps, batch and optimizer.
        time_weight: of the loss in time. Errors in the constant add up along t from infinity down to zero, and a weight
            above paper B's 1 keeps them small.
    """

    network: Network
    levels: int
    training: TrainingConfig
    time_weight: float = 10.0


def _training(steps: int, batch: int) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {
            "steps": steps,
            "batch_size": batch,
            "optimizer": {"name": "adamuon", "lr": 5e-3},
            "scheduler": "cosine",
            "warmup": 50,
            "ema": 0.99,
            "clip": 1.0,
        }
    )


def _local(receptive_field: int, width: int, depth: int) -> Network:
    """Of a stationary density: convolutions. No norm: an energy of independent pixels or of a Gaussian has none."""

    def make(shape: Shape) -> Conditioner:
        network = BiasFreeCNN(
            shape[0],
            receptive_field=receptive_field,
            width=width,
            depth=depth,
            norm="none",
            activation="gelu",
            noise_embedding=True,
        )
        torch.nn.init.zeros_(network.last.weight)
        return network

    return make


SETTINGS = {
    "white-gaussian": Setting(_local(5, 8, 3), 4, _training(300, 16)),
    "correlated-gaussian": Setting(_local(13, 16, 6), 4, _training(1000, 16)),
    "gaussian-mixture": Setting(Dense, 0, _training(1500, 256), time_weight=1.0),
    "laplacians": Setting(_local(5, 32, 5), 0, _training(1500, 128)),
}
"""By the name of the density."""


OBJECTIVES: dict[str, Callable[[Setting], Objective]] = {
    "dual_score_matching": lambda setting: DualScoreMatching(time_weight=setting.time_weight),
    "contrastive": lambda setting: Contrastive(),
}
"""What they are learned with, from PSNR 90 to -30 dB, by name."""


@dataclass(frozen=True)
class EnergyRow:
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
    objective: str = "dual_score_matching",
) -> MultiScaleModel:
    """Learn a density from an endless supply of its images.

    Optimizer, rate and average are those of :mod:`mszoo.training`; its loop is not, which is for images that are
    read, in runs that are saved and resumed.

    Args:
        density: what to draw from.
        setting: network, head and optimizer.
        steps: instead of the setting's.
        seed: of weights, images and noise.
        progress: called after each step.
        objective: a key of :data:`OBJECTIVES`.
    """
    torch.manual_seed(seed)
    head = AnchoredEnergy(setting.network(density.shape), levels=setting.levels, offset=True)
    model = MultiScaleModel(density.shape[0], head)
    settings = setting.training.model_copy(update={"steps": steps or setting.training.steps})
    generator = torch.Generator().manual_seed(seed)
    head.fit([(density.sample(4096, generator), None)])
    pays = OBJECTIVES[objective](setting)
    optimizer, average = make_optimizer(model, settings), make_average(model, settings)
    scheduler = make_scheduler(optimizer, settings)
    with flushed_denormals():
        for step in range(settings.steps):
            scheduler.step_update(step)
            x = density.sample(settings.batch_size, generator)
            y, t = pays.corrupt(x, Draw(seed, step, list(range(len(x)))))
            loss, _ = pays.loss(head, x, y, t, None)
            optimizer.zero_grad()
            loss.backward()
            if settings.clip is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            optimizer.step()
            if average is not None:
                average.update(model, step=step + 1)
            progress(step)
    return (model if average is None else average.module).eval()


@torch.no_grad()
def energies(model: MultiScaleModel, density: Density, t: float, count: int = 2048) -> tuple[Tensor, Tensor]:
    """Learned, normalized energies of noisy images, and the exact ones, in nats, (count,) each.

    Args:
        model: that learned the density.
        density: the exact one.
        t: noise variance.
        count: how many images are drawn.
    """
    head, generator = model.coarse, torch.Generator().manual_seed(3)
    assert isinstance(head, EnergyHead)
    constant = normalize(model, density.shape[1:]).value
    x = density.sample(count, generator)
    y = x + math.sqrt(t) * torch.randn(x.shape, generator=generator)
    learned = [head.energy(part, torch.full((len(part),), t)) for part in y.split(256)]
    return torch.cat(learned).double() + constant, density.energy(y, t)


def compare(
    name: str, model: MultiScaleModel, times: Sequence[float] = (0.0, 1e-4, 1e-2, 0.1, 1.0), count: int = 2048
) -> list[EnergyRow]:
    """The learned against the exact energies of a density at several t.

    Args:
        name: of the density, a key of :data:`SETTINGS`.
        model: that learned it.
        times: noise variances.
        count: how many images are drawn at each.
    """
    density, rows = DENSITIES[name], []
    for t in times:
        learned, exact = (u / (density.d * math.log(2)) for u in energies(model, density, t, count))
        difference = learned - exact
        # The difference varies far less from image to image than either energy.
        mean = density.entropy() / (density.d * math.log(2)) if t == 0 else exact.mean().item()
        gap = difference.mean().item()
        deviation = difference.square().mean().sqrt().item()
        rows.append(EnergyRow(name, density.d, t, mean, mean + gap, gap, deviation))
    return rows


def plot(axes: Axes, name: str, model: MultiScaleModel) -> Axes:
    """Draw learned against exact energies of single images, without noise and with some.

    Args:
        axes: what is drawn into.
        name: of the density, a key of :data:`DENSITIES`.
        model: that was trained on it.

    Returns:
        The same axes.
    """
    density = DENSITIES[name]
    for t in (0.0, 1e-2):
        learned, exact = (u / (density.d * math.log(2)) for u in energies(model, density, t, 512))
        axes.plot(exact, learned, ".", markersize=3, label=f"t = {t:g}")
    low, high = axes.get_xlim()
    axes.plot([low, high], [low, high], color="0.3", linewidth=0.8)
    axes.set(title=name, xlabel="exact U (bits per dimension)", ylabel="learned U (bits per dimension)")
    axes.legend()
    return axes


def draw(models: dict[str, MultiScaleModel]) -> Figure:
    """:func:`plot` of each density's model, side by side."""
    figure = Figure(figsize=(3.2 * len(models), 3.2), layout="constrained")
    panels = figure.subplots(1, len(models), squeeze=False)[0]
    for axes, (name, model) in zip(panels, models.items(), strict=True):
        plot(axes, name, model)
    return figure
