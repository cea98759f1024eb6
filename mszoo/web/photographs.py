"""What visitors of the page drop on it: read, kept in memory for as long as their page is open, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mszoo.data.images import encode, read_image
from mszoo.errors import DataError, MszooError
from mszoo.pictures.reading import opened, reading

__all__ = ["MOST_PIXELS", "Photo", "at_most", "given", "picture", "take"]

MOST_PIXELS = 4_000_000
"""Of a photograph; the commands take larger ones."""


@dataclass(frozen=True)
class Photo:
    """A photograph.

    Attributes:
        name: of its file.
        own: (C, H, W) in [0, 1], with the file's own channels, 1 or 3.
        grey: (1, H, W), its brightness.
    """

    name: str
    own: Tensor
    grey: Tensor

    def of(self, channels: int) -> Tensor:
        """(C, H, W) with that many channels."""
        return self.grey if channels == 1 else self.own.expand(channels, -1, -1)


def take(paths: Sequence[str | Path]) -> tuple[list[Photo], list[str]]:
    """Read files that were dropped, and remove them, those that cannot be read too.

    Args:
        paths: copies of the files; they are gone afterwards.

    Returns:
        The photographs, and a message for each of the other files.
    """
    photos, faults = [], []
    for path in map(Path, paths):
        try:
            photos.append(_read(path))
        except MszooError as error:
            faults.append(str(error))
        finally:
            path.unlink(missing_ok=True)
    return photos, faults


def given(photo: Photo | None) -> Photo:
    """The photograph, or an error that says that none was chosen."""
    if photo is None:
        raise DataError("drop a photograph first, above")
    return photo


def picture(image: Tensor) -> np.ndarray:
    """(C, H, W) as 8 bits for the page: (H, W, 3)."""
    return np.asarray(encode(image.detach().cpu().clamp(0, 1)).convert("RGB"))


def at_most(image: Tensor, side: int, unit: int = 1) -> Tensor:
    """An image brought down to a size that takes no minutes.

    Args:
        image: (C, H, W) in [0, 1].
        side: the longest side that it may have.
        unit: what its sides are cut to multiples of.

    Raises:
        DataError: a side is shorter than that.
    """
    height, width = image.shape[-2:]
    share = min(1.0, side / max(height, width))
    size = [max(1, round(length * share)) for length in (height, width)]
    if share < 1:
        image = torch.nn.functional.interpolate(
            image[None], size=size, mode="bicubic", align_corners=False, antialias=True
        )[0].clamp(0, 1)
    height, width = (length // unit * unit for length in size)
    if not height or not width:
        raise DataError(f"the photograph is smaller than the {unit} pixels that this model needs; choose another one")
    return image[:, :height, :width]


def _read(path: Path) -> Photo:
    with reading(path.name), opened(path) as file:  # its header says how large it is
        width, height = file.size
    if width * height > MOST_PIXELS:
        raise DataError(
            f"{path.name} is too large for this page: {width} x {height} pixels, at most {MOST_PIXELS:,}; "
            "mszoo denoise takes files of any size"
        )
    own = read_image(path, path.name)
    return Photo(path.name, own, read_image(path, path.name, 1))
