r"""Noise beyond white, by name: what a camera's raw noise has become in a photograph.

Demosaicking and scaling correlate the noise of neighbouring pixels, and photons make it stronger where the image is
bright. With :math:`\sigma` drawn for each image, z white and k a kernel with :math:`\lVert k \rVert_2 = 1`,

.. math:: y = x + k * \Bigl( \sigma \sqrt{1 - s + 2 s x}\; z \Bigr),

which has variance :math:`\sigma^2` in the mean over brightnesses. The kernel is a Gaussian whose widths along rows and
columns are uniform between 0 and 1.2 pixels (0: white); s, the photons' share, is uniform between 0 and 1.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mszoo.heads.base import per_image
from mszoo.objectives.noise import NoiseLevels
from mszoo.randomness import Draw

__all__ = ["Noise", "correlate"]

_WIDEST = 1.2  # pixels: the noise of a photograph that was demosaicked and halved
_TAPS = 4  # of a kernel, on each side of its middle


class Noise(NoiseLevels):
    """The noise that is added in training, and how its level is drawn; see :class:`NoiseLevels`.

    - ``white``: the same and independent in every pixel.
    - ``correlated``: white noise filtered by a small kernel, another for each image.
    - ``signal_dependent``: of variance a + b x, a and b drawn for each image.
    - ``camera``: both.

    Noise that is not white is for images, and for blind denoisers: what they give is the mean of the clean image still,
    but (denoised - y) / t is no score.

    Attributes:
        kind: whether it is the same in every pixel, filtered, stronger where the image is bright, or both.
    """

    kind: Literal["white", "correlated", "signal_dependent", "camera"] = "white"

    def add(self, x: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """Noisy images, the shape of x (B, C, H, W), and the variance of a pixel of middling brightness, (B,)."""
        if self.kind == "white":
            return super().add(x, draw)
        sigma = self.sigma(draw.uniform(x[:, 0, 0, 0]))
        noise = per_image(sigma, x) * draw.normal(x)
        if self.kind != "correlated":
            share = per_image(draw.uniform(sigma), x)
            noise = noise * (1 - share + 2 * share * x.clamp_min(0)).sqrt()
        if self.kind != "signal_dependent":
            noise = correlate(noise, _WIDEST * draw.uniform(x.new_empty(len(x), 2)))
        return x + noise, sigma.square()


def correlate(white: Tensor, widths: Tensor) -> Tensor:
    """Filter white noise (B, C, H, W) by Gaussians such that its variance stays; the image goes on at its other side.

    Args:
        white: the noise.
        widths: standard deviations along columns and along rows, in pixels, (B, 2); 0 leaves it white.

    Example:
        >>> noise = correlate(torch.randn(1, 1, 256, 256), torch.tensor([[0.0, 1.0]]))[0, 0]
        >>> round(noise.std().item(), 1), bool((noise[:, 1:] * noise[:, :-1]).mean() > 0.7)
        (1.0, True)
    """
    offsets = torch.arange(-_TAPS, _TAPS + 1, device=white.device)
    for axis, width in zip((-2, -1), widths.unbind(1), strict=True):
        kernel = torch.exp(-(offsets / width.clamp_min(1e-3)[:, None]).square() / 2)
        kernel = (kernel / kernel.norm(dim=1, keepdim=True)).to(white.dtype)
        shifted = (per_image(k, white) * white.roll(int(o), axis) for k, o in zip(kernel.T, offsets, strict=True))
        white = torch.stack(list(shifted)).sum(0)
    return white
