"""A copy of a model that computes the same in less time.

- ``folding``: which conditioners have a faster equivalent; a plugin registers its own.
- ``chain``: the bias-free CNN with its norms folded into its convolutions.
- ``winograd``: convolutions as one operator of torch, on a CPU in compiled C (``winograd.c``).
- ``library``: the compiled code, built once for a user and a processor.
"""

from __future__ import annotations

import copy

import torch

from mszoo.inference.fast.folding import fold, folding
from mszoo.model import MultiScaleModel

__all__ = ["fast", "fold", "folding"]


def fast(model: MultiScaleModel, dtype: torch.dtype = torch.float32, compile: bool = False) -> MultiScaleModel:
    """A copy for inference: norms folded into convolutions, channels last, a few images at a time on a CPU.

    On a CPU with a C compiler (``cc``, or what the environment variable ``CC`` says; ``CC=`` for none) and in float32,
    the convolutions of the bias-free networks do with a quarter of the products; when that is compiled, and where it is
    kept, says ``mszoo.inference.fast.library``. The outputs are equal up to rounding, some 1e-5 of the largest.
    Derivatives in y of every order and in both modes, ``torch.func``, ``torch.compile`` and ``torch.export`` work as
    for the model. Conditioners without a registered folding are copied as they are.

    Args:
        model: any model; it is left as it is. A fast one gives an equal copy.
        dtype: to compute the folded networks in. ``torch.bfloat16`` is faster where the processor has it, and
            rounds to about three digits.
        compile: compile the networks with ``torch.compile``; the first call for each image size then takes long.

    Returns:
        A model in eval mode, on the same device. Its parameters are frozen, so that no graph is kept for them where
        gradients are enabled. It cannot be trained; save the model it was made of.

    Example:
        >>> import mszoo
        >>> from mszoo.inference import fast
        >>> quick = fast(mszoo.load("photographs-haar-rf13"))
        >>> quick.denoise(torch.rand(1, 1, 32, 32)).shape
        torch.Size([1, 1, 32, 32])
    """
    folded = {id(h.conditioner): fold(h.conditioner, dtype) for h in model.scales}
    # deepcopy takes folded conditioners from its memo, and does not copy the weights that they replace.
    changed = {h: new for h, new in folded.items() if id(new) != h}
    quick = copy.deepcopy(model, dict(changed)).eval().requires_grad_(False)
    for head in quick.scales if compile else ():
        head.conditioner.compile()
    return quick
