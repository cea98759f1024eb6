"""Photographs that are blurred already, sharpened.

Two things tell one from a blurred image of the computer's making. It goes on beyond its edges, where a periodic blur
would mix in the opposite one: it is mirrored there first, as far as the blur reaches, and cropped again. The mirror
image of one edge fades into that of the opposite one: a jump, which no blurred image has, would be sharpened into
stripes (a photograph of 64 x 63 lost 6 dB by them). And its blur is never quite the one that is supposed: some noise
is supposed as well, so that no frequency is believed to the last digit, least of all what the mirrored edges say.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from mszoo.inference.inverse import solve
from mszoo.inference.operators import Blur
from mszoo.model import MultiScaleModel
from mszoo.samplers import OnStep, Schedule

__all__ = ["SUPPOSED", "deblur"]

SUPPOSED = 0.03
"""Standard deviation of the noise that is supposed in a photograph."""


def deblur(
    model: MultiScaleModel,
    photo: Tensor,
    width: float,
    sigma: float | Tensor | Literal["auto"] | None = SUPPOSED,
    *,
    mean_of: int = 1,
    generator: torch.Generator | int | None = None,
    schedule: Schedule | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Photographs without their blur, a Gaussian. It has no derivative.

    Args:
        model: in eval mode; :func:`mszoo.inference.fast` makes it faster.
        photo: blurred images (B, C, H, W) in [0, 1], of any size.
        width: the Gaussian's standard deviation in pixels, more than 0.
        sigma: standard deviation of the noise in them, a float or (B,); None: they are believed exactly; ``auto``: it
            is found (:func:`~mszoo.inference.measured_noise`).
        mean_of, generator, schedule, on_step: see :func:`solve`; ``on_step`` sees the mirrored edges too.

    Returns:
        Images, the shape of ``photo``.

    Raises:
        ImageSizeError, OptionsError, UnsupportedError: see :func:`solve` and :class:`Blur`.

    Example:
        >>> import torch, mszoo
        >>> from mszoo.inference import Schedule
        >>> model, steps = mszoo.load("photographs-haar-rf13"), Schedule(h0=0.5, beta=0.5, annealed=True)
        >>> deblur(model, torch.full((1, 1, 15, 18), 0.5), width=1.0, generator=0, schedule=steps).shape
        torch.Size([1, 1, 15, 18])
    """
    model.prepare(photo, 1)  # for its errors
    height, width_of = photo.shape[-2:]
    reach = math.ceil(4 * width) if 0 < width < math.inf else 0
    margin = min(reach, height - 1, width_of - 1)  # as far as an image can be mirrored
    seen = _closed(_closed(photo, margin).mT, margin).mT
    blur = Blur.gaussian(width, (seen.shape[-2], seen.shape[-1]))
    found = solve(model, seen, blur, sigma, mean_of=mean_of, generator=generator, schedule=schedule, on_step=on_step)
    return found[..., margin : margin + height, margin : margin + width_of]


def _closed(photo: Tensor, margin: int) -> Tensor:
    """Mirrored at its left and right edges, one mirror image fading into the other: periodic, and without a jump."""
    size, k = photo.shape[-1], torch.arange(2 * margin, device=photo.device)
    right, left = photo[..., (size - 2 - k).clamp_min(0)], photo[..., (2 * margin - k).clamp_max(size - 1)]
    fading = torch.linspace(0, math.pi / 2, 2 * margin + 2)[1:-1].cos().square().to(photo)
    return torch.cat([photo, left + fading * (right - left)], -1).roll(margin, -1)
