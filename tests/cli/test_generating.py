"""The verbs that draw images, on a small untrained model: files, sizes, seeds and refusals."""

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from mszoo.data.images import read_image
from tests.cli.conftest import save_image
from tests.factories import denoiser

QUICK = ("--h0", "0.5", "--sigma-end", "0.5")
pytestmark = pytest.mark.filterwarnings("ignore:.*(diverged|converged)")


def test_sample(mszoo_command, grey_model, tmp_path):
    coarse = ("--coarse-h0", "0.5", "--coarse-beta", "1", "--coarse-sigma-end", "0.5")
    for out, count in (("a", 3), ("b", 1)):
        words = ("--model", grey_model, "--count", count, "--size", "16x24", "--seed", 5, *QUICK, *coarse)
        code, said, err = mszoo_command("sample", tmp_path / out, *words)
        assert code == 0, err
        assert f"wrote {count} image(s)" in said
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == ["0.png", "1.png", "2.png", "sheet.png"]
    assert read_image(tmp_path / "a" / "0.png", "0").shape == (1, 16, 24)
    assert (tmp_path / "a" / "0.png").read_bytes() == (tmp_path / "b" / "0.png").read_bytes()


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_sheet_of_samples_names_model_and_files(mszoo_command, grey_model, tmp_path, kind):
    words = ("--model", grey_model, "--count", 3, "--size", 16, "--format", kind, "--figure-size", "4x3", *QUICK)
    code, _, err = mszoo_command("sample", tmp_path / "a", *words)
    assert code == 0, err
    if kind == "png":
        assert Image.open(tmp_path / "a" / "sheet.png").size == (1200, 900)
    else:
        drawn = (tmp_path / "a" / "sheet.svg").read_text()
        assert all(f"<!-- {text} -->" in drawn for text in ("0.png", "1.png", "2.png"))
        assert f"drawn from {Path(grey_model).name}" in drawn
    assert (tmp_path / "a" / "2.png").exists()


@pytest.mark.parametrize("shape", [(8, 12), (8, 8, 3)])
def test_super_resolve(mszoo_command, grey_model, tmp_path, shape):
    small, large = save_image(tmp_path / "small.png", *shape), tmp_path / "large.png"
    code, _, err = mszoo_command("super-resolve", small, large, "--model", grey_model, "--factor", 2, *QUICK)
    assert code == 0, err
    assert read_image(large, "large").shape == (len(shape) if len(shape) == 3 else 1, 2 * shape[0], 2 * shape[1])


@pytest.mark.parametrize("operator", ["inpainting", "random-pixels", "random-projections", "blur", "super-resolution"])
@pytest.mark.parametrize("channels", [1, 3])
def test_solve(mszoo_command, grey_model, tmp_path, operator, channels):
    size = (16, 20) if operator == "super-resolution" else (15, 21)
    image = save_image(tmp_path / "x.png", *size, *[3] * (channels == 3))
    Image.fromarray(np.uint8(255 * (np.arange(size[0] * size[1]).reshape(size) % 3 > 0))).save(tmp_path / "mask.png")
    words = ("--mask", tmp_path / "mask.png") if operator == "inpainting" else ()
    code, out, err = mszoo_command(
        "solve", image, tmp_path / "y.png", "--operator", operator, "--model", grey_model, *words, *QUICK
    )
    assert code == 0, err
    assert "dB (pseudo-inverse) -> " in out
    assert read_image(tmp_path / "y.png", "y").shape == (channels, *size)


def stack(path):
    """Three pages of 16 bits, the last of another size; the first one's own file beside it."""
    sizes = [(16, 16), (16, 16), (16, 8)]
    pages = [np.random.default_rng(k).integers(0, 65536, size, dtype=np.uint16) for k, size in enumerate(sizes)]
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            file.write(page, metadata=None, photometric="minisblack")
    return pages


@pytest.mark.parametrize(
    ("words", "factor"), [(("super-resolve", "--factor", 2), 2), (("solve", "--operator", "random-pixels"), 1)]
)
def test_all_pages_of_a_stack(mszoo_command, grey_model, tmp_path, words, factor):
    pages = stack(tmp_path / "in.tif")
    tifffile.imwrite(tmp_path / "first.tif", pages[0], metadata=None)
    verb, *more = words
    for name in ("in", "first"):
        target = tmp_path / f"{name}-out.tif"
        code, said, err = mszoo_command(verb, tmp_path / f"{name}.tif", target, "--model", grey_model, *QUICK, *more)
        assert code == 0, err
        assert ("3 pages" in said) == (name == "in")
    with tifffile.TiffFile(tmp_path / "in-out.tif") as file:
        found = [page.asarray() for page in file.pages]
    assert [page.shape for page in found] == [(factor * p.shape[0], factor * p.shape[1]) for p in pages]
    assert {page.dtype for page in found} == {np.dtype(np.uint16)}
    np.testing.assert_array_equal(found[0], tifffile.imread(tmp_path / "first-out.tif"))


@pytest.mark.parametrize(
    ("operator", "factor"),
    [(["blur", "--width", 1.2], 1), (["super-resolution", "--factor", 2], 2), (["inpainting"], 1)],
)
@pytest.mark.parametrize("sigma", [(), ("--sigma", "5/255")])
def test_solve_restores_what_was_measured(mszoo_command, grey_model, tmp_path, operator, factor, sigma):
    image = save_image(tmp_path / "x.png", 14, 20, 3)
    Image.fromarray(np.uint8(255 * (np.arange(280).reshape(14, 20) % 3 > 0))).save(tmp_path / "mask.png")
    mask = ("--mask", tmp_path / "mask.png") if operator == ["inpainting"] else ()
    words = ("--operator", *operator, *mask, *sigma, "--model", grey_model, *QUICK)
    code, said, err = mszoo_command("solve", image, tmp_path / "y.png", "--measured", *words)
    assert code == 0, err
    assert "dB" not in said
    assert read_image(tmp_path / "y.png", "y").shape == (3, 14 * factor, 20 * factor)


