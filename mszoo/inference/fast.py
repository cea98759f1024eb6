"""Make a model fast for inference, without changing what it computes."""

from __future__ import annotations

import copy

import torch

from mszoo.model import MultiScaleModel

__all__ = ["fast"]


def fast(model: MultiScaleModel, dtype: torch.dtype = torch.float32, compile: bool = False) -> MultiScaleModel:
    """A copy for inference: norms folded into convolutions, channels last, a few images at a time on a CPU.

    On a CPU with a C compiler (``cc``, or what the environment variable ``CC`` says) and in float32, the convolutions
    of the bias-free networks do with a quarter of the products; see :mod:`mszoo.conditioners.winograd`. The outputs
    are equal up to rounding, some 1e-5 of the largest. Networks that cannot be folded are kept as they are.

    Args:
        model: any model; it is left as it is.
        dtype: to compute the folded networks in. ``torch.bfloat16`` is faster where the processor has it, and
            rounds to about three digits.
        compile: compile the networks with ``torch.compile``; the first call for each image size then takes long.

    Returns:
        A model in eval mode, on the same device. It cannot be trained or saved.
    """
    copied = copy.deepcopy(model).eval()
    for head in copied.scales:
        head.conditioner = head.conditioner.folded(dtype)
        if compile:
            head.conditioner.compile()
    return copied
