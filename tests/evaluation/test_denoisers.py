"""Denoisers side by side: the same noise for all, and numbers that the library gives alone."""

import csv
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import mszoo
import mszoo.cli
from mszoo.errors import MszooError, UnsupportedError
from mszoo.evaluation import evaluate, open_images
from mszoo.evaluation.baselines import BASELINES, check_installed, denoise_by, installed
from mszoo.evaluation.cost import multiply_adds
from mszoo.evaluation.denoisers import compare, markdown, measure, ssim
from mszoo.inference import add_noise
from tests.factories import chain, denoiser

INSTALLED = [name for name in BASELINES if installed(name)]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    ramp = torch.linspace(40, 220, 48)
    for i, slope in enumerate((ramp[:, None] + 0 * ramp, 0 * ramp[:, None] + ramp.flip(0))):
        Image.fromarray(slope.to(torch.uint8).numpy()).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    denoiser(levels=1).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", INSTALLED)
@pytest.mark.parametrize("channels", [1, 3])
def test_baselines_denoise_grey_and_colour(name, channels):
    ramp = torch.linspace(0.1, 0.9, 48)
    x = (ramp * ramp[:, None]).expand(1, channels, 48, 48)
    y = add_noise(x, 0.1, 0, 0).float()
    found = denoise_by(name, y, 0.1)
    assert (found.shape, found.dtype) == (y.shape, y.dtype)
    assert (found - x).std() < 0.06


def test_the_command_line_knows_them_all():
    assert tuple(BASELINES) == sys.modules["mszoo.cli.compare"]._BASELINES


def test_a_baseline_that_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match=r"pip install 'mszoo\[bench\]'"):
        check_installed("bm3d")
    with pytest.raises(UnsupportedError, match=r"bm3d .*mszoo\[bench\]"):
        compare(["bm3d"], sigmas=[0.1])


def test_the_numbers_are_those_of_evaluate(photographs, model):
    found = measure(str(model), open_images(photographs, 1), (0.1, 0.3), 7, "cpu")
    loaded = mszoo.load(model)
    alone = evaluate(loaded, photographs, sigmas=[0.1, 0.3], seed=7)
    for row, expected in zip(found.rows, alone.psnr.rows, strict=True):
        assert row.noisy == pytest.approx(expected.noisy)
        assert row.denoised == pytest.approx(expected.denoised, abs=1e-3)
    assert found.rows[0].parameters == sum(p.numel() for p in loaded.parameters())
    assert not found.rows[0].told_sigma, "it is blind"
    baseline = measure("tv", open_images(photographs, 1), (0.1, 0.3), 7, "cpu")
    assert [row.noisy for row in baseline.rows] == [row.noisy for row in found.rows], "the same noise for all"
    assert baseline.rows[0].told_sigma
    table = markdown([found, baseline]).splitlines()
    assert len({line.count("|") for line in table}) == 1
    assert "tv, told sigma" in table[-1]


def test_each_in_its_own_process_into_a_table_and_a_picture(mszoo_command, photographs, model, tmp_path):
    words = ("compare", model, "wavelet", "--data", photographs, "--sigma", "0.1", "--out", tmp_path / "found")
    code, said, err = mszoo_command(*words)
    assert code == 0, err
    assert "| wavelet, told sigma |" in said
    rows = list(csv.DictReader((tmp_path / "found" / "compare.csv").open()))
    assert [row["denoiser"] for row in rows] == [model.name, "wavelet"]
    assert Image.open(tmp_path / "found" / "compare.png").size > (100, 100)
    assert (tmp_path / "found" / "compare.md").read_text().strip() in said


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nothing",), "no folder 'nothing'"),
        (("tv", "tv"), "two of the denoisers have the same name"),
        (("tv", "--sigma", "0"), "nothing to compare"),
        (("tv", "--data", "nowhere"), "no such folder"),
    ],
)
def test_what_cannot_be_compared_is_refused_at_once(mszoo_command, words, expected):
    code, _, err = mszoo_command("compare", *words)
    assert code != 0
    assert expected in err.replace("\n", " ")


def test_a_fault_in_the_other_process_is_one_message(photographs, tmp_path):
    denoiser(channels=3).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(MszooError, match=tmp_path.name):
        compare([str(tmp_path)], photographs, sigmas=[0.1])


def test_multiply_adds_are_counted_for_a_pixel():
    layers = 1 * 4 * 9 + 4 * 4 * 1 + 4 * 1 * 9  # of a receptive field of 5
    assert multiply_adds(denoiser(norm="none")) == layers
    unet = {"name": "bias_free_unet", "widths": [8], "basis": "haar"}
    found = multiply_adds(mszoo.MultiScaleModel.from_config(chain(0, unet, "denoiser")).eval())
    assert found == pytest.approx((4 * 8 + 2 * 8 * 8 + 8 * 4) * 9 / 4, rel=0.05)


def test_ssim_of_small_images_is_no_number():
    assert torch.tensor(ssim(torch.rand(1, 1, 8, 30), torch.rand(1, 1, 8, 30))).isnan()
    x = torch.rand(1, 3, 20, 20)
    assert ssim(x, x) > ssim((x + 0.1 * torch.randn(x.shape)), x) > 0
