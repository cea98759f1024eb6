"""Forty kinds of image file, as people have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

RANDOM = np.random.default_rng(0)
SIZE = (9, 14)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation: int | None = None) -> bytes:
    tags = Image.Exif()
    tags[0x010F] = "A camera"
    tags.get_ifd(0x8769)[0x9003] = "2024:02:29 12:00:00"
    if orientation:
        tags[0x0112] = orientation
    return tags.tobytes()


def bytes_of(*channels: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (*SIZE, *channels), dtype=np.uint8)


def words_of(*channels: int, high: int = 65536) -> np.ndarray:
    return RANDOM.integers(0, high, (*SIZE, *channels), dtype=np.uint16)


def pillow(array: np.ndarray, mode: str | None = None, **options: Any) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        image = Image.fromarray(array)
        (image.convert(mode) if mode else image).save(path, **options)

    return save


def tiff(array: np.ndarray, **options: Any) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, array, metadata=None, **options)


def frames(*arrays: np.ndarray, **options: Any) -> Callable[[Path], None]:
    first, *rest = (Image.fromarray(a) for a in arrays)
    return lambda path: first.save(path, save_all=True, append_images=rest, duration=[40, 80, 120], loop=3, **options)


def png16(array: np.ndarray, **about: Any) -> Callable[[Path], None]:
    """16 bits of colour, by this package's own writer (Pillow has none); its files are held against Pillow's reader."""
    from mszoo.pictures.picture import Metadata, Page
    from mszoo.pictures.writing import write_picture

    alpha = array[..., -1] if array.shape[-1] in (2, 4) else None
    colour = array if alpha is None else array[..., :-1]
    return lambda path: write_picture(path, [Page(colour, alpha)], None, Metadata(**about)) and None


def chunk(name: bytes, *numbers: int) -> PngInfo:
    info = PngInfo()
    info.add(name, b"".join(number.to_bytes(4, "big") for number in numbers))
    return info


SMOOTH = np.add.outer(np.arange(SIZE[0]), np.arange(SIZE[1])).astype(np.uint8) * 8

# Name, and how the file is made. Those of EXACT come back with every stored value, the others as close as they can.
EXACT: dict[str, Callable[[Path], None]] = {
    "grey.png": pillow(bytes_of()),
    "colour.png": pillow(bytes_of(3)),
    "grey-alpha.png": pillow(bytes_of(2)),
    "colour-alpha.png": pillow(bytes_of(4)),
    "deep-grey.png": pillow(words_of()),
    "deep-colour.png": png16(words_of(3)),
    "deep-colour-alpha.png": png16(words_of(4)),
    "deep-grey-alpha.png": png16(words_of(2)),
    "profile.png": pillow(bytes_of(3), icc_profile=PROFILE),
    "profile-deep.png": png16(words_of(3), icc=PROFILE, exif=exif()),
    "profile.tif": pillow(bytes_of(3), icc_profile=PROFILE),
    "exif.png": pillow(bytes_of(3), exif=exif()),
    "turned-2.png": pillow(bytes_of(3), exif=exif(2)),
    "turned-6.png": pillow(bytes_of(3), exif=exif(6)),
    "turned-8-deep.png": pillow(words_of(), exif=exif(8)),
    "turned-5.tif": pillow(bytes_of(3), exif=exif(5)),
    "grey.bmp": pillow(bytes_of()),
    "colour.bmp": pillow(bytes_of(3)),
    "grey.pgm": pillow(bytes_of()),
    "deep.pgm": pillow(words_of()),
    "colour.ppm": pillow(bytes_of(3)),
    "grey.tif": pillow(bytes_of()),
    "colour.TIFF": pillow(bytes_of(3)),
    "lzw.tif": pillow(bytes_of(3), compression="tiff_lzw"),
    "alpha.tif": pillow(bytes_of(4)),
    "deep.tif": tiff(words_of()),
    "deep-colour.tif": tiff(words_of(3), photometric="rgb", iccprofile=PROFILE),
    "deep-alpha.tif": tiff(words_of(4), photometric="rgb", extrasamples=["unassalpha"]),
    "planes.tif": tiff(np.moveaxis(words_of(3), -1, 0), photometric="rgb", planarconfig="separate"),
    "white-is-zero.tif": tiff(words_of(), photometric="miniswhite"),
    "big-endian.tif": tiff(words_of(), byteorder=">"),
    "float.tif": tiff(RANDOM.random(SIZE, dtype=np.float32)),
    "double.tif": tiff(RANDOM.random(SIZE)),
    "half.tif": tiff(RANDOM.random(SIZE).astype(np.float16)),
    "stack.tif": tiff(np.stack([words_of() for _ in range(5)]), photometric="minisblack", description="5 slices"),
    "micrometres.tif": tiff(words_of(), description="<OME>µm</OME>".encode()),
    "lossless.webp": pillow(bytes_of(4), lossless=True, exact=True, icc_profile=PROFILE),
    "stack-8.tif": frames(bytes_of(), bytes_of(), bytes_of()),
    "animation.png": frames(bytes_of(3), bytes_of(3), bytes_of(3)),
    "5²4.png": pillow(bytes_of()),
    f"{'7' * 200}.png": pillow(bytes_of()),
    "ein Bild — ü.png": pillow(bytes_of(3)),
    "one-pixel.png": pillow(bytes_of()[:1, :1]),
    "dot.in.name.png": pillow(bytes_of()),
}
PILLOW_CANNOT = {"double.tif", "half.tif", "planes.tif", "deep-colour.tif", "deep-alpha.tif"}
CONVERTED: dict[str, tuple[Callable[[Path], None], str]] = {
    "palette.png": (pillow(bytes_of(3), "P"), "P became RGB"),
    "bilevel.png": (pillow(bytes_of(), "1"), "1 bit became 8"),
    "cmyk.jpg": (pillow(np.dstack([SMOOTH] * 3), "CMYK", quality=95), "CMYK became RGB"),
    "cmyk-profile.jpg": (
        pillow(np.dstack([SMOOTH] * 3), "CMYK", quality=95, icc_profile=PROFILE),
        "CMYK became RGB; their colour profile not kept",
    ),
    "linear.png": (pillow(bytes_of(3), pnginfo=chunk(b"gAMA", 100_000)), "not sRGB, without a profile"),
    "adobe.png": (
        pillow(bytes_of(3), pnginfo=chunk(b"cHRM", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)),
        "not sRGB, without a profile",
    ),
    "premultiplied.tif": (
        tiff(
            np.dstack([words_of(3, high=40000), words_of(high=20000) + 40000]),
            photometric="rgb",
            extrasamples=["assocalpha"],
        ),
        "premultiplied transparency became plain",
    ),
    "camera.jpg": (pillow(SMOOTH, exif=exif(6), icc_profile=PROFILE, quality=95), ""),
    "lossy.webp": (pillow(np.dstack([SMOOTH] * 3), quality=95), ""),
    "animation.webp": (
        frames(*(np.dstack([SMOOTH // 2 + 40 * k] * 3).astype(np.uint8) for k in range(3)), quality=95),
        "3 pages",
    ),
    "animation.gif": (frames(*(SMOOTH // 2 + np.uint8(40 * k) for k in range(3))), "256 colours a frame"),
}
REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "signed-32.tif": (tiff(RANDOM.integers(-500, 500, SIZE, dtype=np.int32)), "--range LOW:HIGH"),
    "signed-8.tif": (tiff(RANDOM.integers(-100, 100, SIZE, dtype=np.int8)), "--range LOW:HIGH"),
    "two-channels.tif": (tiff(bytes_of(2), photometric="minisblack", planarconfig="contig"), "2 channels"),
    "signed-16.tif": (tiff(RANDOM.integers(-500, 500, SIZE, dtype=np.int16)), "--range LOW:HIGH"),
    "unsigned-32.tif": (tiff(RANDOM.integers(0, 500, SIZE, dtype=np.uint32)), "--range LOW:HIGH"),
    "counts.tif": (tiff(1000 * RANDOM.random(SIZE, dtype=np.float32)), "--range LOW:HIGH"),
    "nan.tif": (tiff(np.full(SIZE, np.nan, np.float32)), "not finite"),
    "many-channels.tif": (tiff(words_of(7), photometric="minisblack", planarconfig="contig"), "7 channels"),
}
