"""Image files in a folder, a zip file or a glob."""

from __future__ import annotations

import os
import warnings
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
import pydantic
from torch import Tensor
from torch.utils.data import get_worker_info

from mszoo.data.base import LOOKED_AT, ImageDataset, spread
from mszoo.data.images import Grey, decode, read_header, read_headers, to_unit
from mszoo.data.packed import Packed
from mszoo.errors import DataError
from mszoo.pictures.listing import SUFFIXES, find_images, hidden, in_order

__all__ = ["ImageFolder"]

_CACHE_BYTES = 512 * 2**20
_LARGEST_MEMBER = 512 * 2**20  # bytes of an unpacked file of a zip file
_SOME = 1000  # files of a large set whose headers are read at the start
_DEEP = 16  # files of 16 bits whose range is looked at


class ImageFolder(ImageDataset):
    """All image files under a folder, in a zip file, or matching a glob, in natural order.

    Hidden files and folders are left out, linked folders are followed. At the start no file is decoded. Of up to
    10,000 files every header is read: those that cannot be are named in a warning and left out, and what is decoded
    later is kept in memory, up to 512 MiB in all. Of more files 1,000 headers are read, evenly spread; the others when
    they are needed, and nothing is kept. Files are named too of which only the first page is taken, and those of
    16 bits that use less than a sixteenth of their range.

    Args:
        channels: 1 or 3; files are converted.
        path: a folder (searched through all its subfolders), a ``.zip`` file, a glob such as ``"data/*/*.png"``, or one
            image file; ``~`` is the home folder.
        grey: how colour becomes grey: ``luma`` (Pillow's weights) or ``mean`` (of red, green and blue: paper A's).
        border: rows cut off at the top and at the bottom, and columns left and right.

    Raises:
        DataError: nothing there, or no readable image.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("10.png", "9.png"):
        ...         Image.new("RGB", (30, 20), "red").save(Path(folder) / name)
        ...     images = ImageFolder(1, path=folder)
        ...     [Path(images.label(i)).name for i in range(len(images))], images.size(0)
        ...     round(images[0].mean().item(), 3)
        (['9.png', '10.png'], (20, 30))
        0.298
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
        self._names = Packed(self._members() if self._zipped else find_images(path))
        self._sizes = np.zeros((len(self._names), 2), np.int32)  # of those that are known
        self._whole = len(self._names) <= LOOKED_AT
        self._look()

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
        """Height and width, from the file's header."""
        if not self._sizes[i, 0]:
            self._sizes[i] = self._inside(i, read_header(*self._source(i))[:2])
        height, width = map(int, self._sizes[i])
        return height, width

    def label(self, i: int) -> str:
        """The file's path; in a zip file, that of the zip file and the name there: ``photos.zip/img/0.png``."""
        return f"{self._path}/{self._names[i]}" if self._zipped else self._names[i]

    def _look(self) -> None:
        """Read the headers of all files, or of some; leave out what of all cannot be read, and tell of it."""
        numbers = spread(len(self), LOOKED_AT if self._whole else _SOME)
        good, bad, deep, paged = [], [], [], []
        for i, header in zip(numbers, read_headers(len(numbers), lambda k: self._source(numbers[k])), strict=True):
            try:
                if isinstance(header, DataError):
                    raise header
                self._sizes[i] = self._inside(i, header[:2])
            except DataError as error:
                bad.append(str(error))
                continue
            good.append(i)
            if header.pages > 1:
                paged.append(self._names[i])
            if header.deep:
                deep.append(i)
        if not good:
            raise DataError("\n".join([f"{self._path}: no readable image ({', '.join(sorted(SUFFIXES))})", *bad[:5]]))
        flat = [self._names[i] for i in deep[:_DEEP] if self._flat(i)]
        if self._whole and bad:
            self._names, self._sizes = Packed([self._names[i] for i in good]), self._sizes[good]
        for fault in bad if self._whole else ():  # of a large set those that are used are named then
            warnings.warn(f"skipped: {fault}", stacklevel=3)
        if paged:
            warnings.warn(f"of files with several pages or frames only the first is taken: {_few(paged)}", stacklevel=3)
        if flat:
            warnings.warn(
                f"to the model these are nearly flat, they use less than a sixteenth of their 16 bits: {_few(flat)}; "
                f"12-bit images are to be multiplied by 16",
                stacklevel=3,
            )

    def _flat(self, i: int) -> bool:
        try:
            return 0 < int(np.ptp(self._decode(i).numpy())) < 65535 // 16
        except DataError:  # who uses it will be told
            return False

    def _inside(self, i: int, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width within the border."""
        (rows, columns), (height, width) = self._border, size
        if height <= 2 * rows or width <= 2 * columns:
            raise DataError(f"{self.label(i)} is {height}x{width}: nothing is left inside its border")
        return height - 2 * rows, width - 2 * columns

    def _members(self) -> list[str]:
        try:
            self._zip = os.getpid(), zipfile.ZipFile(self._path)
            names = [n for n in self._zip[1].namelist() if Path(n).suffix.lower() in SUFFIXES]
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{self._path} is a damaged zip file: {error}") from None
        return in_order(n for n in names if not hidden(n))

    def _decode(self, i: int) -> Tensor:
        source, name = self._source(i)
        if isinstance(source, Path):
            image = decode(source, name, self.channels, self._grey)
        else:
            try:
                content = source.read()
            except Exception as error:  # each compression method raises its own
                raise DataError(f"{name} cannot be read: {error}") from None
            image = decode(content, name, self.channels, self._grey)
        rows, columns = self._border
        height, width = self._inside(i, (image.shape[-2], image.shape[-1]))
        return image[..., rows : rows + height, columns : columns + width].contiguous()

    def _source(self, i: int) -> tuple[Path | IO[bytes], str]:
        """A file, and what errors call it."""
        name = self._names[i]
        if not self._zipped:
            return Path(name), name
        if self._zip is None or self._zip[0] != os.getpid():  # a forked worker must not move its parent's file
            self._zip = os.getpid(), zipfile.ZipFile(self._path)
        try:
            size = self._zip[1].getinfo(name).file_size  # no more is read, whatever is packed
            if size > _LARGEST_MEMBER:
                raise ValueError(f"it unpacks to {size:,} bytes, and at most {_LARGEST_MEMBER:,} are read")
            return self._zip[1].open(name), f"{self._path}: {name}"
        except Exception as error:  # each compression method raises its own
            raise DataError(f"{self._path}: {name} cannot be read: {error}") from None

    def _store(self, i: int, image: Tensor) -> Tensor:
        worker = get_worker_info()
        allowed = _CACHE_BYTES // (1 if worker is None else worker.num_workers) if self._whole else 0
        size = image.numel() * image.element_size()
        if self._cached + size <= allowed:
            self._cache[i] = image
            self._cached += size
        return image

    def __getstate__(self) -> dict[str, object]:  # an open zip file does not travel to a worker process
        return {**self.__dict__, "_zip": None}


def _few(names: list[str]) -> str:
    """The first three, and how many more."""
    return ", ".join(names[:3]) + (f", and {len(names) - 3} more" if len(names) > 3 else "")
