"""Images that are there already."""

from __future__ import annotations

from torch import Tensor

from mszoo.data import ImageDataset


class Images(ImageDataset):
    """A data set of given images, at least one."""

    def __init__(self, *images: Tensor) -> None:
        super().__init__(len(images[0]))
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, i: int) -> Tensor:
        return self._images[i]
