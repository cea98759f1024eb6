"""Several models side by side, adaptive filters, and their pictures."""

import csv
import itertools

import pytest
import torch
from PIL import Image

import mszoo
from mszoo.errors import ImageSizeError
from mszoo.evaluation import compare, plots, psnr_curve, write_csv
from mszoo.experiments import receptive_fields
from mszoo.experiments.filters import adaptive_filters


def small_model(field: int = 7, levels: int = 0, channels: int = 1, norm: str = "batch") -> mszoo.MultiScaleModel:
    torch.manual_seed(field)
    part = {
        "conditioner": {"name": "bias_free_cnn", "receptive_field": field, "depth": 6, "width": 6, "norm": norm},
        "head": "denoiser",
    }
    split = {"basis": "db2", "levels": levels, "detail": part} if levels else {}
    return mszoo.MultiScaleModel.from_config({"channels": channels, **split, "coarse": part}).eval()


@pytest.mark.parametrize("levels", [0, 1, 2])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_homogeneous_denoiser_applies_its_filters(levels, channels):
    """Along the ray through y the denoiser is linear: a pixel is the inner product of its filter with y."""
    model, y = small_model(levels=levels, channels=channels).double(), torch.rand(channels, 16, 12).double()
    pixels = [(0, 0), (7, 3), (15, 11)]
    for channel in range(channels):
        filters = adaptive_filters(model, y, pixels, channel=channel)
        assert filters.shape == (3, *y.shape)
        with torch.no_grad():
            denoised = model.denoise(y[None])[0, channel]
        for (row, column), applied in zip(pixels, filters, strict=True):
            torch.testing.assert_close((applied * y).sum(), denoised[row, column], rtol=1e-6, atol=1e-9)


def test_filters_agree_with_finite_differences():
    model, y = small_model(levels=1).double(), torch.rand(1, 12, 12).double()
    (row,) = adaptive_filters(model, y, [(5, 6)])
    step = 1e-6 * torch.randn_like(y)
    with torch.no_grad():
        up, down = (model.denoise((y + s * step)[None])[0, 0, 5, 6] for s in (1, -1))
    torch.testing.assert_close((row * step).sum(), (up - down) / 2, rtol=1e-4, atol=1e-12)


def test_filters_stay_in_the_receptive_field():
    (row,) = adaptive_filters(small_model(field=7), torch.rand(1, 32, 32), [(16, 16)])
    assert (row[0] != 0).nonzero().sub(16).abs().max() <= 3


@pytest.mark.parametrize("pixel", [(-1, 0), (0, 12), (16, 0)])
def test_pixels_outside(pixel):
    with pytest.raises(ImageSizeError, match=f"pixel {pixel[0]},{pixel[1]} is outside"):
        adaptive_filters(small_model(), torch.rand(1, 16, 12), [pixel])


def test_models_see_the_same_noisy_images(tmp_path):
    models = {"flat": small_model(9), "split": small_model(5, levels=1)}
    images, sigmas = [torch.rand(1, 16, 20), torch.rand(1, 12, 12)], [0.1, 0.4]
    rows = list(compare(models, images, sigmas, seed=3))
    assert [(r.model, r.sigma) for r in rows] == [(m, s) for m in models for s in sigmas]
    assert [r.noisy for r in rows[:2]] == [r.noisy for r in rows[2:]]
    assert [(r.levels, r.receptive_field) for r in rows[::2]] == [(0, 9), (1, 5)]
    alone = list(psnr_curve(models["split"], images, sigmas, seed=3))
    assert [r.denoised for r in rows[2:]] == [r.denoised for r in alone]
    write_csv(rows, tmp_path / "psnr.csv")
    with open(tmp_path / "psnr.csv") as file:
        table = list(csv.DictReader(file))
    assert [float(r["denoised"]) for r in table] == [r.denoised for r in rows]
    for i, plot in enumerate((plots.plot_noise_levels, receptive_fields.plot)):
        plot(rows, tmp_path / f"{i}.png")
        with Image.open(tmp_path / f"{i}.png") as picture:
            assert picture.getextrema()[0][0] < 255, "something is drawn"


def test_every_scale_has_its_estimate():
    model, y = small_model(levels=2), torch.rand(2, 1, 16, 24)
    with torch.no_grad():
        scales, denoised = model.denoise_scales(y), model.denoise(y)
    assert [tuple(s.shape) for s in scales] == [(2, 1, 16, 24), (2, 1, 8, 12), (2, 1, 4, 6)]
    assert torch.equal(scales[0], denoised)
    assert model.basis is not None
    for fine, coarse in itertools.pairwise(scales):
        torch.testing.assert_close(model.basis.analyze(fine)[0], coarse)
