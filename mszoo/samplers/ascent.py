r"""Stochastic ascent to a sample of the density that a denoiser knows.

Kadkhodaie and Simoncelli, *Stochastic solutions for linear inverse problems using the prior implicit in a denoiser*
(NeurIPS 2021, arXiv 2007.13640), as paper A uses it at every scale. With the denoiser's residual
:math:`d = \mathrm{denoise}(y) - y`, the noise :math:`\sigma_k` still in :math:`y`, and white :math:`z`,

.. math::
    \gamma_k^2 = \sigma_k^2 \left[ (1 - \beta h_k)^2 - (1 - h_k)^2 \right], \qquad
    y \leftarrow y + h_k d + \gamma_k z.

A blind denoiser's residual tells the noise, :math:`\sigma_k = \lVert d \rVert / \sqrt n`. A schedule may know it
instead (``annealed``): what was added and not yet removed. A head that takes t needs one that does, and is given
:math:`\sigma_k^2`; for small steps such an ascent keeps to the densities of the noise levels, whatever :math:`\beta`.
Everything is per image: its own noise, random numbers and stop, so that a sample is the same alone and in any batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import pydantic
import torch
from torch import Tensor

from mszoo.errors import OptionsError
from mszoo.heads.base import per_image
from mszoo.randomness import normal
from mszoo.samplers.base import OnStep, Sampler, Target

__all__ = ["Ascent", "Schedule", "ascend"]

Direction = Callable[[Tensor, Tensor, Tensor, int], Tensor]


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
        give_up: a residual above this (times sigma_0, if that is above 1), or above four times the smallest so far (and
            the noise, if annealed), is a divergence: that image goes back to its smallest, and stops, with a warning.

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
        direction: the residual d of some images, given those images (b, C, H, W), which they are (b,), the noise that
            the schedule has left in them, (b,) in local means, and the step's number; 0 for the last denoising.
        y: where to start, (B, C, H, W), noise of standard deviation ``gain * schedule.sigma_0`` in it.
        schedule: step sizes, added noise and the stop.
        generators: one per image; see :func:`~mszoo.randomness.child_generators`.
        gain: of the coefficients: 2^(j+1) for details of scale j, 2^J for the coarsest image.
        on_step: called with the step, all images and their noise levels (in local means) after every step.

    Returns:
        The images as they are at their stops, noise removed: (B, C, H, W).

    Example:
        >>> from mszoo.randomness import child_generators
        >>> def towards_grey(y, which, sigma, step):  # the residual of who knows that all images are grey
        ...     return 0.5 - y
        >>> generators = child_generators(0, 2)
        >>> ascend(towards_grey, torch.randn(2, 1, 8, 8), Schedule(h0=0.5), generators).unique()
        tensor([0.5000])
    """
    y, best = y.clone(), y.clone()
    active = torch.arange(len(y), device=y.device)
    sigma = torch.full((len(y),), schedule.sigma_0, dtype=y.dtype, device=y.device)
    left, best_left, smallest = sigma.clone(), sigma.clone(), torch.full_like(sigma, float("inf"))
    highest, diverged = schedule.give_up * max(1.0, schedule.sigma_0), []
    for k in range(1, schedule.max_steps + 1):
        h = schedule.step_size(k)
        current, known = y[active], left[active]
        d = direction(current, active, known, k)
        level = d.flatten(1).square().mean(1).sqrt() / gain
        usual = smallest[active].maximum(known) if schedule.annealed else smallest[active]
        lost = ~((level <= highest) & (level <= 4 * usual))  # true for nan
        lower = level < smallest[active]
        smallest[active[lower]], best[active[lower]] = level[lower], current[lower]
        best_left[active[lower]] = known[lower]
        noise = known if schedule.annealed else level
        gamma = gain * noise * max(0.0, (1 - schedule.beta * h) ** 2 - (1 - h) ** 2) ** 0.5
        z = normal(current, [generators[i] for i in active.tolist()])
        current = current + h * d + per_image(gamma, d) * z
        y[active], sigma[active], left[active] = current, noise, known * (1 - schedule.beta * h)
        y[active[lost]], left[active[lost]] = best[active[lost]], best_left[active[lost]]
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
    return y + direction(y, torch.arange(len(y), device=y.device), left, 0)


