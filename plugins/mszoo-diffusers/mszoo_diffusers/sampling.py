r"""A scheduler of diffusers drives, an mszoo model says what is noise.

Schedulers ask a network for the noise n in one of two conventions, x + sigma n (Euler, Heun, LMS, ...) or
sqrt(a) x + sqrt(1 - a) n (DDPM, DDIM, DPM-Solver, ...). In both, the model's denoised image D at the noise level
sigma = sqrt((1 - a) / a) gives it: n = (y - D(y, sigma)) / sigma, which is minus sigma times the score.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

import mszoo
from mszoo.errors import UnsupportedError

__all__ = ["sample"]


@torch.no_grad()
def sample(
    model: mszoo.MultiScaleModel,
    scheduler: Any,
    count: int = 1,
    *,
    size: int | tuple[int, int],
    steps: int = 50,
    mean: float = 0.5,
    generator: torch.Generator | int | None = None,
) -> Tensor:
    """Draw images.

    Args:
        model: in eval mode; any size that it can split.
        scheduler: of diffusers, with ``prediction_type="epsilon"``. Its noise levels are for images in [0, 1] here;
            keep the largest (``sigma_max``) within those that the model was trained at.
        count: how many.
        size: side, or height and width.
        steps: of the scheduler.
        mean: of the images; what the noise is added to at first.
        generator: a torch.Generator, a seed, or None: torch's global generator.

    Returns:
        Images (count, C, H, W), not clipped.

    Raises:
        UnsupportedError: a scheduler with another convention.
    """
    if getattr(scheduler.config, "prediction_type", None) != "epsilon":
        raise UnsupportedError(f"{type(scheduler).__name__} must have prediction_type 'epsilon'")
    if isinstance(generator, int):
        generator = torch.Generator().manual_seed(generator)
    height, width = (size, size) if isinstance(size, int) else size
    scheduler.set_timesteps(steps)
    x = scheduler.init_noise_sigma * torch.randn(count, model.channels, height, width, generator=generator)
    options = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for i, t in enumerate(scheduler.timesteps):
        scale, sigma = _level(scheduler, x, t)
        if i == 0:
            x = x + mean * scale
        y = x / scale
        noise = (y - model.denoise(y.float(), sigma)) / sigma
        x = scheduler.step(noise.to(x.dtype), t, x, **options).prev_sample
    return x


def _level(scheduler: Any, x: Tensor, t: Tensor) -> tuple[float, float]:
    """What the clean image is multiplied by in x, and the noise's deviation once x is divided by that."""
    probe = scheduler.scale_model_input(torch.ones_like(x[:1]), t).flatten()[0].item()
    if probe != 1 and not hasattr(scheduler, "precondition_inputs"):  # such schedulers divide by sqrt(sigma^2 + 1)
        return 1.0, (1 / probe**2 - 1) ** 0.5
    if probe == 1 and hasattr(scheduler, "alphas_cumprod"):
        a = scheduler.alphas_cumprod[int(t)].item()
        return a**0.5, ((1 - a) / a) ** 0.5
    raise UnsupportedError(f"{type(scheduler).__name__} has another convention of noise than x + sigma n, or DDPM's")
