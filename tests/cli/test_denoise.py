"""mszoo denoise on files as people have them, with a model that returns its input."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from tests import factories
from tests.cli.conftest import save_image
from tests.pictures.kinds import CONVERTED, EXACT, PILLOW_CANNOT, PROFILE, REFUSED, SIZE, pillow, tiff, words_of


@pytest.fixture(scope="module", params=[1, 3])
def identity(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("identity")
    factories.identity(channels=request.param).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def grey_identity(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("grey-identity")
    factories.identity().save_pretrained(folder)
    return folder


def upright_values(path: Path) -> list[np.ndarray]:
    """All pages as they are stored, by tifffile and Pillow, brought upright; 16-bit PNG by this package's reader."""
    if path.suffix.lower() in (".tif", ".tiff"):
        with tifffile.TiffFile(path) as file:
            if any(page.bitspersample > 8 for page in file.pages):
                pages = [page.asarray() for page in file.pages]
                if file.pages[0].planarconfig == 2:
                    pages = [np.moveaxis(p, 0, -1) for p in pages]
                return [np.iinfo(p.dtype).max - p if file.pages[0].photometric == 0 else p for p in pages]
    if path.suffix == ".png" and path.read_bytes()[24] == 16:
        from mszoo.pictures.reading import open_picture

        (page,) = open_picture(path).read()
        return [page.stored if page.alpha is None else np.dstack([page.stored, page.alpha])]
    with Image.open(path) as image:
        found = []
        for k in range(getattr(image, "n_frames", 1)):
            image.seek(k)
            found.append(np.asarray(ImageOps.exif_transpose(image)))
        return found


def durations(image: Image.Image) -> list[float]:
    found = []
    for k in range(getattr(image, "n_frames", 1)):
        image.seek(k)
        image.load()
        found.append(image.info["duration"])
    return found


def test_a_folder_of_forty_kinds_comes_back_as_it_was(mszoo_command, identity, tmp_path):
    folder, out = tmp_path / "photos", tmp_path / "cleaned"
    folder.mkdir()
    makers = EXACT | {name: make for name, (make, _) in CONVERTED.items()}
    assert len(makers) >= 40
    for name, make in makers.items():
        make(folder / name)
    before = {p: p.read_bytes() for p in folder.iterdir()}
    code, said, err = mszoo_command("denoise", folder, out, "--model", identity)
    assert code == 0, err
    assert f"{len(makers)} written" in said
    assert {p: p.read_bytes() for p in folder.iterdir()} == before, "sources are only read"
    for name in EXACT:
        given, got = upright_values(folder / name), upright_values(out / name)
        assert len(got) == len(given), name
        for a, b in zip(given, got, strict=True):
            assert (b.shape, b.dtype.newbyteorder("=")) == (a.shape, a.dtype.newbyteorder("=")), name
            if a.dtype.kind == "f":
                np.testing.assert_allclose(b, a, rtol=1e-3 if a.dtype == np.float16 else 1e-6, atol=1e-7, err_msg=name)
            else:
                np.testing.assert_array_equal(b, a, err_msg=name)
    for name in ("deep-colour.tif", "stack.tif", "micrometres.tif"):
        with tifffile.TiffFile(folder / name) as a, tifffile.TiffFile(out / name) as b:
            for tag in (34675, 270):
                assert b.pages[0].tags.valueof(tag) == a.pages[0].tags.valueof(tag)
    for name in makers.keys() - PILLOW_CANNOT:
        with Image.open(folder / name) as a, Image.open(out / name) as b:
            assert a.format == b.format or (a.format, b.format) == ("MPO", "JPEG")
            if a.mode != "CMYK":  # its profile fits no RGB
                assert b.info.get("icc_profile") == a.info.get("icc_profile"), name
            theirs, ours = a.getexif(), b.getexif()
            if 0x010F in theirs:
                assert ours[0x010F] == "A camera", name
                assert ours.get_ifd(0x8769)[0x9003] == "2024:02:29 12:00:00", name
                assert ours.get(0x0112, 1) == 1, name
            if getattr(a, "n_frames", 1) > 1 and a.format != "TIFF":
                assert durations(b) == durations(a) == [40, 80, 120], name
                assert b.info["loop"] == 3
    lines = {Path(line.split("  ")[0]).name: line for line in said.splitlines()}
    for name, (_, note) in CONVERTED.items():
        assert note in lines[name], lines[name]
    assert Image.open(out / "camera.jpg").info["icc_profile"] == PROFILE


