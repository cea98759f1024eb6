"""Read tensors, arrays and plain values from other people's pickles, and run nothing."""

from mszoo.pickles.arrays import read_arrays
from mszoo.pickles.machine import Contents, Refused
from mszoo.pickles.pytorch import read_tensors

__all__ = ["Contents", "Refused", "read_arrays", "read_tensors"]
