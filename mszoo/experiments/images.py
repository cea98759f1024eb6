"""The images an experiment looks at, and their log p in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

from mszoo.data import ImageDataset, readable, spread
from mszoo.evaluation.probability import PIXELS_AT_ONCE, cut, large_enough
from mszoo.inference import log_prob
from mszoo.model import MultiScaleModel
from mszoo.objectives import DualScoreMatching
from mszoo.randomness import Draw
from mszoo.training.step import Step

__all__ = ["batches", "decibels", "dual_loss", "evenly"]


def evenly(images: ImageDataset, count: int, model: MultiScaleModel) -> list[Tensor]:
    """At most ``count`` images (C, H, W), evenly spaced over the set, their sides cut to what the model can split.

    Those that are too small for it are named in warnings; :class:`ImageSizeError` if all are.

    Args:
        images: the data set.
        count: the most that are taken.
        model: whose ``unit`` the sides are cut to.
    """
    used = large_enough(images, model.unit)
    return [cut(image, model.unit) for _, image in readable(images, (used[i] for i in spread(len(used), count)))]


def batches(images: Sequence[Tensor]) -> Iterator[Tensor]:
    """The images in their order, neighbours of one size together: (B, C, H, W)."""
    for shape, group in groupby(images, key=lambda image: image.shape):
        same = list(group)
        size = max(1, PIXELS_AT_ONCE // (shape[-2] * shape[-1]))
        for first in range(0, len(same), size):
            yield torch.stack(same[first : first + size])


@torch.no_grad()
def decibels(model: MultiScaleModel, images: Sequence[Tensor]) -> Tensor:
    """log p of each image in dB per dimension, (n,)."""
    device = next(model.parameters()).device
    return torch.cat([log_prob(model, x.to(device), "dB/dim").cpu() for x in batches(images)])


@torch.no_grad()
def dual_loss(model: MultiScaleModel, images: Sequence[Tensor], seed: int = 0) -> float:
    """Paper B's loss, space and time, a mean over images with one noise level each (the same for every model).

    The noise levels run from PSNR 90 to -30 dB; the losses of several scales are added.

    Args:
        model: with an energy head at every scale.
        images: (C, H, W) each.
        seed: of the noise and its levels.
    """
    step = Step(model, [DualScoreMatching() for _ in model.scales]).eval()
    device, total, seen = next(model.parameters()).device, 0.0, 0
    for x in batches(images):
        loss, _ = step(x.to(device), Draw(seed, 0, list(range(seen, seen + len(x)))))
        total += loss.item() * len(x)
        seen += len(x)
    return total / seen
