r"""How log p changes with contrast and brightness, and how it goes with sparsity (paper B).

Contrast a: a (x - 1/2) + 1/2. Brightness b: x + b. Sparsity of an image: |c|_1^2 / (n |c|_2^2) of its n Haar details c,
1 where all are of one size and near 0 where few are not zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from mszoo.discovery import registry
from mszoo.experiments.images import decibels
from mszoo.model import MultiScaleModel

__all__ = ["Change", "changes", "draw", "plot", "plot_sparsity", "sparsity"]

_CONTRASTS = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
_OFFSETS = (-0.4, -0.2, -0.1, 0.0, 0.1, 0.2, 0.4)


@dataclass(frozen=True)
class Change:
    """log p of all images after one transformation, in dB per dimension.

    Attributes:
        transformation: ``contrast`` or ``offset``.
        amount: a or b.
        mean, low, high: over the images; the mean, and the values that a tenth lies below and above.
    """

    transformation: str
    amount: float
    mean: float
    low: float
    high: float


def changes(
    model: MultiScaleModel,
    images: Sequence[Tensor],
    contrasts: Sequence[float] = _CONTRASTS,
    offsets: Sequence[float] = _OFFSETS,
) -> list[Change]:
    """log p of images (C, H, W) at several contrasts and offsets. Values may leave [0, 1]: nothing is clipped.

    Args:
        model: with a density.
        images: (C, H, W) each.
        contrasts: factors of the deviation from 0.5.
        offsets: added to all pixels.
    """
    rows = []
    for kind, amounts in (("contrast", contrasts), ("offset", offsets)):
        for a in amounts:
            changed = [a * (x - 0.5) + 0.5 if kind == "contrast" else x + a for x in images]
            values = decibels(model, changed)
            low, high = torch.quantile(values, torch.tensor([0.1, 0.9])).tolist()
            rows.append(Change(kind, a, values.mean().item(), low, high))
    return rows


def sparsity(image: Tensor, levels: int = 6) -> float:
    """Sparsity of an image's (C, H, W) Haar details on at most ``levels`` levels, in (0, 1]; 1 for a constant image."""
    haar, low, details = registry().create("basis", "haar"), image[None], []
    while len(details) < levels and not any(side % 2 for side in low.shape[-2:]):
        low, detail = haar.analyze(low)
        details.append(detail.flatten())
    c = torch.cat(details) if details else torch.zeros(1)
    power, rounding = c.square().sum(), 1e-12 * image.square().sum()
    return (c.abs().sum().square() / (c.numel() * power)).item() if power > rounding else 1.0


def plot(axes: Axes, rows: Sequence[Change], kind: str) -> Axes:
    """Draw log p against the amount of one transformation: a line for the mean, a band from lower to upper tenth.

    Args:
        axes: what is drawn into.
        rows: of all transformations.
        kind: ``contrast`` or ``offset``.

    Returns:
        The same axes.
    """
    shown = [row for row in rows if row.transformation == kind]
    amounts = [row.amount for row in shown]
    axes.plot(amounts, [row.mean for row in shown], marker="o")
    axes.fill_between(amounts, [row.low for row in shown], [row.high for row in shown], alpha=0.2)
    unit = {"contrast": "contrast a (factor)", "offset": "offset b (grey value, white = 1)"}
    axes.set(xlabel=unit[kind], ylabel="log p (dB per dimension)")
    axes.grid(alpha=0.3)
    return axes


def plot_sparsity(axes: Axes, sparse: Sequence[float], values: Tensor) -> Axes:
    """Draw log p of each image against its sparsity.

    Args:
        axes: what is drawn into.
        sparse: the sparsity of each image.
        values: its log p in dB per dimension, (n,).

    Returns:
        The same axes.
    """
    axes.plot(sparse, values, ".", markersize=3)
    axes.set(xlabel="|c|_1^2 / (n |c|_2^2) of Haar details (no unit)", ylabel="log p (dB per dimension)")
    axes.grid(alpha=0.3)
    return axes


def draw(rows: Sequence[Change], sparse: Sequence[float], values: Tensor) -> Figure:
    """log p against contrast, against offset and, of more than one image, against each one's sparsity.

    Args:
        rows: what :func:`changes` gave.
        sparse: sparsity of each image.
        values: log p of each image, (n,).
    """
    count = 2 + (len(sparse) > 1)  # one point is no plot
    figure = Figure(figsize=(3.7 * count, 3.4), layout="constrained")
    contrast, offset, *last = figure.subplots(1, count)
    plot(contrast, rows, "contrast")
    plot(offset, rows, "offset")
    for axes in last:
        plot_sparsity(axes, sparse, values)
    return figure
