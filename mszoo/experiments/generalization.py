"""Do two models that were trained on different images agree on log p? (paper B, generalization)

With few training images each model remembers its own and they disagree; with many they give the same density.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from torch import Tensor

from mszoo.evaluation.plots import label
from mszoo.experiments.images import decibels, dual_loss
from mszoo.model import MultiScaleModel

__all__ = ["Agreement", "agreement", "plot"]


@dataclass(frozen=True)
class Agreement:
    """Two models on the same images, log p in dB per dimension.

    Attributes:
        images: the set's name.
        count: how many images.
        first, second: each model's mean.
        absolute: mean absolute difference.
        rms: root of the mean squared difference.
        correlation: of the two, over the images.
        first_loss, second_loss: each model's loss of dual score matching on the images.
    """

    images: str
    count: int
    first: float
    second: float
    absolute: float
    rms: float
    correlation: float
    first_loss: float
    second_loss: float


def agreement(
    first: MultiScaleModel, second: MultiScaleModel, sets: Mapping[str, Sequence[Tensor]]
) -> tuple[list[Agreement], dict[str, tuple[Tensor, Tensor]]]:
    """How far two models agree on log p, a row for each set of images; and both models' log p in dB per dimension.

    Args:
        first, second: models with a density, trained on disjoint images.
        sets: images (C, H, W), by the name of the set.
    """
    rows, values = [], {}
    for name, images in sets.items():
        one, other = decibels(first, images), decibels(second, images)
        gap = one - other
        correlation = torch.corrcoef(torch.stack([one, other]))[0, 1].item() if len(one) > 1 else float("nan")
        row = Agreement(
            name,
            len(one),
            one.mean().item(),
            other.mean().item(),
            gap.abs().mean().item(),
            gap.square().mean().sqrt().item(),
            correlation,
            dual_loss(first, images),
            dual_loss(second, images),
        )
        rows.append(row)
        values[name] = one, other
    return rows, values


def plot(axes: Axes, values: Mapping[str, tuple[Tensor, Tensor]], names: tuple[str, str]) -> Axes:
    """log p under the second model against the first, a colour for each set; the axes that were given.

    Args:
        axes: to draw into.
        values: both models' log p in dB per dimension, (n,) each, by the name of the set.
        names: of the two models.
    """
    for name, (one, other) in values.items():
        axes.plot(one, other, ".", markersize=3, alpha=0.6, label=label(name))
    low, high = axes.get_xlim()
    axes.plot([low, high], [low, high], color="0.3", linewidth=0.8)
    first, second = map(label, names)
    axes.set(xlabel=f"log p, {first} (dB per dimension)", ylabel=f"log p, {second} (dB per dimension)")
    axes.legend()
    axes.grid(alpha=0.3)
    return axes
