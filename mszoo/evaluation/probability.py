"""How probable images are, one after the other, under a model with a density."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mszoo.data import ImageDataset
from mszoo.inference import log_prob, normalize
from mszoo.model import MultiScaleModel

__all__ = ["PIXELS_AT_ONCE", "ProbabilityRow", "cut", "probabilities"]

PIXELS_AT_ONCE = 2**18


@dataclass(frozen=True)
class ProbabilityRow:
    """One image.

    Attributes:
        image: its label.
        height, width: as measured, in pixels.
        log_prob: in nats.
        db_per_dim: the same in dB per dimension; larger is more probable.
        nll: in bits per dimension, the 8-bit convention without dequantization (see :func:`mszoo.inference.nll`).
    """

    image: str
    height: int
    width: int
    log_prob: float
    db_per_dim: float
    nll: float


def probabilities(
    model: MultiScaleModel, images: ImageDataset, together: int | None = None
) -> Iterator[ProbabilityRow]:
    """log p of every image, in batches of images of one size, in the order in which their batches are full.

    Sides are cut to multiples that the model can split; see :meth:`MultiScaleModel.unit`.

    Args:
        model: with an energy head at every scale, in eval mode.
        images: of the model's number of channels.
        together: images in a batch; None: as many as 2^18 pixels hold.

    Raises:
        UnsupportedError: the model has no density.
        ImageSizeError: an image smaller than the model can take.
    """
    device = next(model.parameters()).device
    waiting: dict[tuple[int, ...], list[tuple[int, Tensor]]] = {}

    def measure(batch: list[tuple[int, Tensor]]) -> Iterator[ProbabilityRow]:
        x = torch.stack([image for _, image in batch]).to(device)
        d = x[0].numel()
        for (i, image), nats in zip(batch, log_prob(model, x).tolist(), strict=True):
            decibels, bits = 10 * nats / (d * math.log(10)), 8 - nats / (d * math.log(2))
            yield ProbabilityRow(images.label(i), image.shape[1], image.shape[2], nats, decibels, bits)

    for i in range(len(images)):
        image = cut(images[i], model.unit)
        normalize(model, (image.shape[-2], image.shape[-1]))  # a model without a density says so at once
        size = together or max(1, PIXELS_AT_ONCE // (image.shape[-2] * image.shape[-1]))
        batch = waiting.setdefault(tuple(image.shape), [])
        batch.append((i, image))
        if len(batch) == size:
            yield from measure(waiting.pop(tuple(image.shape)))
    for batch in waiting.values():
        yield from measure(batch)


def cut(image: Tensor, unit: int) -> Tensor:
    """The middle of an image (C, H, W), its sides multiples of ``unit`` as large as it has them, at least one."""
    height, width = (max(unit, side // unit * unit) for side in image.shape[-2:])
    top, left = max(0, (image.shape[-2] - height) // 2), max(0, (image.shape[-1] - width) // 2)
    return image[:, top : top + height, left : left + width]
