"""Does an energy denoise as well as a score network of its size? (paper B, the table of input and output PSNR)"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from torch import Tensor

from mszoo.evaluation.plots import label
from mszoo.experiments.images import batches
from mszoo.model import MultiScaleModel

__all__ = ["INPUTS", "Denoised", "denoised", "plot"]

INPUTS = (90.0, 75.0, 60.0, 45.0, 30.0, 15.0, 0.0, -15.0, -30.0)
"""Paper B's input PSNRs, dB."""


@dataclass(frozen=True)
class Denoised:
    """One model at one noise level, PSNR in dB of the mean squared error over all images.

    Attributes:
        model: its name.
        input: of the noise, -10 log10 t.
        output: of the denoised images, not clipped.
    """

    model: str
    input: float
    output: float


@torch.no_grad()
def denoised(
    models: Mapping[str, MultiScaleModel], images: Sequence[Tensor], inputs: Sequence[float] = INPUTS, seed: int = 0
) -> list[Denoised]:
    """Denoise the same noisy images (C, H, W) with each model at each input PSNR.

    Args:
        models: in eval mode, by the names of the rows.
        images: (C, H, W) each.
        inputs: PSNR of the noisy images in dB.
        seed: of the noise.
    """
    rows = []
    for name, model in models.items():
        device = next(model.parameters()).device
        for decibels in inputs:
            sigma, error, count = 10 ** (-decibels / 20), 0.0, 0
            generator = torch.Generator().manual_seed(seed)
            for x in batches(images):
                y = x + sigma * torch.randn(x.shape, generator=generator)
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "sigma")  # paper B's range goes beyond that of photographs
                    estimate = model.denoise(y.to(device), None if model.blind else sigma).cpu()
                error += (estimate - x).double().square().sum().item()
                count += x.numel()
            rows.append(Denoised(name, decibels, -10 * math.log10(error / count)))
    return rows


def plot(axes: Axes, rows: Sequence[Denoised]) -> Axes:
    """Output less input PSNR against the input, a line for each model, into axes; the same axes."""
    for name in dict.fromkeys(row.model for row in rows):
        line = [(row.input, row.output - row.input) for row in rows if row.model == name]
        axes.plot(*zip(*line, strict=True), marker="o", label=label(name))
    axes.set(xlabel="PSNR of the noisy images (dB)", ylabel="gain in PSNR (dB)", yscale="symlog")
    axes.legend()
    axes.grid(alpha=0.3)
    return axes
