"""Read image files: Pillow for what it reads whole, tifffile for deep TIFF files."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from mszoo.errors import DataError, MszooError
from mszoo.files import check_plain
from mszoo.pictures.picture import Metadata, Page, Picture, Range

__all__ = ["open_picture", "opened", "reading"]

_ORIENTATION = 0x0112
# Tags that describe the picture; the others say how a TIFF file stores it.
_DESCRIPTIVE = {
    *(0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298, 0x8769, 0x8825),
    *range(0x9C9B, 0x9CA0),
}
_DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_LIMIT = "MSZOO_MAX_PIXELS"


def open_picture(path: Path, scale: Range | None = None) -> Picture:
    """Open an image file: its pages keep their depth and transparency, and are brought upright.

    Args:
        path: a plain file.
        scale: the stored values of black and white; None: those of its type.

    Raises:
        DataError: no such file, a FIFO or a device, not an image, or one with more pixels than the environment
            variable MSZOO_MAX_PIXELS allows (178,956,970 without it). The same is raised while pages are read.
    """
    name = str(path)
    with reading(name):
        check_plain(path)
        if path.suffix.lower() in (".tif", ".tiff") and _deep(path):
            picture = _open_tiff(path)
        else:
            picture = _open_with_pillow(path)
    picture.scale = scale
    return picture


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into a :class:`DataError` that names the file."""
    try:
        yield
    except MszooError:
        raise
    except FileNotFoundError:
        raise DataError(f"no such file: {name}") from None
    except Image.DecompressionBombError:
        raise DataError(
            f"{name} has more pixels than the {_max_pixels():,} that are read; "
            f"if it is to be trusted, allow more: {_LIMIT}=1000000000"
        ) from None
    except Exception as error:  # decoders raise many kinds
        raise DataError(f"{name} cannot be read as an image: {error or type(error).__name__}") from None


@contextlib.contextmanager
def opened(source: Any) -> Iterator[Any]:
    """Pillow's image of a file, within the limit of pixels."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = _max_pixels() // 2  # Pillow warns above, and refuses above twice as many
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source) as image:
                yield image
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _max_pixels() -> int:
    text = os.environ.get(_LIMIT, "178956970")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise MszooError(f"{_LIMIT}={text!r} is no number of pixels; write {_LIMIT}=1000000000")
    return int(text)


# ---- Pillow ------------------------------------------------------------------------------------------------------


def _open_with_pillow(path: Path) -> Picture:
    with opened(path) as image:
        count, notes = getattr(image, "n_frames", 1), []
        if image.format == "MPO" and count > 1:  # a camera's preview or second eye, which no JPEG file can hold
            notes.append(f"only the first of its {count} pictures")
            count = 1
        if image.format == "PPM" and image.mode == "RGB" and image.tile[0][0] == "ppm":
            notes.append("16 bits of a PPM file became 8 (PNG and TIFF keep them)")
        if image.mode in ("1", "P", "PA", "CMYK", "YCbCr"):
            notes.append({"1": "1 bit became 8", "CMYK": "CMYK became RGB"}.get(image.mode, f"{image.mode} became RGB"))
        if "xmp" in image.info:
            notes.append("XMP metadata not kept")
        if "comment" in image.info or (image.format == "PNG" and _has_text(path)):
            notes.append("text and comments not kept")
        metadata = _metadata(image, count)
    return Picture(str(path), count, lambda: _pages(path, count), None, metadata, notes)


def _has_text(path: Path) -> bool:
    """Whether a PNG file has text, before or after its pixels; XMP does not count."""
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, name = int.from_bytes(head[:4], "big"), head[4:]
            after = file.tell() + length + 4
            if name in (b"tEXt", b"zTXt", b"iTXt") and file.read(17) != b"XML:com.adobe.xmp":
                return True
            file.seek(after)
    return False


def _metadata(image: Image.Image, count: int) -> Metadata:
    info, exif = image.info, Image.Exif()
    theirs = image.getexif()
    for tag, value in theirs.items():
        if tag in _DESCRIPTIVE:
            exif[tag] = theirs.get_ifd(tag) if tag in (0x8769, 0x8825) else value
    if len(exif) and _ORIENTATION in theirs:
        exif[_ORIENTATION] = 1
    animated = count > 1 and image.format != "TIFF"
    return Metadata(
        icc=info.get("icc_profile") if image.mode not in ("CMYK", "LAB") else None,
        exif=exif.tobytes() if len(exif) else None,
        dpi=info["dpi"] if info.get("dpi", (1, 1)) != (1, 1) else None,  # Pillow says 1 of a file that does not say
        loop=int(info.get("loop", 1 if image.format == "GIF" else 0)) if animated else None,
    )


def _pages(path: Path, count: int) -> Iterator[Page]:
    with reading(str(path)), opened(path) as image:
        for index in range(count):
            image.seek(index)
            page = _deep_png(image, path) if _is_deep_png(image) else _page(image)
            if count > 1 and image.format != "TIFF":
                page.seconds = image.info.get("duration", 100) / 1000
            yield page


def _page(image: Image.Image) -> Page:
    """A frame, in grey or colour, upright."""
    transparent = image.has_transparency_data
    upright = ImageOps.exif_transpose(image)
    if upright.mode in _DEEP_GREY:
        return Page(np.asarray(upright).clip(0, 65535).astype(np.uint16))
    if upright.mode == "F":
        return Page(np.asarray(upright))
    grey = upright.mode in ("1", "L", "LA", "La")
    array = np.asarray(upright.convert(("L" if grey else "RGB") + "A" * transparent))
    if not transparent:
        return Page(array)
    return Page(array[..., :-1], array[..., -1])


def _is_deep_png(image: Any) -> bool:
    return (
        image.format == "PNG" and bool(image.tile) and str(image.tile[0][3]).endswith(";16B") and image.mode != "I;16"
    )


def _deep_png(image: Any, path: Path) -> Page:
    """16 bits of colour, or of grey with transparency, of which Pillow keeps the upper 8: read them in two turns."""
    if image.tile[0][3] == "LA;16B":  # four bytes a pixel, as RGBA has
        four = np.asarray(_decoded(path, "RGBA")).astype(np.uint16)
        both = four[..., ::2] << 8 | four[..., 1::2]
    else:
        upper, lower = (np.asarray(_decoded(path, f"{image.mode};16{end}")).astype(np.uint16) for end in "BL")
        both = upper << 8 | lower
    colour, alpha = (both[..., :-1], both[..., -1]) if both.shape[-1] in (2, 4) else (both, None)
    if alpha is None and isinstance(key := image.info.get("transparency"), tuple):  # one colour is transparent
        alpha = np.where((colour == np.array(key)).all(-1), 0, 65535).astype(np.uint16)
    turn = image.getexif().get(_ORIENTATION, 1)
    return Page(_upright(colour, turn), None if alpha is None else _upright(alpha, turn))


def _decoded(path: Path, raw: str) -> Image.Image:
    with opened(path) as image:
        image.tile = [tile._replace(args=raw) for tile in image.tile]
        image.info.pop("transparency", None)
        image.load()
        return image.copy()


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, ...) turned and mirrored as EXIF's orientation 1 to 8 says."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


# ---- tifffile ----------------------------------------------------------------------------------------------------


def _deep(path: Path) -> bool:
    """Whether a TIFF file has pages of more than 8 bits; Pillow reads only some of those."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            return any(page.bitspersample > 8 for page in _series(file)[:1])
    except tifffile.TiffFileError:
        return False


