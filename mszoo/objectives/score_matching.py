r"""Paper B's objectives: match the score, and the derivative in the noise level too.

With noisy coefficients :math:`y = x + \sqrt t\, z` of dimension d, and :math:`\log p` for the head's log density,

.. math::
    L_\mathrm{space} = \tfrac1d \lVert \sqrt t\, \nabla_y \log p + z \rVert^2, \qquad
    L_\mathrm{time} = \Bigl( \tfrac12 - \tfrac{\lVert z \rVert^2}{2d} + \tfrac td\, \partial_t \log p \Bigr)^2

The first alone leaves each mode of the density free to have its own constant; the second ties all noise levels, and so
all modes, together. *Learning normalized image densities via dual score matching* (Guth, Kadkhodaie, Simoncelli, 2025).
"""

from __future__ import annotations

import pydantic
from torch import Tensor

from mszoo.heads.base import Head, per_image
from mszoo.objectives.base import Objective, with_energy
from mszoo.objectives.noise import NoiseLevels
from mszoo.randomness import Draw

__all__ = ["PAPER_B", "DualScoreMatching", "ScoreMatching"]

# No noise at all, which some distributions draw once in ten million times, has no weight.
_LEAST = 1e-12
PAPER_B = NoiseLevels.model_validate({"psnr": (90, -30)})
"""Paper B's noise levels: log-uniform from PSNR 90 to -30 dB."""


class ScoreMatching(Objective):
    """t^-e L_space, averaged over images. Trains any head.

    Args:
        noise: distribution of the noise level; by default paper B's, log-uniform from PSNR 90 to -30 dB.
        weight_exponent: e, 0 for paper B's.

    Example:
        >>> import torch
        >>> from mszoo.conditioners import BiasFreeCNN
        >>> from mszoo.heads import Score
        >>> x, objective = torch.rand(3, 1, 8, 8), ScoreMatching()
        >>> y, t = objective.corrupt(x, Draw(0, 0, [0, 1, 2]))
        >>> head = Score(BiasFreeCNN(1, receptive_field=5, noise_embedding=True))
        >>> loss, told = objective.loss(head, x, y, t, None)
        >>> torch.equal(loss, told["space"])  # no weight
        True
    """

    def __init__(self, *, noise: NoiseLevels | None = None, weight_exponent: pydantic.FiniteFloat = 0.0) -> None:
        super().__init__()
        self.noise = noise or PAPER_B
        self.weight_exponent = weight_exponent
        self.largest_t = self.noise.max_sigma**2

    def corrupt(self, x: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """See :meth:`Objective.corrupt`."""
        return self.noise.add(x, draw)

    def loss(
        self, head: Head, x: Tensor, y: Tensor, t: Tensor, cond: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See :meth:`Objective.loss`. Logs L_space, not weighted."""
        space = space_loss(head.score(y, t, cond), x, y, t)
        return (self.weight(t) * space).mean(), {"space": space.detach().mean()}

    def weight(self, t: Tensor) -> Tensor:
        """t^-e, (B,)."""
        return t.float().clamp_min(_LEAST).pow(-self.weight_exponent)


class DualScoreMatching(ScoreMatching):
    """t^-e (L_space + w L_time), averaged over images. Trains energies.

    Args:
        noise: distribution of the noise level; by default paper B's, log-uniform from PSNR 90 to -30 dB.
        weight_exponent: e, 0 for paper B's.
        time_weight: w, 1 for paper B's.

    Example:
        >>> import torch
        >>> from mszoo.conditioners import BiasFreeCNN
        >>> from mszoo.heads import InnerProductEnergy
        >>> x, objective = torch.rand(3, 1, 8, 8), DualScoreMatching(time_weight=0.5)
        >>> y, t = objective.corrupt(x, Draw(0, 0, [0, 1, 2]))
        >>> network = BiasFreeCNN(1, receptive_field=5, norm="none", activation="gelu", noise_embedding=True)
        >>> loss, told = objective.loss(InnerProductEnergy(network), x, y, t, None)
        >>> torch.allclose(loss, told["space"] + told["time"] / 2)
        True
    """

    needs_energy = True

    def __init__(
        self,
        *,
        noise: NoiseLevels | None = None,
        weight_exponent: pydantic.FiniteFloat = 0.0,
        time_weight: pydantic.NonNegativeFloat = 1.0,
    ) -> None:
        super().__init__(noise=noise, weight_exponent=weight_exponent)
        self.time_weight = time_weight

    def loss(
        self, head: Head, x: Tensor, y: Tensor, t: Tensor, cond: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See :meth:`Objective.loss`. Logs L_space and L_time, not weighted.

        Raises:
            IncompatiblePartsError: the head has no energy.
        """
        score, time_score = with_energy(head, "dual_score_matching").derivatives(y, t, cond)
        space, time = space_loss(score, x, y, t), time_loss(time_score, x, y, t)
        loss = (self.weight(t) * (space + self.time_weight * time)).mean()
        return loss, {"space": space.detach().mean(), "time": time.detach().mean()}


def space_loss(score: Tensor, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
    """L_space of each image, (B,), from the score at y = x + sqrt(t) z."""
    sigma = per_image(t, y).clamp_min(_LEAST).sqrt()
    return (sigma * score + (y - x) / sigma).square().flatten(1).mean(1)


def time_loss(time_score: Tensor, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
    """L_time of each image, (B,), from the time score (B,) at y = x + sqrt(t) z."""
    noise = ((y - x) / per_image(t, y).clamp_min(_LEAST).sqrt()).square().flatten(1).mean(1)
    return ((1 - noise) / 2 + t * time_score / x[0].numel()).square()
