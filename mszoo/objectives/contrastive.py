r"""Which of two noisy images is one? Noise-contrastive estimation over space and time, without second derivatives.

To a noisy image :math:`y = x + \sqrt t\, z` of dimension d belongs another point, a small step away in both:

.. math::
    \log t' = \log t + a \sqrt{2 / d}\; n_0, \qquad y' = y + b\, (t\, t')^{1/4}\, n / \sqrt d,

with white :math:`n_0, n`, and :math:`\log t'` reflected at the ends of its range, over which log t is uniform. The step
back is as probable as the step there, so that who knows the density can tell the noisy image from the other with odds
of :math:`e^{U(y', t') - U(y, t)}`. The loss is the cross-entropy of saying so,

.. math::
    L = s \log(1 + e^{U(y, t) - U(y', t')}) + (1 - s) \log(1 + e^{U(y', t') - U(y, t)}),

with s = 1, or, in the mean over x the same and far less noisy, with s the odds of one who sees the clean image:
:math:`\mathrm{logit}\, s = \log p(y \mid x, t) - \log p(y' \mid x, t')`. Small steps make it a match of the score and
the time score along one random direction. Only differences of energies come in: two evaluations and one backward pass.
*Learning energy-based models from stochastic interpolants using spatiotemporal differences* (Yu et al., 2026, arXiv
2605.26850); conditional noise-contrastive estimation: Ceylan and Gutmann, 2018, arXiv 1806.03664.
"""

from __future__ import annotations

import math

import pydantic
import torch
import torch.nn.functional as F
from torch import Tensor

from mszoo.errors import OptionsError
from mszoo.heads.base import Head, per_image
from mszoo.objectives.base import Objective, with_energy
from mszoo.objectives.noise import NoiseLevels
from mszoo.objectives.score_matching import PAPER_B
from mszoo.randomness import Draw

__all__ = ["Contrastive"]


class Contrastive(Objective):
    """L, averaged over images. Trains energies.

    Args:
        noise: distribution of the noise level, ``log_uniform``; by default from PSNR 90 to -30 dB.
        time_step: a. A step of 1 changes the log p of white noise by about 1 nat.
        space_step: b, likewise.
        see_clean: whether s comes from the clean image, or is 1.

    Raises:
        OptionsError: another distribution of the noise level.

    Example:
        >>> import torch
        >>> from mszoo.randomness import Draw
        >>> y, t = Contrastive().corrupt(torch.rand(3, 1, 8, 8), Draw(0, 0, [0, 1, 2]))
        >>> y.shape, t.shape  # the noisy image and the other, along the channels
        (torch.Size([3, 2, 8, 8]), torch.Size([3, 2]))
    """

    needs_energy = True
    versions = 2

    def __init__(
        self,
        *,
        noise: NoiseLevels | None = None,
        time_step: pydantic.PositiveFloat = 1.0,
        space_step: pydantic.PositiveFloat = 1.0,
        see_clean: bool = True,
    ) -> None:
        super().__init__()
        self.noise = noise or PAPER_B
        if self.noise.distribution != "log_uniform":
            fault = f"should be log_uniform, got {self.noise.distribution}: a step back must be as probable"
            raise OptionsError("objective 'contrastive'", [(("noise", "distribution"), fault)])
        self.time_step, self.space_step, self.see_clean = time_step, space_step, see_clean
        self.largest_t = self.noise.max_sigma**2

    def corrupt(self, x: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """See :meth:`Objective.corrupt`: two versions, the noisy image and the point beside it."""
        d = x[0].numel()
        y, t = self.noise.add(x, draw)
        low, high = (2 * math.log(sigma) for sigma in (self.noise.min_sigma, self.noise.max_sigma))
        log_t = t.log()
        other = log_t + self.time_step * math.sqrt(2 / d) * draw.normal(log_t)
        other = low + (high - low - (high - low - (other - low).abs()).abs()).abs()
        step = self.space_step / math.sqrt(d) * torch.exp((log_t + other) / 4)
        beside = y + per_image(step, y) * draw.normal(y)
        return torch.cat([y, beside], 1), torch.stack([t, other.exp()], 1)

    def loss(
        self, head: Head, x: Tensor, y: Tensor, t: Tensor, cond: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See :meth:`Objective.loss`. Logs how often the noisy image has the smaller energy.

        Raises:
            IncompatiblePartsError: the head has no energy.
        """
        energies = with_energy(head, "contrastive")
        both, times = torch.cat(y.chunk(2, 1)), torch.cat(t.unbind(1))
        energy, beside = energies.energy(both, times, None if cond is None else torch.cat([cond, cond])).chunk(2)
        logit = beside - energy
        label = torch.ones_like(logit)
        if self.see_clean:
            seen, other = _energy_of_noise(both - torch.cat([x, x]), times).to(logit).chunk(2)
            label = torch.sigmoid(other - seen)
        loss = label * F.softplus(-logit) + (1 - label) * F.softplus(logit)
        return loss.mean(), {"right": (logit > 0).float().mean()}


def _energy_of_noise(noise: Tensor, t: Tensor) -> Tensor:
    """-log p of white noise (B, C, H, W) of variance t (B,), but for a constant."""
    noise, t = noise.float(), t.float()
    return (noise.square().flatten(1).sum(1) / t + noise[0].numel() * t.log()) / 2
