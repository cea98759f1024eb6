"""Denoising: PSNR against noise level (paper A, section on analysis)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mszoo.data import ImageDataset, readable
from mszoo.devices import in_float64
from mszoo.errors import DataError
from mszoo.inference import add_noise, denoise_image
from mszoo.model import MultiScaleModel
from mszoo.processes import ALONE, Processes

__all__ = ["PsnrRow", "psnr", "psnr_curve", "psnr_of"]


@dataclass(frozen=True)
class PsnrRow:
    """Mean over images of the per-image PSNR in dB, at one noise level.

    Attributes:
        sigma: standard deviation of the noise, for images in [0, 1].
        noisy: PSNR of the noisy images.
        denoised: PSNR of the model's estimates.
        images: how many images.
    """

    sigma: float
    noisy: float
    denoised: float
    images: int


def psnr(estimate: Tensor, clean: Tensor) -> Tensor:
    """-10 log10 of the mean squared error, per image, not clipped: (B, C, H, W) twice to (B,).

    Example:
        >>> import torch
        >>> psnr(torch.full((1, 1, 8, 8), 0.6), torch.full((1, 1, 8, 8), 0.5)).round()  # an error of 0.1 everywhere
        tensor([20.], dtype=torch.float64)
    """
    error = (in_float64(estimate) - in_float64(clean)).square().flatten(1).mean(1)
    return -10 * torch.log10(error)


def psnr_curve(
    model: MultiScaleModel,
    images: ImageDataset | Sequence[Tensor],
    sigmas: Sequence[float],
    seed: int = 0,
    views: int = 1,
    advance: Callable[[], object] | None = None,
    numbers: Sequence[int] | None = None,
    processes: Processes = ALONE,
) -> Iterator[PsnrRow]:
    """Add white noise to each image, denoise it, and average the per-image PSNR.

    Several processes share the images, and have the same rows, to the last bit those of one. They call it together.

    Args:
        model: in eval mode; it is given sigma unless it is blind.
        images: (C, H, W) each, of any size; those that cannot be read are named in warnings and skipped.
        sigmas: noise levels; a row is given for each as soon as it is measured.
        seed: the noise of image i depends on (seed, i) alone, and is scaled by sigma.
        views: over how many views to average; see :func:`mszoo.inference.denoise_image`.
        advance: called after each image of this process.
        numbers: which of the images; None: all.
        processes: which of them this is.

    Raises:
        DataError: no image can be read.

    Example:
        >>> import torch, mszoo
        >>> rows = list(psnr_curve(mszoo.load("photographs-haar-rf13"), [torch.full((1, 32, 32), 0.5)], [0.1, 0.2]))
        >>> [(row.sigma, row.denoised > row.noisy) for row in rows]
        [(0.1, True), (0.2, True)]
    """
    for sigma in sigmas:
        found = []
        for i, image in readable(images, processes.share(range(len(images)) if numbers is None else numbers)):
            found.append((i, *psnr_of(model, image, sigma, seed, i, views)))
            if advance is not None:
                advance()
        found = sorted(processes.gather(found))
        if not found:
            raise DataError("there is no image that can be read")
        _, noisy, denoised = (sum(column) / len(found) for column in zip(*found, strict=True))
        yield PsnrRow(sigma, noisy, denoised, len(found))


def psnr_of(
    model: MultiScaleModel, clean: Tensor, sigma: float, seed: int, index: int, views: int = 1
) -> tuple[float, float]:
    """PSNR in dB of one image with white noise, and of the model's estimate.

    Args:
        model: in eval mode; it is given sigma unless it is blind.
        clean: image (C, H, W) in [0, 1].
        sigma: standard deviation of the noise.
        seed, index: of the noise, which depends on nothing else.
        views: over how many views to average; see :func:`mszoo.inference.denoise_image`.

    Example:
        >>> import torch, mszoo
        >>> model, grey = mszoo.load("photographs-haar-rf13"), torch.full((1, 32, 32), 0.5)
        >>> noisy, denoised = psnr_of(model, grey, 0.1, seed=0, index=0)
        >>> 19 < noisy < 21 < 29 < denoised
        True
    """
    y = add_noise(clean[None], sigma, seed, index)
    level = None if model.blind else sigma
    estimate = denoise_image(model, y.to(next(model.parameters()).device), level, views=views).cpu()
    return psnr(y, clean[None]).item(), psnr(estimate, clean[None]).item()
