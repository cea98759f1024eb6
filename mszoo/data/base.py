"""The contract of a data set."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mszoo.errors import DataError
from mszoo.registry import Part

__all__ = ["LOOKED_AT", "Blocks", "ImageDataset", "readable", "spread"]

LOOKED_AT = 10_000  # images: of smaller sets each is looked at before any is used, of larger ones some


@dataclass(frozen=True)
class Blocks:
    """Which images are had together, as those of one shard are.

    Attributes:
        ends: the number after the last image of each block, (blocks,) ascending.
        together: how many blocks training shuffles among each other.

    Example:
        >>> two_shards = Blocks(ends=np.array([100, 180]), together=2)
        >>> len(two_shards.ends), two_shards.ends[-1].item()
        (2, 180)
    """

    ends: np.ndarray
    together: int


class ImageDataset(ABC):
    """Whole images, in a fixed order. Subclass it to add one.

    Crops and flips are not its business: training cuts the images (``crop`` and ``flip`` beside the name).

    Args:
        channels: of the images: 1 grey, 3 colour. Convert to it.

    Example:
        >>> import torch
        >>> class Greys(ImageDataset):
        ...     def __len__(self):
        ...         return 3
        ...
        ...     def __getitem__(self, i):
        ...         if i >= len(self):
        ...             raise IndexError(i)
        ...         return torch.full((self.channels, 8, 12), i / 2)
        >>> greys = Greys(channels=3)
        >>> greys.size(1), greys.label(1), [image.mean().item() for image in greys]
        ((8, 12), 'image 1', [0.0, 0.5, 1.0])
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

    @property
    def blocks(self) -> Blocks | None:
        """Of a set that is fetched block by block; None: its images are had in any order as fast."""
        return None

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

    Example:
        >>> class Torn(list):
        ...     def __getitem__(self, i):
        ...         if i == 1:
        ...             raise DataError("b.png: it ends too early")
        ...         return super().__getitem__(i)
        >>> with warnings.catch_warnings(record=True) as told:
        ...     warnings.simplefilter("always")
        ...     [i for i, image in readable(Torn("abc"))]
        [0, 2]
        >>> print(told[0].message)
        skipped: b.png: it ends too early
    """
    for i in range(len(images)) if numbers is None else numbers:
        try:
            yield i, images[i]
        except DataError as error:
            warnings.warn(f"skipped: {error}", stacklevel=2)


def spread(count: int, limit: int | None) -> list[int]:
    """At most ``limit`` of the numbers 0 ... count - 1, evenly spaced; None: all.

    Example:
        >>> spread(10, limit=4), spread(3, limit=None)
        ([0, 2, 5, 7], [0, 1, 2])
    """
    kept = count if limit is None else min(count, limit)
    return [i * count // kept for i in range(kept)]
