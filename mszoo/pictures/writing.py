"""Write pictures whole or not at all, with as much of them as the format can hold."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from mszoo.errors import DataError, MszooError
from mszoo.files import replace_file
from mszoo.pictures.picture import Metadata, Page, Range
from mszoo.pictures.reading import as_stored

__all__ = ["QUALITY", "check_pages", "write_picture"]

QUALITY = 95  # of JPEG and WebP, of 100; Pillow's own 75 costs 5 dB
_FORMATS = {
    **{".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".gif": "GIF", ".tif": "TIFF", ".tiff": "TIFF"},
    **{".webp": "WEBP", ".pgm": "PPM", ".ppm": "PPM"},
}
_ALPHA = ("PNG", "TIFF", "WEBP", "GIF")
_ANIMATED = ("PNG", "WEBP", "GIF")
_SEVERAL = ("TIFF", *_ANIMATED)


def check_pages(path: Path) -> None:
    """Raise :class:`DataError` if the format of a file's suffix holds one page alone."""
    if _FORMATS.get(path.suffix.lower()) not in _SEVERAL:
        raise DataError(f"cannot write {path}: {path.suffix} holds one image; write a TIFF, PNG, WebP or GIF file")


def write_picture(
    path: Path,
    pages: Iterable[Page],
    scale: Range | None = None,
    metadata: Metadata | None = None,
    quality: int = QUALITY,
) -> list[str]:
    """Write pages to an image file, in the format of its suffix.

    Args:
        path: the file; what is there is replaced, when all is written.
        pages: at least one; several need a TIFF file, or are an animation (PNG, WebP, GIF).
        scale: the stored values of black and white, for formats that cannot hold them as they are; None: the type's.
        metadata: what the file is to say beside its pixels.
        quality: of JPEG and WebP, 1 to 100.

    Returns:
        What was converted or left away because the format cannot hold it, each a phrase.

    Raises:
        DataError: it cannot be written; the file that was there is as it was.
    """
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"cannot write {path}: no image format {path.suffix or 'without a suffix'}")
    lost: dict[str, None] = {}
    try:
        replace_file(path, lambda part: _write(part, kind, iter(pages), scale, metadata or Metadata(), quality, lost))
    except MszooError:  # the pages' own, some of which are ValueErrors
        raise
    except (OSError, ValueError, struct.error) as error:
        raise DataError(f"cannot write {path}: {error}") from None
    return list(lost)


def _write(
    path: Path,
    kind: str,
    pages: Iterator[Page],
    scale: Range | None,
    about: Metadata,
    quality: int,
    lost: dict[str, None],
) -> None:
    first = next(pages)
    deep = first.stored.dtype != np.uint8
    if kind == "TIFF" and (deep or (first.alpha is not None and first.stored.ndim == 2)):
        if about.exif:
            lost["EXIF (a deep TIFF file)"] = None
        return _write_tiff(path, itertools.chain([first], pages), about)
    second = next(pages, None)
    still = second is None
    if not still and kind not in _SEVERAL:
        raise ValueError(f"a {kind} file holds one image; write a TIFF, PNG, WebP or GIF file")
    if kind == "PNG" and still and first.stored.dtype == np.uint16:
        path.write_bytes(_png(first, about))
        return None
    if kind == "PPM" and still and first.stored.dtype == np.uint16 and first.stored.ndim == 2:
        return _save(Image.fromarray(first.stored), path, kind, {})
    pages = itertools.chain([first], [] if second is None else [second], pages)
    seconds: list[float] = []
    images = (_eight_bits(page, kind, scale, lost, seconds) for page in pages)
    options: dict[str, Any] = {}
    if kind in ("PNG", "JPEG", "WEBP", "TIFF"):
        options |= {"icc_profile": about.icc, "exif": about.exif} if about.exif else {"icc_profile": about.icc}
    elif about.icc or about.exif:
        lost["colour profile and EXIF" if about.icc and about.exif else "colour profile" if about.icc else "EXIF"] = (
            None
        )
    if kind == "TIFF" and about.exif:
        options["exif"] = exif = Image.Exif()
        exif.load(about.exif)
        exif.update({tag: as_stored(value) for tag, value in exif.items()})
    if about.dpi and kind in ("PNG", "JPEG", "TIFF", "BMP"):
        options["dpi"] = about.dpi
    if kind in ("JPEG", "WEBP"):
        options["quality"] = quality
    if kind == "JPEG":
        options["subsampling"] = 0
    if kind == "WEBP":
        options |= {"exact": True, "lossless": about.lossless}  # exact: colours where it is transparent
    if kind == "TIFF" and not about.exif:  # Pillow cannot compress a TIFF file that has an EXIF directory
        options["compression"] = "tiff_adobe_deflate"
    if kind == "GIF":
        lost["256 colours a frame"] = None
    if still:
        return _save(next(images), path, kind, options)
    image = next(images)
    rest = list(images)
    if kind != "TIFF":
        options |= {"duration": [round(1000 * s) for s in seconds], "loop": about.loop or 0}
        options |= {"disposal": 2} if kind == "GIF" else {}
    return _save(image, path, kind, options | {"save_all": True, "append_images": rest})


