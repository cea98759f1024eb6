r"""Any orthogonal PyWavelets filter bank, as torch operations with a periodic boundary.

With the scaling filter :math:`h` and wavelet filter :math:`g` (PyWavelets' ``dec_lo``, ``dec_hi``) of even length
:math:`L`, one level along one axis of length :math:`N` is

.. math:: a_i = \sum_k h_k\, x_{(2i + L/2 - k) \bmod N}, \qquad d_i = \sum_k g_k\, x_{(2i + L/2 - k) \bmod N},

which is PyWavelets' ``mode="periodization"``; its inverse is the transpose. Images go through the rows and then
the columns. The signal may be shorter than the filter: the indices wrap as often as needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pywt
import torch
from torch import Tensor

from mszoo.bases.base import Basis, check_size
from mszoo.errors import MszooError

__all__ = ["OrthogonalBasis"]

TOLERANCE = 1e-10


class OrthogonalBasis(Basis):
    """An orthonormal wavelet basis from a PyWavelets filter bank.

    Args:
        wavelet: a PyWavelets name, such as ``haar``, ``db4``, ``sym8`` or ``coif2``.

    Raises:
        MszooError: unknown to PyWavelets, or not orthonormal to 1e-10.

    Example:
        >>> basis = OrthogonalBasis("db4")
        >>> low, detail = basis.analyze(torch.rand(1, 3, 32, 48))
        >>> low.shape, detail.shape
        (torch.Size([1, 3, 16, 24]), torch.Size([1, 9, 16, 24]))
    """

    def __init__(self, wavelet: str = "haar") -> None:
        super().__init__()
        try:
            bank = pywt.Wavelet(wavelet)  # pyright: ignore[reportAttributeAccessIssue]
        except ValueError as error:
            raise MszooError(f"PyWavelets has no discrete wavelet {wavelet!r}: {error}") from None
        fault = orthonormality_error(bank.dec_lo, bank.dec_hi)
        if fault > TOLERANCE:
            raise MszooError(
                f"wavelet {wavelet!r} is not orthonormal (its filters' inner products are off by {fault:.1e}, "
                f"more than {TOLERANCE:.0e}); use one of haar, db*, sym*, coif*"
            )
        self.wavelet = wavelet
        self._bank = _Bank(tuple(bank.dec_lo[::-1]), tuple(bank.dec_hi[::-1]))

    @property
    def taps(self) -> int:
        """Length L of the filters."""
        return len(self._bank.low)

    def extra_repr(self) -> str:  # noqa: D102
        return repr(self.wavelet)

    def analyze(self, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        check_size(x.shape[-2], x.shape[-1], 1)
        return _analysis(x, self._bank) if torch.compiler.is_compiling() else _Analysis.apply(x, self._bank)

    def synthesize(self, low: Tensor, detail: Tensor) -> Tensor:  # noqa: D102
        given = low, detail, self._bank
        return _synthesis(*given) if torch.compiler.is_compiling() else _Synthesis.apply(*given)


@dataclass(frozen=True)
class _Bank:
    """Both filters, reversed, so that a correlation computes the sums above.

    Plain numbers, not buffers: they keep their precision whatever the model is cast to, and are not saved.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]


