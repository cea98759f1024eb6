"""Optimizer, learning rate and moving average, from timm's factories."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
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
from mszoo.training.divided import part, whole

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
        _step_in_float32_and_whole(optimizer)
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


def _step_in_float32_and_whole(optimizer: muon.Muon) -> None:
    """Let Muon orthogonalize in float32 on a CPU, and matrices that the processes have parts of as a whole.

    timm's bfloat16 is ten times slower there on most processors; of parts it makes products, or fails. It has no option
    for either. Its functions are exchanged during this optimizer's steps, and are themselves again after each.
    """
    step, timms = optimizer.step, muon.zeropower_via_newtonschulz

    def orthogonalize(gradient: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        if gradient.device.type == "cpu":
            options.setdefault("dtype", torch.float32)
        return timms(gradient, *args, **options)

    exchanged = {
        "zeropower_via_newtonschulz": (timms, orthogonalize),
        "muon": (muon.muon, _whole(muon.muon)),
        "adamuon": (muon.adamuon, _whole(muon.adamuon)),
    }

    @functools.wraps(step)
    def changed_step(*args: Any, **options: Any) -> Any:
        with _ONE_AT_A_TIME:
            for name, (_, function) in exchanged.items():
                setattr(muon, name, function)
            try:
                return step(*args, **options)
            finally:
                for name, (function, _) in exchanged.items():
                    setattr(muon, name, function)

    optimizer.step = changed_step


def _whole(function: Callable[..., None]) -> Callable[..., None]:
    """A function that changes tensors, given as lists of equal length, as it changes whole ones, one at a time."""

    def on_whole(*lists: list[torch.Tensor], **options: Any) -> None:
        for parts in zip(*lists, strict=True):
            wholes = [whole(t) for t in parts]
            function(*([t] for t in wholes), **options)
            for mine, changed in zip(parts, wholes, strict=True):
                if changed is not mine:
                    mine.copy_(part(changed, mine))

    return on_whole


def _fault(key: str, text: str, *inner: str) -> OptionsError:
    return OptionsError("recipe", [(("training", key, *inner), text)])
