"""An image seen from several sides: averaging removes errors due to the wavelet grid and the axes.

A multi-scale denoiser's error depends on where the grid of the wavelet transform begins. Averaged over the positions
of the grid it is smaller (cycle spinning: Coifman, Donoho, *Translation-invariant de-noising*, 1995), with Haar's
filters by half a decibel. Every second view is mirrored left to right as well, which a density of photographs does not
mind; turning them would not suit faces.
"""

from __future__ import annotations

from torch import Tensor

from mszoo.bases import pad_to_multiple
from mszoo.model import MultiScaleModel

__all__ = ["denoise_view", "denoise_views"]


def denoise_view(model: MultiScaleModel, y: Tensor, sigma: float | Tensor | None, view: int) -> Tensor:
    """Denoise one view of images (B, C, H, W) of any size.

    Args:
        model: in eval mode.
        y: noisy images, the clean ones in [0, 1].
        sigma: standard deviation of the noise, a float or (B,); None for a blind model.
        view: its number. View 0 is the image as it is; the first 2^J views see each row and each column of the
            grid's positions once, the first 4^J every position, and the next 4^J every position mirrored otherwise.

    Returns:
        Denoised images (B, C, H, W), not shifted or mirrored.

    Example:
        >>> import torch, mszoo
        >>> model, y = mszoo.load("photographs-haar-rf13"), torch.rand(1, 1, 16, 16)
        >>> torch.equal(denoise_view(model, y, None, view=0), model.denoise(y))
        True
    """
    dtype, y = y.dtype, model.prepare(y, 1)
    height, width = y.shape[-2:]
    period = 2**model.levels
    position, again = view % period**2, view // period**2
    top, left = position % period, (position + position // period) % period
    y = pad_to_multiple(y, model.unit, (top, left))
    mirrored = (position + again) % 2 == 1  # what is padded, so that the grid stays where it was
    x = model.denoise(y.flip(-1), sigma).flip(-1) if mirrored else model.denoise(y, sigma)
    return x[..., top : top + height, left : left + width].to(dtype)


def denoise_views(model: MultiScaleModel, y: Tensor, sigma: float | Tensor | None, views: int) -> Tensor:
    """The mean of the views 0 ... views - 1; see :func:`denoise_view`.

    Args:
        model: in eval mode.
        y: noisy images (B, C, H, W) of any size.
        sigma: standard deviation of the noise, a float or (B,); None for a blind model.
        views: how many; it takes as many times as long as one.

    Example:
        >>> import torch, mszoo
        >>> denoise_views(mszoo.load("photographs-haar-rf13"), torch.rand(1, 1, 20, 20), None, views=4).shape
        torch.Size([1, 1, 20, 20])
    """
    total = denoise_view(model, y, sigma, 0)
    for view in range(1, views):
        total = total + denoise_view(model, y, sigma, view)
    return total / views
