r"""The constant that turns an energy into a normalized density.

Dual score matching ties all noise levels to one constant, and at a large noise variance t the density of the noisy
images is known: a Gaussian of variance t + v, v the variance of a pixel. There

.. math:: c = E \left[ -\log \mathcal N(y; m, (t + v) I) - U(y, t) \right], \qquad \log p(x) = -U(x, 0) - c,

which is paper B's d/2 log(2 pi e (t + v)) - E U, with the part of U that varies with y taken out: a few draws suffice.
No data are needed: with m and v of uniform pixels in [0, 1] the error of c is of order v / t per dimension.
"""

from __future__ import annotations

import math
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from mszoo.devices import in_float64
from mszoo.heads.base import EnergyHead

__all__ = ["Constant", "normalization_constant"]

_PRECISE = 0.01  # nats per dimension, 0.04 dB
_NUMBERS_AT_ONCE = 2**18


@dataclass(frozen=True)
class Constant:
    """The constant to add to an energy of images of one size.

    Attributes:
        size: channels, height and width.
        value: c in nats; 0 for an energy that needs none.
        error: its standard error over the draws.
        t: noise variance it was found at; infinite for an energy that needs none.
    """

    size: tuple[int, int, int]
    value: float
    error: float
    t: float


@torch.no_grad()
def normalization_constant(
    head: EnergyHead, size: tuple[int, int, int], white: float = 1.0, t: float = 1e3, draws: int = 16, seed: int = 0
) -> Constant:
    """The constant of an unconditional energy for images of one size.

    Args:
        head: in eval mode.
        size: channels, height and width.
        white: value of a white pixel (2^J for the coarsest image of J levels, in orthonormal units).
        t: noise variance, far above the images' but within the range of training (paper B: 1000).
        draws: noise images to average over.
        seed: of the draws.
    """
    weight, d, variance = next(head.parameters()), math.prod(size), t + white**2 / 12
    generator, gaps = torch.Generator().manual_seed(seed), []
    together = max(1, _NUMBERS_AT_ONCE // d)
    for first in range(0, draws, together):
        z = _normal(min(together, draws - first), size, generator).to(weight)
        energy = head.energy(white / 2 + math.sqrt(variance) * z, z.new_full((len(z),), t))
        squares = in_float64(z).square().flatten(1).sum(1)
        gaps.append((squares + d * math.log(2 * math.pi * variance)) / 2 - in_float64(energy))
    values = torch.cat(gaps)
    found = Constant(size, values.mean().item(), values.std().item() / math.sqrt(draws), t)
    if not found.error < _PRECISE * d:
        warnings.warn(
            f"the constant of images of size {size} is uncertain by {found.error:.3g} nats, {found.error / d:.2g} per "
            f"dimension, at t = {t:g}: the energy was trained too little there, or never",
            stacklevel=2,
        )
    return found


def _normal(count: int, size: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """Standard normal images. Drawn by another thread, since torch refuses to draw in one that is under ``vmap``."""
    with ThreadPoolExecutor(1) as other:
        return other.submit(torch.randn, count, *size, generator=generator, dtype=torch.float32).result()