def test_premultiplied_colours_look_the_same(mszoo_command, grey_identity, tmp_path):
    CONVERTED["premultiplied.tif"][0](tmp_path / "a.tif")
    assert mszoo_command("denoise", tmp_path / "a.tif", tmp_path / "b.tif", "--model", grey_identity)[0] == 0
    a, b = (tifffile.imread(tmp_path / name).astype(float) for name in ("a.tif", "b.tif"))
    np.testing.assert_array_equal(a[..., 3], b[..., 3])
    assert abs(b[..., :3] * b[..., 3:] / 65535 - a[..., :3]).max() < 1


@pytest.mark.parametrize("name", ["a.jpg", "a.tif", "a.png"])
def test_text_that_is_not_ascii_is_kept(mszoo_command, grey_identity, tmp_path, name):
    about = Image.Exif()
    about[0x8298] = "© Zoë".encode()
    Image.new("L", (8, 8), 99).save(tmp_path / name, exif=about)
    assert mszoo_command("denoise", tmp_path / name, tmp_path / f"b{name}", "--model", grey_identity)[0] == 0
    before, after = (Image.open(tmp_path / n).getexif()[0x8298] for n in (name, f"b{name}"))
    assert after == before


@pytest.mark.parametrize("name", REFUSED)
def test_values_of_unknown_range_are_refused_with_advice(mszoo_command, grey_identity, tmp_path, name):
    make, advice = REFUSED[name]
    make(tmp_path / name)
    code, _, err = mszoo_command("denoise", tmp_path / name, tmp_path / "out.tif", "--model", grey_identity)
    assert (code, advice in err, name in err) == (1, True, True), err
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("name", [n for n, (_, advice) in REFUSED.items() if "range" in advice])
def test_a_range_makes_them_images(mszoo_command, grey_identity, tmp_path, name):
    REFUSED[name][0](tmp_path / name)
    words = ("--model", grey_identity, "--range=-1000:1000")
    code, _, err = mszoo_command("denoise", tmp_path / name, tmp_path / "out.tif", *words)
    assert code == 0, err
    a, b = tifffile.imread(tmp_path / name), tifffile.imread(tmp_path / "out.tif")
    assert a.dtype == b.dtype
    np.testing.assert_allclose(b, a, atol=1e-3)


def test_a_twelve_bit_micrograph(mszoo_command, grey_identity, tmp_path):
    values = 10 + words_of(high=378)
    tiff(values)(tmp_path / "cell.tif")
    code, _, err = mszoo_command("denoise", tmp_path / "cell.tif", tmp_path / "a.tif", "--model", grey_identity)
    assert code == 0
    assert "--range LOW:HIGH" in err
    for target, exact in (("b.tif", True), ("b.png", True), ("b.jpg", False)):
        code, said, err = mszoo_command(
            *("denoise", tmp_path / "cell.tif", tmp_path / target, "--model", grey_identity, "--range", "0:400")
        )
        assert (code, err) == (0, "")
        assert exact or "16 bits became 8" in said
        back = np.asarray(Image.open(tmp_path / target))
        if exact:
            np.testing.assert_array_equal(back, values)
        else:
            assert np.abs(back / 255.0 - values / 400.0).mean() < 0.05


