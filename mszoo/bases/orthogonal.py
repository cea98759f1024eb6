r"""Any orthogonal PyWavelets filter bank, as torch operations with a periodic boundary.

With the scaling filter :math:`h` and wavelet filter :math:`g` (PyWavelets' ``dec_lo``, ``dec_hi``) of even length
:math:`L`, one level along one axis of length :math:`N` is

.. math:: a_i = \sum_k h_k\, x_{(2i + L/2 - k) \bmod N}, \qquad d_i = \sum_k g_k\, x_{(2i + L/2 - k) \bmod N},

which is PyWavelets' ``mode="periodization"``; its inverse is the transpose. Images go through the rows and then
the columns. The signal may be shorter than the filter: the indices wrap as often as needed.
"""

from __future__ import annotations

import pywt
import torch
import torch.nn.functional as F
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
            bank = pywt.Wavelet(wavelet)
        except ValueError as error:
            raise MszooError(f"PyWavelets has no discrete wavelet {wavelet!r}: {error}") from None
        # Rows: the two filters, reversed, so that a correlation computes the sums above. Not a buffer: it is
        # kept in float64 and never saved, whatever dtype the model is cast to.
        self._bank = torch.tensor([bank.dec_lo, bank.dec_hi], dtype=torch.float64).flip(1)
        fault = orthonormality_error(self._bank)
        if fault > TOLERANCE:
            raise MszooError(
                f"wavelet {wavelet!r} is not orthonormal (its filters' inner products are off by {fault:.1e}, "
                f"more than {TOLERANCE:.0e}); use one of haar, db*, sym*, coif*"
            )
        self.wavelet = wavelet
        self._cast: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    @property
    def taps(self) -> int:
        """Length L of the filters."""
        return self._bank.shape[1]

    def extra_repr(self) -> str:  # noqa: D102
        return repr(self.wavelet)

    def analyze(self, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        check_size(x.shape[-2], x.shape[-1], 1)
        if self.taps == 2:
            return _haar_analyze(x)
        batch, channels, height, width = x.shape
        bank = self._filters(x)
        rows = self._split(x.reshape(batch * channels, 1, height, width), bank[:, None, None, :], -1)
        both = self._split(rows, bank[:, None, :, None].repeat(2, 1, 1, 1), -2, groups=2)
        # Channels now: (low, high) along the columns inside (low, high) along the rows.
        bands = both.reshape(batch, channels, 4, height // 2, width // 2).transpose(1, 2)
        low, vertical, horizontal, diagonal = bands[:, 0], bands[:, 2], bands[:, 1], bands[:, 3]
        return low, torch.cat([horizontal, vertical, diagonal], 1)

    def synthesize(self, low: Tensor, detail: Tensor) -> Tensor:  # noqa: D102
        if self.taps == 2:
            return _haar_synthesize(low, detail)
        batch, channels, height, width = low.shape
        bank = self._filters(low)
        horizontal, vertical, diagonal = detail.chunk(3, 1)
        bands = torch.stack([low, horizontal, vertical, diagonal], 2).reshape(-1, 4, height, width)
        rows = self._merge(bands, bank[:, None, :, None].repeat(2, 1, 1, 1), -2, groups=2)
        x = self._merge(rows, bank[:, None, None, :], -1)
        return x.reshape(batch, channels, 2 * height, 2 * width)

    def _filters(self, like: Tensor) -> Tensor:
        key = (like.dtype, like.device)
        if key not in self._cast:
            self._cast[key] = self._bank.to(device=like.device, dtype=like.dtype)
        return self._cast[key]

    def _split(self, x: Tensor, filters: Tensor, dim: int, groups: int = 1) -> Tensor:
        """Correlate with the filters along ``dim`` at every second position, periodically."""
        before = self.taps // 2 - 1
        x = _wrap(x, dim, before, self.taps - 2 - before)
        return F.conv2d(x, filters, stride=(2, 1) if dim == -2 else (1, 2), groups=groups)

    def _merge(self, x: Tensor, filters: Tensor, dim: int, groups: int = 1) -> Tensor:
        """Transpose of :meth:`_split`."""
        size, before = 2 * x.shape[dim], self.taps // 2 - 1
        spread = F.conv_transpose2d(x, filters, stride=(2, 1) if dim == -2 else (1, 2), groups=groups)
        return _fold(spread, dim, before, size)


def orthonormality_error(bank: Tensor) -> float:
    """Largest deviation of the even shifts of both filters (2, L) from an orthonormal set."""
    taps = bank.shape[1]
    worst = 0.0
    for shift in range(0, taps, 2):
        products = bank[:, shift:] @ bank[:, : taps - shift].T
        expected = torch.eye(2, dtype=bank.dtype) if shift == 0 else torch.zeros(2, 2, dtype=bank.dtype)
        worst = max(worst, (products - expected).abs().max().item())
    return worst


def _wrap(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    """Extend periodically, as many periods as it takes."""
    size = x.shape[dim]
    if max(before, after) <= size:
        return torch.cat([x.narrow(dim, size - before, before), x, x.narrow(dim, 0, after)], dim)
    return x.index_select(dim, torch.arange(-before, size + after, device=x.device) % size)


def _fold(x: Tensor, dim: int, before: int, size: int) -> Tensor:
    """Transpose of :func:`_wrap`: add what lies outside one period to where it wraps."""
    position = torch.arange(-before, x.shape[dim] - before, device=x.device) % size
    shape = list(x.shape)
    shape[dim] = size
    return x.new_zeros(shape).index_add(dim, position, x)


def _haar_analyze(x: Tensor) -> tuple[Tensor, Tensor]:
    """The 2 x 2 butterfly, without convolutions."""
    a, b = x[..., 0::2, 0::2], x[..., 0::2, 1::2]
    c, d = x[..., 1::2, 0::2], x[..., 1::2, 1::2]
    top, bottom, slope, twist = a + b, c + d, a - b, c - d
    low = (top + bottom) / 2
    return low, torch.cat([(top - bottom) / 2, (slope + twist) / 2, (slope - twist) / 2], 1)


def _haar_synthesize(low: Tensor, detail: Tensor) -> Tensor:
    horizontal, vertical, diagonal = detail.chunk(3, 1)
    top, bottom = low + horizontal, low - horizontal
    slope, twist = vertical + diagonal, vertical - diagonal
    rows = [torch.stack(pair, -1).flatten(-2) / 2 for pair in ((top + slope, top - slope), (bottom + twist, bottom - twist))]
    return torch.stack(rows, -2).flatten(-3, -2)
