"""The photographs that scikit-image ships in its wheel: real images with no download."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image
from torch import Tensor

from mszoo.data.base import ImageDataset
from mszoo.data.images import from_array, to_unit
from mszoo.errors import DataError

__all__ = ["Photographs", "photograph"]

# All lie inside the wheel. The astronaut is kept for tests and the demo.
_SPLITS = {
    "train": (
        "brick",
        "camera",
        "cat",
        "clock",
        "coffee",
        "grass",
        "gravel",
        "hubble_deep_field",
        "moon",
        "rocket",
    ),
    "test": ("astronaut",),
}


class Photographs(ImageDataset):
    """Ten photographs for training, one (the astronaut) for tests: 300 to 1,000 pixels a side, 8 bits.

    Args:
        channels: 1 (Pillow's luma) or 3 (grey photographs are repeated).
        split: ``train`` or ``test``.

    Example:
        >>> len(Photographs(3)), Photographs(3).label(1)
        (10, 'camera')
        >>> Photographs(1, split="test")[0].shape
        torch.Size([1, 512, 512])
    """

    def __init__(self, channels: int, *, split: Literal["train", "test"] = "train") -> None:
        super().__init__(channels)
        if channels not in (1, 3):
            raise DataError(f"photographs have 1 or 3 channels, the model has {channels}")
        self._names = _SPLITS[split]
        self._images: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, i: int) -> Tensor:
        """See :meth:`ImageDataset.__getitem__`."""
        if i not in self._images:
            self._images[i] = photograph(self._names[i], self.channels)
        return to_unit(self._images[i])

    def label(self, i: int) -> str:
        """The photograph's name in ``skimage.data``."""
        return self._names[i]


def photograph(name: str, channels: int) -> Tensor:
    """A photograph of ``skimage.data``, (C, H, W) uint8."""
    import skimage.data  # where one is asked for: it takes a while

    image = Image.fromarray(np.asarray(getattr(skimage.data, name)()))
    return from_array(np.asarray(image.convert("L" if channels == 1 else "RGB")))
