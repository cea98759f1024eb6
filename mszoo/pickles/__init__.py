"""Pickles that somebody else wrote: tensors, arrays and plain values are read of them, and nothing of them is run."""

from mszoo.pickles.arrays import read_arrays
from mszoo.pickles.machine import Contents, Refused
from mszoo.pickles.pytorch import read_tensors

__all__ = ["Contents", "Refused", "read_arrays", "read_tensors"]