def test_solve_finds_the_noise_of_a_blurred_photograph(mszoo_command, grey_model, tmp_path):
    image = save_image(tmp_path / "x.png", 30, 20, 3)
    words = (image, tmp_path / "y.png", "--sigma", "auto", "--model", grey_model, *QUICK)
    code, _, err = mszoo_command("solve", *words, "--measured", "--operator", "blur", "--width", 2)
    assert code == 0, err
    code, _, err = mszoo_command("solve", *words, "--measured", "--operator", "super-resolution", "--overwrite")
    assert code == 1
    assert "the noise cannot be found" in err
    code, _, err = mszoo_command("solve", *words, "--overwrite")
    assert code == 1
    assert "no number" in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["solve", "x.png", "y.png", "--measured"], "--operator blur, super-resolution or inpainting"),
        (["solve", "x.png", "y.png", "--sigma", "12"], "did you mean 12/255"),
        (["sample", "out", "--size", "15"], "nearest sizes that work"),
        (["sample", "out", "--size", "15"], "give one with --size"),
        *((["sample", "out", "--size", size], "write 160, or 128x192") for size in ("big", "3x", "x3", "1_6", "٣", "")),
        (["sample", "out", "--count", "0"], "--count"),
        (["sample", "out", "--beta", "2"], "beta: input should be less than or equal to 1, got 2"),
        (["sample", "out", "--sampler", "huen"], "did you mean 'heun'"),
        (["sample", "out", "--sampler", "heun", "--beta", "1"], "unknown key"),
        (["super-resolve", "x.png", "y.png", "--sampler", "heun", "--h0", "1"], "unknown key"),
        (["super-resolve", "x.png", "y.png", "--factor", "8"], "at most 4, not by 8"),
        (["super-resolve", "x.png", "y.png", "--factor", "3"], "power of two"),
        (["super-resolve", "none.png", "y.png"], "no such file: none.png"),
        (["solve", "x.png", "y.png", "--operator", "blurr"], "'blur'"),
        (["solve", "x.png", "y.png", "--operator", "inpainting"], "--mask"),
        (["solve", "x.png", "y.png", "--operator", "blur", "--mask", "x.png"], "--mask is for --operator inpainting"),
        (["solve", "x.png", "y.png", "--operator", "inpainting", "--mask", "stack.tif"], "has 3 pages"),
        (["solve", "stack.tif", "y.jpg"], "holds one image"),
        (["super-resolve", "stack.tif", "y.jpg"], "holds one image"),
        (["solve", "x.png", "y.png", "--operator", "inpainting", "--mask", "odd.png"], "must be the same"),
        (["solve", "x.png", "y.png", "--fraction", "0"], "fraction: must be in (0, 1]"),
        (["solve", "odd.png", "y.png", "--operator", "super-resolution"], "nearest sizes that work"),
        (["solve", "x.png", "y.png", "--operator", "super-resolution", "--factor", "5"], "power of two"),
    ],
)
def test_refusals(mszoo_command, grey_model, tmp_path, monkeypatch, words, expected):
    monkeypatch.chdir(tmp_path)
    save_image(tmp_path / "x.png", 16, 16)
    save_image(tmp_path / "odd.png", 15, 16)
    stack(tmp_path / "stack.tif")
    before = sorted(tmp_path.iterdir())
    code, out, err = mszoo_command(*words, "--model", grey_model)
    assert code in (1, 2)
    assert expected in (out + err).replace("\n", " ")
    assert sorted(tmp_path.iterdir()) == before, "a refused command leaves nothing behind"


def test_evaluate_compares_models_and_draws(mszoo_command, grey_model, tmp_path):
    other = tmp_path / "other"
    denoiser(levels=2, channels=1, receptive_field=7).save_pretrained(other)
    image, out = save_image(tmp_path / "x.png", 17, 16), tmp_path / "out"
    words = ("--data", image, "--sigma", "0.1", "--sigma", "0.4", "--out", out, "--pixel", "8,8", "--pixel", "0,0")
    code, said, err = mszoo_command("evaluate", grey_model, other, *words)
    assert code == 0, err
    assert grey_model.name in said
    with open(out / "psnr.csv") as file:
        assert len(list(csv.DictReader(file))) == 4
    pictures = {p.name for p in out.glob("*.png")}
    assert pictures == {
        *("psnr-noise.png", "psnr-receptive-field.png"),
        *(f"filters-{name}.png" for name in (grey_model.name, "other")),
    }
    for words, expected in [
        (("--pixel", "8,8"), "--out FOLDER"),
        (("--pixel", "8", "--out", out, "--overwrite"), "write 80,60"),
        (("--pixel", "99,0", "--out", out, "--overwrite"), "outside the image"),
    ]:
        code, _, err = mszoo_command("evaluate", grey_model, "--data", image, "--sigma", "0.1", *words)
        assert (code, expected in err.replace("\n", " ")) == (1, True)
    assert mszoo_command("evaluate", grey_model, grey_model)[0] == 1
