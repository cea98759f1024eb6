r"""Adaptive filters: rows of the denoiser's Jacobian (paper A, section on analysis; Mohan et al., ICLR 2020).

A denoised pixel is a locally linear function of the noisy image. For a blind, bias-free network it is exactly linear
along the ray through the image, :math:`\hat x_i(y) = \sum_j \partial_j \hat x_i(y)\, y_j`: the row of the Jacobian is
the filter that was applied there, adapted to what the image shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mszoo.data.images import encode
from mszoo.errors import ImageSizeError
from mszoo.inference import add_noise
from mszoo.model import MultiScaleModel

__all__ = ["adaptive_filters", "check_pixels", "draw", "plot"]


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
        y: one noisy image (C, H, W) in [0, 1], its sides multiples of ``model.unit``.
        pixels: (row, column) of each denoised pixel.
        sigma: standard deviation of the noise; None for a blind model.
        channel: of the denoised pixels.

    Returns:
        One filter for each pixel: (len(pixels), C, H, W).

    Raises:
        ImageSizeError: a pixel outside the image, or an image that does not fit the model.
    """
    check_pixels(pixels, (y.shape[1], y.shape[2]))
    pull_back = torch.func.vjp(lambda image: model.denoise(image[None], sigma)[0], y)[1]
    filters = []
    for row, column in pixels:
        pixel = torch.zeros_like(y)
        pixel[channel, row, column] = 1
        filters.append(pull_back(pixel)[0])
    return torch.stack(filters) if filters else y.new_zeros(0, *y.shape)


def check_pixels(pixels: Sequence[tuple[int, int]], size: tuple[int, int]) -> None:
    """Raises :class:`ImageSizeError` if a pixel (row, column) is outside an image of that height and width."""
    height, width = size
    for row, column in pixels:
        if not (0 <= row < height and 0 <= column < width):
            raise ImageSizeError(f"pixel {row},{column} is outside the image of {height}x{width} pixels")


def draw(
    model: MultiScaleModel, clean: Tensor, pixels: Sequence[tuple[int, int]], sigma: float, path: Path, seed: int = 0
) -> None:
    """Add noise to an image and draw the filters that the model applies at some of its pixels.

    Args:
        model: in eval mode.
        clean: image (C, H, W) in [0, 1]; channels beyond the model's are left out, the sides are cut to its unit.
        pixels: (row, column) of each.
        sigma: standard deviation of the noise.
        path: of the picture.
        seed: of the noise.
    """
    height, width = (side // model.unit * model.unit for side in clean.shape[-2:])
    y = add_noise(clean[None, : model.channels, :height, :width], sigma, seed, 0)[0]
    plot(y, adaptive_filters(model, y, pixels, None if model.blind else sigma), pixels, path)


def plot(y: Tensor, filters: Tensor, pixels: Sequence[tuple[int, int]], path: Path, around: int = 24) -> None:
    """The noisy image (C, H, W) with the pixels marked, and the filters (n, C, H, W) near them, mean over channels.

    Args:
        y: noisy image (C, H, W).
        filters: of the pixels, (n, C, H, W).
        pixels: (row, column) each.
        path: the file.
        around: how many pixels to each side of its pixel are shown of a filter.
    """
    from matplotlib.figure import Figure  # checking pixels draws nothing

    from mszoo.evaluation.plots import save_figure

    figure = Figure(figsize=(2.6 * (len(pixels) + 1), 2.8), layout="constrained")
    axes = figure.subplots(1, len(pixels) + 1, squeeze=False)[0]
    axes[0].imshow(encode(y), cmap="gray", vmin=0, vmax=255)
    axes[0].set_title("noisy image", fontsize=9)
    for i, (row, column) in enumerate(pixels):
        axes[0].plot(column, row, "o", color=f"C{i}", markerfacecolor="none")
        top, left = max(0, row - around), max(0, column - around)
        shown = filters[i].mean(0)[top : row + around + 1, left : column + around + 1].cpu()
        limit = float(shown.abs().max()) or 1.0
        axes[i + 1].imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes[i + 1].set_title(f"filter of pixel {row},{column}", fontsize=9, color=f"C{i}")
    for axis in axes:
        axis.set_axis_off()
    save_figure(figure, path)
