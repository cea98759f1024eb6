r"""Paper B's energy, :math:`U(y, t) = \frac12 \langle y, f(y, t) \rangle`.

*Learning normalized image densities via dual score matching* (Guth, Kadkhodaie, Simoncelli, 2025, arXiv
2506.05310). The energy is known up to a constant that training with its time score fixes for all t at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mszoo.heads.base import EnergyHead, no_autocast

__all__ = ["InnerProductEnergy"]


class InnerProductEnergy(EnergyHead):
    """U = <y, f(y, t, cond)> / 2. Needs a conditioner that takes t, is batch-independent and smooth.

    Example:
        >>> from mszoo.conditioners import BiasFreeCNN
        >>> network = BiasFreeCNN(1, receptive_field=5, norm="channel", activation="gelu", noise_embedding=True)
        >>> head = InnerProductEnergy(network)
        >>> y, t = torch.rand(2, 1, 8, 8), torch.tensor([0.01, 0.1])
        >>> head.energy(y, t).shape, head.score(y, t).shape, head.time_score(y, t).shape
        (torch.Size([2]), torch.Size([2, 1, 8, 8]), torch.Size([2]))
    """

    def energy(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """See :meth:`EnergyHead.energy`."""
        return self.energy_map(y, t, cond).flatten(1).sum(1)

    def energy_map(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """See :meth:`EnergyHead.energy_map`."""
        self.require(t, y)
        wide = torch.promote_types(y.dtype, torch.float32)
        output = self.conditioner(y, t, cond)
        with no_autocast(y):
            return (y.to(wide) * output.to(wide)).sum(1) / 2