def test_the_psnr_is_of_what_was_written(mszoo_command, grey_identity, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(x).save(tmp_path / "x.png")
    gains = []
    for words in ((), ("--quality", "30")):
        code, said, _ = mszoo_command(
            *("denoise", tmp_path / "x.png", tmp_path / "y.jpg", "--model", grey_identity, "--overwrite"),
            *("--add-noise", "0.01", *words),
        )
        assert code == 0
        written = np.asarray(Image.open(tmp_path / "y.jpg"), dtype=float)
        expected = -10 * np.log10((((written - x) / 255.0) ** 2).mean())
        assert f"-> {expected:.2f} dB" in said
        gains.append(expected)
    assert gains[0] > gains[1] + 5


# ---- nobody's file is destroyed --------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_results_inside_the_sources_are_no_sources(mszoo_command, grey_identity, tmp_path):
    photos = tmp_path / "photos"
    save_image(photos / "a.png", 8, 8)
    save_image(photos / "b" / "c.png", 8, 9)
    words = ("denoise", photos, photos / "cleaned", "--model", grey_identity)
    assert mszoo_command(*words)[0] == 0
    once = contents(photos)
    code, _, err = mszoo_command(*words)
    assert (code, "exists: --overwrite" in err) == (1, True)
    assert mszoo_command(*words, "--overwrite")[0] == 0
    assert mszoo_command(*words, "--skip-existing")[0] == 0
    assert contents(photos) == once
    assert sorted(once) == ["a.png", "b/c.png", "cleaned/a.png", "cleaned/b/c.png"]


def test_an_original_in_the_way_is_not_replaced(mszoo_command, grey_identity, tmp_path):
    photos = tmp_path / "photos"
    for name in ("a.png", "cleaned/a.png"):
        save_image(photos / name, 8, 8 + len(name))
    before = contents(photos)
    code, _, err = mszoo_command("denoise", photos, photos / "cleaned", "--model", grey_identity)
    assert (code, "cleaned/a.png exists" in err) == (1, True)
    assert contents(photos) == before


@pytest.mark.parametrize("link", [os.link, os.symlink])
@pytest.mark.parametrize("words", [("denoise",), ("super-resolve",), ("solve",)])
def test_no_result_replaces_its_source(mszoo_command, grey_identity, tmp_path, link, words):
    image = save_image(tmp_path / "x.png", 8, 8)
    link(image, tmp_path / "same.png")
    before = image.read_bytes()
    for target in (image, tmp_path / "same.png"):
        code, _, err = mszoo_command(*words, image, target, "--model", grey_identity, "--overwrite")
        assert (code, "overwritten by its own result" in err) == (1, True)
    assert image.read_bytes() == (tmp_path / "same.png").read_bytes() == before


def test_an_interrupted_folder_is_continued_to_the_same_result(mszoo_command, grey_identity, tmp_path):
    for i in range(4):
        save_image(tmp_path / "in" / f"{i}.png", 8, 8)
    words = ("--model", grey_identity, "--add-noise", "0.1")
    assert mszoo_command("denoise", tmp_path / "in", tmp_path / "whole", *words)[0] == 0
    assert mszoo_command("denoise", tmp_path / "in", tmp_path / "part", *words)[0] == 0
    for i in (1, 3):
        (tmp_path / "part" / f"{i}.png").unlink()
    code, said, _ = mszoo_command("denoise", tmp_path / "in", tmp_path / "part", *words, "--skip-existing")
    assert (code, "2 written; left out: 2 with a result" in said) == (0, True)
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")


def test_a_killed_folder_is_continued_to_the_same_result(mszoo_command, grey_identity, tmp_path):
    for i in range(40):
        save_image(tmp_path / "in" / f"{i}.png", 300, 300, 3)
    words = ("--model", str(grey_identity), "--add-noise", "0.1")
    part = tmp_path / "part"
    program = [sys.executable, "-m", "mszoo", "denoise", str(tmp_path / "in"), str(part), *words, "--skip-existing"]
    for k in (1, 5, 9):
        process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (part / f"{k}.png").exists():
            time.sleep(0.01)
        process.kill()
        process.wait()
    assert not (part / "39.png").exists(), "it was killed in the middle"
    assert mszoo_command("denoise", tmp_path / "in", part, *words, "--skip-existing")[0] == 0
    assert mszoo_command("denoise", tmp_path / "in", tmp_path / "whole", *words)[0] == 0
    assert {n: c for n, c in contents(part).items() if not n.endswith(".part")} == contents(tmp_path / "whole")


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8"])
def test_names_that_the_terminal_cannot_show_end_nothing(mszoo_command, grey_identity, tmp_path, monkeypatch, encoding):
    names = [b"latin-\xe9.png", "日本.png".encode(), b"two\nlines\x1b[2J.png"]
    (tmp_path / "in").mkdir()
    for name in names:
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "one.png")
        os.rename(tmp_path / "one.png", os.fsencode(tmp_path / "in") + b"/" + name)
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    assert mszoo_command("denoise", tmp_path / "in", tmp_path / "out", "--model", grey_identity)[0] == 0
    stream.flush()
    said = stream.buffer.getvalue()
    assert b"3 written" in said
    assert b"\x1b" not in said
    assert sorted(os.listdir(os.fsencode(tmp_path / "out"))) == sorted(names)


