"""Reading and writing image files of any kind as tensors in [0, 1]."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from mszoo.errors import DataError
from mszoo.files import check_plain
from mszoo.pictures.picture import Page, Range
from mszoo.pictures.reading import limited, opened, reading
from mszoo.pictures.writing import write_picture

__all__ = [
    "Grey",
    "Header",
    "decode",
    "encode",
    "from_array",
    "read_header",
    "read_headers",
    "read_image",
    "to_unit",
    "write_image",
]

# How colour becomes grey: Pillow's luma weights, or the mean of red, green and blue (paper A's).
Grey = Literal["luma", "mean"]
_WIDTH, _HEIGHT, _ORIENTATION = 256, 257, 274  # tags of TIFF and of EXIF
_SAMPLE_FORMAT = 339  # of a TIFF file: 2 of signed integers, 3 of floats
_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def read_image(source: Path | bytes, name: str, channels: int | None = None) -> Tensor:
    """Decode an image file.

    8 and 16 bits, palettes and bilevel images are brought to [0, 1]; EXIF rotation is applied; transparent images
    are laid over white. Colour becomes grey with Pillow's luma weights; grey becomes colour by repetition.

    Args:
        source: a path, or the file's bytes.
        name: what to call it in messages.
        channels: 1, 3, or None for what the file has.

    Returns:
        (C, H, W) float32 in [0, 1].

    Raises:
        DataError: no such file, or not an image; the message names it.
    """
    return to_unit(decode(source, name, channels))


def decode(source: Path | bytes, name: str, channels: int | None = None, grey: Grey = "luma") -> Tensor:
    """As :func:`read_image`, but as stored: uint8, or uint16 for 16-bit grey files and for ``grey="mean"``.

    Args:
        source: a file, or its bytes.
        name: what to call it in errors.
        channels: 1 or 3, to which it is converted; None: as many as it has.
        grey: how colours become grey; see :func:`read_image`.
    """
    with reading(name):
        if isinstance(source, Path):
            check_plain(source)
        # by its path, Pillow 13 maps a plain TIFF file that is to be turned into memory with its sides exchanged
        with (
            io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as content,
            opened(content) as file,
        ):
            _check_range(file)
            image = ImageOps.exif_transpose(file)
            image.load()
    if image.mode in _SIXTEEN_BIT:
        array = np.asarray(image)
        if image.mode == "I" and (array.min() < 0 or array.max() > 65535):
            raise DataError(f"{name} holds 32-bit values of unknown range; save it with 8 or 16 bits")
        array = array.astype(np.uint16)
        return from_array(array if channels != 3 else np.repeat(array[..., None], 3, -1))
    to_grey = image.mode in ("1", "L", "LA", "La") if channels is None else channels == 1
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    elif image.mode == "F":
        raise DataError(f"{name} holds floating-point pixels of unknown range; save it with 8 or 16 bits")
    if to_grey and grey == "mean":
        mean = np.asarray(image.convert("RGB"), dtype=np.float64).mean(-1)
        return from_array(np.round(257 * mean).astype(np.uint16))
    return from_array(np.asarray(image.convert("L" if to_grey else "RGB")))


class Header(NamedTuple):
    """What the beginning of a file says.

    Attributes:
        height, width: of what :func:`decode` gives.
        deep: whether it has 16 bits.
        pages: how many pages, or frames; :func:`decode` reads the first.
    """

    height: int
    width: int
    deep: bool
    pages: int


def read_headers(
    count: int, source: Callable[[int], tuple[Path | IO[bytes], str]], at_once: int = 16
) -> Iterator[Header | DataError]:
    """The headers of image files, read in threads, since a disk that is far away answers late, and many at a time.

    Args:
        count: of files.
        source: a file, given its number, and what to call it in errors; called in the threads.
        at_once: how many threads.

    Returns:
        In their order: what each says, or what is wrong with it.
    """

    def read(i: int) -> Header | DataError:
        try:
            return _read_header(*source(i))
        except DataError as error:
            return error

    with limited(), ThreadPoolExecutor(min(at_once, max(count, 1))) as threads:
        yield from threads.map(read, range(count))


def read_header(source: Path | IO[bytes], name: str) -> Header:
    """The header of an image file, without its pixels.

    Args:
        source: a path, or an open file.
        name: what to call it in errors.

    Raises:
        DataError: no such file, or not an image that is read; the message names it.
    """
    with limited():
        return _read_header(source, name)


def _read_header(source: Path | IO[bytes], name: str) -> Header:
    with reading(name):
        if isinstance(source, Path):
            check_plain(source)
        with Image.open(source) as file:
            _check_range(file)
            pages = 1 if file.format == "MPO" else getattr(file, "n_frames", 1)  # a camera's preview is no page
            tags = getattr(file, "tag_v2", None)
            width, height = file.size if tags is None else (tags[_WIDTH], tags[_HEIGHT])  # Pillow may have turned them
            turned = _orientation(file) in (5, 6, 7, 8)
            deep = file.mode in _SIXTEEN_BIT
    return Header(width, height, deep, pages) if turned else Header(height, width, deep, pages)


def _orientation(file: Any) -> int:
    """EXIF's, without decoding a PNG file to see whether it stands behind the pixels, where it seldom does."""
    if file.format == "PNG" and not {"exif", "Raw profile type exif"} & set(file.info):
        file.fp.seek(8)
        while len(head := file.fp.read(8)) == 8 and head[4:] != b"eXIf":
            file.fp.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
        if len(head) < 8:
            return 1
        exif = Image.Exif()
        exif.load(file.fp.read(int.from_bytes(head[:4], "big")))
        return exif.get(_ORIENTATION, 1)
    return file.getexif().get(_ORIENTATION, 1)


def _check_range(file: Any) -> None:
    if file.format == "TIFF" and {2, 3} & set(getattr(file, "tag_v2", {}).get(_SAMPLE_FORMAT, ())):
        raise ValueError("its signed or floating-point values have no known range; save it with 8 or 16 bits")


def from_array(array: np.ndarray) -> Tensor:
    """(H, W) or (H, W, C) to a tensor (C, H, W) of the same type."""
    planes = array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)
    return torch.from_numpy(np.array(planes, order="C"))  # a copy: Pillow lends read-only memory


def to_unit(stored: Tensor) -> Tensor:
    """uint8 or uint16 to float32 in [0, 1]."""
    return stored.to(torch.float32) / torch.iinfo(stored.dtype).max


def encode(image: Tensor) -> Image.Image:
    """(C, H, W) in [0, 1], clipped and rounded to 8 bits, as a Pillow image."""
    array = (image.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return Image.fromarray(array[0] if len(array) == 1 else np.moveaxis(array, 0, -1))


def write_image(image: Tensor, path: Path) -> None:
    """Write (C, H, W) in [0, 1], clipped, with 8 bits, in the format of the suffix: whole, or not at all.

    Raises:
        DataError: it cannot be written, or has values that are not finite.
    """
    blank = Page(np.zeros((1, 1), np.uint8))
    write_picture(path, [blank.with_unit(image.detach().cpu().float().numpy(), Range(0, 255))])
