r"""Langevin steps at falling noise levels.

At a noise level :math:`\sigma` (t its variance), with white z and :math:`\epsilon = \mathrm{step} \cdot t\, d^{-1/3}`
for d coefficients,

.. math:: y \leftarrow y + \epsilon\, \nabla \log p(y \mid t) + \sqrt{2 \epsilon}\, z

draws from :math:`p(y \mid t)` after many small steps (Song and Ermon, *Generative modeling by estimating gradients of
the data distribution*, arXiv 1907.05600). From one level to the next a step along the probability flow takes the
images to where the next density is, so that a few steps are enough; the last goes to :math:`\sigma = 0`.

With an energy U the steps can be exact at any size: Metropolis' test accepts :math:`y \to y'` with probability
:math:`\min(1, e^{U(y) - U(y')} q(y \mid y') / q(y' \mid y))`, q the density of the step (Roberts and Tweedie,
*Exponential convergence of Langevin distributions*, 1996). The power of d keeps the rate of acceptance the same for
images of any size (Roberts and Rosenthal, 1998).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import pydantic
import torch
from torch import Tensor

from mszoo.errors import OptionsError, UnsupportedError
from mszoo.heads import EnergyHead, Head
from mszoo.heads.base import per_image
from mszoo.randomness import normal
from mszoo.samplers.base import OnStep, Sampler, Target

__all__ = ["Langevin"]

_AIM = 0.62  # rate of acceptance
_Positive = Annotated[float, pydantic.Field(gt=0)]


class Langevin(Sampler):
    """Annealed Langevin dynamics, with Metropolis' test where asked for.

    Args:
        steps: how often the head is asked, at most: ``inner`` + 1 times at each noise level.
        inner: Langevin steps at each noise level.
        step: their size; see the module. With ``adjust`` that of the first level: each image's follows its rate of
            acceptance from level to level, and stays within one.
        sigma_min: the last noise level before 0.
        sigma_max: the first; None: the target's ``largest``.
        adjust: whether Metropolis' test follows every step; it needs an energy. :attr:`acceptance` has the rates.

    Attributes:
        acceptance: of the last draw, noise level and rate of acceptance, the mean over all images; empty without
            ``adjust``.

    Example:
        >>> import mszoo
        >>> sampler = Langevin(steps=12, inner=2, adjust=True)
        >>> mszoo.load("cifar10-grey-energy").sample(2, 8, sampler=sampler, generator=0).shape
        torch.Size([2, 1, 8, 8])
        >>> [round(sigma, 3) for sigma, _ in sampler.acceptance]
        [8.0, 0.504, 0.032, 0.002]
    """

    def __init__(
        self,
        *,
        steps: Annotated[int, pydantic.Field(ge=1)] = 240,
        inner: Annotated[int, pydantic.Field(ge=1)] = 3,
        step: _Positive = 1.0,
        sigma_min: _Positive = 0.002,
        sigma_max: _Positive | None = None,
        adjust: bool = False,
    ) -> None:
        if sigma_max is not None and sigma_max <= sigma_min:
            raise OptionsError("langevin", [(("sigma_max",), f"must be above sigma_min, {sigma_min}, got {sigma_max}")])
        self.steps, self.inner, self.step, self.adjust = steps, inner, step, adjust
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        self.acceptance: list[tuple[float, float]] = []

    def check(self, head: Head) -> None:
        """See :meth:`Sampler.check`: Metropolis' test needs an energy."""
        if self.adjust and not isinstance(head, EnergyHead):
            raise UnsupportedError(
                f"adjust: Metropolis' test compares energies, and the head {type(head).__name__} has none; "
                f"leave it out, or use a model with an energy at every scale"
            )

    def draw(self, target: Target, generators: Sequence[torch.Generator], on_step: OnStep | None = None) -> Tensor:
        """See :meth:`Sampler.draw`."""
        self.check(target.head)
        self.acceptance = []
        count = max(1, self.steps // (self.inner + 1))
        first = self.sigma_max or target.largest
        levels = [first * (self.sigma_min / first) ** (i / max(1, count - 1)) for i in range(count)]
        y = target.noisy(first, normal(target.mean, generators))
        scale = torch.full_like(y[:, 0, 0, 0], self.step * y[0].numel() ** (-1 / 3))
        for k, (sigma, following) in enumerate(zip(levels, [*levels[1:], 0.0], strict=True), start=1):
            size = scale * (target.gain * sigma) ** 2
            if self.adjust:
                y, score, rate = self._adjusted(target, y, sigma, size, generators)
                self.acceptance.append((sigma, rate.mean().item()))
                scale = scale * (2 * (rate - _AIM)).exp()
            else:
                for _ in range(self.inner):
                    y = y + _step(target.score(y, sigma), size, normal(y, generators))
                score = target.score(y, sigma)
            y = y + target.gain**2 * sigma * (sigma - following) * score
            if on_step is not None:
                on_step(k, y, torch.full_like(scale, following))
        return y

    def report(self) -> str:
        """See :meth:`Sampler.report`: the rates of acceptance."""
        if not self.acceptance:
            return ""
        rates = [rate for _, rate in self.acceptance]
        least, most = min(rates), max(rates)
        return f"accepted {sum(rates) / len(rates):.2f} of the steps, {least:.2f} to {most:.2f} at a noise level"

    def _adjusted(
        self, target: Target, y: Tensor, sigma: float, size: Tensor, generators: Sequence[torch.Generator]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Steps with Metropolis' test: the images, their scores and their rates of acceptance, (B,)."""
        accepted = torch.zeros_like(size)
        energy, score = target.energy_and_score(y, sigma)
        for _ in range(self.inner):
            z = normal(y, generators)
            proposed = y + _step(score, size, z)
            new_energy, new_score = target.energy_and_score(proposed, sigma)
            back = (y - proposed - per_image(size, y) * new_score).square().flatten(1).sum(1) / (4 * size)
            forth = z.square().flatten(1).sum(1) / 2
            u = torch.stack([torch.rand((), generator=g) for g in generators]).to(energy)
            yes = u.log() < energy - new_energy + forth - back
            y = torch.where(yes[:, None, None, None], proposed, y)
            score = torch.where(yes[:, None, None, None], new_score, score)
            energy, accepted = torch.where(yes, new_energy, energy), accepted + yes
        return y, score, accepted / self.inner


def _step(score: Tensor, size: Tensor, z: Tensor) -> Tensor:
    """eps score + sqrt(2 eps) z, eps (B,)."""
    return per_image(size, z) * score + per_image((2 * size).sqrt(), z) * z
