r"""Photon noise: a transform after which it is white, and the way back without a bias.

A camera that collects few photons gives :math:`y = g k + r z`, with :math:`k` of a Poisson distribution of mean
:math:`\lambda = x / g`, z a standard normal number, g the gain and r the read noise: variance :math:`g x + r^2`. With
:math:`s = r / g`, the generalized Anscombe transform

.. math:: f(y) = 2 \sqrt{\max(0,\, y / g + 3/8 + s^2)}

has about unit variance whatever x is, so what expects white noise can denoise it. :math:`f^{-1}` would not lead back:
a denoiser estimates :math:`D = E[f(y) \mid x]`, and f is not linear. The exact unbiased inverse takes D to x. In closed
form

.. math:: \frac{x}{g} \approx \frac{D^2}{4} + \frac14 \sqrt{\tfrac32}\, D^{-1} - \frac{11}{8} D^{-2}
          + \frac58 \sqrt{\tfrac32}\, D^{-3} - \frac18 - s^2;

what that lacks of the exact one is computed, for fewer than a hundred photons, and added. (Makitalo and Foi, *Optimal
inversion of the Anscombe transformation in low-count Poisson image denoising*, IEEE TIP 2011; *Optimal inversion of the
generalized Anscombe transformation for Poisson-Gaussian noise*, IEEE TIP 2013.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from mszoo.devices import in_float64
from mszoo.errors import OptionsError
from mszoo.inference.arguments import without_derivative
from mszoo.inference.denoising import denoise_image
from mszoo.model import MultiScaleModel

__all__ = ["Anscombe", "denoise_poisson"]

_Numbers = TypeVar("_Numbers", Tensor, np.ndarray)
_FEW = 100  # photons: with more, the closed form is exact to a hundredth of one


class Anscombe:
    """The generalized Anscombe transform of images in [0, 1], to images in [0, 1] with white noise.

    Args:
        gain: what one photon adds to the image: the noise of a bright pixel x has variance gain x + read^2.
        read: standard deviation of the noise of a black pixel.

    Attributes:
        sigma: standard deviation of the noise of what :meth:`stabilize` gives.

    Raises:
        OptionsError: a gain that is not above 0, a read noise below 0.

    Example:
        >>> import torch
        >>> transform, x = Anscombe(gain=0.1), torch.linspace(0.2, 1, 5).reshape(1, 1, 1, 5)
        >>> y = 0.1 * torch.poisson(x.expand(20000, 1, 1, 5) / 0.1)
        >>> (transform.stabilize(y).std(0).flatten() / transform.sigma).round(decimals=1)
        tensor([1., 1., 1., 1., 1.])
        >>> transform.recover(transform.stabilize(y).mean(0)).flatten().round(decimals=1)
        tensor([0.2000, 0.4000, 0.6000, 0.8000, 1.0000])
    """

    def __init__(self, gain: float, read: float = 0.0) -> None:
        for name, value, least in (("gain", gain, "more than 0"), ("read", read, "0 or more")):
            if not math.isfinite(value) or value < 0 or (name == "gain" and value == 0):
                raise OptionsError("Anscombe", [((name,), f"should be {least}, got {value!r}")])
        self.gain = float(gain)
        self.shift = (read / gain) ** 2
        self.black = 2 * math.sqrt(3 / 8 + self.shift)
        self.sigma = 1 / (2 * math.sqrt(1 / gain + 3 / 8 + self.shift) - self.black)
        self._at, self._lacking = self._table()

    def stabilize(self, y: Tensor) -> Tensor:
        """Images (B, C, H, W) with photon noise to images with white noise, black still 0 and white 1."""
        root = (in_float64(y) / self.gain + 3 / 8 + self.shift).clamp_min(0).sqrt()
        return ((2 * root - self.black) * self.sigma).to(y)

    def recover(self, u: Tensor) -> Tensor:
        """The exact unbiased inverse: denoised images of :meth:`stabilize`'s range to images; never below black."""
        mean = (in_float64(u) / self.sigma + self.black).clamp_min(self._at[0])
        lacking = np.interp(mean.cpu().numpy(), self._at, self._lacking)
        photons = _closed(mean, self.shift) + torch.as_tensor(lacking).to(mean)
        return (self.gain * photons.clamp_min(0)).to(u)

    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        """E[f(y) | x] for 0 to a hundred photons, and what the closed form lacks there."""
        photons = np.linspace(0, math.sqrt(_FEW), 400) ** 2
        counts = np.arange(3 * _FEW)
        normal = np.linspace(-8, 8, 1601)
        weight = np.exp(-(normal**2) / 2) / np.exp(-(normal**2) / 2).sum()
        read = math.sqrt(self.shift) * normal
        root = 2 * np.sqrt(np.maximum(0, counts[:, None] + read + 3 / 8 + self.shift)) @ weight  # for each count
        logs = counts * np.log(np.maximum(photons, 1e-300))[:, None] - np.array([math.lgamma(k + 1) for k in counts])
        mean = np.exp(logs - photons[:, None]) @ root
        return mean, photons - _closed(mean, self.shift)


def _closed(mean: _Numbers, shift: float) -> _Numbers:
    """The closed form of the exact unbiased inverse, in photons."""
    root = math.sqrt(3 / 2)
    return mean**2 / 4 + root / 4 / mean - 11 / 8 / mean**2 + 5 / 8 * root / mean**3 - 1 / 8 - shift


@without_derivative("y", "Anscombe and model.denoise(y, sigma, pad=True)")
def denoise_poisson(
    model: MultiScaleModel,
    y: Tensor,
    gain: float,
    read: float = 0.0,
    tile: int | None = 768,
    views: int = 1,
    on_tile: Callable[[int, int], object] | None = None,
) -> Tensor:
    """Denoise images whose noise is that of photons and of reading them out, by any model. It has no derivative.

    Args:
        model: in eval mode; one that is not blind is told the noise level.
        y: noisy images (B, C, H, W), the clean ones in [0, 1], in any floating-point type.
        gain, read: the noise of a pixel x has variance gain x + read^2; see :class:`Anscombe`.
        tile, views, on_tile: see :func:`denoise_image`.

    Returns:
        Denoised images (B, C, H, W), in y's type, nowhere below 0.

    Raises:
        OptionsError: a gain that is not above 0, a read noise below 0; and as :func:`denoise_image`.

    Example:
        >>> import torch, mszoo
        >>> x = torch.full((1, 1, 64, 64), 0.3)
        >>> y = torch.poisson(x / 0.1) * 0.1  # three photons a pixel
        >>> estimate = denoise_poisson(mszoo.load("photographs-grey"), y, gain=0.1)
        >>> bool((estimate - x).std() < (y - x).std() / 5)
        True
    """
    transform = Anscombe(gain, read)
    level = None if model.blind else transform.sigma
    return transform.recover(denoise_image(model, transform.stabilize(y), level, tile, views, on_tile))
