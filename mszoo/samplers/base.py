r"""The contract of a sampler, and what it draws from.

Noise levels are standard deviations :math:`\sigma` of local means, as for images in [0, 1]; coefficients are ``gain``
times as large, and so is their noise: a head is told :math:`t = (\mathrm{gain}\, \sigma)^2`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mszoo.heads import EnergyHead, Head
from mszoo.registry import Part

__all__ = ["OnStep", "Sampler", "Target"]

OnStep = Callable[[int, Tensor, Tensor], None]
"""Called with the step, all images and their noise levels in local means, (B,)."""


@dataclass(frozen=True)
class Target:
    """The density of one scale: that of a head, for as many images as ``mean`` has.

    Attributes:
        head: in eval mode.
        mean: what noise is added to at first, (B, C, H, W); it gives shape, type and device.
        cond: the finished coarser image, (B, C', H, W), for details; None for the coarsest image.
        gain: of the coefficients: 2^(j+1) for details of scale j, 2^J for the coarsest image.
        largest: a noise level at which almost nothing is left of the image, within those the head was trained at.

    Example:
        >>> import mszoo
        >>> head = mszoo.load("cifar10-grey-energy").coarse
        >>> target = Target(head, mean=torch.full((2, 1, 8, 8), 0.5))
        >>> y = target.noisy(0.1, torch.randn(2, 1, 8, 8))
        >>> torch.allclose(target.denoise(y, 0.1), y + 0.1**2 * target.score(y, 0.1), atol=1e-6)
        True
    """

    head: Head
    mean: Tensor
    cond: Tensor | None = None
    gain: float = 1.0
    largest: float = 30.0

    def denoise(self, y: Tensor, sigma: float | Tensor, which: Tensor | None = None) -> Tensor:
        """Denoised coefficients, the shape of y; a blind head does not look at sigma.

        Args:
            y: noisy coefficients (b, C, H, W).
            sigma: noise level, a float or (b,), in local means.
            which: indices of these images, (b,); None: all of them.
        """
        return self.head.denoise(y, self._t(y, sigma), self._given(which))

    def score(self, y: Tensor, sigma: float | Tensor, which: Tensor | None = None) -> Tensor:
        """Gradient of log p(y | cond, sigma), the shape of y; the arguments are those of :meth:`denoise`."""
        return self.head.score(y, self._t(y, sigma), self._given(which))

    def energy_and_score(self, y: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """-log p(y | cond, sigma) up to a constant, (B,), and the score, of an energy head, in one pass."""
        head, t, cond = self.head, self._t(y, sigma), self.cond
        assert isinstance(head, EnergyHead)

        def total(y: Tensor) -> tuple[Tensor, Tensor]:
            energy = head.energy(y, t, cond)
            return energy.sum(), energy

        gradient, energy = torch.func.grad(total, has_aux=True)(y)
        return energy, -gradient

    def noisy(self, sigma: float, z: Tensor) -> Tensor:
        """The mean with noise: white z (B, C, H, W) times a noise level."""
        return self.mean + self.gain * sigma * z

    def _t(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        level = torch.as_tensor(sigma, dtype=y.dtype, device=y.device).expand(len(y))
        return (self.gain * level).square()

    def _given(self, which: Tensor | None) -> Tensor | None:
        return self.cond if self.cond is None or which is None else self.cond[which]


class Sampler(ABC):
    """Draws coefficients of one scale. Subclass it to add one.

    Image i depends on row i of the target and on generator i alone: it is the same alone and in any batch.

    Example:
        >>> import mszoo
        >>> from mszoo.randomness import normal
        >>> class Halving(Sampler):
        ...     def draw(self, target, generators, on_step=None):
        ...         sigma, y = target.largest, target.noisy(target.largest, normal(target.mean, generators))
        ...         for _ in range(6):  # half of the noise that is left is taken away, none is added
        ...             y, sigma = (y + target.denoise(y, sigma)) / 2, sigma / 2
        ...         return target.denoise(y, sigma)
        >>> mszoo.load("cifar10-grey-energy").sample(2, 8, sampler=Halving(), generator=0).shape
        torch.Size([2, 1, 8, 8])
    """

    part: Part

    def check(self, head: Head) -> None:  # noqa: B027
        """Raise :class:`~mszoo.errors.UnsupportedError` if it cannot draw from this head; by default it can."""

    @abstractmethod
    def draw(self, target: Target, generators: Sequence[torch.Generator], on_step: OnStep | None = None) -> Tensor:
        """Draw one image for each row of the target's mean. It is called where gradients are off.

        Args:
            target: what is drawn from.
            generators: one for each image, the only source of random numbers; see :func:`mszoo.randomness.normal`.
            on_step: called after every step.

        Returns:
            Coefficients without noise, the shape of ``target.mean``.
        """

    def report(self) -> str:
        """A line about the last draw, for who watches; empty unless there is something to tell."""
        return ""
