"""Statistics of the training data: running ones of norms, and those that heads fit before step 0.

With small batches of mixed noise levels a norm's running value lags behind the weights and costs up to 2 dB; an
average over some batches with the final weights does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from mszoo.heads import Head
from mszoo.randomness import Draw
from mszoo.training.step import Step

__all__ = ["calibrate", "fit_heads"]


@torch.no_grad()
def calibrate(step: Step, batches: Iterable[tuple[Tensor, Draw]]) -> None:
    """Replace every running statistic of the trained scales by its average over the batches; then eval mode.

    It serves any norm with ``momentum`` (None: average) and ``reset_running_stats()``, as torch's batch norm has.
    """
    modules = [m for j in step.trained for m in step.model.scales[j].modules()]
    norms = [m for m in modules if hasattr(m, "reset_running_stats") and hasattr(m, "momentum")]
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


@torch.no_grad()
def fit_heads(step: Step, batches: Callable[[], Iterable[Tensor]]) -> None:
    """Let every trained head that asks for it see clean coefficients and conditions of its scale, before step 0.

    Args:
        step: the model to train.
        batches: gives the same images (B, C, H, W) at every call, on every process.
    """
    for j in sorted(step.trained):
        head = step.model.scales[j]
        if type(head).fit is not Head.fit:
            head.fit(step.model.decompose(x)[j] for x in batches())
