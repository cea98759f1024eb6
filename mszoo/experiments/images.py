"""The images an experiment looks at, and their log p in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

from mszoo.data import ImageDataset
from mszoo.evaluation.probability import PIXELS_AT_ONCE, cut
from mszoo.inference import log_prob
from mszoo.model import MultiScaleModel

__all__ = ["batches", "decibels", "evenly"]


def evenly(images: ImageDataset, count: int, model: MultiScaleModel) -> list[Tensor]:
    """At most ``count`` images (C, H, W), evenly spaced over the set, their sides cut to what the model can split."""
    count = min(count, len(images))
    return [cut(images[i * len(images) // count], model.unit) for i in range(count)]


def batches(images: Sequence[Tensor]) -> Iterator[Tensor]:
    """The images in their order, neighbours of one size together: (B, C, H, W)."""
    for shape, group in groupby(images, key=lambda image: image.shape):
        same = list(group)
        size = max(1, PIXELS_AT_ONCE // (shape[-2] * shape[-1]))
        for first in range(0, len(same), size):
            yield torch.stack(same[first : first + size])


def decibels(model: MultiScaleModel, images: Sequence[Tensor]) -> Tensor:
    """log p of each image in dB per dimension, (n,)."""
    device = next(model.parameters()).device
    return torch.cat([log_prob(model, x.to(device), "dB/dim").cpu() for x in batches(images)])
