"""Images of any size: tiles do not show, and a grey model takes colour channel by channel."""

import pytest
import torch

import mszoo
from mszoo.errors import ImageSizeError
from mszoo.inference import add_noise, denoise_image
from tests.factories import chain, denoiser


def small_model(basis: str = "haar", channels: int = 1, levels: int = 1) -> mszoo.MultiScaleModel:
    return denoiser(levels, channels, basis, receptive_field=7, depth=4, width=6, norm="none").double()


@pytest.mark.parametrize("basis", ["haar", "db2"])
@pytest.mark.parametrize("levels", [0, 1, 2])
@pytest.mark.parametrize("tile", [8, 21, 64])
@pytest.mark.parametrize("views", [1, 3])
def test_tiles_do_not_show(basis, levels, tile, views):
    model = small_model(basis, levels=levels)
    y = torch.rand(2, 1, 149, 123, dtype=torch.float64)
    whole, tiled = (denoise_image(model, y, tile=t, views=views) for t in (None, tile))
    if basis == "haar" or levels == 0:
        torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-12)
        return
    # A longer filter wraps around the padded image: a tile at the border has another opposite side to wrap to.
    inside = (..., slice(model.reach, -model.reach), slice(model.reach, -model.reach))
    torch.testing.assert_close(tiled[inside], whole[inside], rtol=0, atol=1e-12)


@pytest.mark.parametrize("levels", [0, 1])
@pytest.mark.parametrize("tile", [8, 30])
def test_tiles_keep_to_the_grid_of_a_network(levels, tile):
    network = {"name": "bias_free_unet", "widths": [4, 6], "basis": "haar"}
    model = mszoo.MultiScaleModel.from_config(chain(levels, network, "denoiser")).double().eval()
    y = torch.rand(1, 1, 171, 203, dtype=torch.float64)
    whole, tiled = (denoise_image(model, y, tile=t) for t in (None, tile))
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-12)


def test_a_grey_model_takes_each_channel_as_an_image():
    model = small_model()
    y, sigma = torch.rand(2, 3, 10, 12, dtype=torch.float64), torch.tensor([0.1, 0.3])
    for noise in (None, 0.2, sigma):
        by_channel = torch.cat([denoise_image(model, y[:, c : c + 1], noise) for c in range(3)], 1)
        torch.testing.assert_close(denoise_image(model, y, noise), by_channel)


def test_a_colour_model_refuses_grey():
    with pytest.raises(ImageSizeError, match="takes 3 channels, the image has 1"):
        denoise_image(small_model(channels=3), torch.rand(1, 1, 8, 8, dtype=torch.float64))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (5, 4)])
def test_any_size(size):
    y = torch.rand(1, 1, *size, dtype=torch.float64)
    assert denoise_image(small_model(levels=2), y).shape == y.shape


def test_noise_depends_on_seed_and_index_alone():
    x = torch.zeros(1, 1, 64, 64)
    noise = add_noise(x, 0.5, 3, 7)
    assert torch.equal(noise, add_noise(x, 0.5, 3, 7))
    assert noise.std().item() == pytest.approx(0.5, rel=0.05)
    assert not torch.equal(noise, add_noise(x, 0.5, 3, 8))
    assert not torch.equal(noise, add_noise(x, 0.5, 4, 7))
