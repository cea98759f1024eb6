from __future__ import annotations

import os
import pickle
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch.utils.data import DataLoader

import mszoo
from mszoo.data import ImageDataset, image_folder, readable
from mszoo.data.packed import Packed
from mszoo.errors import DataError, OptionsError
from mszoo.registry import natural_order

DATASETS = ["image_folder", "photographs"]
NAMES = ["a2.png", "a10.PNG", "b/c/deep.jpg", "b/other.bmp"]

every_dataset = pytest.mark.parametrize("name", DATASETS)


def write(path: Path, value: int, size: tuple[int, int] = (6, 8)) -> None:
    """A grey image of one value, by which it is known again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, np.uint8)).save(path)


def values(dataset: ImageDataset) -> list[int]:
    return [round(255 * image.mean().item()) for image in dataset]


def folder_of(path: str | Path, channels: int = 1) -> ImageDataset:
    return mszoo.create("dataset", "image_folder", channels, path=str(path))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder tree with four images and a file of another kind."""
    for i, name in enumerate(NAMES):
        write(tmp_path / "images" / name, 50 * i + 20)
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    return tmp_path / "images"


@pytest.fixture
def zipped(images: Path) -> Path:
    path = images.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in [*NAMES, "notes.txt"]:
            archive.write(images / name, name)
        archive.writestr("__MACOSX/._a2.png", b"resource fork")
    return path


@pytest.mark.parametrize("path", ["~/images", "~/images.zip", "~/images/*.png", "~/images/a2.png"])
def test_the_home_folder(images: Path, zipped: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(images.parent))
    assert 20 in values(folder_of(path))


# ---- every data set ------------------------------------------------------------------------------------------


@every_dataset
@pytest.mark.parametrize("channels", [1, 3])
def test_the_contract_of_a_data_set(name: str, channels: int, images: Path) -> None:
    options: dict[str, Any] = {"path": str(images)} if name == "image_folder" else {"split": "test"}
    dataset = mszoo.create("dataset", name, channels, **options)
    assert isinstance(dataset, ImageDataset)
    assert len(list(dataset)) == len(dataset) > 0
    again = pickle.loads(pickle.dumps(dataset))
    for i, image in enumerate(dataset):
        assert image.ndim == 3
        assert len(image) == channels
        assert image.dtype == torch.float32
        assert 0 <= image.min() <= image.max() <= 1
        assert torch.equal(image, dataset[i])
        assert torch.equal(image, again[i])
    assert len({dataset.label(i) for i in range(len(dataset))}) == len(dataset)
    with pytest.raises(IndexError):
        dataset[len(dataset)]


@every_dataset
def test_other_numbers_of_channels_are_refused(name: str, images: Path) -> None:
    options = {"path": str(images)} if name == "image_folder" else {}
    with pytest.raises(DataError, match="1 or 3 channels, the model has 2"):
        mszoo.create("dataset", name, 2, **options)


def test_every_registered_data_set_is_tested_here() -> None:
    others = ["pickled_batches", "hub_dataset", "webdataset"]  # have files of their own
    assert sorted([*DATASETS, *others]) == mszoo.list_components("dataset")


# ---- image files ---------------------------------------------------------------------------------------------


def test_folders_are_searched_to_the_bottom_in_natural_order(images: Path) -> None:
    dataset = folder_of(images)
    assert [dataset.label(i) for i in range(4)] == [str(images / name) for name in NAMES]
    assert values(dataset) == [20, 70, 120, 170]


def test_zip_files(zipped: Path) -> None:
    dataset = folder_of(zipped)
    assert [dataset.label(i) for i in range(4)] == [f"{zipped}/{name}" for name in NAMES]
    assert values(dataset) == [20, 70, 120, 170]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("*.png", [20]), ("b/**/*.*", [120, 170]), ("a?.*", [20]), ("a2.png", [20]), ("b", [120, 170])],
)
def test_globs_single_files_and_subfolders(images: Path, pattern: str, expected: list[int]) -> None:
    assert values(folder_of(images / pattern)) == expected


def test_a_folder_named_like_a_glob(tmp_path: Path) -> None:
    write(tmp_path / "set[1]" / "x.png", 99)
    assert values(folder_of(tmp_path / "set[1]")) == [99]