# Of heads that estimate the noise themselves (paper A): the coarsest image, and the details given it.
_COARSE = Schedule(h0=0.01, beta=0.1, sigma_end=0.05, floor=0.001)
_DETAIL = Schedule(h0=0.01, beta=1.0, sigma_end=0.01)
# Of heads that are told the noise: steps that stay small, from noise that hides the image.
_KNOWN = Schedule(h0=0.06, beta=0.7, sigma_end=1e-4, floor=0.002, growing=False, annealed=True, give_up=4.0)

_Fraction = Annotated[float, pydantic.Field(gt=0, le=1)]
_Positive = Annotated[float, pydantic.Field(gt=0)]


class Ascent(Sampler):
    """Paper A's stochastic ascent; see :class:`Schedule` for what is not said here.

    What is not given is chosen for the head. Blind, it estimates the noise, and the ascent is paper A's: growing steps
    from sigma_0 = 1, with beta = 0.1 for the coarsest image and 1 for details. A head that takes t is told the noise of
    the schedule, which is annealed: equal steps with beta = 0.7 from the target's ``largest`` noise level.

    Args:
        steps: how often the head denoises: equal steps, the noise annealed down to ``floor``, which take the place of
            ``h0`` and ``growing``. None: until each image stops.
        h0, beta, sigma_0, sigma_end, floor, growing, annealed, max_steps, give_up: see :class:`Schedule`.

    Example:
        >>> import mszoo
        >>> model, seen = mszoo.load("cifar10-grey-energy"), []
        >>> x = model.sample(2, 8, sampler=Ascent(steps=9), generator=0, on_step=lambda scale, k, *_: seen.append(k))
        >>> x.shape, seen  # and one to end with
        (torch.Size([2, 1, 8, 8]), [1, 2, 3, 4, 5, 6, 7, 8])
    """

    def __init__(
        self,
        *,
        steps: Annotated[int, pydantic.Field(ge=2)] | None = None,
        h0: _Fraction | None = None,
        beta: _Fraction | None = None,
        sigma_0: _Positive | None = None,
        sigma_end: _Positive | None = None,
        floor: Annotated[float, pydantic.Field(ge=0)] | None = None,
        growing: bool | None = None,
        annealed: bool | None = None,
        max_steps: Annotated[int, pydantic.Field(ge=1)] | None = None,
        give_up: _Positive | None = None,
    ) -> None:
        given = {
            **{"h0": h0, "beta": beta, "sigma_0": sigma_0, "sigma_end": sigma_end, "floor": floor},
            **{"growing": growing, "annealed": annealed, "max_steps": max_steps, "give_up": give_up},
        }
        self.steps = steps
        self.given = {name: value for name, value in given.items() if value is not None}
        if steps is not None and (twice := {"h0", "growing"} & self.given.keys()):
            raise OptionsError("ascent", [((name,), "steps says how large they are") for name in sorted(twice)])

    def schedule(self, target: Target) -> Schedule:
        """How it ascends to this target."""
        if target.head.blind:
            schedule = replace(_COARSE if target.cond is None else _DETAIL, **self.given)
        else:
            known = replace(_KNOWN, sigma_0=target.largest)
            schedule = replace(known, **{**self.given, "annealed": True})
        if self.steps is None:
            return schedule
        if not schedule.floor:
            raise OptionsError("ascent", [(("floor",), "must be positive where steps are counted, got 0")])
        h = (1 - (schedule.floor / schedule.sigma_0) ** (1 / (self.steps - 1))) / schedule.beta
        if h > 1:
            raise OptionsError("ascent", [(("steps",), f"{self.steps} are too few with beta = {schedule.beta:g}")])
        last = schedule.floor / (1 - schedule.beta * h) * (1 + 1e-3)  # before the step that ends at the floor
        return replace(schedule, h0=h, growing=False, annealed=True, floor=last, sigma_end=1e-12)

    def draw(self, target: Target, generators: Sequence[torch.Generator], on_step: OnStep | None = None) -> Tensor:
        """See :meth:`Sampler.draw`."""
        schedule = self.schedule(target)

        def direction(y: Tensor, which: Tensor, sigma: Tensor, step: int) -> Tensor:
            return target.denoise(y, sigma, which) - y

        start = target.noisy(schedule.sigma_0, normal(target.mean, generators))
        return ascend(direction, start, schedule, generators, target.gain, on_step)
