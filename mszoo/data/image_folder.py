"""Image files in a folder, a zip file or a glob."""

from __future__ import annotations

import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pydantic
import torch
from torch import Tensor

from mszoo.data.base import ImageDataset
from mszoo.data.images import Grey, count_pages, decode, to_unit
from mszoo.errors import DataError
from mszoo.pictures.listing import SUFFIXES, find_images, hidden
from mszoo.registry import natural_order

__all__ = ["ImageFolder"]

_CACHE_BYTES = 512 * 2**20
_PAGED = frozenset({".tif", ".tiff", ".gif", ".png", ".webp"})
_LARGEST_MEMBER = 512 * 2**20  # bytes of an unpacked file of a zip file


class ImageFolder(ImageDataset):
    """All image files under a folder, in a zip file, or matching a glob, in natural order.

    Hidden files and folders are left out, linked folders are followed. Every file is opened once at the start; one that
    cannot be read is named in a warning and skipped; so are those named of which only the first page is taken, and
    those of 16 bits that use less than a sixteenth of their range. Decoded images are kept in memory up to 512 MiB in
    all.

    Args:
        channels: 1 or 3; files are converted.
        path: a folder (searched through all its subfolders), a ``.zip`` file, a glob such as ``"data/*/*.png"``, or one
            image file; ``~`` is the home folder.
        grey: how colour becomes grey: ``luma`` (Pillow's weights) or ``mean`` (of red, green and blue: paper A's).
        border: rows cut off at the top and at the bottom, and columns left and right.

    Raises:
        DataError: nothing there, or no readable image.
    """

    def __init__(
        self,
        channels: int,
        *,
        path: str,
        grey: Grey = "luma",
        border: tuple[pydantic.NonNegativeInt, pydantic.NonNegativeInt] = (0, 0),
    ) -> None:
        super().__init__(channels)
        self._grey: Grey = grey
        self._border = border
        if channels not in (1, 3):
            raise DataError(f"image files have 1 or 3 channels, the model has {channels}")
        self._path = Path(path).expanduser()
        self._zip: tuple[int, zipfile.ZipFile] | None = None  # process and its open file
        self._cache: dict[int, Tensor] = {}
        self._cached = 0
        self._zipped = self._path.is_file() and zipfile.is_zipfile(self._path)
        names = self._members() if self._zipped else [str(p) for p in find_images(path)]
        self._names = names
        bad: list[str] = []
        good: list[str] = []
        self._sizes: list[tuple[int, int]] = []
        paged, flat = [], []
        for i, name in enumerate(names):
            try:
                image = self._store(len(good), self._decode(i))
                self._sizes.append((image.shape[-2], image.shape[-1]))
                good.append(name)
                if not self._zipped and Path(name).suffix.lower() in _PAGED and count_pages(Path(name)) > 1:
                    paged.append(name)
                if image.dtype == torch.uint16 and 0 < np.ptp(image.numpy()) < 65535 // 16:
                    flat.append(name)
            except DataError as error:
                bad.append(str(error))
        self._names = good
        if not good:
            raise DataError("\n".join([f"{path}: no readable image ({', '.join(sorted(SUFFIXES))})", *bad[:5]]))
        for fault in bad:
            warnings.warn(f"skipped: {fault}", stacklevel=2)
        if paged:
            warnings.warn(f"of files with several pages or frames only the first is taken: {_few(paged)}", stacklevel=2)
        if flat:
            warnings.warn(
                f"to the model these are nearly flat, they use less than a sixteenth of their 16 bits: {_few(flat)}; "
                f"12-bit images are to be multiplied by 16",
                stacklevel=2,
            )

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, i: int) -> Tensor:
        """See :meth:`ImageDataset.__getitem__`."""
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        i %= len(self)
        stored = self._cache[i] if i in self._cache else self._store(i, self._decode(i))
        return to_unit(stored)

    def size(self, i: int) -> tuple[int, int]:
        """Height and width, as found at the start."""
        return self._sizes[i]

    def label(self, i: int) -> str:
        """The file's path; in a zip file, that of the zip file and the name there: ``photos.zip/img/0.png``."""
        return f"{self._path}/{self._names[i]}" if self._zipped else self._names[i]

    def _members(self) -> list[str]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                names = [n for n in archive.namelist() if Path(n).suffix.lower() in SUFFIXES]
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{self._path} is a damaged zip file: {error}") from None
        return sorted((n for n in names if not hidden(n)), key=natural_order)

    def _decode(self, i: int) -> Tensor:
        image, (rows, columns) = self._read(i), self._border
        height, width = image.shape[-2:]
        if height <= 2 * rows or width <= 2 * columns:
            raise DataError(f"{self.label(i)} is {height}x{width}: nothing is left inside its border")
        return image[..., rows : height - rows, columns : width - columns].contiguous()

    def _read(self, i: int) -> Tensor:
        name = self._names[i]
        if not self._zipped:
            return decode(Path(name), name, self.channels, self._grey)
        if self._zip is None or self._zip[0] != os.getpid():  # a forked worker must not move its parent's file
            self._zip = os.getpid(), zipfile.ZipFile(self._path)
        try:
            size = self._zip[1].getinfo(name).file_size  # no more is read, whatever is packed
            if size > _LARGEST_MEMBER:
                raise ValueError(f"it unpacks to {size:,} bytes, and at most {_LARGEST_MEMBER:,} are read")
            content = self._zip[1].read(name)
        except Exception as error:  # each compression method raises its own
            raise DataError(f"{self._path}: {name} cannot be read: {error}") from None
        return decode(content, f"{self._path}: {name}", self.channels, self._grey)

    def _store(self, i: int, image: Tensor) -> Tensor:
        size = image.numel() * image.element_size()
        if self._cached + size <= _CACHE_BYTES:
            self._cache[i] = image
            self._cached += size
        return image

    def __getstate__(self) -> dict[str, object]:  # an open zip file does not travel to a worker process
        return {**self.__dict__, "_zip": None}


def _few(names: list[str]) -> str:
    """The first three, and how many more."""
    return ", ".join(names[:3]) + (f", and {len(names) - 3} more" if len(names) > 3 else "")
