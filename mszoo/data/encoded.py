"""Images that are kept as the bytes of their files, inside something larger."""

from __future__ import annotations

import io
from abc import abstractmethod

import numpy as np
from torch import Tensor

from mszoo.data.base import ImageDataset
from mszoo.data.images import Grey, decode, read_header, to_unit
from mszoo.errors import DataError

__all__ = ["EncodedImages"]


class EncodedImages(ImageDataset):
    """A data set that gives the bytes of image files; they are decoded when they are asked for.

    Args:
        channels: 1 or 3; images are converted.
        count: how many there are.
        grey: how colour becomes grey: ``luma`` (Pillow's weights) or ``mean`` (of red, green and blue: paper A's).

    Raises:
        DataError: there is no image, or the model has another number of channels.
    """

    def __init__(self, channels: int, count: int, grey: Grey) -> None:
        super().__init__(channels)
        if channels not in (1, 3):
            raise DataError(f"image files have 1 or 3 channels, the model has {channels}")
        self._count = count
        self._grey: Grey = grey
        self._sizes = np.zeros((count, 2), np.int32)  # of those that are known

    @abstractmethod
    def content(self, i: int) -> bytes:
        """The bytes of file i.

        Raises:
            DataError: they cannot be read; see :meth:`ImageDataset.__getitem__`.
            MszooError: who has them does not answer. No other image is taken instead: the order would not be the same.
        """

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, i: int) -> Tensor:
        """See :meth:`ImageDataset.__getitem__`."""
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        i %= len(self)
        return to_unit(decode(self.content(i), self.label(i), self.channels, self._grey))

    def size(self, i: int) -> tuple[int, int]:
        """Height and width, from the file's header."""
        if not self._sizes[i, 0]:
            self._sizes[i] = read_header(io.BytesIO(self.content(i)), self.label(i))[:2]
        height, width = map(int, self._sizes[i])
        return height, width