def test_images_beyond_the_memory_limit_are_read_again(
    images: Path, zipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_folder, "_CACHE_BYTES", 100)  # room for two of them
    for path in (images, zipped):
        dataset = folder_of(path)
        assert values(dataset) == values(dataset) == [20, 70, 120, 170]


def test_a_zip_file_can_be_read_by_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_folder, "_CACHE_BYTES", 0)
    random = np.random.default_rng(0)
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for i in range(20):
            Image.fromarray(random.integers(0, 256, (200, 200), dtype=np.uint8)).save(tmp_path / "one.png")
            archive.write(tmp_path / "one.png", f"{i}.png")
    dataset = folder_of(tmp_path / "many.zip")
    order = list(range(20)) * 5
    loader = DataLoader(dataset, num_workers=2, sampler=order, batch_size=None)
    assert all(torch.equal(image, dataset[i]) for i, image in zip(order, loader, strict=True))


BAD = {"broken.png": b"\x89PNG\r\n\x1a\nthe rest is missing", "text.png": b"not an image", "empty.jpg": b""}


def test_broken_files_are_named_and_skipped(images: Path, zipped: Path) -> None:
    with zipfile.ZipFile(zipped, "a") as archive:
        for name, content in BAD.items():
            (images / name).write_bytes(content)
            archive.writestr(name, content)
    for path in (images, zipped):
        with pytest.warns(UserWarning, match="skipped: ") as caught:
            dataset = folder_of(path)
        assert values(dataset) == [20, 70, 120, 170]
        told = [str(w.message) for w in caught if "skipped: " in str(w.message)]  # others may fall due just then
        assert len(told) == len(BAD)
        for name in BAD:
            assert any(name in text for text in told)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_damaged_member_of_a_zip_file_is_named_and_skipped(method: int, tmp_path: Path) -> None:
    path, random = tmp_path / "set.zip", np.random.default_rng(0)
    write(tmp_path / "good.png", 7)
    Image.fromarray(random.integers(0, 16, (64, 64), dtype=np.uint8)).save(tmp_path / "noise.bmp")
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.write(tmp_path / "noise.bmp", "damaged.bmp")
        start = archive.getinfo("damaged.bmp").header_offset
        archive.write(tmp_path / "good.png", "good.png")
    content = bytearray(path.read_bytes())
    content[start + 60 : start + 360] = random.bytes(300)
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"set\.zip: damaged\.bmp"):
        dataset = folder_of(path)
    assert values(dataset) == [7]


def test_good_sets_load_without_a_warning(images: Path, zipped: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in (images, zipped):
            assert len(folder_of(path)) == 4


def empty_zip(path: Path) -> None:
    zipfile.ZipFile(path, "w").close()


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("missing", lambda path: None, "no such folder, zip file, image or match: .*missing"),
        ("*.png", lambda path: None, r"no such folder, zip file, image or match: .*\*\.png"),
        ("empty", Path.mkdir, "no image files in folder .*empty"),
        ("empty.zip", empty_zip, r"empty\.zip: no readable image"),
        ("no.zip", lambda path: path.write_bytes(b"PK but no zip"), r"no\.zip.*cannot be read"),
        ("text.png", lambda path: path.write_text("text"), r"text\.png.*cannot be read"),
    ],
)
def test_nothing_to_read_is_an_error(name: str, make: Any, message: str, tmp_path: Path) -> None:
    make(tmp_path / name)
    with pytest.raises(DataError, match=f"(?s){message}"):
        folder_of(tmp_path / name)


def test_a_folder_of_broken_files_is_an_error_that_names_them(tmp_path: Path) -> None:
    for name, content in BAD.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="no readable image") as caught:
        folder_of(tmp_path)
    assert all(name in str(caught.value) for name in BAD)


def test_the_path_is_required() -> None:
    with pytest.raises(OptionsError, match="path: is required"):
        mszoo.create("dataset", "image_folder", 1)


# ---- photographs ---------------------------------------------------------------------------------------------


