from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mszoo.data.images import read_image, write_image
from mszoo.errors import DataError
from mszoo.pictures.picture import Page
from mszoo.pictures.reading import open_picture
from mszoo.pictures.writing import write_picture

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (5, 7), dtype=np.uint8)
COLOUR = RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8)
DEEP = RANDOM.integers(0, 65536, (5, 7), dtype=np.uint16)
MASK = RANDOM.integers(0, 2, (5, 7), dtype=np.uint8)

one_step = {"rtol": 0, "atol": 1 / 255}
exact = {"rtol": 0, "atol": 1e-7}


def planes(array: np.ndarray) -> Tensor:
    """(H, W) or (H, W, C) to (C, H, W), in double precision."""
    return torch.from_numpy(np.atleast_3d(array).astype(float)).permute(2, 0, 1)


def luma(rgb: np.ndarray) -> Tensor:
    return planes(rgb @ np.array([0.299, 0.587, 0.114]))


def check(path: Path, expected: Tensor, channels: int | None = None, tolerance: dict[str, float] | None = None) -> None:
    """The file's image, from its path and from its bytes, is as expected, and a well-formed one."""
    image = read_image(path, str(path), channels)
    assert image.dtype == torch.float32
    assert image.min() >= 0
    assert image.max() <= 1
    torch.testing.assert_close(image.double(), expected, **(tolerance or exact))
    assert torch.equal(read_image(path.read_bytes(), "bytes", channels), image)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".ppm", ".PNG"])
@pytest.mark.parametrize("array", [GREY, COLOUR], ids=["grey", "colour"])
def test_eight_bits(array: np.ndarray, suffix: str, tmp_path: Path) -> None:
    if suffix == ".gif" and array is COLOUR:
        pytest.skip("GIF has a palette")
    path = tmp_path / f"image{suffix}"
    Image.fromarray(array).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    grey = array is GREY
    check(path, (planes(array) / 255).expand(3, -1, -1), channels=3)
    check(path, planes(array) / 255 if grey else luma(array) / 255, 1, exact if grey else one_step)
    if suffix not in (".webp", ".gif"):  # which know no grey
        check(path, planes(array) / 255)


def test_jpeg(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "image.jpg", quality=95)
    check(tmp_path / "image.jpg", planes(smooth) / 255, tolerance={"rtol": 0, "atol": 0.03})
    Image.fromarray(smooth).convert("CMYK").save(tmp_path / "cmyk.jpeg", quality=95)
    check(tmp_path / "cmyk.jpeg", planes(smooth) / 255, 1, {"rtol": 0, "atol": 0.05})


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_sixteen_bits_keep_their_precision(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"deep{suffix}"
    Image.fromarray(DEEP).save(path)
    for channels in (None, 1):
        check(path, planes(DEEP) / 65535, channels)
    check(path, (planes(DEEP) / 65535).expand(3, -1, -1), 3)


@pytest.mark.parametrize("opacity", [0, 128, 255])
def test_transparent_images_are_laid_over_white(opacity: int, tmp_path: Path) -> None:
    alpha = np.full((5, 7), opacity, np.uint8)
    for array in (COLOUR, GREY):
        path = tmp_path / f"alpha{array.ndim}.png"
        Image.fromarray(np.dstack([array, alpha])).save(path)
        over_white = (planes(array) * opacity + 255.0 * (255 - opacity)) / 255**2
        check(path, over_white.expand(3, -1, -1), 3, one_step)
        check(path, over_white, None, one_step)


def test_palettes(tmp_path: Path) -> None:
    indexed = Image.fromarray(MASK, "P")
    indexed.putpalette([255, 0, 0, 0, 128, 255])
    indexed.save(tmp_path / "plain.png")
    colours = np.array([[255, 0, 0], [0, 128, 255]])
    check(tmp_path / "plain.png", planes(colours[MASK]) / 255)
    check(tmp_path / "plain.png", luma(colours[MASK]) / 255, 1, one_step)
    for suffix in ("png", "gif"):
        indexed.save(tmp_path / f"hole.{suffix}", transparency=0)
        check(tmp_path / f"hole.{suffix}", planes(np.array([[255, 255, 255], [0, 128, 255]])[MASK]) / 255, 3)


def test_bilevel(tmp_path: Path) -> None:
    Image.fromarray(MASK.astype(bool)).save(tmp_path / "mask.png")
    check(tmp_path / "mask.png", planes(MASK))
    check(tmp_path / "mask.png", planes(MASK).expand(3, -1, -1), 3)


UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).T,
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_rotation_is_applied(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name, array, full in (("grey", GREY, 255), ("deep", DEEP, 65535)):
        Image.fromarray(array).save(tmp_path / f"{name}.png", exif=exif)
        check(tmp_path / f"{name}.png", planes(UPRIGHT[orientation](array)) / full)


def write_float(path: Path) -> None:
    Image.fromarray(GREY.astype(np.float32)).save(path, "tiff")


def write_truncated(path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 256, (64, 64), dtype=np.uint8)).save(stream, "png")
    path.write_bytes(stream.getvalue()[:2000])


