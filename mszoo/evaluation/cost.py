"""What a denoiser costs, counted and not timed."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from mszoo.model import MultiScaleModel

__all__ = ["multiply_adds"]


def multiply_adds(model: MultiScaleModel, side: int = 128) -> float:
    """Multiplications and additions for a pixel of a large image, of convolutions and matrix products alone.

    Args:
        model: as it is trained: what :func:`mszoo.inference.fast` makes of it computes the same with fewer.
        side: of the square image on which they are counted; it is rounded up to what fits the model.

    Example:
        >>> import mszoo
        >>> round(multiply_adds(mszoo.load("photographs-grey")) / 1000)
        172
    """
    side = -(-side // model.grid) * model.grid
    y = torch.full((1, model.channels, side, side), 0.5, device=next(model.parameters()).device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.denoise(y, None if model.blind else 0.1)
    return counter.get_total_flops() / 2 / side**2
