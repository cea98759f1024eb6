"""Read image files: Pillow for what it reads whole, tifffile for deep TIFF files."""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mszoo.errors import DataError, MszooError
from mszoo.files import check_plain
from mszoo.pictures.picture import Metadata, Page, Picture, Range

__all__ = ["as_stored", "limited", "open_picture", "opened", "reading"]

_ORIENTATION = 0x0112
# Tags that describe the picture; the others say how a TIFF file stores it.
_DESCRIPTIVE = {
    *(0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298, 0x8769, 0x8825),
    *range(0x9C9B, 0x9CA0),
}
_OTHER_COLOURS = ("CMYK", "LAB")  # whose profiles fit no RGB
_DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_LIMIT = "MSZOO_MAX_PIXELS"
_CONVERTED = {
    **{mode: f"{mode} became RGB" for mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV")},
    **{"1": "1 bit became 8", "RGBa": "premultiplied transparency became plain"},
}
_SRGB = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # white, red, green and blue, as PNG says them
# Of a deep TIFF file, not kept: maker, model, date, artist, copyright, XMP, IPTC, EXIF; ImageJ's labels and overlays.
_NOT_KEPT = (271, 272, 306, 315, 33432, 700, 33723, 34665, 50838, 50839)


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
    except Image.DecompressionBombError as error:
        counted = re.search(r"\((\d+) pixels\)", str(error))  # Pillow's words
        raise DataError(
            f"{name} has more pixels than the {_max_pixels():,} that are read; "
            f"if it is to be trusted, allow as many: {_LIMIT}={counted[1] if counted else 1000000000}"
        ) from None
    except UnidentifiedImageError:
        raise DataError(
            f"{name} cannot be read as an image: its format is not known, or its beginning damaged"
        ) from None
    except Exception as error:  # decoders raise many kinds
        raise DataError(f"{name} cannot be read as an image: {error or type(error).__name__}") from None


@contextlib.contextmanager
def opened(source: Any) -> Iterator[Any]:
    """Pillow's image of a file, within the limit of pixels."""
    with limited(), Image.open(source) as image:
        yield image


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """What is opened inside has no more pixels than are allowed. Threads are to be started inside, not to enter it."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = (_max_pixels() + 1) // 2  # Pillow warns above, and refuses above twice as many
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield
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
        if image.mode in _CONVERTED:
            notes.append(_CONVERTED[image.mode])
        if image.mode in _OTHER_COLOURS and "icc_profile" in image.info:
            notes.append("their colour profile not kept")
        if "xmp" in image.info:
            notes.append("XMP metadata not kept")
        chunks = _chunks(path) if image.format == "PNG" else frozenset()
        if "comment" in image.info or b"text" in chunks:
            notes.append("text and comments not kept")
        if b"cICP" in chunks or not (chunks & {b"iCCP", b"sRGB"} or _is_srgb(image.info)):
            notes.append("colours that are not sRGB, without a profile: what the file says of them is not kept")
        metadata = _metadata(image, count)
        metadata.lossless = image.format == "WEBP" and _is_lossless(path)
    return Picture(str(path), count, lambda: _pages(path, count), None, metadata, notes)


def _is_srgb(info: dict[Any, Any]) -> bool:
    """Whether a PNG file says nothing else of its gamma and primaries."""
    gamma, primaries = info.get("gamma", 1 / 2.2), info.get("chromaticity", _SRGB)
    return abs(gamma - 1 / 2.2) < 0.01 and np.allclose(primaries, _SRGB, atol=0.005)


def _chunks(path: Path) -> frozenset[bytes]:
    """Names of a PNG file's chunks, before and after its pixels; ``text`` of those with text, where XMP is none."""
    found = set()
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, name = int.from_bytes(head[:4], "big"), head[4:]
            after = file.tell() + length + 4
            found.add(name)
            if name in (b"tEXt", b"zTXt", b"iTXt") and file.read(17) != b"XML:com.adobe.xmp":
                found.add(b"text")
            file.seek(after)
    return frozenset(found)


def _is_lossless(path: Path) -> bool:
    """Whether the picture of a WebP file, a still, is coded without loss."""
    with open(path, "rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8 and head[:4] not in (b"VP8 ", b"VP8L", b"ANIM"):
            length = int.from_bytes(head[4:], "little")
            file.seek(length + length % 2, 1)
        return head[:4] == b"VP8L"


def _metadata(image: Image.Image, count: int) -> Metadata:
    info, exif = image.info, Image.Exif()
    theirs = image.getexif()
    for tag, value in theirs.items():
        if tag in _DESCRIPTIVE:
            exif[tag] = theirs.get_ifd(tag) if tag in (0x8769, 0x8825) else as_stored(value)
    if len(exif) and _ORIENTATION in theirs:
        exif[_ORIENTATION] = 1
    animated = count > 1 and image.format != "TIFF"
    return Metadata(
        icc=info.get("icc_profile") if image.mode not in _OTHER_COLOURS else None,
        exif=exif.tobytes() if len(exif) else None,
        dpi=info["dpi"] if info.get("dpi", (1, 1)) != (1, 1) else None,  # Pillow says 1 of a file that does not say
        loop=int(info.get("loop", 1 if image.format == "GIF" else 0)) if animated else None,
    )


def as_stored(value: Any) -> Any:
    """A text of EXIF as bytes: Pillow reads them as Latin-1, and writes question marks for what is not ASCII (©)."""
    return value.encode("latin-1", "replace") if isinstance(value, str) else value


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
    """Whether a TIFF file has pages of more than 8 bits, of which Pillow reads some.

    Or of signed values, which Pillow takes for unsigned ones, or of channels that are no colours, which it leaves out.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            first = _series(file)[0]
            others = first.photometric in (0, 1, 2) and _extra(first) and 0 in (first.extrasamples or (0,))
            return first.bitspersample > 8 or bool(others) or (first.dtype is not None and first.dtype.kind in "if")
    except (tifffile.TiffFileError, IndexError):
        return False


def _extra(page: Any) -> int:
    """How many channels a page has beside grey or colours."""
    return page.samplesperpixel - (3 if page.photometric == 2 else 1)


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
        most = max(page.imagelength * page.imagewidth for page in pages)
        if most > limit:
            raise Image.DecompressionBombError(f"({most} pixels)")
        if len(pages) < len(file.pages):
            notes.append("reduced copies left out")
        if any(number in first.tags for number in _NOT_KEPT):
            notes.append("EXIF and XMP of a deep TIFF file not kept")
        if any(page.description not in ("", first.description) for page in pages[1:]):
            notes.append("descriptions of single pages not kept")
        if 1 in first.extrasamples:
            notes.append(_CONVERTED["RGBa"])
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
    array = _upright(array, page.tags[274].value if 274 in page.tags else 1)
    extra = _extra(page)
    if extra > 1 or (extra and 0 in (page.extrasamples or (0,))) or extra < 0:
        raise ValueError(f"it has {page.samplesperpixel} channels; save them as pages of their own")
    if not extra:
        return Page(array)
    colour, alpha = array[..., :-1], array[..., -1]
    if page.extrasamples[0] == 1:  # colours are stored times their opacity
        full = np.iinfo(array.dtype).max if array.dtype.kind in "ui" else 1
        plain = colour * (full / np.maximum(alpha, 1e-30, dtype=np.float64))[..., None]
        colour = Range(0, 1).to_stored(np.where(alpha[..., None] > 0, plain, 0), array.dtype)
    return Page(colour, alpha)