BROKEN: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "text": lambda path: path.write_text("not an image"),
    "empty": lambda path: path.write_bytes(b""),
    "folder": Path.mkdir,
    "truncated": write_truncated,
    "float": write_float,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_read_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"{kind}.png"
    BROKEN[kind](path)
    with pytest.raises(DataError, match=f"{kind}.png"):
        read_image(path, str(path))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (5, 7)], ids=str)
def test_written_images_are_read_back(channels: int, size: tuple[int, int], tmp_path: Path) -> None:
    image = torch.rand(channels, *size)
    write_image(image, tmp_path / "image.png")
    again = read_image(tmp_path / "image.png", "image.png")
    torch.testing.assert_close(again, image, rtol=0, atol=0.5 / 255 + 1e-6)
    write_image(again, tmp_path / "again.png")
    assert torch.equal(read_image(tmp_path / "again.png", "again.png"), again)
    write_image(3 * image - 1, tmp_path / "clipped.png")
    clipped = read_image(tmp_path / "clipped.png", "clipped.png")
    torch.testing.assert_close(clipped, (3 * image - 1).clamp(0, 1), rtol=0, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("name", ["image.xyz", "image", "no/such/folder/image.png"])
def test_what_cannot_be_written_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"cannot write .*{name}"):
        write_image(torch.rand(1, 4, 4), tmp_path / name)


def test_what_is_not_finite_is_never_written(tmp_path: Path) -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(DataError, match="not finite"):
            write_image(torch.full((1, 4, 4), value), tmp_path / "image.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [(1, 1), (5, 7)], ids=str)
@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_pillow_reads_our_sixteen_bits_of_colour(samples: int, size: tuple[int, int], tmp_path: Path) -> None:
    values = RANDOM.integers(0, 65536, (*size, samples), dtype=np.uint16)
    alpha = values[..., -1] if samples in (2, 4) else None
    page = Page(values[..., : 3 if samples > 2 else 1], alpha)
    write_picture(tmp_path / "deep.png", [page])
    with Image.open(tmp_path / "deep.png") as image:
        theirs = np.asarray(image).reshape(*size, -1)
    if samples == 1:
        np.testing.assert_array_equal(theirs, values)
    else:  # of which it keeps the upper byte; it makes grey with transparency RGBA
        np.testing.assert_array_equal(theirs[..., [0, 3]] if samples == 2 else theirs, values >> 8)
    (ours,) = open_picture(tmp_path / "deep.png").read()
    np.testing.assert_array_equal(ours.stored, page.stored)
    assert ours.alpha is None if alpha is None else np.array_equal(ours.alpha, alpha)  # type: ignore[arg-type]
