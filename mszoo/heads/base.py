r"""The contracts of the heads.

Noisy coefficients are :math:`y = x + \sqrt t\, z` with :math:`z` white. Every head denoises; by Miyasawa's formula
that gives the score,

.. math:: \nabla_y \log p(y \mid c, t) = \frac{E[x \mid y, c] - y}{t}.

An energy head has :math:`U(y, t, c) = -\log p(y \mid c, t)` in nats instead, and everything else from its
derivatives: the score is :math:`-\nabla_y U`, the time score :math:`-\partial_t U`, and the denoised coefficients
:math:`y + t\,` score.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor, nn
from torch.amp.autocast_mode import is_autocast_available

from mszoo.conditioners.base import Conditioner
from mszoo.errors import IncompatiblePartsError, OptionsError, UnsupportedError
from mszoo.registry import Part

__all__ = ["EnergyHead", "Head", "no_autocast", "per_image"]

_REASONS = {
    "takes_t": "the energy depends on the noise level (noise_embedding: true)",
    "batch_independent": "the derivative of a summed energy must be each image's own (norm: channel, or none)",
    "smooth": "training differentiates its score once more (activation: gelu, or softplus)",
}


class Head(nn.Module, ABC):
    """Turns a conditioner into a conditional denoiser. Subclass it to add one.

    Args:
        conditioner: the network. ``needs`` names the declarations that must be true of it, and ``reads_features``
            says whether it must return (B, n) features.

    Raises:
        IncompatiblePartsError: the conditioner does not fit; the message says why.

    Example:
        >>> from mszoo.conditioners import BiasFreeCNN
        >>> class Half(Head):
        ...     def estimate(self, y, t, cond):  # it takes away half of what the network holds for noise
        ...         return y - self.conditioner(y, t, cond) / 2
        >>> head, y, t = Half(BiasFreeCNN(1, receptive_field=5)).eval(), torch.rand(2, 1, 8, 8), torch.full((2,), 0.01)
        >>> head.blind, head.receptive_field
        (True, 5)
        >>> torch.allclose(head.score(y, t), (head.denoise(y) - y) / 0.01, atol=1e-5)
        True
    """

    part: Part
    needs: tuple[str, ...] = ()
    reads_features: bool = False

    def __init__(self, conditioner: Conditioner) -> None:
        super().__init__()
        name, network = type(self).__name__, type(conditioner).__name__
        missing = [n for n in self.needs if not getattr(conditioner, n)]
        if missing:
            faults = "; ".join(f"it is not {n}: {_REASONS.get(n, 'needed')}" for n in missing)
            raise IncompatiblePartsError(f"{name} does not fit this {network}: {faults}")
        if self.reads_features != (conditioner.features is not None):
            given = "features" if conditioner.features is not None else "images"
            raise IncompatiblePartsError(f"{name} does not fit this {network}, which returns {given}")
        self.conditioner = conditioner

    @property
    def blind(self) -> bool:
        """Whether it denoises without being told the noise level."""
        return not self.conditioner.takes_t

    @property
    def receptive_field(self) -> int | None:
        """Side of the square that one denoised coefficient depends on; None: the whole image."""
        return self.conditioner.receptive_field

    def fit(self, batches: Iterable[tuple[Tensor, Tensor | None]]) -> None:
        """Take statistics of the training data that the head needs, into buffers; most heads need none.

        Called once before the first step, with a fixed, seeded part of the data, the same on every process.

        Args:
            batches: clean coefficients (B, C, H, W) and their condition (B, C', H, W), None for the coarsest scale.
        """

    @final
    def denoise(self, y: Tensor, t: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        """Estimate the clean coefficients, E[x | y, cond]. A subclass defines :meth:`estimate`, not this.

        Args:
            y: noisy coefficients (B, C, H, W).
            t: noise variance (B,); None only for a blind head.
            cond: clean coarser image (B, C', H, W), for a conditional head.

        Returns:
            Denoised coefficients, the shape of y.

        Raises:
            UnsupportedError: no t, for a head that is not blind.
        """
        if not self.blind:
            self.require(t, y)
        return self.estimate(y, t, cond)

    def require(self, t: Tensor | None, y: Tensor | None = None) -> None:
        """Check that there are noise levels, one for each image; their values are looked at by the model, not here.

        Args:
            t: noise variance (B,), floating-point.
            y: the coefficients (B, C, H, W); None: any number of them.

        Raises:
            UnsupportedError: no t.
            OptionsError: no such tensor.
        """
        name = type(self).__name__
        if t is None:
            raise UnsupportedError(f"{name} is not blind: give the noise level (sigma, or t)")
        count = "one for each image" if y is None else f"({len(y)},)"
        if not isinstance(t, Tensor):
            given = type(t).__name__
        elif not t.is_floating_point() or t.ndim != 1 or (y is not None and len(t) != len(y)):
            given = f"{tuple(t.shape)} of {t.dtype}"
        else:
            return
        raise OptionsError(name, [(("t",), f"should be a floating-point tensor of variances, {count}, got {given}")])

    @abstractmethod
    def estimate(self, y: Tensor, t: Tensor | None, cond: Tensor | None) -> Tensor:
        """What :meth:`denoise` returns, with its arguments; t is None only if the head says that it is blind."""

    def score(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """Gradient of log p(y | cond, t) in y, by Miyasawa's formula; t > 0. The shape of y."""
        self.require(t, y)
        return (self.denoise(y, t, cond) - y) / per_image(t, y)


class EnergyHead(Head):
    """A head that has an energy U(y, t, cond) = -log p(y | cond, t), and the rest from its derivatives.

    Derivatives are taken with ``torch.func``, so all of it works under ``no_grad`` and ``inference_mode``.

    A subclass declares ``normalized`` if exp(-U) integrates to one at large noise for every condition and image size;
    otherwise a constant is found for each size (``mszoo.heads.normalization``), which for
    a conditional scale cannot be done.

    Example:
        >>> import math
        >>> from mszoo.conditioners import BiasFreeCNN
        >>> class White(EnergyHead):
        ...     normalized = True
        ...
        ...     def energy(self, y, t, cond=None):  # of white noise of variance 1; it does not ask the network
        ...         return (y.square().flatten(1).sum(1) / (1 + t) + y[0].numel() * (2 * math.pi * (1 + t)).log()) / 2
        >>> head = White(BiasFreeCNN(1, receptive_field=5, norm="none", activation="gelu", noise_embedding=True))
        >>> y, t = torch.rand(2, 1, 8, 8), torch.tensor([0.0, 3.0])
        >>> torch.allclose(head.denoise(y, t), y / (1 + t.reshape(2, 1, 1, 1)))  # Wiener's filter
        True
        >>> head.derivatives(y, t)[1].shape
        torch.Size([2])
    """

    normalized: bool = False
    needs = ("takes_t", "batch_independent", "smooth")

    @property
    def blind(self) -> bool:
        """False: an energy depends on the noise level, whatever its network does."""
        return False

    @property
    def receptive_field(self) -> int | None:
        """The score at a pixel sees every output that sees the pixel, and so nearly twice the network's field."""
        field = self.conditioner.receptive_field
        return None if field is None else 2 * field - 1

    @property
    def map_reach(self) -> int | None:
        """Places to each side that a number of :meth:`energy_map` depends on; None: it may be all of them."""
        field = self.receptive_field
        return None if field is None else (field + 1) // 4

    @abstractmethod
    def energy(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """U(y, t, cond) in nats, (B,), summed in float32 or wider. t = 0 is legal."""

    def energy_map(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """The share of every place in U, (B, H, W) for y (B, C, H, W): its sum is :meth:`energy`.

        A head whose energy is a sum over places defines it; then log p has a map, and that of large images is found in
        tiles.

        Raises:
            UnsupportedError: this head does not define it.
        """
        raise UnsupportedError(f"the energy of {type(self).__name__} has no map: the head defines no energy_map")

    def derivatives(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Score (the shape of y) and time score (B,), in one backward pass."""
        self.require(t, y)
        gradients = torch.func.grad(self._total_energy, argnums=(0, 1))(y, t, cond)
        return -gradients[0], -gradients[1]

    def score(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """Gradient of log p(y | cond, t) in y, the shape of y; t >= 0."""
        self.require(t, y)
        return -torch.func.grad(self._total_energy)(y, t, cond)

    def time_score(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """Derivative of log p(y | cond, t) in t, (B,); t >= 0."""
        self.require(t, y)
        return -torch.func.grad(self._total_energy, argnums=1)(y, t, cond)

    def estimate(self, y: Tensor, t: Tensor | None, cond: Tensor | None) -> Tensor:
        """y + t score; see :meth:`Head.estimate`."""
        assert t is not None  # an energy is not blind
        return y + per_image(t, y) * self.score(y, t, cond)

    @property
    def has_map(self) -> bool:
        """Whether it defines :meth:`energy_map`."""
        return type(self).energy_map is not EnergyHead.energy_map

    def _total_energy(self, y: Tensor, t: Tensor, cond: Tensor | None) -> Tensor:
        return self.energy(y, t, cond).sum()


def no_autocast(y: Tensor) -> contextlib.AbstractContextManager[object]:
    """Mixed precision switched off for what is computed inside, on devices that have it."""
    device = y.device.type
    return torch.autocast(device, enabled=False) if is_autocast_available(device) else contextlib.nullcontext()


def per_image(t: Tensor, y: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1), in y's dtype."""
    return t.to(y.dtype).reshape(-1, *[1] * (y.ndim - 1))
