r"""An energy anchored to an exact Gaussian: normalized at large noise without a constant to fit.

.. math::
    U(y, t) = U_G(y, t) + \frac{v}{v + t} \cdot \frac12 \langle y', f(y', t, c) \rangle, \qquad
    y' = (y - m) / \sqrt{v + t}

:math:`U_G` is the exact energy, normalization included, of a Gaussian with the data's mean m and variance
:math:`P_k` in each band k of an orthonormal wavelet basis, seen through noise of variance t:

.. math:: U_G(y, t) = \frac12 \sum_k \left[ \frac{c_k(y - m)^2}{P_k + t} + \log 2 \pi (P_k + t) \right].

The gate :math:`v / (v + t)`, v the data's variance, closes as t grows: there :math:`e^{-U}` integrates to one whatever
the network does, for every condition and every image size. Down to t = 0 it does so as far as the learned time score
is right. The Gaussian also saves the network the first thousands of training steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated

import pydantic
import torch
from torch import Tensor, nn

from mszoo.bases import Basis
from mszoo.conditioners.base import Conditioner
from mszoo.conditioners.layers import Waves
from mszoo.discovery import registry
from mszoo.errors import OptionsError
from mszoo.heads.base import EnergyHead, no_autocast, per_image

__all__ = ["AnchoredEnergy"]

# A band without any energy in the data (a constant channel) would make the Gaussian singular at t = 0.
_LEAST = 1e-8


class AnchoredEnergy(EnergyHead):
    """Gaussian energy plus a gated correction. Needs a conditioner that takes t, is batch-independent and smooth.

    Before training, :meth:`fit` takes the mean of every channel and the variance of every band from the data. An image
    that cannot be halved ``levels`` times uses fewer bands.

    Args:
        conditioner: the network f; best with a last layer that starts from zero.
        basis: orthonormal wavelet basis of the Gaussian.
        levels: how often the Gaussian's bands split the image; 0: one variance per channel (for details, which a
            wavelet basis has split already). For samples whose brightness varies as the data's the lowest band should
            be one coefficient: brightness is decided where the gate is shut, and a band of n coefficients spreads its
            variance over all of them.
        offset: add d s(t) to the product, with s learned. The product vanishes at y' = 0: alone it hardly makes images
            near the mean more probable than under the Gaussian. Only the time score knows of s: it needs
            ``dual_score_matching``.

    Example:
        >>> from mszoo.conditioners import BiasFreeCNN
        >>> network = BiasFreeCNN(1, receptive_field=5, norm="none", activation="gelu", noise_embedding=True)
        >>> head = AnchoredEnergy(network, basis="haar", levels=2)
        >>> head.fit([(torch.full((1, 1, 8, 8), 0.25), None), (torch.full((1, 1, 8, 8), 0.75), None)])
        >>> round(head.mean.item(), 3), round(head.low_variance.sqrt().item(), 3)  # of four times a local mean
        (0.5, 1.0)
        >>> y, t = torch.randn(2, 1, 8, 8) * 1e3, torch.full((2,), 1e6)
        >>> torch.allclose(head.energy(y, t), head.gaussian(y, t))  # the gate is shut
        True
    """

    normalized = True

    def __init__(
        self,
        conditioner: Conditioner,
        *,
        basis: str = "db4",
        levels: Annotated[int, pydantic.Field(ge=0, le=10)] = 4,
        offset: bool = False,
    ) -> None:
        super().__init__(conditioner)
        self.basis: Basis = registry().create("basis", basis)
        if any(True for _ in self.basis.parameters()):
            raise OptionsError("head 'anchored'", [(("basis",), f"{basis} is learned; the Gaussian needs a fixed one")])
        channels = conditioner.channels
        self.offset = _Offset() if offset else None
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("detail_variance", torch.ones(levels, 3 * channels))
        self.register_buffer("low_variance", torch.ones(channels))
        self.mean: Tensor
        self.detail_variance: Tensor
        self.low_variance: Tensor

    @property
    def levels(self) -> int:
        """The largest number of times that the bands split the image."""
        return len(self.detail_variance)

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tensor, Tensor | None]]) -> None:
        """Mean and band variances of the data; see :meth:`Head.fit`."""
        x = torch.cat([batch for batch, _ in batches])
        self.mean.copy_(x.mean((0, 2, 3)))
        low = x - self.mean[:, None, None]
        for level in range(self.levels):
            if low.shape[-2] % 2 or low.shape[-1] % 2:
                # Coarser bands than the data has: as if it were white from here on.
                self.detail_variance[level:] = low.square().mean((0, 2, 3)).repeat(3).clamp_min(_LEAST)
                break
            low, detail = self.basis.analyze(low)
            self.detail_variance[level] = detail.square().mean((0, 2, 3)).clamp_min(_LEAST)
        self.low_variance.copy_(low.square().mean((0, 2, 3)).clamp_min(_LEAST))

    def variance(self) -> Tensor:
        """v, of a pixel of the data: a scalar."""
        return self._low_variance(0).mean()

    def gaussian(self, y: Tensor, t: Tensor) -> Tensor:
        """U_G(y, t) in nats, (B,): exact, normalized, for y (B, C, H, W) and t (B,)."""
        return self._gaussian_map(y, t).flatten(1).sum(1)

    @property
    def map_reach(self) -> int | None:
        """None where the Gaussian has bands: its coefficients are of the whole grid."""
        return None if self.levels else super().map_reach

    def energy(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """See :meth:`EnergyHead.energy`."""
        return self.energy_map(y, t, cond).flatten(1).sum(1)

    def energy_map(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """See :meth:`EnergyHead.energy_map`. A coefficient of a band counts alike at all places that it stands for."""
        self.require(t, y)
        v = self.variance()
        wide = torch.promote_types(y.dtype, torch.float32)
        with no_autocast(y):
            scaled = (y - self.mean.to(y)[:, None, None]) * per_image((v + t).rsqrt(), y)
        output = self.conditioner(scaled, t, cond)
        with no_autocast(y):
            correction = (scaled.to(wide) * output.to(wide)).sum(1) / 2
            if self.offset is not None:
                correction = correction + y.shape[1] * self.offset(t).to(wide)[:, None, None]
            return self._gaussian_map(y.to(wide), t.to(wide)) + (v / (v + t))[:, None, None] * correction

    def _gaussian_map(self, y: Tensor, t: Tensor) -> Tensor:
        """The share of every place in U_G, (B, H, W)."""
        low, bands = y - self.mean[:, None, None], []
        for level in range(self._levels(y)):
            low, detail = self.basis.analyze(low)
            bands.append(_gaussian(detail, self.detail_variance[level], t))
        total = _gaussian(low, self._low_variance(self._levels(y)), t)
        for band in reversed(bands):
            total = _spread(total + band)
        return total

    def _levels(self, y: Tensor) -> int:
        """Halvings that this size allows, at most ``levels``."""
        possible = 0
        while possible < self.levels and not any(side % 2 ** (possible + 1) for side in y.shape[-2:]):
            possible += 1
        return possible

    def _low_variance(self, levels: int) -> Tensor:
        """Variance of a coefficient of the image halved ``levels`` times, (C,): the mean of those it splits into."""
        low = self.low_variance
        for detail in self.detail_variance[levels:].flip(0):
            low = (low + detail.reshape(3, -1).sum(0)) / 4
        return low


class _Offset(nn.Module):
    """s(t), (B,) -> (B,): waves of log t, zero at first."""

    def __init__(self) -> None:
        super().__init__()
        self.waves = Waves()
        self.last = nn.Linear(self.waves.features, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, t: Tensor) -> Tensor:
        return self.last(self.waves(t, self.last.weight.dtype))[:, 0]


def _gaussian(c: Tensor, variance: Tensor, t: Tensor) -> Tensor:
    """-log density of independent coefficients (B, C, H, W) of variance (C,) + t (B,), at each place: (B, H, W)."""
    total = (variance.to(c) + t.to(c)[:, None])[:, :, None, None]
    return (c.square() / total + total.log() + math.log(2 * math.pi)).sum(1) / 2


def _spread(x: Tensor) -> Tensor:
    """(B, H, W) as (B, 2 H, 2 W), every number shared by four places."""
    batch, height, width = x.shape
    return (x / 4)[:, :, None, :, None].expand(-1, -1, 2, -1, 2).reshape(batch, 2 * height, 2 * width)
