"""Views of an image: each is the same denoiser, and their mean does not know where the wavelet grid begins."""

import pytest
import torch

from mszoo.inference import denoise_image, denoise_view, denoise_views
from tests.inference.exact import constant_images
from tests.inference.test_denoising import small_model

SIZES = [(1, 1), (3, 10), (12, 16), (13, 22)]


@pytest.mark.parametrize("levels", [0, 1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_the_first_view_is_the_image_as_it_is(levels, size):
    model, y = small_model(levels=levels), torch.rand(2, 1, *size, dtype=torch.float64)
    torch.testing.assert_close(denoise_view(model, y, None, 0), model.denoise(y, pad=True))
    torch.testing.assert_close(denoise_image(model, y), model.denoise(y, pad=True))


@pytest.mark.parametrize("levels", [0, 2])
@pytest.mark.parametrize("view", range(33))
def test_a_view_is_put_back_where_it_was(levels, view):
    """A denoiser that changes nothing is the same from every side."""
    model = small_model(levels=levels)
    for head in model.scales:
        torch.nn.init.zeros_(head.conditioner.last.weight)
    for size in SIZES:
        y = torch.rand(2, 1, *size, dtype=torch.float64)
        torch.testing.assert_close(denoise_view(model, y, None, view), y)


@pytest.mark.parametrize("levels", [1, 2])
def test_the_mean_of_all_views_moves_with_the_image(levels):
    model = small_model(levels=levels)
    y = torch.rand(1, 1, 196, 187, dtype=torch.float64)
    moved, edge, all_views = y.roll((1, 3), (2, 3)), model.reach + 8, 2 * 4**levels

    def inside(x):
        return x[..., edge:-edge, edge:-edge]

    def of_moved(views):
        return inside(denoise_views(model, moved, None, views).roll((-1, -3), (2, 3)))

    torch.testing.assert_close(of_moved(all_views), inside(denoise_views(model, y, None, all_views)))
    assert (of_moved(1) - inside(denoise_views(model, y, None, 1))).abs().max() > 1e-3
    mirrored = denoise_views(model, y.flip(3), None, all_views).flip(3)
    torch.testing.assert_close(inside(mirrored), inside(denoise_views(model, y, None, all_views)))


def test_the_mean_of_two_views_is_their_mean():
    model, y = small_model(levels=2), torch.rand(1, 1, 9, 9, dtype=torch.float64)
    mean = (denoise_view(model, y, 0.1, 0) + denoise_view(model, y, 0.1, 1)) / 2
    torch.testing.assert_close(denoise_views(model, y, 0.1, 2), mean)


def test_a_colour_image_is_seen_channel_by_channel_by_a_grey_model():
    model, y = small_model(levels=1), torch.rand(2, 3, 10, 13, dtype=torch.float64)
    by_channel = torch.cat([denoise_image(model, y[:, c : c + 1], views=5) for c in range(3)], 1)
    torch.testing.assert_close(denoise_image(model, y, views=5), by_channel)


def test_exact_images_stay_exact():
    x = torch.full((1, 1, 11, 14), 0.3)
    torch.testing.assert_close(denoise_views(constant_images(2), x, None, 16), x)
