r"""An energy that reads pooled features: a white Gaussian's, exact, and a gated correction.

.. math::
    U(y, t) = \frac{|y - m|^2}{2 (t + s^2)} + \frac d2 \log 2 \pi (t + s^2) + \frac{s^2}{s^2 + t}\, d\, g(h, t), \qquad
    h = \mathrm{backbone}\!\left(\frac{y - m}{\sqrt{t + s^2}}\right)

with m and s^2 the mean of each channel and the variance of a coefficient in the data. As t grows the gate closes, and
exp(-U) integrates to one whatever the network does, for every condition and image size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mszoo.conditioners import Conditioner, Waves
from mszoo.heads import EnergyHead

__all__ = ["PooledEnergy"]


class PooledEnergy(EnergyHead):
    """White Gaussian energy plus d times a gated function of features and noise level. For ``timm/backbone``.

    Args:
        conditioner: one that returns features.
        width: of the small network g.
    """

    normalized = True
    reads_features = True
    needs = ("batch_independent", "smooth")  # t comes in here: the conditioner need not take it
    example_conditioner = {"name": "timm/backbone", "model": "convnext_atto"}  # noqa: RUF012  # for mszoo.testing

    def __init__(self, conditioner: Conditioner, *, width: int = 128) -> None:
        super().__init__(conditioner)
        assert conditioner.features is not None
        self.register_buffer("mean", torch.zeros(conditioner.channels))
        self.register_buffer("variance", torch.ones(()))
        self.mean: Tensor
        self.variance: Tensor
        self.waves = Waves()
        inputs = conditioner.features + self.waves.features
        self.network = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.last = nn.Linear(width, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tensor, Tensor | None]]) -> None:
        """Mean of each channel and variance of a coefficient; see :meth:`mszoo.heads.Head.fit`."""
        x = torch.cat([batch for batch, _ in batches])
        self.mean.copy_(x.mean((0, 2, 3)))
        self.variance.copy_((x - self.mean[:, None, None]).square().mean().clamp_min(1e-8))

    def energy(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """See :meth:`mszoo.heads.EnergyHead.energy`."""
        d, wide = y[0].numel(), torch.promote_types(y.dtype, torch.float32)
        total = self.variance.to(wide) + t.to(wide)
        scaled = (y.to(wide) - self.mean.to(wide)[:, None, None]) * total.rsqrt()[:, None, None, None]
        h = self.conditioner(scaled.to(y.dtype), None, cond)
        g = self.last(self.network(torch.cat([h, self.waves(t, h.dtype)], 1)))[:, 0].to(wide)
        gaussian = scaled.square().flatten(1).sum(1) / 2 + d / 2 * torch.log(2 * math.pi * total)
        return gaussian + self.variance.to(wide) / total * d * g
