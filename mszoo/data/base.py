"""The contract of a data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from torch import Tensor

from mszoo.registry import Part

__all__ = ["ImageDataset", "spread"]


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
        """Image i, (C, H, W) float32 in [0, 1]; the same at every call. IndexError past the end."""

    def size(self, i: int) -> tuple[int, int]:
        """Height and width of image i; override it where they are known without reading the image."""
        height, width = self[i].shape[-2:]
        return height, width

    def label(self, i: int) -> str:
        """What to call image i in messages and tables."""
        return f"image {i}"

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))


def spread(count: int, limit: int | None) -> list[int]:
    """At most ``limit`` of the numbers 0 ... count - 1, evenly spaced; None: all."""
    kept = count if limit is None else min(count, limit)
    return [i * count // kept for i in range(kept)]
