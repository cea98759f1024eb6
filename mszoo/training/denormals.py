"""Numbers that are almost zero are zero while training.

The momentum of a channel that is never active halves and halves again, until after some two thousand steps it is below
1e-38. Processors compute with such numbers, which have lost digits, a hundred times slower than with others: AdaMuon's
steps, products of whole matrices, then take longer than all else (``tests/benchmarks/denormals.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["flushed_denormals"]


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Take results below the smallest normal number for zero, in this thread, where the processor can.

    What was the rule before is the rule again afterwards.

    Example:
        >>> small = torch.tensor([2e-38])
        >>> with flushed_denormals():
        ...     print((small / 10).item())
        0.0
    """
    before = not (torch.tensor([2e-38]) / 10).item()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
