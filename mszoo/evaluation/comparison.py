"""Several models on the same noisy images: PSNR against noise level and against receptive field (paper A, figure 4)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from mszoo.data import ImageDataset
from mszoo.evaluation.denoising import psnr_curve
from mszoo.model import MultiScaleModel

__all__ = ["ComparisonRow", "compare"]


@dataclass(frozen=True)
class ComparisonRow:
    """One model at one noise level.

    Attributes:
        model: its name.
        levels: J; 0 for a model of the pixels.
        receptive_field: side of the neighbourhood that the finest scale's network sees, in its coefficients; None:
            everything.
        parameters: how many it has.
        sigma: standard deviation of the noise, for images in [0, 1].
        noisy, denoised: PSNR in dB, the mean of per-image values, not clipped.
        images: how many images.
        seconds: wall-clock time for an image, the mean.
    """

    model: str
    levels: int
    receptive_field: int | None
    parameters: int
    sigma: float
    noisy: float
    denoised: float
    images: int
    seconds: float


def compare(
    models: Mapping[str, MultiScaleModel],
    images: ImageDataset | Sequence[Tensor],
    sigmas: Sequence[float],
    seed: int = 0,
    views: int = 1,
) -> Iterator[ComparisonRow]:
    """Denoise the same noisy images with each model; see :func:`mszoo.evaluation.psnr_curve`."""
    for name, model in models.items():
        field = model.scales[0].receptive_field
        parameters = sum(p.numel() for p in model.parameters())
        began = time.perf_counter()
        for row in psnr_curve(model, images, sigmas, seed, views):
            seconds = (time.perf_counter() - began) / row.images
            yield ComparisonRow(
                name, model.levels, field, parameters, row.sigma, row.noisy, row.denoised, row.images, seconds
            )
            began = time.perf_counter()