def test_noisy_floats_are_images_and_results_are_sources(mszoo_command, grey_identity, tmp_path):
    random = np.random.default_rng(0)
    tiff((random.random((32, 32)) + 0.2 * random.standard_normal((32, 32))).astype(np.float32))(tmp_path / "x.tif")
    for source, target in (("x.tif", "y.tif"), ("y.tif", "z.tif")):
        words = (tmp_path / source, tmp_path / target, "--model", grey_identity)
        code, said, err = mszoo_command("denoise", *words, "--add-noise", "0.1")
        assert code == 0, err
        noisy, same = re.findall(r"(\d+\.\d\d)", said.split("  ")[-1])
        assert noisy == same, "what is written is not clipped"


def test_what_the_written_format_cannot_hold_is_said(mszoo_command, grey_identity, tmp_path):
    save_image(tmp_path / "alpha.png", 8, 8, 4)
    EXACT["stack.tif"](tmp_path / "stack.tif")
    EXACT["profile-deep.png"](tmp_path / "deep.png")
    for source, target, code, expected in (
        ("alpha.png", "a.jpg", 0, "transparency laid over white"),
        ("stack.tif", "b.jpg", 1, "holds one image"),
        ("stack.tif", "b.png", 0, "16 bits became 8"),
        ("deep.png", "c.bmp", 0, "colour profile and EXIF"),
        ("deep.png", "c.tif", 0, "EXIF (a deep TIFF file)"),
    ):
        got, said, err = mszoo_command("denoise", tmp_path / source, tmp_path / target, "--model", grey_identity)
        assert (got, expected in (said + err).replace("\n", " ")) == (code, True), said + err
        assert (tmp_path / target).exists() == (code == 0)


def test_what_lies_in_a_folder(mszoo_command, grey_identity, tmp_path):
    photos, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    for name in ("a.png", "._a.png", ".ipynb_checkpoints/a-checkpoint.png", "__MACOSX/b.png"):
        save_image(photos / name, 8, 8)
    save_image(elsewhere / "linked.png", 8, 8)
    (photos / "link").symlink_to(elsewhere)
    (photos / "round").symlink_to(photos)
    (photos / "nothing.png").symlink_to(tmp_path / "gone.png")
    (photos / "notes.txt").write_text("notes")
    os.mkfifo(photos / "pipe.png")
    code, said, err = mszoo_command("denoise", photos, tmp_path / "out", "--model", grey_identity)
    assert code == 0, err
    assert sorted(contents(tmp_path / "out")) == ["a.png", "link/linked.png"]
    for reason in ("1 hidden", "2 a hidden folder", "1 no image format", "1 a link to nothing", "1 no plain file"):
        assert reason in said


@pytest.mark.parametrize("verb", ["denoise", "super-resolve", "solve"])
def test_what_has_no_end_is_refused(mszoo_command, grey_identity, tmp_path, verb):
    os.mkfifo(tmp_path / "pipe.png")
    for source in (tmp_path / "pipe.png", "/dev/zero"):
        code, _, err = mszoo_command(verb, source, tmp_path / "y.png", "--model", grey_identity)
        assert (code, "no plain file" in err) == (1, True)


