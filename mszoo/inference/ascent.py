r"""Stochastic ascent to a sample of the density that a denoiser knows implicitly.

Kadkhodaie and Simoncelli, *Stochastic solutions for linear inverse problems using the prior implicit in a denoiser*
(NeurIPS 2021, arXiv 2007.13640), as paper A uses it at every scale. With the denoiser's residual
:math:`d = \mathrm{denoise}(y) - y`, an estimate :math:`\sigma_k` of the noise still in :math:`y`, and white :math:`z`,

.. math::
    \sigma_k = \lVert d \rVert / \sqrt n, \qquad
    \gamma_k^2 = \sigma_k^2 \left[ (1 - \beta h_k)^2 - (1 - h_k)^2 \right], \qquad
    y \leftarrow y + h_k d + \gamma_k z.

A schedule may set :math:`\sigma_k` itself (``annealed``). Everything is per image: its own noise estimate, random
numbers and stop, so that a sample is the same alone and in any batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mszoo.errors import OptionsError
from mszoo.heads.base import per_image
from mszoo.randomness import normal

__all__ = ["Schedule", "ascend"]

Direction = Callable[[Tensor, Tensor, int], Tensor]
OnStep = Callable[[int, Tensor, Tensor], None]


@dataclass(frozen=True)
class Schedule:
    """How an ascent steps and when it stops. Noise levels are those of local means, as for images in [0, 1].

    Attributes:
        h0: first step size, in (0, 1].
        beta: 1 adds no noise; smaller values add more of it, and vary the samples more. In (0, 1].
        sigma_0: standard deviation of the noise it starts from.
        sigma_end: stops when the noise estimate is below this fraction of the image's standard deviation (paper A).
        floor: stops as well when the noise estimate is below this. Details of a smooth image are so small that a
            fraction of them is below what the denoiser resolves.
        growing: whether steps grow as h0 k / (1 + h0 (k - 1)), or stay h0.
        annealed: whether sigma_k is the noise that was added and not yet removed, sigma_0 (1 - beta h_1) ...
            (1 - beta h_{k-1}), and not what the denoiser takes for noise. The residual of a good denoiser is smaller
            than the noise: an estimate from it cools faster than beta says, and settles what is still undecided.
        max_steps: after which it stops anyway, with a warning.
        give_up: a noise estimate above this, or above four times the smallest so far, is a divergence: that image goes
            back to its smallest, and stops, with a warning.

    Example:
        >>> [round(Schedule(h0=0.1).step_size(k), 3) for k in (1, 2, 10)]
        [0.1, 0.182, 0.526]
    """

    h0: float = 0.01
    beta: float = 1.0
    sigma_0: float = 1.0
    sigma_end: float = 0.01
    floor: float = 0.005
    growing: bool = True
    annealed: bool = False
    max_steps: int = 2000
    give_up: float = 1.5

    def __post_init__(self) -> None:
        for name in ("h0", "beta"):
            if not 0 < getattr(self, name) <= 1:
                raise OptionsError(name, [((), f"must be in (0, 1], got {getattr(self, name)}")])
        for name in ("sigma_0", "sigma_end", "max_steps", "give_up"):
            if not getattr(self, name) > 0:
                raise OptionsError(name, [((), f"must be positive, got {getattr(self, name)}")])
        if not self.floor >= 0:
            raise OptionsError("floor", [((), f"must not be negative, got {self.floor}")])

    def step_size(self, k: int) -> float:
        """h_k, k = 1, 2, ..."""
        return self.h0 * k / (1 + self.h0 * (k - 1)) if self.growing else self.h0


def ascend(
    direction: Direction,
    y: Tensor,
    schedule: Schedule,
    generators: Sequence[torch.Generator],
    gain: float = 1.0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Ascend from y until every image has stopped.

    Args:
        direction: the residual d of some images, given those images (b, C, H, W), which they are (b,), and the step's
            number; 0 for the last denoising.
        y: where to start, (B, C, H, W), noise of standard deviation ``gain * schedule.sigma_0`` in it.
        schedule: step sizes, added noise and the stop.
        generators: one per image; see :func:`~mszoo.randomness.child_generators`.
        gain: of the coefficients over local means: 2^(j+1) for details of scale j, 2^J for the coarsest image.
        on_step: called with the step, all images and their noise estimates (in local means) after every step.

    Returns:
        The images as they are at their stops, noise removed: (B, C, H, W).
    """
    y, best = y.clone(), y.clone()
    active = torch.arange(len(y), device=y.device)
    sigma = torch.full((len(y),), schedule.sigma_0, dtype=y.dtype, device=y.device)
    smallest, left = torch.full_like(sigma, float("inf")), schedule.sigma_0
    diverged: list[int] = []
    for k in range(1, schedule.max_steps + 1):
        h = schedule.step_size(k)
        current = y[active]
        d = direction(current, active, k)
        level = d.flatten(1).square().mean(1).sqrt() / gain
        lost = ~((level <= schedule.give_up) & (level <= 4 * smallest[active]))  # true for nan
        lower = level < smallest[active]
        smallest[active[lower]], best[active[lower]] = level[lower], current[lower]
        noise = torch.full_like(level, left) if schedule.annealed else level
        left *= 1 - schedule.beta * h
        gamma = gain * noise * max(0.0, (1 - schedule.beta * h) ** 2 - (1 - h) ** 2) ** 0.5
        z = normal(current, [generators[i] for i in active.tolist()])
        current = current + h * d + per_image(gamma, d) * z
        y[active], sigma[active] = current, noise
        y[active[lost]] = best[active[lost]]
        if on_step is not None:
            on_step(k, y, sigma)
        done = (noise <= schedule.floor) | (gain * noise <= schedule.sigma_end * current.flatten(1).std(1))
        diverged += active[lost].tolist()
        active = active[~(lost | done)]
        if not len(active):
            break
    if len(active):
        warnings.warn(f"{len(active)} image(s) had not converged after {schedule.max_steps} steps", stacklevel=2)
    if diverged:
        warnings.warn(
            f"image(s) {', '.join(map(str, diverged))} diverged: use a smaller h0 or a larger beta", stacklevel=2
        )
    return y + direction(y, torch.arange(len(y), device=y.device), 0)
