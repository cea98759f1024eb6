r"""An orthonormal wavelet basis whose filters are learned: a lattice of rotations and delays.

With the even and odd samples :math:`x_e, x_o` of a signal, K angles and a delay of one sample,

.. math:: \begin{pmatrix} a \\ d \end{pmatrix} = R(\theta_K)\, \Lambda\, R(\theta_{K-1}) \cdots \Lambda\, R(\theta_1)
          \begin{pmatrix} x_e \\ x_o \end{pmatrix}, \qquad \Lambda = \begin{pmatrix} 1 & 0 \\ 0 & z^{-1} \end{pmatrix}.

Every factor is orthogonal, so the transform is, whatever the angles; and every orthonormal pair of filters of length
2K is one of these (Vaidyanathan and Hoang, *Lattice structures for optimal design and robust implementation of
two-channel perfect-reconstruction QMF banks*, IEEE Trans. ASSP 36, 1988).
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import pydantic
import torch
from torch import Tensor, nn

from mszoo.bases import Basis, check_size

__all__ = ["Lattice", "daubechies_angles"]

_Even = Annotated[int, pydantic.Field(ge=2, le=16, multiple_of=2)]


class Lattice(Basis):
    """Wavelets with learned angles, the same for rows and columns. Periodic, as mszoo's own bases are.

    Args:
        length: of the filters, 2K, for K angles; it starts as the Daubechies wavelet of that length (2: Haar).

    Example:
        >>> basis = Lattice(length=8)
        >>> low, detail = basis.analyze(torch.rand(1, 3, 32, 48))
        >>> low.shape, detail.shape
        (torch.Size([1, 3, 16, 24]), torch.Size([1, 9, 16, 24]))
    """

    def __init__(self, *, length: _Even = 4) -> None:
        super().__init__()
        self.angles = nn.Parameter(torch.tensor(daubechies_angles(length), dtype=torch.float32))

    @property
    def taps(self) -> int:
        """Length of the filters."""
        return 2 * len(self.angles)

    def analyze(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`mszoo.bases.Basis.analyze`."""
        check_size(x.shape[-2], x.shape[-1], 1)
        top, bottom = self._split(x, -2)
        (low, vertical), (horizontal, diagonal) = self._split(top, -1), self._split(bottom, -1)
        return low, torch.cat([horizontal, vertical, diagonal], 1)

    def synthesize(self, low: Tensor, detail: Tensor) -> Tensor:
        """See :meth:`mszoo.bases.Basis.synthesize`."""
        horizontal, vertical, diagonal = detail.chunk(3, 1)
        return self._merge(self._merge(low, vertical, -1), self._merge(horizontal, diagonal, -1), -2)

    def filters(self) -> tuple[Tensor, Tensor]:
        """Low- and high-pass filter, (2K,) each: the rows of the transform of a long signal."""
        size = 4 * self.taps
        basis = torch.eye(size, dtype=self.angles.dtype).reshape(1, 1, size, size)
        low, high = (part[0, 0] for part in self._split(basis, -2))
        middle = size // 4
        last = 2 * middle + 2  # output i depends on the samples up to 2i + 1
        return tuple(part[middle, last - self.taps : last] for part in (low, high))  # type: ignore[return-value]

    def _split(self, x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        a, d = x.unflatten(dim, (-1, 2)).unbind(dim)
        for k, angle in enumerate(self.angles.to(x.dtype).unbind()):
            if k:
                d = torch.roll(d, 1, dim)
            a, d = angle.cos() * a + angle.sin() * d, angle.cos() * d - angle.sin() * a
        return a, d

    def _merge(self, a: Tensor, d: Tensor, dim: int) -> Tensor:
        angles = self.angles.to(a.dtype).unbind()
        for k in reversed(range(len(angles))):
            a, d = angles[k].cos() * a - angles[k].sin() * d, angles[k].cos() * d + angles[k].sin() * a
            if k:
                d = torch.roll(d, -1, dim)
        axis = a.ndim + dim
        return torch.stack([a, d], axis + 1).flatten(axis, axis + 1)


def daubechies_angles(length: int) -> list[float]:
    """Angles of the lattice whose low-pass filter is the Daubechies scaling filter of that length.

    The filter's polynomial is taken apart from its end: the last rotation is the one that leaves a delay in the
    second row.
    """
    low = _daubechies(length)
    # coefficients of z^-k, of even and odd samples: the newest pair first
    p = [(low[k], low[k + 1]) for k in range(length - 2, -1, -2)]
    angles = []
    while len(p) > 1:
        q = [(-b, a) for a, b in reversed(p)]  # the high-pass row that belongs to it
        angle = math.atan2(-(q[0][0] * p[0][0] + q[0][1] * p[0][1]), p[0][0] ** 2 + p[0][1] ** 2)
        cos, sin = math.cos(angle), math.sin(angle)
        p = [(cos * a - sin * c, cos * b - sin * d) for (a, b), (c, d) in zip(p, q, strict=True)][:-1]
        angles.append(angle)
    angles.append(math.atan2(p[0][1], p[0][0]))
    return angles[::-1]


def _daubechies(length: int) -> list[float]:
    """Scaling filter with length / 2 vanishing moments, of sum sqrt 2, by spectral factorization."""
    moments = length // 2
    # |H|^2 = 2 cos^2N(w/2) P(sin^2(w/2)); the roots of P inside the unit circle make the filter of least phase
    p = [math.comb(moments - 1 + k, k) for k in range(moments)]
    roots = []
    for y in np.roots(p[::-1]) if moments > 1 else []:
        pair = np.roots([1, -2 + 4 * y, 1])  # y = (2 - z - 1/z) / 4
        roots.append(pair[np.abs(pair).argmin()])
    h = np.array([1.0 + 0j])
    for root in [-1.0] * moments + roots:
        h = np.convolve(h, [1, -root])
    h = h.real * math.sqrt(2) / h.real.sum()
    return h.tolist()
