"""Measurements that each break one sentence of an operator's contract."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["BROKEN", "ColumnMeans"]

HEIGHT = 8


class ColumnMeans:
    """The mean of every column of images of eight rows; no subclass of anything."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(-2, keepdim=True)

    def adjoint(self, m: Tensor) -> Tensor:
        return (m / HEIGHT).expand(*m.shape[:-2], HEIGHT, -1)

    def pseudo_inverse(self, m: Tensor) -> Tensor:
        return m.expand(*m.shape[:-2], HEIGHT, -1)


class WithoutBatch(ColumnMeans):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).flatten()

    def adjoint(self, m: Tensor) -> Tensor:
        return super().adjoint(m.reshape(-1, 1, 1, 12))

    def pseudo_inverse(self, m: Tensor) -> Tensor:
        return super().pseudo_inverse(m.reshape(-1, 1, 1, 12))


class SinglePrecision(ColumnMeans):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).float()


class Shifted(ColumnMeans):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0.1


class Neighbourly(ColumnMeans):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) - 0.1 * super().forward(x).mean(0, keepdim=True)


class Untransposed(ColumnMeans):
    """The adjoint forgets to divide, as a pseudo-inverse."""

    def adjoint(self, m: Tensor) -> Tensor:
        return self.pseudo_inverse(m)


class Uninverted(ColumnMeans):
    """The pseudo-inverse is the adjoint, which a measurement that is not orthonormal must not leave it to be."""

    def pseudo_inverse(self, m: Tensor) -> Tensor:
        return self.adjoint(m)


class Oblique(ColumnMeans):
    """An image with the measurement, but not the smallest: all of it is in the first row."""

    def pseudo_inverse(self, m: Tensor) -> Tensor:
        return torch.nn.functional.pad(HEIGHT * m, (0, 0, 0, HEIGHT - 1))


class Empty(ColumnMeans):
    def pseudo_inverse(self, m: Tensor) -> Tensor:
        return super().pseudo_inverse(0 * m)


BROKEN = {
    "has_the_stated_shapes": [WithoutBatch],
    "keeps_the_type": [SinglePrecision],
    "is_linear": [Shifted],
    "treats_images_alone": [Neighbourly],
    "has_a_true_adjoint": [Untransposed],
    "has_a_true_pseudo_inverse": [Uninverted, Oblique, Empty],
    "solves_start": [Untransposed, Uninverted, Oblique, Empty, WithoutBatch],
}
