"""The distribution of log p over images, the least and the most probable, and images that are none (paper B)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from mszoo.experiments.images import decibels
from mszoo.model import MultiScaleModel

__all__ = ["Summary", "plot", "strangers", "summary"]


@dataclass(frozen=True)
class Summary:
    """log p in dB per dimension of one kind of image.

    Attributes:
        images: which.
        count: how many.
        mean, median, deviation, least, greatest: over them.
    """

    images: str
    count: int
    mean: float
    median: float
    deviation: float
    least: float
    greatest: float


def strangers(like: Sequence[Tensor]) -> dict[str, list[Tensor]]:
    """Images that are no photographs, of the shape of the first given one: constants, white noise, shuffled pixels."""
    first, generator = like[0], torch.Generator().manual_seed(0)
    order = torch.randperm(first[0].numel(), generator=generator)
    shuffled = [x.flatten(1)[:, order].unflatten(1, first.shape[1:]) for x in like if x.shape == first.shape][:16]
    return {
        "constant": [torch.full_like(first, level) for level in torch.linspace(0.1, 0.9, 9).tolist()],
        "uniform noise": [torch.rand(first.shape, generator=generator) for _ in range(16)],
        "shuffled pixels": shuffled,
    }


def summary(model: MultiScaleModel, kinds: dict[str, list[Tensor]]) -> tuple[list[Summary], dict[str, Tensor]]:
    """Rows and values of each kind of image (C, H, W)."""
    values = {name: decibels(model, images) for name, images in kinds.items()}
    rows = [
        Summary(
            name,
            len(v),
            v.mean().item(),
            v.median().item(),
            v.std(correction=0).item(),
            v.min().item(),
            v.max().item(),
        )
        for name, v in values.items()
    ]
    return rows, values


def plot(values: dict[str, Tensor], path: Path) -> None:
    """Histogram of the first kind; a tick for every image of the others."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axes = figure.subplots()
    (name, first), *others = values.items()
    axes.hist(first.numpy(), bins=min(60, max(5, round(len(first) ** 0.5) * 2)), label=name, color="C0", alpha=0.8)
    for i, (kind, v) in enumerate(others, 1):
        axes.plot(v, torch.full_like(v, -0.03 * i * axes.get_ylim()[1]), "|", color=f"C{i}", markersize=9, label=kind)
    axes.set(xlabel="log p (dB per dimension)", ylabel="images")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
