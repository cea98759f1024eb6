"""Denoise images of any size: mirrored at the edge, large ones in tiles, colour through a grey model."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mszoo.errors import ImageSizeError, OptionsError
from mszoo.inference.arguments import check_whole, without_derivative
from mszoo.inference.noise_level import estimate_sigma
from mszoo.inference.tiling import tiles
from mszoo.inference.views import denoise_views
from mszoo.model import MultiScaleModel
from mszoo.randomness import keyed_generator

__all__ = ["add_noise", "denoise_image"]


def add_noise(x: Tensor, sigma: float, seed: int, index: int) -> Tensor:
    """Images with white noise of standard deviation sigma.

    Args:
        x: images (B, C, H, W).
        sigma: standard deviation of the noise.
        seed, index: two whole numbers, on which alone the noise depends.

    Raises:
        OptionsError: a sigma that is negative, not finite, or no number.

    Example:
        >>> import torch
        >>> y = add_noise(torch.full((1, 1, 64, 64), 0.5), 0.1, seed=0, index=3)
        >>> round(y.std().item(), 1)
        0.1
    """
    if not isinstance(sigma, (int, float)) or not 0 <= sigma < math.inf:
        raise OptionsError("add_noise", [(("sigma",), f"should be a finite number, 0 or more, got {sigma!r}")])
    noise = torch.randn(x.shape, generator=keyed_generator(seed, index), dtype=torch.float32)
    return x + sigma * noise.to(x)


@without_derivative("y", "model.denoise(y, sigma, pad=True), which has one")
def denoise_image(
    model: MultiScaleModel,
    y: Tensor,
    sigma: float | Tensor | None = None,
    tile: int | None = 768,
    views: int = 1,
    on_tile: Callable[[int, int], object] | None = None,
) -> Tensor:
    """Denoise images of any size and, for a grey model, of any number of channels. It has no derivative.

    Args:
        model: in eval mode.
        y: noisy images (B, C, H, W), the clean ones in [0, 1], in any floating-point type. A grey model
            takes each channel as an image.
        sigma: standard deviation of the noise, a float or (B,), or for a grey model (B, C). None: a blind model needs
            none, and energies find it, in the middle of each image (:func:`~mszoo.inference.estimate_sigma`).
        tile: side in pixels of the tiles a larger image is cut into, to bound the memory; None: never cut. Each tile
            sees as far around itself as the model reaches, so that tiles do not show (but for the image's border with
            filters longer than Haar's, which wrap around to the opposite side); a model that sees the whole image is
            never cut.
        views: over how many views of the image to average, shifted against the wavelet grid and mirrored: less error,
            as many times the work; see :func:`mszoo.inference.views.denoise_view`.
        on_tile: called before each tile with its number, from 1, and how many there are.

    Returns:
        Denoised images (B, C, H, W), in y's type.

    Raises:
        ImageSizeError: another number of channels than the model's, unless the model is grey.
        OptionsError: a sigma that is no noise level; ``tile`` or ``views`` below 1.
        UnsupportedError: y requires a gradient; or no sigma, for a model that can neither do without nor find it.

    Example:
        >>> import torch, mszoo
        >>> model = mszoo.load("photographs-haar-rf13")  # grey
        >>> denoise_image(model, torch.rand(1, 3, 30, 37), views=2).shape
        torch.Size([1, 3, 30, 37])
    """
    check_whole("denoise_image", views=views, tile=1 if tile is None else tile)
    if isinstance(y, Tensor) and y.ndim == 4 and y.shape[1] not in (0, model.channels):
        batch, channels, height, width = y.shape
        if model.channels != 1:
            raise ImageSizeError(
                f"this model takes {model.channels} channels, the image has {channels}; convert the image"
            )
        if isinstance(sigma, Tensor) and sigma.numel() in (batch, batch * channels):
            sigma = sigma.reshape(batch, -1).expand(-1, channels).flatten()
        planes = denoise_image(model, y.reshape(batch * channels, 1, height, width), sigma, tile, views, on_tile)
        return planes.reshape(y.shape)
    x, height, width = model.prepare(y, 1), y.shape[-2], y.shape[-1]
    if sigma is None and not model.blind:
        sigma = estimate_sigma(model, x)[:, 0]
    cut = tiles(height, width, tile, model.reach, model.grid)
    if len(cut) == 1:
        return denoise_views(model, x, sigma, views).to(y.dtype)
    result = torch.empty_like(y)
    for number, part in enumerate(cut, 1):
        if on_tile is not None:
            on_tile(number, len(cut))
        found = denoise_views(model, x[(..., *part.around)], sigma, views)
        result[(..., *part.area)] = found[(..., *part.within)]
    return result