def test_a_full_disk_leaves_what_stood_before(mszoo_command, grey_identity, tmp_path, monkeypatch):
    image, target = save_image(tmp_path / "x.png", 8, 8), save_image(tmp_path / "out" / "x.png", 5, 5)
    before = target.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = mszoo_command("denoise", image, target, "--model", grey_identity, "--overwrite")
    assert (code, "No space left" in err) == (1, True)
    assert contents(target.parent) == {"x.png": before}


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_more_pixels_than_are_read(mszoo_command, grey_identity, tmp_path, monkeypatch, name):
    """The advice is followed to the letter, and is enough."""
    image = tmp_path / name
    tifffile.imwrite(image, np.zeros((21, 17), np.uint8)) if name == "x.tif" else save_image(image, 21, 17)
    monkeypatch.setenv("MSZOO_MAX_PIXELS", "100")
    code, _, err = mszoo_command("denoise", image, tmp_path / "y.png", "--model", grey_identity)
    assert code == 1
    found = re.search(r"MSZOO_MAX_PIXELS=(\d+)", err.replace("\n", ""))
    assert found is not None
    monkeypatch.setenv("MSZOO_MAX_PIXELS", found[1])
    assert mszoo_command("denoise", image, tmp_path / "y.png", "--model", grey_identity)[0] == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["denoise", "none.png", "y.png"], "no such file: none.png"),
        (["denoise", "x.png", "y.png", "--sigma", "abc"], "--sigma"),
        (["denoise", "x.png", "y.xyz"], "no image format .xyz"),
        (["denoise", "x.png", "x.png/y.png"], "x.png is no folder"),
        (["denoise", "x.png", "y.png", "--range", "5:1"], "--range"),
        (["solve", "none.png", "y.png"], "no such file: none.png"),
        (["solve", "x.png", "y"], "without a suffix"),
        (["super-resolve", "x.png", "none/y.xyz"], "no image format .xyz"),
        (["sample", "x.png"], "x.png is no folder"),
        (["sample", "out", "--size", "100000000x4"], "--size"),
        (["sample", "out", "--count", "1000000", "--size", "160"], "--count"),
    ],
)
def test_words_and_files_are_checked_before_torch_is_imported(tmp_path, words, expected):
    save_image(tmp_path / "x.png", 8, 8)
    program = (
        "import sys; from mszoo.cli import main\n"
        "try: main()\n"
        "finally: assert 'torch' not in sys.modules, 'torch was imported'"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 1
    assert expected in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.parametrize("shape", [(200, 190), (230, 140, 3)])
def test_a_large_image_in_tiles_is_the_same(mszoo_command, grey_model, tmp_path, shape):
    image = save_image(tmp_path / "x.png", *shape)
    for name, *more in (("whole.png",), ("tiles.png", "--tile", 64)):
        assert mszoo_command("denoise", image, tmp_path / name, "--model", grey_model, *more)[0] == 0
    whole, tiles = (np.asarray(Image.open(tmp_path / f"{n}.png")).astype(int) for n in ("whole", "tiles"))
    assert np.abs(whole - tiles).max() <= 1
    assert (whole != tiles).mean() < 0.01


def test_the_model_is_chosen_by_the_image(mszoo_command, tmp_path):
    from mszoo.hub import DENOISERS

    save_image(tmp_path / "in" / "grey.png", 20, 24)
    save_image(tmp_path / "in" / "colour.png", 20, 24, 3)
    save_image(tmp_path / "in" / "colour-alpha.png", 20, 24, 4)
    EXACT["stack.tif"](tmp_path / "in" / "stack.tif")
    code, said, err = mszoo_command("denoise", tmp_path / "in", tmp_path / "out")
    assert code == 0, err
    lines = {Path(line.split("  ")[0]).stem: line for line in said.splitlines()}
    for name, channels in (("grey", 1), ("colour", 3), ("colour-alpha", 3), ("stack", 1)):
        assert f"  by {DENOISERS[channels]}" in lines[name]
    for name, channels in (("grey", 1), ("colour", 3)):
        words = (tmp_path / "in" / f"{name}.png", tmp_path / "one.png", "--overwrite", "--model", DENOISERS[channels])
        code, said, err = mszoo_command("denoise", *words)
        assert (code, " by " in said) == (0, False)
        assert (tmp_path / "one.png").read_bytes() == (tmp_path / "out" / f"{name}.png").read_bytes()


@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 3)])
def test_strength_is_how_much_of_the_noise_goes(mszoo_command, grey_model, tmp_path, shape):
    image = save_image(tmp_path / "x.png", *shape)
    found = {}
    for strength in ("0", "0.25", "1"):
        words = ("--model", grey_model, "--strength", strength, "--overwrite")
        assert mszoo_command("denoise", image, tmp_path / "y.png", *words)[0] == 0
        found[strength] = np.asarray(Image.open(tmp_path / "y.png")).astype(float)
    np.testing.assert_array_equal(found["0"], np.asarray(Image.open(image)))
    clipped = (found["1"] == 0) | (found["1"] == 255)
    expected = found["0"] + 0.25 * (found["1"] - found["0"])
    assert np.abs(found["0.25"] - expected)[~clipped].max() <= 1
    assert mszoo_command("denoise", image, tmp_path / "z.png", "--strength", "1.5")[0] != 0
    assert not (tmp_path / "z.png").exists()