class _Analysis(torch.autograd.Function):
    """One level of analysis, whose gradient is synthesis.

    Autograd's own gradient of the sums would go over a padded copy of the image for each tap; a compiler, which sees
    all of them, needs no help.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, bank: _Bank) -> tuple[Tensor, Tensor]:
        return _analysis(x, bank)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, _Bank], output: tuple[Tensor, Tensor]) -> None:
        ctx.bank = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Synthesis.apply(*gradients, ctx.bank), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor, Tensor]:
        return _Analysis.apply(tangents[0], ctx.bank)


class _Synthesis(torch.autograd.Function):
    """One level of synthesis, whose gradient is analysis."""

    generate_vmap_rule = True

    @staticmethod
    def forward(low: Tensor, detail: Tensor, bank: _Bank) -> Tensor:
        return _synthesis(low, detail, bank)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, _Bank], output: Tensor) -> None:
        ctx.bank = inputs[2]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        return *_Analysis.apply(gradients[0], ctx.bank), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _Synthesis.apply(*tangents[:2], ctx.bank)


def _analysis(x: Tensor, bank: _Bank) -> tuple[Tensor, Tensor]:
    dtype, x = x.dtype, _wide(x)
    top, bottom = split(x, bank.low, bank.high, -2)
    (low, vertical), (horizontal, diagonal) = (split(h, bank.low, bank.high, -1) for h in (top, bottom))
    return low.to(dtype), torch.cat([horizontal, vertical, diagonal], 1).to(dtype)


def _synthesis(low: Tensor, detail: Tensor, bank: _Bank) -> Tensor:
    dtype, low, detail = low.dtype, _wide(low), _wide(detail)
    horizontal, vertical, diagonal = detail.chunk(3, 1)
    top = merge(low, vertical, bank.low, bank.high, -1)
    bottom = merge(horizontal, diagonal, bank.low, bank.high, -1)
    return merge(top, bottom, bank.low, bank.high, -2).to(dtype)


def orthonormality_error(low: Sequence[float], high: Sequence[float]) -> float:
    """Largest deviation of the even shifts of two filters from an orthonormal set."""
    bank = np.array([low, high], dtype=np.float64)
    taps = bank.shape[1]
    products = [bank[:, shift:] @ bank[:, : taps - shift].T for shift in range(0, taps, 2)]
    products[0] = products[0] - np.eye(2)
    return float(np.abs(products).max())


def split(x: Tensor, low: Sequence[float], high: Sequence[float], dim: int) -> tuple[Tensor, Tensor]:
    """Correlate with two filters along ``dim`` at every second position, periodically.

    Sums of shifted halves: one pass over memory per tap, several times faster than a convolution of one channel.
    """
    before, half = len(low) // 2 - 1, x.shape[dim] // 2
    x = _wrap(x, dim, before, len(low) - 2 - before)
    phases = [_every_second(x, dim, phase) for phase in (0, 1)]
    shifted = [phases[k % 2].narrow(dim, k // 2, half) for k in range(len(low))]
    return _weighted_sum(shifted, low), _weighted_sum(shifted, high)


def merge(a: Tensor, d: Tensor, low: Sequence[float], high: Sequence[float], dim: int) -> Tensor:
    """Transpose of :func:`split`, and so its inverse: the sample 2m + p is the sum over the taps of its parity."""
    taps, half = len(low), a.shape[dim]
    before = taps // 2 - 1
    offsets = [(p + before) // 2 for p in (0, 1)]
    wrapped = [_wrap(c, dim, taps // 2 - 1 - offsets[0], offsets[1]) for c in (a, d)]
    phases = []
    for p, offset in enumerate(offsets):
        of_parity = range((p + before) % 2, taps, 2)
        start = taps // 2 - 1 - offsets[0] + offset
        shifted = [c.narrow(dim, start - k // 2, half) for c in wrapped for k in of_parity]
        phases.append(_weighted_sum(shifted, [f[k] for f in (low, high) for k in of_parity]))
    axis = a.ndim + dim
    return torch.stack(phases, axis + 1).flatten(axis, axis + 1)


def _weighted_sum(parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        total = total.add_(part, alpha=weight)
    return total


def _every_second(x: Tensor, dim: int, phase: int) -> Tensor:
    return (x[..., phase::2] if dim == -1 else x[..., phase::2, :]).contiguous()


def _wrap(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    """Extend periodically, by several periods if need be."""
    size = x.shape[dim]
    if before == after == 0:
        return x
    if max(before, after) <= size:
        return torch.cat([x.narrow(dim, size - before, before), x, x.narrow(dim, 0, after)], dim)
    return x.index_select(dim, torch.arange(-before, size + after, device=x.device) % size)


def _wide(x: Tensor) -> Tensor:
    """The type for sums of many terms: float32 or wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
