"""How probable images are, one after the other, under a model with a density."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import torch
from torch import Tensor

from mszoo.data import ImageDataset, readable
from mszoo.errors import DataError, ImageSizeError
from mszoo.inference import log_prob, normalize
from mszoo.model import MultiScaleModel
from mszoo.processes import ALONE, Processes

__all__ = [
    "PIXELS_AT_ONCE",
    "ProbabilityRow",
    "batches",
    "cut",
    "large_enough",
    "measure",
    "probabilities",
    "row_of",
    "shared_probabilities",
]

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
    model: MultiScaleModel,
    images: ImageDataset,
    together: int | None = None,
    known: Mapping[str, ProbabilityRow] | None = None,
) -> Iterator[ProbabilityRow]:
    """log p of every image, in batches of images of one size, in the order in which their batches are full.

    Sides are cut to multiples of what the model can split, :attr:`MultiScaleModel.unit`; an image with a smaller side
    is named in a warning and skipped, and so is one that cannot be read.

    Args:
        model: with an energy head at every scale, in eval mode.
        images: of the model's number of channels.
        together: images in a batch; None: as many as 2^18 pixels hold.
        known: rows of an earlier measurement, by label: a batch of such images alone is not measured again. All others
            are measured in the batches they would be in without, and so to the same bits.

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
    rows = known or {}
    for batch in batches(images, model.unit, together, large_enough(images, model.unit)):
        labels = {i: images.label(i) for i in batch}
        if all(label in rows for label in labels.values()):
            yield from (rows[label] for label in labels.values())
        else:
            yield from _rows_of(model, images, batch)


def shared_probabilities(
    model: MultiScaleModel,
    images: ImageDataset,
    processes: Processes = ALONE,
    numbers: Sequence[int] | None = None,
    advance: Callable[[], object] = lambda: None,
) -> list[ProbabilityRow]:
    """As :func:`probabilities`, by several processes that call it together: the same rows, in their order, on each.

    Batches are those of one process, and so the numbers are the same to the last bit.

    Args:
        model: with an energy head at every scale, in eval mode, on this process's device.
        images: of the model's number of channels, the same on every process.
        processes: which of them this is.
        numbers: which of the images; None: all.
        advance: called after each image of this process.

    Raises:
        UnsupportedError: the model has no density.
        ImageSizeError: all images are smaller than the model can take.
    """
    with processes.one_voice():
        fits = large_enough(images, model.unit, numbers)
    found: list[tuple[int, ProbabilityRow]] = []
    for turn, batch in processes.share(enumerate(batches(images, model.unit, numbers=fits))):
        for row in _rows_of(model, images, batch):
            found.append((turn, row))
            advance()
    return [row for _, row in sorted(processes.gather(found), key=itemgetter(0))]


def _rows_of(model: MultiScaleModel, images: ImageDataset, batch: Sequence[int]) -> Iterator[ProbabilityRow]:
    height, width = (side // model.unit * model.unit for side in images.size(batch[0]))
    for i, nats in measure(model, images, batch).items():
        yield row_of(images.label(i), (images.channels, height, width), nats)


def row_of(label: str, size: tuple[int, int, int], nats: float) -> ProbabilityRow:
    """A row, in all units.

    Args:
        label: of the image.
        size: channels, height and width.
        nats: log p.
    """
    d = math.prod(size)
    return ProbabilityRow(label, *size[1:], nats, 10 * nats / (d * math.log(10)), 8 - nats / (d * math.log(2)))


@torch.no_grad()
def measure(model: MultiScaleModel, images: ImageDataset, batch: Sequence[int]) -> dict[int, float]:
    """log p in nats of those images of a batch that can be read; the others are named in warnings.

    Args:
        model: with an energy head at every scale, in eval mode.
        images: of the model's number of channels.
        batch: numbers of images that have one size once they are cut.
    """
    height, width = (side // model.unit * model.unit for side in images.size(batch[0]))
    normalize(model, (height, width))  # a model without a density says so at once
    read = {i: cut(image, model.unit) for i, image in readable(images, batch)}
    if not read:
        return {}
    x = torch.stack(list(read.values())).to(next(model.parameters()).device)
    return dict(zip(read, log_prob(model, x).tolist(), strict=True))


def batches(
    images: ImageDataset, unit: int, together: int | None = None, numbers: Iterable[int] = ()
) -> Iterator[list[int]]:
    """Numbers of images that have one size once they are cut, as soon as there are enough for a batch.

    Args:
        images: of any sizes.
        unit: sides are cut to its multiples.
        together: images in a batch; None: as many as 2^18 pixels hold.
        numbers: which images, none smaller than the unit.
    """
    waiting: dict[tuple[int, int], list[int]] = {}
    for i in numbers:
        height, width = (side // unit * unit for side in images.size(i))
        batch = waiting.setdefault((height, width), [])
        batch.append(i)
        if len(batch) == (together or max(1, PIXELS_AT_ONCE // (height * width))):
            yield waiting.pop((height, width))
    yield from waiting.values()


def large_enough(images: ImageDataset, unit: int, numbers: Sequence[int] | None = None) -> list[int]:
    """The numbers of the images with no side below ``unit``; each of the others is named in a warning.

    Args:
        images: of any sizes.
        unit: the least side.
        numbers: which of them; None: all.

    Raises:
        ImageSizeError: there are only others.
    """
    fits: list[int] = []
    others: list[str] = []
    for i in range(len(images)) if numbers is None else numbers:
        try:
            height, width = images.size(i)
        except DataError as error:
            others.append(str(error))
            continue
        if min(height, width) >= unit:
            fits.append(i)
        else:
            others.append(f"{images.label(i)} is {height}x{width}, the model needs {unit}x{unit}")
    if not fits:
        shown = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
        raise ImageSizeError(f"no image has the {unit}x{unit} pixels that the model needs: {shown}")
    for image in others:
        warnings.warn(f"skipped: {image}", stacklevel=2)
    return fits


def cut(image: Tensor, unit: int) -> Tensor:
    """The middle of an image (C, H, W), its sides the largest multiples of ``unit``."""
    height, width = (side // unit * unit for side in image.shape[-2:])
    top, left = (image.shape[-2] - height) // 2, (image.shape[-1] - width) // 2
    return image[:, top : top + height, left : left + width]
