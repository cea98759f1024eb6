r"""Paper B's other energy, :math:`U(y, t) = \frac12 \lVert f(y, t) \rVert^2`: never negative. See ``inner_product``."""

from __future__ import annotations

import torch
from torch import Tensor

from mszoo.heads.base import EnergyHead, no_autocast

__all__ = ["SquaredNormEnergy"]


class SquaredNormEnergy(EnergyHead):
    """:math:`U = \\tfrac{1}{2} \\lVert f(y, t) \\rVert^2`. Needs a smooth conditioner of t, batch-independent.

    Example:
        >>> from mszoo.conditioners import BiasFreeCNN
        >>> network = BiasFreeCNN(1, receptive_field=5, norm="channel", activation="gelu", noise_embedding=True)
        >>> head, y, t = SquaredNormEnergy(network), torch.rand(2, 1, 8, 8), torch.tensor([0.01, 0.1])
        >>> bool((head.energy(y, t) >= 0).all()), head.score(y, t).shape
        (True, torch.Size([2, 1, 8, 8]))
    """

    def energy(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """See :meth:`EnergyHead.energy`."""
        return self.energy_map(y, t, cond).flatten(1).sum(1)

    def energy_map(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """See :meth:`EnergyHead.energy_map`."""
        self.require(t, y)
        output = self.conditioner(y, t, cond)
        with no_autocast(y):
            return output.to(torch.promote_types(y.dtype, torch.float32)).square().sum(1) / 2