def _series(file: Any) -> list[Any]:
    """The pages that are pictures: no thumbnails, no reduced copies."""
    whole = [page for page in file.pages if not page.is_reduced]
    return whole or list(file.pages)


def _open_tiff(path: Path) -> Picture:
    import tifffile

    with tifffile.TiffFile(path) as file:
        pages, notes = _series(file), []
        first = pages[0]
        limit = _max_pixels()
        if any(page.imagelength * page.imagewidth > limit for page in pages):
            raise Image.DecompressionBombError
        if len(pages) < len(file.pages):
            notes.append("reduced copies left out")
        if first.tags.get(34665):
            notes.append("EXIF of a deep TIFF file not kept")
        tags = {
            name: first.tags[number].value for name, number in (("icc", 34675), ("text", 270)) if number in first.tags
        }
        resolution = dpi = None
        if 282 in first.tags and 283 in first.tags:
            x, y = (above / below for above, below in (first.tags[282].value, first.tags[283].value))
            resolution = (x, y, int(first.tags.valueof(296, default=2)))
            dpi = (x, y) if resolution[2] == 2 else None
        if (file.imagej_metadata or {}).get("images", 1) > len(file.pages):
            raise ValueError("ImageJ keeps such a large stack behind one page; save it as OME-TIFF or BigTIFF")
        big = sum(page.nbytes for page in pages) > 2**31
    metadata = Metadata(tags.get("icc"), None, dpi, resolution, big, tags.get("text"))
    return Picture(str(path), len(pages), lambda: _tiff_pages(path), None, metadata, notes)


def _tiff_pages(path: Path) -> Iterator[Page]:
    import tifffile

    with reading(str(path)), tifffile.TiffFile(path) as file:
        for page in _series(file):
            try:
                array = page.asarray()
            except ValueError as error:
                if "imagecodecs" in str(error):
                    raise ValueError(
                        f"its compression, {page.compression.name}, needs `pip install imagecodecs`"
                    ) from None
                raise
            yield _tiff_page(page, array)


def _tiff_page(page: Any, array: np.ndarray) -> Page:
    if page.samplesperpixel > 1 and page.planarconfig == 2:  # planes one after the other
        array = np.moveaxis(array, 0, -1)
    array = array[..., None] if page.samplesperpixel == 1 else array
    if array.ndim != 3 or array.dtype.kind not in "uif":
        raise ValueError(f"a page of shape {array.shape} and type {array.dtype} is no picture")
    if page.photometric == 0:
        array = (np.iinfo(array.dtype).max - array) if array.dtype.kind == "u" else array
    elif page.photometric not in (1, 2):
        raise ValueError(f"colours are stored as {page.photometric.name}; save it as grey or RGB")
    colours = 3 if page.photometric == 2 else 1
    array = _upright(array, page.tags[274].value if 274 in page.tags else 1)
    extra = page.samplesperpixel - colours
    if extra > 1 or (extra and 0 in page.extrasamples) or extra < 0:
        raise ValueError(f"it has {page.samplesperpixel} channels; save them as pages of their own")
    return Page(array[..., :colours], array[..., -1] if extra else None)
