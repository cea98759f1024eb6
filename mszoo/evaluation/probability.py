"""How probable images are, one after the other, under a model with a density."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mszoo.data import ImageDataset
from mszoo.errors import ImageSizeError
from mszoo.inference import log_prob, normalize
from mszoo.model import MultiScaleModel

__all__ = ["PIXELS_AT_ONCE", "ProbabilityRow", "cut", "large_enough", "probabilities"]

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

    Sides are cut to multiples of what the model can split, :attr:`MultiScaleModel.unit`; an image with a smaller side
    is named in a warning and skipped.

    Args:
        model: with an energy head at every scale, in eval mode.
        images: of the model's number of channels.
        together: images in a batch; None: as many as 2^18 pixels hold.

    Raises:
        UnsupportedError: the model has no density.
        ImageSizeError: all images are smaller than the model can take.

    Example:
        >>> import torch, mszoo
        >>> from mszoo.data import ImageDataset
        >>> class Flat(ImageDataset):
        ...     def __len__(self):
        ...         return 2
        ...     def __getitem__(self, i):
        ...         return torch.full((1, 16, 16), 0.3 + 0.1 * i)
        >>> [(row.image, row.width) for row in probabilities(mszoo.load("cifar10-grey-energy"), Flat(1))]
        [('image 0', 16), ('image 1', 16)]
    """
    device = next(model.parameters()).device
    waiting: dict[tuple[int, ...], list[tuple[int, Tensor]]] = {}

    def measure(batch: list[tuple[int, Tensor]]) -> Iterator[ProbabilityRow]:
        x = torch.stack([image for _, image in batch]).to(device)
        d = x[0].numel()
        with torch.no_grad():
            measured = log_prob(model, x).tolist()
        for (i, image), nats in zip(batch, measured, strict=True):
            decibels, bits = 10 * nats / (d * math.log(10)), 8 - nats / (d * math.log(2))
            yield ProbabilityRow(images.label(i), image.shape[1], image.shape[2], nats, decibels, bits)

    for i in large_enough(images, model.unit):
        image = cut(images[i], model.unit)
        normalize(model, (image.shape[-2], image.shape[-1]))  # a model without a density says so at once
        size = together or max(1, PIXELS_AT_ONCE // (image.shape[-2] * image.shape[-1]))
        batch = waiting.setdefault(tuple(image.shape), [])
        batch.append((i, image))
        if len(batch) == size:
            yield from measure(waiting.pop(tuple(image.shape)))
    for batch in waiting.values():
        yield from measure(batch)


def large_enough(images: ImageDataset, unit: int) -> list[int]:
    """The numbers of the images with no side below ``unit``; each of the others is named in a warning.

    Raises:
        ImageSizeError: there are only others.
    """
    sizes = [images.size(i) for i in range(len(images))]
    small = [f"{images.label(i)} is {h}x{w}" for i, (h, w) in enumerate(sizes) if min(h, w) < unit]
    if len(small) == len(sizes):
        shown = ", ".join(small[:5]) + (", ..." if len(small) > 5 else "")
        raise ImageSizeError(f"no image has the {unit}x{unit} pixels that the model needs: {shown}")
    for image in small:
        warnings.warn(f"skipped: {image}, the model needs {unit}x{unit}", stacklevel=2)
    return [i for i, size in enumerate(sizes) if min(size) >= unit]


def cut(image: Tensor, unit: int) -> Tensor:
    """The middle of an image (C, H, W), its sides the largest multiples of ``unit``."""
    height, width = (side // unit * unit for side in image.shape[-2:])
    top, left = (image.shape[-2] - height) // 2, (image.shape[-1] - width) // 2
    return image[:, top : top + height, left : left + width]
