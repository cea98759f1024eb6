"""The contract of a data set."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor

from mszoo.errors import DataError
from mszoo.registry import Part

__all__ = ["LOOKED_AT", "ImageDataset", "readable", "spread"]

LOOKED_AT = 10_000  # images: of smaller sets each is looked at before any is used, of larger ones some


class ImageDataset(ABC):
    """Whole images, in a fixed order. Subclass it to add one.

    Crops and flips are not its business: training cuts the images (``crop`` and ``flip`` beside the name).

    Args:
        channels: of the images: 1 grey, 3 colour. Convert to it.
    """

    part: Part

    def __init__(self, channels: int) -> None:
        self.channels = channels

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, i: int) -> Tensor:
        """Image i, (C, H, W) float32 in [0, 1]; the same at every call. IndexError past the end.

        Raises:
            DataError: it cannot be read. Training then takes another, evaluations go on without it; both name it.
        """

    def size(self, i: int) -> tuple[int, int]:
        """Height and width of image i; override it where they are known without reading the image.

        Raises:
            DataError: it cannot be read.
        """
        height, width = self[i].shape[-2:]
        return height, width

    def label(self, i: int) -> str:
        """What to call image i in messages and tables."""
        return f"image {i}"

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))


def readable(
    images: ImageDataset | Sequence[Tensor], numbers: Iterable[int] | None = None
) -> Iterator[tuple[int, Tensor]]:
    """The images that can be read, each with its number; the others are named in warnings.

    Args:
        images: of any sizes.
        numbers: which of them; None: all.
    """
    for i in range(len(images)) if numbers is None else numbers:
        try:
            yield i, images[i]
        except DataError as error:
            warnings.warn(f"skipped: {error}", stacklevel=2)


def spread(count: int, limit: int | None) -> list[int]:
    """At most ``limit`` of the numbers 0 ... count - 1, evenly spaced; None: all."""
    kept = count if limit is None else min(count, limit)
    return [i * count // kept for i in range(kept)]
