r"""The noise level of an image, by maximum likelihood: the t at which log p(y, t) is largest.

A density of noisy images says how likely an image is at every noise level. The largest value on a grid of an octave
each brackets the maximum, which is within the bracket the root of the time score (Guth, Kadkhodaie and Simoncelli,
*Learning normalized image densities via dual score matching*, 2025), found by bisection, for each image its own.

A chain of scales has no density of a noisy image: its conditions are clean. There they are estimated,

.. math:: \log p(y, t) \approx \log p(y_J, t) + \sum_{j<J} \log p(\bar y_j \mid \hat x_{j+1}(y, t), t),

with :math:`\hat x_{j+1}` the coarser image as the model denoises it at t, held in the derivative in t. The first term
is exact. On photographs, with a half-trained model of three levels, the median error was 6.3, 4.0 and 1.5 percent at
sigma 0.02, 0.1 and 0.5 (7.8, 2.7 and 1.2 with clean conditions; 7 to 19 with the noisy ones).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mszoo.bases import pad_to_multiple
from mszoo.errors import UnsupportedError
from mszoo.heads import EnergyHead
from mszoo.inference.arguments import without_derivative
from mszoo.model import MultiScaleModel

__all__ = ["LARGEST", "SMALLEST", "estimate_sigma", "noise_level"]

SMALLEST, LARGEST = 2.0**-9, 4.0
"""The standard deviations that are looked for: from half a grey level to noise that leaves no image."""

_OCTAVES = 11  # of sigma, from the smallest to the largest
_BISECTIONS = 13  # of two octaves: 2e-4 of sigma, far below the estimate's own error
_MIDDLE = 256  # side in pixels of what is looked at of a large photograph: its noise is known to 0.3 percent


@without_derivative("y", "model.energy, model.score and model.time_score, which have one")
def noise_level(model: MultiScaleModel, y: Tensor) -> Tensor:
    """The noise variance at which images are most likely. It has no derivative.

    For a model of several levels it is an approximation: the coarser images that condition the details are the
    denoised ones.

    What photographs have of their own, grain and fine texture, counts as noise and adds to what is looked for. In clean
    crops of 32 x 32 of BSD68 ``cifar10-grey-energy`` finds 0.010 (the median of 24; 0.002 to more than 0.04). So the
    median error is 24 percent at sigma 0.02, where most find too much, and 5 percent at 0.05; over 0.02 to 1 it is
    3.5 percent (``tests/benchmarks/noise_levels.py``).

    Args:
        model: with an energy at every scale, in eval mode.
        y: noisy images (B, C, H, W), the clean ones in [0, 1], in any floating-point type.

    Returns:
        t, (B,), in float32 or wider, from ``SMALLEST**2`` (an image without noise) to ``LARGEST**2``; its root is the
        sigma that :meth:`mszoo.MultiScaleModel.denoise` takes.

    Raises:
        ImageSizeError: no batch of images of this model's channels, or sides that need cropping.
        UnsupportedError: a model with a scale that has no energy, or y requires a gradient.

    Example:
        >>> import torch, mszoo
        >>> model = mszoo.load("cifar10-grey-energy")
        >>> noise_level(model, 0.5 + 0.2 * torch.randn(2, 1, 16, 16)).shape
        torch.Size([2])
    """
    heads = [head for head in model.scales if isinstance(head, EnergyHead)]
    if len(heads) < len(model.scales):
        raise UnsupportedError("the noise level is found by an energy at every scale, which this model has not")
    x = model.prepare(y)
    coefficients = [c for c, _ in model.decompose(x)]

    def conditions(t: Tensor) -> list[Tensor | None]:
        """The coarser image of every scale, finest first, as it is estimated at t."""
        found: list[Tensor | None] = [None]
        for head, c in zip(heads[:0:-1], coefficients[:0:-1], strict=True):
            coarser = found[-1]
            denoised = head.denoise(c, t, coarser)
            found.append(denoised if coarser is None else model.basis.synthesize(coarser, denoised))  # type: ignore[union-attr]
        return found[::-1]

    def log_density(t: Tensor) -> Tensor:
        terms = zip(heads, coefficients, conditions(t), strict=True)
        return -torch.stack([head.energy(c, t, coarser) for head, c, coarser in terms]).sum(0)

    def slope(t: Tensor) -> Tensor:
        terms = zip(heads, coefficients, conditions(t), strict=True)
        return torch.stack([head.time_score(c, t, coarser) for head, c, coarser in terms]).sum(0)

    wide = torch.promote_types(x.dtype, torch.float32)
    grid = torch.logspace(math.log2(SMALLEST**2), math.log2(LARGEST**2), 1 + _OCTAVES, 2, dtype=wide, device=x.device)
    best = torch.stack([log_density(t.expand(len(x))) for t in grid]).argmax(0)
    low, high = grid[(best - 1).clamp_min(0)], grid[(best + 1).clamp_max(_OCTAVES)]
    for _ in range(_BISECTIONS):
        middle = (low * high).sqrt()
        rising = slope(middle) > 0
        low, high = torch.where(rising, middle, low), torch.where(rising, high, middle)
    return (low * high).sqrt()


def estimate_sigma(model: MultiScaleModel, y: Tensor) -> Tensor:
    """The standard deviation of the noise in images of any size, as found in their middle 256 x 256 pixels.

    Args:
        model: see :func:`noise_level`.
        y: noisy images (B, C, H, W); a grey model takes each channel as an image.

    Returns:
        (B, C) for a grey model, else (B, 1); as :func:`~mszoo.inference.denoise_image` takes it.

    Raises:
        ImageSizeError, UnsupportedError: see :func:`noise_level`.

    Example:
        >>> import torch, mszoo
        >>> model = mszoo.load("cifar10-grey-energy")  # grey
        >>> estimate_sigma(model, 0.5 + 0.2 * torch.randn(1, 3, 17, 16)).shape
        torch.Size([1, 3])
    """
    middle = y
    for dim in (-2, -1):
        size = middle.shape[dim]
        side = min(size, max(_MIDDLE, model.unit)) // model.unit * model.unit or size
        middle = middle.narrow(dim, (size - side) // 2, side)
    planes = middle.reshape(-1, 1, *middle.shape[-2:]) if model.channels == 1 else middle
    return noise_level(model, pad_to_multiple(planes, model.unit)).sqrt().reshape(len(y), -1)