def test_photon_noise(mszoo_command, tmp_path):
    """Ten photons where it is brightest, 12 bits of which the lowest 100 values are the camera's."""
    row = np.linspace(0, 1, 96)
    clean = np.minimum(row[:, None], row[None]) ** 2
    counts = np.random.default_rng(0).poisson(10 * clean)
    tifffile.imwrite(tmp_path / "x.tif", (100 + 300 * counts).astype(np.uint16))
    errors = []
    for more in ((), ("--poisson", "1/10")):
        words = (tmp_path / "x.tif", tmp_path / "y.tif", "--range", "100:3100", "--overwrite", *more)
        code, _, err = mszoo_command("denoise", *words)
        assert code == 0, err
        errors.append(np.square((tifffile.imread(tmp_path / "y.tif") - 100.0) / 3000 - clean).mean())
    assert errors[1] < 0.9 * errors[0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--poisson", "0"], "the gain, what one photon adds"),
        (["--poisson", "x:1"], "--poisson: 'x' is no number"),
        (["--poisson", "0.1:-1"], "--poisson"),
        (["--poisson", "0.1", "--sigma", "0.1"], "leave --sigma and --add-noise out"),
        (["--poisson", "0.1", "--add-noise", "0.1"], "leave --sigma and --add-noise out"),
    ],
)
def test_photon_noise_that_means_nothing_is_refused(mszoo_command, tmp_path, words, expected):
    image = save_image(tmp_path / "x.png", 8, 8)
    code, _, err = mszoo_command("denoise", image, tmp_path / "y.png", *words)
    assert (code, expected in err.replace("\n", " ")) == (1, True), err
    assert not (tmp_path / "y.png").exists()


# ---- masks -----------------------------------------------------------------------------------------------------------

HOLES = np.zeros(SIZE, bool)
HOLES[2:5, 3:9] = True
QUICK = ("--h0", "0.5", "--sigma-end", "0.5")


def mask_of(kind: str, path: Path) -> None:
    known = np.uint8(~HOLES)
    clear = np.zeros((*SIZE, 4), np.uint8)
    clear[..., 3] = 255 * known
    ramp = np.tile(np.arange(SIZE[1], dtype=np.uint8), (SIZE[0], 1))
    array = {
        "0/255": 255 * known,
        "0/1": known,
        "bool": known.astype(bool),
        "soft": np.where(known, 200 + ramp, ramp).astype(np.uint8),
        "alpha": clear,
        "16 bits": 65535 * known.astype(np.uint16),
        "everything": np.full(SIZE, 255, np.uint8),
        "nothing": np.zeros(SIZE, np.uint8),
        "labels": ramp % 3,
        "size": np.zeros((3, 4), np.uint8),
        "clear": np.dstack([np.full(SIZE, 9, np.uint8), np.zeros(SIZE, np.uint8)]),
    }[kind]
    Image.fromarray(array).save(path)


@pytest.mark.filterwarnings("ignore:.*(diverged|converged)")
@pytest.mark.parametrize("kind", ["0/255", "0/1", "bool", "soft", "alpha", "16 bits"])
def test_masks(mszoo_command, grey_identity, tmp_path, kind):
    image = save_image(tmp_path / "x.png", *SIZE)
    mask_of(kind, tmp_path / "mask.png")
    words = ("--operator", "inpainting", "--mask", tmp_path / "mask.png", "--model", grey_identity, *QUICK)
    code, said, err = mszoo_command("solve", image, tmp_path / "y.png", *words)
    assert code == 0, err
    assert f"{HOLES.sum()} of {HOLES.size} pixels are holes" in said
    x, y = (np.asarray(Image.open(tmp_path / name)) for name in ("x.png", "y.png"))
    np.testing.assert_array_equal(x[~HOLES], y[~HOLES])
    assert (x[HOLES] != y[HOLES]).any()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("everything", "all pixels are known"),
        ("nothing", "no pixel is known"),
        ("clear", "no pixel is known"),
        ("labels", "values up to 2 of 255"),
        ("size", "they must be the same"),
    ],
)
def test_masks_that_mean_nothing_are_refused(mszoo_command, grey_identity, tmp_path, kind, expected):
    image = save_image(tmp_path / "x.png", *SIZE)
    mask_of(kind, tmp_path / "mask.png")
    words = ("--operator", "inpainting", "--mask", tmp_path / "mask.png", "--model", grey_identity)
    code, _, err = mszoo_command("solve", image, tmp_path / "y.png", *words)
    assert (code, expected in err.replace("\n", " ")) == (1, True), err
    assert not (tmp_path / "y.png").exists()


