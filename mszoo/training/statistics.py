"""Running statistics, averaged anew before a model is used.

With small batches of mixed noise levels a norm's running value lags behind the weights and costs up to 2 dB; an
average over some batches with the final weights does not.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from mszoo.objectives import Draw
from mszoo.training.step import Step

__all__ = ["calibrate"]


@torch.no_grad()
def calibrate(step: Step, batches: Iterable[tuple[Tensor, Draw]]) -> None:
    """Replace every running statistic of the model by its average over the batches; then eval mode.

    It serves any norm with ``momentum`` (None: average) and ``reset_running_stats()``, as torch's batch norm has.
    """
    norms = [m for m in step.modules() if hasattr(m, "reset_running_stats") and hasattr(m, "momentum")]
    if norms:
        momenta = [m.momentum for m in norms]
        for norm in norms:
            norm.reset_running_stats()  # type: ignore[operator]
            norm.momentum = None  # type: ignore[assignment]
        step.train()
        for images, draw in batches:
            step(images, draw)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    step.eval()
