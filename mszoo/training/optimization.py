"""Optimizer, learning rate and moving average, from timm's factories."""

from __future__ import annotations

import functools
import threading
from typing import Any

import torch
from timm.optim import create_optimizer_v2, list_optimizers, muon  # pyright: ignore[reportPrivateImportUsage]
from timm.scheduler import create_scheduler_v2  # pyright: ignore[reportPrivateImportUsage]
from timm.scheduler.scheduler import Scheduler
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from mszoo.data import spread
from mszoo.errors import OptionsError, suggest
from mszoo.recipe import TrainingConfig

__all__ = ["make_average", "make_optimizer", "make_scheduler"]

_TRIED = 1000  # steps whose rates are tried before a run
_ONE_AT_A_TIME = threading.Lock()


def make_optimizer(module: nn.Module, settings: TrainingConfig) -> torch.optim.Optimizer:
    """Any of timm's optimizers. Raises :class:`OptionsError` on a name or an option it does not have."""
    name, options = settings.optimizer.name, settings.optimizer.options
    rate = options.get("lr", 1e-3)
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < float("inf"):
        raise _fault("optimizer", f"should be a number, 0 or more, got {rate!r}", "lr")
    known = [str(n) for n in list_optimizers()]
    if name not in known:
        raise _fault("optimizer", f"timm has no optimizer {name!r}{suggest(name, known)}")
    try:
        optimizer = create_optimizer_v2(module, opt=name, **options)
    except Exception as error:  # each of timm's optimizers has its own for options that it cannot use
        raise _fault("optimizer", f"{name} does not take these options: {error}") from None
    if isinstance(optimizer, muon.Muon):
        _step_in_float32(optimizer)
    return optimizer


def make_scheduler(optimizer: torch.optim.Optimizer, settings: TrainingConfig) -> Scheduler:
    """A learning rate for each step, a function of the step alone: nothing of it needs saving.

    ``step_update(k)`` sets the rate of step k = 0, 1, ... Up to a thousand of the steps are tried here. Raises
    :class:`OptionsError`.
    """
    chosen = settings.scheduler
    if chosen is None:
        name, options = "step", dict[str, Any](decay_epochs=settings.steps + 1)
    else:
        name, options = chosen.name, chosen.options
    known = ("cosine", "tanh", "step", "multistep", "poly")
    if name not in known:
        raise _fault("scheduler", f"no scheduler {name!r}{suggest(name, known)}; there are {', '.join(known)}, null")
    rate = optimizer.param_groups[0]["lr"]
    try:
        scheduler, _ = create_scheduler_v2(
            optimizer,
            sched=name,
            num_epochs=settings.steps,
            warmup_epochs=settings.warmup,
            warmup_lr=rate / max(1, settings.warmup),
            step_on_epochs=False,
            updates_per_epoch=1,
            **options,
        )
        assert scheduler is not None
        for k in sorted({*spread(settings.steps, _TRIED), settings.warmup, settings.steps - 1}):
            scheduler.step_update(k)
            found = optimizer.param_groups[0]["lr"]
            if not 0 <= found < float("inf"):
                raise ValueError(f"the rate of step {k} would be {found}")
        scheduler.step_update(0)
    except Exception as error:  # timm's schedulers check nothing
        raise _fault("scheduler", f"{name} does not take these options: {error}") from None
    return scheduler


def make_average(module: nn.Module, settings: TrainingConfig) -> ModelEmaV3 | None:
    """Moving average of the weights, whose decay grows to ``ema`` so that early weights are soon forgotten."""
    if settings.ema is None:
        return None
    return ModelEmaV3(module, decay=settings.ema, use_warmup=True, exclude_buffers=True)


def _step_in_float32(optimizer: muon.Muon) -> None:
    """Let Muon orthogonalize in float32 on a CPU: timm's bfloat16 is ten times slower there on most processors.

    timm has no option for it. Its function is exchanged during this optimizer's steps, and is itself again after each.
    """
    step, timms = optimizer.step, muon.zeropower_via_newtonschulz

    def orthogonalize(gradient: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        if gradient.device.type == "cpu":
            options.setdefault("dtype", torch.float32)
        return timms(gradient, *args, **options)

    @functools.wraps(step)
    def step_in_float32(*args: Any, **options: Any) -> Any:
        with _ONE_AT_A_TIME:
            muon.zeropower_via_newtonschulz = orthogonalize
            try:
                return step(*args, **options)
            finally:
                muon.zeropower_via_newtonschulz = timms

    optimizer.step = step_in_float32


def _fault(key: str, text: str, *inner: str) -> OptionsError:
    return OptionsError("recipe", [(("training", key, *inner), text)])