def test_photographs_need_no_download_and_keep_the_astronaut_for_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: Any, **options: Any) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr("socket.socket.connect", offline)
    train, test = (mszoo.create("dataset", "photographs", 1, split=split) for split in ("train", "test"))
    assert mszoo.create("dataset", "photographs", 1).label(0) == train.label(0)
    assert [test.label(i) for i in range(len(test))] == ["astronaut"]
    assert "astronaut" not in {train.label(i) for i in range(len(train))}
    assert len(train) == 10
    for image in train:
        assert min(image.shape[1:]) >= 300
        assert image.std() > 0.05
        assert not any(image.shape == other.shape and torch.equal(image, other) for other in test)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(OptionsError, match="split: input should be 'train' or 'test'"):
        mszoo.create("dataset", "photographs", 1, split="validation")


# ---- how paper A cuts and greys its images ---------------------------------------------------------------------


def test_grey_as_the_mean_of_the_colours(tmp_path: Path):
    rgb = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    (mean,) = mszoo.create("dataset", "image_folder", 1, path=str(tmp_path), grey="mean")
    np.testing.assert_allclose(mean[0].numpy(), rgb.mean(-1) / 255, atol=1e-5)
    (luma,) = mszoo.create("dataset", "image_folder", 1, path=str(tmp_path))
    assert (mean - luma).abs().max() > 0.05


def test_borders_are_cut_off(tmp_path: Path):
    pixels = np.arange(12 * 10, dtype=np.uint8).reshape(12, 10)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (cut,) = mszoo.create("dataset", "image_folder", 1, path=str(tmp_path), border=[3, 1])
    np.testing.assert_allclose(255 * cut[0].numpy(), pixels[3:-3, 1:-1], atol=1e-4)
    with pytest.raises(DataError, match=r"a\.png is 12x10: nothing is left"):
        mszoo.create("dataset", "image_folder", 1, path=str(tmp_path), border=[6, 0])
    with pytest.raises(OptionsError, match="border"):
        mszoo.create("dataset", "image_folder", 1, path=str(tmp_path), border=[-1, 0])


# ---- what is no image of yours ---------------------------------------------------------------------------------


def test_hidden_files_are_left_out_and_linked_folders_followed(images: Path, zipped: Path, tmp_path: Path) -> None:
    for name in ("._a2.png", ".ipynb_checkpoints/a2.png", "b/.hidden.png"):
        write(images / name, 255)
    with zipfile.ZipFile(zipped, "a") as archive:
        for name in ("._a2.png", ".ipynb_checkpoints/a2.png"):
            archive.write(images / name, name)
    assert values(folder_of(zipped)) == values(folder_of(images)) == [20, 70, 120, 170]
    write(tmp_path / "elsewhere" / "c.png", 220)
    (images / "linked").symlink_to(tmp_path / "elsewhere")
    (images / "round").symlink_to(images)
    assert values(folder_of(images)) == [20, 70, 120, 170, 220]


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png.* no plain file"):
        folder_of(tmp_path / "pipe.png")
    write(tmp_path / "a.png", 7)
    assert values(folder_of(tmp_path)) == [7]


def test_what_a_zip_file_unpacks_to_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_folder, "_LARGEST_MEMBER", 10_000)
    write(tmp_path / "good.png", 7)
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.bmp", bytes(1_000_000))
        archive.write(tmp_path / "good.png", "good.png")
    with pytest.warns(UserWarning, match=r"bomb\.bmp .* unpacks to 1,000,000 bytes"):
        dataset = folder_of(tmp_path / "set.zip")
    assert values(dataset) == [7]


def test_more_pixels_than_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.png", 7, (20, 20))
    monkeypatch.setenv("MSZOO_MAX_PIXELS", "100")
    with pytest.raises(DataError, match="MSZOO_MAX_PIXELS="):
        folder_of(tmp_path / "a.png")


def test_names_with_superscripts_and_long_numbers() -> None:
    names = ["a", "a2", "a²", "a10", f"a1{'0' * 5000}", f"a2{'0' * 5000}", "b"]
    mixed = [names[k] for k in (6, 3, 5, 2, 0, 4, 1)]
    assert sorted(mixed, key=natural_order) == ["a", "a2", "a10", names[4], names[5], "a²", "b"]


