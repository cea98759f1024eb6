r"""The effective dimensionality of images at each level of noise (paper B).

.. math:: d_{\mathrm{eff}}(x, t) = \frac{E_z \lVert x - \mathrm{denoise}(x + \sqrt t z, t) \rVert^2}{t}

All d for noise far below the image's structure, where nothing can be removed; near 0 where the noise hides all.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from torch import Tensor

from mszoo.devices import in_float64
from mszoo.model import MultiScaleModel

__all__ = ["Dimensionality", "dimensionality", "noise_variances", "plot"]

_TOGETHER = 64


@dataclass(frozen=True)
class Dimensionality:
    """Of one image at one noise level.

    Attributes:
        image: its number.
        t: noise variance.
        dimension: d_eff.
        fraction: d_eff / d.
    """

    image: int
    t: float
    dimension: float
    fraction: float


def noise_variances(count: int = 16) -> list[float]:
    """From 1e-12 to 1e3, evenly spaced in their logarithm."""
    return torch.logspace(-12, 3, count, dtype=torch.float64).tolist()


@torch.no_grad()
def dimensionality(
    model: MultiScaleModel,
    images: Sequence[Tensor],
    times: Sequence[float],
    draws: int = 64,
    progress: Callable[[], object] = lambda: None,
) -> list[Dimensionality]:
    """d_eff of images (C, H, W) at every t, each the mean of ``draws`` noises.

    float64 throughout: at t = 1e-12 a float32 pixel cannot hold the noise.

    Args:
        model: an energy of a single scale.
        images: (C, H, W) each.
        times: noise variances.
        draws: noises for each image and t.
        progress: called after each image at each t.
    """
    device = in_float64(next(model.parameters())).device
    exact = copy.deepcopy(model).to(device).double()
    rows = []
    for i, image in enumerate(images):
        x, generator = image.to(device).double(), torch.Generator().manual_seed(i)
        for t in times:
            error, left = 0.0, draws
            while left:
                n = min(left, _TOGETHER)
                z = torch.randn(n, *image.shape, generator=generator, dtype=torch.float64).to(device)
                y = x + t**0.5 * z
                error += (exact.coarse.denoise(y, y.new_full((n,), t)) - x).square().sum().item()
                left -= n
            dimension = error / draws / t
            rows.append(Dimensionality(i, t, dimension, dimension / image.numel()))
            progress()
    return rows


def plot(axes: Axes, rows: Sequence[Dimensionality]) -> Axes:
    """d_eff / d against t, into axes: each image thin, their mean thick; the same axes."""
    times = sorted({row.t for row in rows})
    for image in sorted({row.image for row in rows}):
        axes.plot(times, [r.fraction for r in rows if r.image == image], color="C0", alpha=0.25, linewidth=0.8)
    means = [sum(r.fraction for r in rows if r.t == t) / sum(r.t == t for r in rows) for t in times]
    axes.plot(times, means, color="C1", linewidth=2, label="mean")
    axes.set(xscale="log", xlabel="noise variance t (white = 1)", ylabel="effective dimensionality / d (no unit)")
    axes.legend()
    axes.grid(alpha=0.3)
    return axes