@pytest.mark.filterwarnings("ignore:.*(diverged|converged)")
def test_solve_keeps_depth_profile_and_transparency(mszoo_command, grey_identity, tmp_path):
    from tests.pictures.kinds import png16

    deep = words_of(4)
    png16(deep, icc=PROFILE)(tmp_path / "x.png")
    words = ("--operator", "random-pixels", "--fraction", "1", "--model", grey_identity, *QUICK)
    code, _, err = mszoo_command("solve", tmp_path / "x.png", tmp_path / "y.png", *words)
    assert code == 0, err
    (got,) = upright_values(tmp_path / "y.png")
    np.testing.assert_allclose(got.astype(int), deep, atol=1)
    assert Image.open(tmp_path / "y.png").info["icc_profile"] == PROFILE


def test_an_unfinished_name_of_any_length(mszoo_command, grey_identity, tmp_path):
    name = "x" * 251 + ".png"
    stream = io.BytesIO()
    pillow(np.zeros((4, 4), np.uint8), format="png")(stream)
    (tmp_path / name).write_bytes(stream.getvalue())
    assert mszoo_command("denoise", tmp_path / name, tmp_path / "out", "--model", grey_identity)[0] == 0
    assert os.listdir(tmp_path / "out") == [name]


@pytest.mark.parametrize("place", ["before", "after", "comment", "none", "xmp"])
def test_text_of_a_picture_is_told_of(mszoo_command, grey_identity, tmp_path, place):
    image, path = Image.new("L", (8, 8), 100), tmp_path / ("a.jpg" if place == "comment" else "a.png")
    about = PngInfo()
    if place in ("before", "xmp"):
        about.add_itxt("XML:com.adobe.xmp" if place == "xmp" else "Title", "something")
    image.save(path, **({"comment": b"something"} if place == "comment" else {"pnginfo": about}))
    if place == "after":  # between the pixels and the end
        data, text = path.read_bytes(), b"tEXtTitle\0something"
        chunk = (len(text) - 4).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
        path.write_bytes(data[:-12] + chunk + data[-12:])
    code, out, err = mszoo_command("denoise", path, tmp_path / "out.png", "--model", grey_identity)
    assert code == 0, err
    assert ("text and comments not kept" in out) == (place not in ("none", "xmp"))


@pytest.mark.parametrize("verb", ["solve", "super-resolve"])
@pytest.mark.filterwarnings("ignore:.*(diverged|converged)")
def test_a_range_for_one_image(mszoo_command, grey_model, tmp_path, verb):
    values = np.arange(64, dtype=np.int32).reshape(8, 8) * 60
    tifffile.imwrite(tmp_path / "a.tif", values)
    words = (
        tmp_path / "a.tif",
        tmp_path / "b.tif",
        "--overwrite",
        "--model",
        grey_model,
        "--h0",
        "0.5",
        "--sigma-end",
        "0.5",
    )
    more = ("--fraction", "1") if verb == "solve" else ("--factor", "2")
    code, _, err = mszoo_command(verb, *words, *more)
    assert code == 1
    assert "--range LOW:HIGH" in err
    code, _, err = mszoo_command(verb, *words, *more, "--range", "0:4095")
    assert code == 0, err
    assert tifffile.imread(tmp_path / "b.tif").dtype == np.int32
    code, _, err = mszoo_command(verb, *words, *more, "--range", "1:x")
    assert code == 1
    assert "--range: '1:x' is no range" in err


@pytest.mark.parametrize("channels", [(), (3,)])
def test_an_energy_finds_the_noise(mszoo_command, tmp_path, channels):
    row = np.linspace(60, 190, 32)
    noise = np.random.default_rng(0).normal(0, 0.1 * 255, (32, 32, *channels))
    smooth = (row[:, None] + row[None]).reshape(32, 32, *[1 for _ in channels]) / 2
    Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8)).save(tmp_path / "x.png")
    code, said, err = mszoo_command("denoise", tmp_path / "x.png", tmp_path / "y.png", "--model", "cifar10-grey-energy")
    assert code == 0, err
    (sigma,) = re.findall(r"sigma (0\.\d+) found", said)
    assert abs(float(sigma) / 0.1 - 1) < 0.1
