"""The distribution of log p over photographs, the least and most probable, and other images (paper B)."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import torch
from torch import Tensor

from mszoo.data import spread
from mszoo.errors import UnsupportedError
from mszoo.evaluation.plots import ends
from mszoo.experiments.images import decibels
from mszoo.model import MultiScaleModel

__all__ = ["Measured", "Summary", "measure", "sheet", "strangers", "summary"]

Measured = dict[str, list[tuple[float, Tensor]]]
"""For each kind of image: log p in dB per dimension and the image (C, H, W), the least probable first."""


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


def measure(model: MultiScaleModel, kinds: Mapping[str, Sequence[Tensor]]) -> Measured:
    """log p of each kind of image (C, H, W). Images without a finite one are left out, counted in a warning.

    Raises:
        UnsupportedError: no image has a finite log p.
    """
    measured: Measured = {}
    for name, images in kinds.items():
        pairs = zip(decibels(model, images).tolist(), images, strict=True)
        finite = sorted((pair for pair in pairs if math.isfinite(pair[0])), key=itemgetter(0))
        if len(finite) < len(images):
            missing = len(images) - len(finite)
            warnings.warn(f"{name}: {missing} of {len(images)} have no finite log p, left out", stacklevel=2)
        if finite:
            measured[name] = finite
    if not measured:
        raise UnsupportedError("the model gives no image a finite log p")
    return measured


def summary(measured: Measured) -> list[Summary]:
    """A row for each kind."""
    rows = []
    for name, kind in measured.items():
        v = [value for value, _ in kind]
        middle = statistics.fmean(v), statistics.median(v), statistics.pstdev(v)
        rows.append(Summary(name, len(v), *middle, v[0], v[-1]))
    return rows


def sheet(measured: Measured, count: int = 8) -> list[list[tuple[tuple[str, str], Tensor]]]:
    """Rows of titled images: ``count`` of the first kind's least and most probable, then some of each other kind."""
    (first, kind), *others = measured.items()
    rows = [(first, end) for end in ends(kind, count)]
    rows += [(name, [members[i] for i in spread(len(members), count)]) for name, members in others]
    return [[((name, f"{value:.2f} dB/dim"), image) for value, image in row] for name, row in rows]
