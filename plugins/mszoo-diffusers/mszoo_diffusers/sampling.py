r"""A scheduler of diffusers drives, a head of mszoo says what is noise.

Schedulers ask a network for the noise n in one of two conventions, x + sigma n (Euler, Heun, LMS, ...) or
sqrt(a) x + sqrt(1 - a) n (DDPM, DDIM, DPM-Solver, ...). In both, the denoised image D at the noise level
sigma = sqrt((1 - a) / a) gives it: n = (y - D(y, sigma)) / sigma, which is minus sigma times the score.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import diffusers
import torch
from torch import Tensor

from mszoo.errors import UnsupportedError
from mszoo.randomness import normal
from mszoo.samplers import OnStep, Sampler, Target

__all__ = ["Named", "Scheduled"]


class Scheduled(Sampler):
    """Draws with a scheduler.

    A scheduler draws its random numbers for one image at a time, from that image's generator: image i is the same
    alone and in any batch.

    Args:
        scheduler: of diffusers, with ``prediction_type="epsilon"``. Its noise levels are those of local means, as for
            images in [0, 1].
        steps: of the scheduler.

    Raises:
        UnsupportedError: a scheduler with another convention.

    Example:
        >>> scheduler = diffusers.EulerDiscreteScheduler(use_karras_sigmas=True, sigma_min=0.01, sigma_max=1.0)
        >>> model = mszoo.load("photographs-haar-rf13")  # doctest: +SKIP
        >>> images = model.sample(4, 64, sampler=Scheduled(scheduler, steps=40), generator=0)  # doctest: +SKIP
    """

    def __init__(self, scheduler: Any, *, steps: int = 50) -> None:
        if getattr(scheduler.config, "prediction_type", None) != "epsilon":
            raise UnsupportedError(f"{type(scheduler).__name__} must have prediction_type 'epsilon'")
        self.scheduler, self.steps = scheduler, steps

    def draw(self, target: Target, generators: Sequence[torch.Generator], on_step: OnStep | None = None) -> Tensor:
        """See :meth:`mszoo.samplers.Sampler.draw`."""
        schedulers = [copy.deepcopy(self.scheduler) for _ in generators]  # one for each image: they keep what they saw
        for scheduler in schedulers:
            scheduler.set_timesteps(self.steps)
        first, mean, gain = schedulers[0], target.mean, target.gain
        takes = "generator" in inspect.signature(first.step).parameters
        # In the scheduler's coordinates: local means less that of the start, and its noise.
        x = float(first.init_noise_sigma) * normal(mean, generators)
        for k, t in enumerate(first.timesteps, start=1):
            scale, sigma = _level(first, x, t)
            y = x / scale
            noise = (y - (target.denoise(mean + gain * y, sigma) - mean) / gain) / sigma
            rows = [
                scheduler.step(noise[i : i + 1], t, x[i : i + 1], **({"generator": generators[i]} if takes else {}))
                for i, scheduler in enumerate(schedulers)
            ]
            x = torch.cat([row.prev_sample for row in rows]).to(mean)
            if on_step is not None:
                on_step(k, mean + gain * x / scale, torch.full((len(x),), sigma).to(mean))
        return mean + gain * x


class Named(Scheduled):
    """One of diffusers' schedulers by name.

    Args:
        scheduler: its class.
        fixed: options of it that the name fixes.
        steps: of the scheduler.
        options: others of its options, such as ``use_karras_sigmas``.
    """

    def __init__(
        self, *, scheduler: str, fixed: Mapping[str, Any], steps: int = 50, options: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(getattr(diffusers, scheduler)(**fixed, **(options or {})), steps=steps)


def _level(scheduler: Any, x: Tensor, t: Tensor) -> tuple[float, float]:
    """What the clean image is multiplied by in x, and the noise's deviation once x is divided by that."""
    probe = scheduler.scale_model_input(torch.ones_like(x[:1]), t).flatten()[0].item()
    if probe != 1 and not hasattr(scheduler, "precondition_inputs"):  # such schedulers divide by sqrt(sigma^2 + 1)
        return 1.0, (1 / probe**2 - 1) ** 0.5
    if probe == 1 and hasattr(scheduler, "alphas_cumprod"):
        a = scheduler.alphas_cumprod[int(t)].item()
        return a**0.5, ((1 - a) / a) ** 0.5
    raise UnsupportedError(f"{type(scheduler).__name__} has another convention of noise than x + sigma n, or DDPM's")
