r"""A conditional energy that starts from what the coarser image predicts: a mean and a variance for every detail.

.. math::
    U(y, t, c) = \frac12 \sum_k \left[ \frac{(y_k - m_k)^2}{v_k + t} + \log 2 \pi (v_k + t) \right]
        + \frac12 \sum_k \frac{v_k}{v_k + t} (y'_k + s_k) f_k(y', t, c'), \qquad
    y'_k = \frac{y_k - m_k}{\sqrt{v_k + t}}

The first sum is the exact energy, at every t, of a Gaussian whose means m(c) and variances v(c) a small local network
reads off the coarser image c: what a wavelet coder knows of details before it has seen one (where the coarser image is
smooth, details are small). The second is the correction of the network f, for which every neighbourhood has been
brought to the same scale. The gate v / (v + t) closes as t grows, so that :math:`e^{-U}` integrates to one there for
every condition and every size, as with ``anchored``. f is bounded where its norm is ``channel``: then the correction
grows like :math:`|y|`, the Gaussian like :math:`|y|^2`, and far from the data nothing is probable.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated

import pydantic
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mszoo.conditioners.base import Conditioner
from mszoo.conditioners.layers import ContrastConv
from mszoo.heads.base import EnergyHead, no_autocast, per_image

__all__ = ["PredictiveEnergy"]

_LEAST = 1e-8  # of a band's variance: a band without any energy would make the Gaussian singular at t = 0
_CONTRAST = 1e-2  # of the coarser image, below which it counts as smooth; 8-bit pixels are steps of 0.004
_RANGE = 6.0  # nats by which a predicted variance may differ from its band's, up or down


class PredictiveEnergy(EnergyHead):
    """Gaussian energy with predicted means and variances, plus a gated correction; for details, given a coarser image.

    Needs a conditioner that takes t, is batch-independent and smooth; best local, with ``norm: channel`` and a last
    layer that starts from zero. Before training, :meth:`fit` takes the variance of every band from the data.

    Args:
        conditioner: the network f. As its condition it is given the coarser image less its local mean, over the root of
            its local contrast.
        width: channels of the network that predicts.
        depth: layers of it: one 3 x 3 on the image, one 1 x 1, and then 3 x 3.

    Example:
        >>> from mszoo.conditioners import BiasFreeCNN
        >>> network = BiasFreeCNN(3, 1, receptive_field=5, norm="channel", activation="gelu", noise_embedding=True)
        >>> head = PredictiveEnergy(network)
        >>> y, t, coarser = torch.randn(2, 3, 8, 8), torch.tensor([0.01, 0.1]), torch.rand(2, 1, 8, 8)
        >>> head.energy(y, t, coarser).shape
        torch.Size([2])
    """

    normalized = True

    def __init__(
        self,
        conditioner: Conditioner,
        *,
        width: Annotated[int, pydantic.Field(ge=1, le=1024)] = 24,
        depth: Annotated[int, pydantic.Field(ge=2, le=16)] = 3,
    ) -> None:
        super().__init__(conditioner)
        channels = conditioner.channels
        images = conditioner.cond_channels
        self.predictor = _Predictor(channels, images, width, depth) if images else None
        self.register_buffer("band_variance", torch.ones(channels))
        self.band_variance: Tensor
        # Without it the correction would vanish at y' = 0, and no density could be peaked there.
        self.shift = nn.Parameter(torch.ones(channels))

    @property
    def receptive_field(self) -> int | None:
        """As for any energy; in the coarser image it is larger, by the predictor's field."""
        field = super().receptive_field
        return None if field is None or self.predictor is None else field + 2 * (self.predictor.receptive_field - 1)

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tensor, Tensor | None]]) -> None:
        """Variance of every band of the data; see :meth:`Head.fit`."""
        x = torch.cat([batch for batch, _ in batches])
        self.band_variance.copy_(x.square().mean((0, 2, 3)).clamp_min(_LEAST))

    def predict(self, y: Tensor, cond: Tensor | None) -> tuple[Tensor, Tensor]:
        """Means and variances of clean coefficients, the shape of y each, from the coarser image."""
        variance = self.band_variance.to(y)[:, None, None].expand_as(y)
        if self.predictor is None or cond is None:
            return torch.zeros_like(y), variance
        mean, log_ratio = self.predictor(cond)
        return mean.to(y), variance * torch.exp(_RANGE * torch.tanh(log_ratio.to(y) / _RANGE))

    def energy(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """See :meth:`EnergyHead.energy`."""
        return self.energy_map(y, t, cond).flatten(1).sum(1)

    def energy_map(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """See :meth:`EnergyHead.energy_map`."""
        self.require(t, y)
        self.conditioner.join(y, cond)  # raises where the condition does not fit
        wide = torch.promote_types(y.dtype, torch.float32)
        with no_autocast(y):
            mean, variance = self.predict(y.to(wide), cond)
            total = variance + per_image(t, y).to(wide)
            scaled = (y.to(wide) - mean) * total.rsqrt()
        output = self.conditioner(scaled.to(y.dtype), t, None if cond is None else _compressed(cond))
        with no_autocast(y):
            gaussian = (scaled.square() + total.log() + math.log(2 * math.pi)) / 2
            correction = variance / total * (scaled + self.shift.to(wide)[:, None, None]) * output.to(wide) / 2
            return (gaussian + correction).sum(1)


class _Predictor(nn.Module):
    """Means and log variance ratios of details from the coarser image; both zero at first.

    It sees the image's differences over their local size, and the logarithm of that size: brightness changes nothing,
    and contrast scales the means.
    """

    def __init__(self, channels: int, images: int, width: int, depth: int) -> None:
        super().__init__()
        self.first = ContrastConv(images, width, images)
        sizes = [1, *[3] * (depth - 2)]
        self.inner = nn.ModuleList(
            nn.Conv2d(width + (i == 0), width, size, padding=size // 2) for i, size in enumerate(sizes)
        )
        self.mean, self.log_ratio = nn.Conv2d(width, channels, 1), nn.Conv2d(width, channels, 1)
        for layer in (self.mean, self.log_ratio):
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        self.receptive_field = 3 + 2 + 2 * (depth - 2)  # differences, their local size, and the 3 x 3 layers

    def forward(self, cond: Tensor) -> tuple[Tensor, Tensor]:
        differences = self.first(cond)
        size = _local(differences.square().mean(1, keepdim=True)).add(_CONTRAST**2).sqrt()
        h = torch.cat([differences / size, size.log() - math.log(0.1)], 1)  # contrasts are some tenths
        for layer in self.inner:
            h = F.gelu(layer(h))
        return self.mean(h) * size, self.log_ratio(h)


def _compressed(cond: Tensor) -> Tensor:
    """The coarser image less its local mean, over the root of its local contrast: faint edges show as well."""
    centred = cond - _local(cond)
    return centred * _local(centred.square()).add(_CONTRAST**2).pow(-0.25)


def _local(x: Tensor) -> Tensor:
    """Mean over 3 x 3 pixels, the image continued at its edge."""
    return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
