"""Adaptive filters: what a denoiser applies at a pixel."""

import pytest
import torch

from mszoo.errors import ImageSizeError
from mszoo.experiments.filters import adaptive_filters
from tests.factories import denoiser


@pytest.mark.parametrize("levels", [0, 1, 2])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_homogeneous_denoiser_applies_its_filters(levels, channels):
    """Along the ray through y the denoiser is linear: a pixel is the inner product of its filter with y."""
    model, y = denoiser(levels, channels, "db2").double(), torch.rand(channels, 16, 12).double()
    pixels = [(0, 0), (7, 3), (15, 11)]
    for channel in range(channels):
        filters = adaptive_filters(model, y, pixels, channel=channel)
        assert filters.shape == (3, *y.shape)
        with torch.no_grad():
            denoised = model.denoise(y[None])[0, channel]
        for (row, column), applied in zip(pixels, filters, strict=True):
            torch.testing.assert_close((applied * y).sum(), denoised[row, column], rtol=1e-6, atol=1e-9)


def test_filters_agree_with_finite_differences():
    model, y = denoiser(levels=1, basis="db2").double(), torch.rand(1, 12, 12).double()
    (row,) = adaptive_filters(model, y, [(5, 6)])
    step = 1e-6 * torch.randn_like(y)
    with torch.no_grad():
        up, down = (model.denoise((y + s * step)[None])[0, 0, 5, 6] for s in (1, -1))
    torch.testing.assert_close((row * step).sum(), (up - down) / 2, rtol=1e-4, atol=1e-12)


def test_filters_stay_in_the_receptive_field():
    (row,) = adaptive_filters(denoiser(receptive_field=7, depth=4), torch.rand(1, 32, 32), [(16, 16)])
    assert (row[0] != 0).nonzero().sub(16).abs().max() <= 3


@pytest.mark.parametrize("pixel", [(-1, 0), (0, 12), (16, 0)])
def test_pixels_outside(pixel):
    with pytest.raises(ImageSizeError, match=f"pixel {pixel[0]},{pixel[1]} is outside"):
        adaptive_filters(denoiser(), torch.rand(1, 16, 12), [pixel])
