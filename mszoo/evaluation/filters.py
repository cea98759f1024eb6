r"""Adaptive filters: rows of the denoiser's Jacobian (paper A, section on analysis; Mohan et al., ICLR 2020).

A denoised pixel is a locally linear function of the noisy image. For a blind, bias-free network it is exactly linear
along the ray through the image, :math:`\hat x_i(y) = \sum_j \partial_j \hat x_i(y)\, y_j`: the row of the Jacobian is
the filter that was applied there, adapted to what the image shows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mszoo.errors import ImageSizeError
from mszoo.model import MultiScaleModel

__all__ = ["adaptive_filters"]


def adaptive_filters(
    model: MultiScaleModel,
    y: Tensor,
    pixels: Sequence[tuple[int, int]],
    sigma: float | None = None,
    channel: int = 0,
) -> Tensor:
    """Gradients of denoised pixels in the noisy image.

    Args:
        model: in eval mode.
        y: one noisy image (C, H, W) in [0, 1], its sides multiples of 2^J.
        pixels: (row, column) of each denoised pixel.
        sigma: standard deviation of the noise; None for a blind model.
        channel: of the denoised pixels.

    Returns:
        One filter for each pixel: (len(pixels), C, H, W).

    Raises:
        ImageSizeError: a pixel outside the image.
    """
    channels, height, width = y.shape
    for row, column in pixels:
        if not (0 <= row < height and 0 <= column < width and 0 <= channel < channels):
            raise ImageSizeError(f"pixel {row},{column} is outside the image of {height}x{width} pixels")
    pull_back = torch.func.vjp(lambda image: model.denoise(image[None], sigma)[0], y)[1]
    filters = []
    for row, column in pixels:
        pixel = torch.zeros_like(y)
        pixel[channel, row, column] = 1
        filters.append(pull_back(pixel)[0])
    return torch.stack(filters) if filters else y.new_zeros(0, *y.shape)