def _save(image: Image.Image, path: Path, kind: str, options: dict[str, Any]) -> None:
    encoded = io.BytesIO()  # Pillow does not notice when the system writes less than it was given
    try:
        image.save(encoded, kind, **options)
    except RuntimeError as error:  # of Pillow's encoders
        raise OSError(str(error)) from None
    path.write_bytes(encoded.getbuffer())


def _eight_bits(page: Page, kind: str, scale: Range | None, lost: dict[str, None], seconds: list[float]) -> Image.Image:
    """A page as Pillow's image, in the modes that the format has."""
    seconds.append(page.seconds or 0.1)
    colour, alpha = page.stored, page.alpha
    if colour.dtype != np.uint8:
        dtype = colour.dtype
        lost[f"{8 * dtype.itemsize} bits became 8"] = None
        if scale is None:
            scale = Range(0, np.iinfo(dtype).max if dtype.kind in "ui" else 1)
        colour = Range(0, 255).to_stored(scale.to_unit(colour), np.dtype(np.uint8))
        if alpha is not None:
            alpha = _alpha_to_eight_bits(alpha)
    if alpha is not None and kind not in _ALPHA:
        lost["transparency laid over white"] = None
        share = (alpha / 255.0)[..., None] if colour.ndim == 3 else alpha / 255.0
        colour, alpha = np.round(colour * share + 255 * (1 - share)).astype(np.uint8), None
    return Image.fromarray(colour if alpha is None else np.dstack([colour, alpha]))


def _alpha_to_eight_bits(alpha: np.ndarray) -> np.ndarray:
    full = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else 1
    return Range(0, 255).to_stored(alpha / full, np.dtype(np.uint8))


def _write_tiff(path: Path, pages: Iterator[Page], about: Metadata) -> None:
    """Any depth and type, a page after the other."""
    import tifffile

    dpi = about.dpi and (*about.dpi, 2)
    x, y, unit = about.resolution or dpi or (None, None, None)
    with tifffile.TiffWriter(path, bigtiff=about.big) as file:
        for index, page in enumerate(pages):
            array, alpha = page.stored, page.alpha
            file.write(
                array if alpha is None else np.dstack([array, alpha]),
                photometric="rgb" if array.ndim == 3 else "minisblack",
                extrasamples=None if alpha is None else ["unassalpha"],
                planarconfig="contig" if array.ndim == 3 or alpha is not None else None,
                compression="zlib",
                iccprofile=about.icc,
                description=about.description.encode() if about.description and index == 0 else None,
                resolution=None if x is None else (x, y),
                resolutionunit=unit,
                metadata=None,
                software=False,
            )


# ---- PNG with 16 bits of colour, which Pillow does not write --------------------------------------------------------


def _png(page: Page, about: Metadata) -> bytes:
    colour = page.stored if page.stored.ndim == 3 else page.stored[..., None]
    pixels = colour if page.alpha is None else np.dstack([colour, page.alpha])
    height, width, samples = pixels.shape
    rows = np.ascontiguousarray(pixels, ">u2").view(np.uint8).reshape(height, -1)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    filtered = np.hstack([np.full((height, 1), 2, np.uint8), rows - above])  # filter 2: the difference to the row above
    stream = io.BytesIO()
    stream.write(b"\x89PNG\r\n\x1a\n")
    _chunk(stream, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[samples], 0, 0, 0))
    if about.icc:
        _chunk(stream, b"iCCP", b"ICC profile\0\0" + zlib.compress(about.icc))
    if about.dpi:
        _chunk(stream, b"pHYs", struct.pack(">IIB", *(round(d / 0.0254) for d in about.dpi), 1))
    if about.exif:
        _chunk(stream, b"eXIf", about.exif.removeprefix(b"Exif\0\0"))
    _chunk(stream, b"IDAT", zlib.compress(filtered.tobytes(), 6))
    _chunk(stream, b"IEND", b"")
    return stream.getvalue()


def _chunk(stream: BinaryIO, name: bytes, content: bytes) -> None:
    stream.write(struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content)))
