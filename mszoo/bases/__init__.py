"""Orthonormal wavelet bases: ``analyze(x) -> (low, detail)`` and ``synthesize(low, detail) -> x``."""

from mszoo.bases.base import Basis, check_multiple, check_size, pad_to_multiple
from mszoo.bases.orthogonal import OrthogonalBasis

__all__ = ["Basis", "OrthogonalBasis", "check_multiple", "check_size", "pad_to_multiple"]
