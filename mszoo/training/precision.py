"""Whether a processor gains from a shorter precision, or only imitates it."""

from __future__ import annotations

import time

import torch

__all__ = ["slowdown"]


def slowdown(dtype: torch.dtype) -> float:
    """Time that a small convolution takes on the CPU in a precision, over its time in ``float32``.

    Processors without instructions for ``bfloat16`` take ten to a hundred times as long, those with them half as long.

    Args:
        dtype: of the convolution's input and weights.

    Example:
        >>> slowdown(torch.float64) > 0
        True
    """

    def fastest(of: torch.dtype) -> float:
        x, weight = torch.ones(4, 16, 32, 32, dtype=of), torch.ones(16, 16, 3, 3, dtype=of)
        took = []
        for _ in range(4):
            began = time.perf_counter()
            torch.nn.functional.conv2d(x, weight, padding=1)
            took.append(time.perf_counter() - began)
        return min(took)

    return fastest(dtype) / fastest(torch.float32)
