r"""Adaptive filters: rows of the denoiser's Jacobian (paper A, section on analysis; Mohan et al., ICLR 2020).

A denoised pixel is a locally linear function of the noisy image. For a blind, bias-free network it is exactly linear
along the ray through the image, :math:`\hat x_i(y) = \sum_j \partial_j \hat x_i(y)\, y_j`: the row of the Jacobian is
the filter that was applied there, adapted to what the image shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mszoo.errors import ImageSizeError
from mszoo.inference import add_noise
from mszoo.model import MultiScaleModel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["adaptive_filters", "check_pixels", "draw", "figure", "plot"]


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
        path: of the picture, in the format of its suffix.
        seed: of the noise.
    """
    height, width = (side // model.unit * model.unit for side in clean.shape[-2:])
    y = add_noise(clean[None, : model.channels, :height, :width], sigma, seed, 0)[0]
    from mszoo.evaluation.plots import save_figure

    save_figure(figure(y, adaptive_filters(model, y, pixels, None if model.blind else sigma), pixels), path)


def plot(axes: Axes, filter: Tensor, pixel: tuple[int, int], around: int = 24, color: str = "C0") -> Axes:
    """A filter (C, H, W) near its pixel, the mean over channels, into axes; the same axes. Red adds, blue subtracts.

    Args:
        axes: to draw into.
        filter: what multiplies the noisy pixels.
        pixel: (row, column) of the denoised one.
        around: how many pixels to each side of it are shown.
        color: of the title.
    """
    row, column = pixel
    top, left = max(0, row - around), max(0, column - around)
    shown = filter.detach().mean(0)[top : row + around + 1, left : column + around + 1].cpu()
    limit = float(shown.abs().max()) or 1.0
    axes.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes.set_title(f"filter of pixel {row},{column}: up to {limit:.2g}", fontsize=9, color=color)
    axes.set_axis_off()
    return axes


def figure(y: Tensor, filters: Tensor, pixels: Sequence[tuple[int, int]]) -> Figure:
    """The noisy image with the pixels marked, and beside it their filters.

    Args:
        y: the image, (C, H, W).
        filters: one for each pixel, (n, C, H, W).
        pixels: row and column of each.
    """
    from matplotlib.figure import Figure  # checking pixels draws nothing

    from mszoo.evaluation.plots import picture

    whole = Figure(figsize=(2.6 * (len(pixels) + 1), 2.8), layout="constrained")
    image, *others = whole.subplots(1, len(pixels) + 1, squeeze=False)[0]
    picture(image, "noisy image", y)
    for i, (axes, applied, pixel) in enumerate(zip(others, filters, pixels, strict=True)):
        image.plot(pixel[1], pixel[0], "o", color=f"C{i}", markerfacecolor="none")
        plot(axes, applied, pixel, color=f"C{i}")
    return whole
