"""The contract of an objective."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from torch import Tensor, nn

from mszoo.errors import IncompatiblePartsError
from mszoo.heads.base import EnergyHead, Head
from mszoo.randomness import Draw
from mszoo.registry import Part

__all__ = ["Objective", "with_energy"]


class Objective(nn.Module, ABC):
    """What one scale is trained with. Subclass it to add one. It has no parameters.

    Example:
        >>> import torch
        >>> from mszoo.conditioners import BiasFreeCNN
        >>> from mszoo.heads import Denoiser
        >>> class Absolute(Objective):
        ...     def corrupt(self, x, draw):
        ...         return x + 0.1 * draw.normal(x), x.new_full((len(x),), 0.01)
        ...
        ...     def loss(self, head, x, y, t, cond):
        ...         error = (head.denoise(y, t, cond) - x).abs()
        ...         return error.flatten(1).sum(1).mean(), {"mae": error.detach().mean()}
        >>> objective, x = Absolute(), torch.rand(3, 1, 8, 8)
        >>> y, t = objective.corrupt(x, Draw(0, 0, [0, 1, 2]))
        >>> loss, told = objective.loss(Denoiser(BiasFreeCNN(1, receptive_field=5)), x, y, t, None)
        >>> round(loss.item() / told["mae"].item())  # it is a sum over the coefficients
        64
    """

    part: Part
    conditional: bool = True
    """Whether it can train a scale that has a condition."""
    needs_energy: bool = False
    """Whether it trains only heads that have an energy."""
    versions: int = 1
    """How many noisy versions of an image :meth:`corrupt` returns, the first of them at random noise levels."""
    largest_t: float = math.inf
    """Largest noise variance it trains at, in the units of its coefficients; infinite if it has none."""

    def augment(self, x: Tensor, draw: Draw) -> Tensor:
        """Clean coefficients (B, C, H, W) as training should see them; unchanged unless overridden."""
        return x

    @abstractmethod
    def corrupt(self, x: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """Add noise to clean coefficients.

        Args:
            x: clean coefficients (B, C, H, W).
            draw: the only source of random numbers.

        Returns:
            Noisy coefficients, the shape of x, and their noise variance t (B,). Of more ``versions`` than one: one
            after another along the channels, (B, versions C, H, W), and t (B, versions).
        """

    @abstractmethod
    def loss(
        self, head: Head, x: Tensor, y: Tensor, t: Tensor, cond: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean loss over the batch (a scalar), and scalars to log beside it."""


def with_energy(head: Head, objective: str) -> EnergyHead:
    """The head, if it has an energy, as the objective of this name needs. Raises :class:`IncompatiblePartsError`."""
    if not isinstance(head, EnergyHead):
        raise IncompatiblePartsError(f"{objective} trains energies; {type(head).__name__} has none: use score_matching")
    return head