def test_of_several_pages_the_first_is_taken_and_told(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((6, 8), value, np.uint8)) for value in (10, 20)]
    for name in ("a.tif", "b.gif", "c.webp"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    write(tmp_path / "d.png", 30)
    with pytest.warns(UserWarning, match="only the first is taken") as told:
        assert values(folder_of(tmp_path))[-1] == 30
    (message,) = [str(one.message) for one in told]
    assert all(name in message for name in ("a.tif", "b.gif", "c.webp"))
    assert "d.png" not in message


def test_a_twelve_bit_image_in_sixteen_bits_is_told_of(tmp_path: Path) -> None:
    for name, high in (("dark.png", 400), ("fair.png", 60000)):
        Image.fromarray(np.arange(48, dtype=np.uint16).reshape(6, 8) * (high // 48)).save(tmp_path / name)
    with pytest.warns(UserWarning, match="nearly flat.*dark.png") as told:
        folder_of(tmp_path)
    assert "fair.png" not in str(told[0].message)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.float32])
def test_values_of_unknown_range_are_no_images(tmp_path: Path, dtype: type) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.arange(48).reshape(6, 8).astype(dtype))
    with pytest.raises(DataError, match=r"a\.tif.*range"):
        folder_of(tmp_path)


# ---- sizes, from headers ---------------------------------------------------------------------------------------


def late_exif(path: Path, orientation: int) -> None:
    """Move a PNG file's EXIF behind its pixels, where some programs write it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = len(body).to_bytes(4, "big") + b"eXIf" + body + zlib.crc32(b"eXIf" + body).to_bytes(4, "big")
    content = path.read_bytes()
    path.write_bytes(content[:-12] + chunk + content[-12:])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_those_of_the_images_as_they_stand_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.arange(160, dtype=np.uint8).reshape(10, 16))
    for suffix in ("png", "jpg", "tif", "webp"):
        picture.save(tmp_path / f"a.{suffix}", exif=exif)
    for name in ("b.bmp", "b.gif", "b.pgm", "late.png"):
        picture.save(tmp_path / name)
    late_exif(tmp_path / "late.png", orientation)
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in tmp_path.glob("*.*[a-y]"):
            archive.write(path, path.name)
    turned = 0
    for path in (tmp_path, tmp_path / "all.zip"):
        dataset = mszoo.create("dataset", "image_folder", 1, path=str(path), border=(1, 2))
        sizes = [dataset.size(i) for i in range(len(dataset))]
        assert sizes == [tuple(image.shape[-2:]) for image in dataset]
        png, tif = (
            next(image for i, image in enumerate(dataset) if dataset.label(i).endswith(n)) for n in ("a.png", "a.tif")
        )
        assert torch.equal(png, tif)
        turned += sizes.count((14, 6))
    assert turned == (10 if orientation > 4 else 0)


def test_pixels_are_read_when_they_are_asked_for(images: Path) -> None:
    whole = (images / "a2.png").read_bytes()
    (images / "a2.png").write_bytes(whole[:45])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = folder_of(images)
    assert [dataset.size(i) for i in range(4)] == [(6, 8)] * 4
    with pytest.raises(DataError, match=r"a2\.png cannot be read"):
        dataset[0]
    with pytest.warns(UserWarning, match=r"skipped: .*a2\.png cannot be read"):
        assert [i for i, _ in readable(dataset)] == [1, 2, 3]
    (images / "a2.png").write_bytes(whole)
    assert values(dataset) == [20, 70, 120, 170]


def test_of_a_large_set_sizes_are_read_when_they_are_asked_for(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_folder, "LOOKED_AT", 3)
    monkeypatch.setattr(image_folder, "_SOME", 1)
    (images / "a10.PNG").write_bytes(b"no image")
    dataset = folder_of(images)
    assert [dataset.size(i) for i in (0, 2, 3)] == [(6, 8)] * 3
    for ask in (dataset.size, dataset.__getitem__):
        with pytest.raises(DataError, match=r"a10\.PNG cannot be read"):
            ask(1)
    assert len(dataset) == 4


def test_names_are_kept_as_they_are(tmp_path: Path) -> None:
    names = ["", "a", "é\udce9", "日本", "a" * 1000]
    packed = Packed(names)
    assert list(packed) == names
    assert packed[-1] == names[-1]
    assert packed[1:3] == names[1:3]
    with pytest.raises(IndexError):
        packed[5]
