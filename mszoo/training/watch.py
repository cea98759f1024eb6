"""Watch the losses of a run, and end it when it has diverged."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from mszoo.errors import TrainingError
from mszoo.recipe import TrainingConfig

__all__ = ["Watch", "diverged"]

_HOPELESS = 1e6  # growth of the loss that no run recovers from; an optimizer of bounded steps keeps it finite for hours


class Watch:
    """Adds up losses on the device, and looks at them now and then: a look waits for the device, an addition does not.

    Args:
        accelerator: whose processes' losses are averaged.
        settings: into how many parts a batch is split, and how many images it has.
        start: steps before the first.
        out: the run's folder, for the message of an error.
    """

    def __init__(self, accelerator: Accelerator, settings: TrainingConfig, start: int, out: Path) -> None:
        self._accelerator, self._settings, self._out = accelerator, settings, out
        self._since, self._began = start, time.monotonic()
        self._losses: list[Tensor] = []  # of parts of batches
        self._details: dict[str, Tensor] = {}
        self._first: float | None = None

    def add(self, loss: Tensor, details: dict[str, Tensor]) -> None:
        """Take the loss of a part of a batch; of the further values to log only the newest part's are kept."""
        self._losses.append(loss.detach())
        self._details = details

    def look(self, at: int, replaced: int = 0) -> dict[str, float]:
        """``loss`` (a mean over steps and processes), ``images_per_second`` and details since the last look.

        Args:
            at: steps done.
            replaced: images of this process that could not be used; ``replaced`` is the sum over processes, if any.

        Raises:
            TrainingError: the losses are not finite, or have grown beyond hope.
        """
        steps, parts = at - self._since, self._settings.accumulate
        sums = torch.stack([torch.stack(self._losses[:parts]).sum(), torch.stack(self._losses).sum()]) / parts
        sums = torch.cat([sums, sums.new_tensor([replaced])])
        first, total, others = map(float, self._accelerator.reduce(sums, "mean"))  # type: ignore[arg-type]
        mean = total / steps
        self._first = first if self._first is None else self._first
        if not mean < float("inf"):
            raise diverged("losses are no longer finite", at, self._out)
        if mean > _HOPELESS * max(abs(self._first), 1.0):
            raise diverged(f"losses have grown from {self._first:.3g} to {mean:.3g}", at, self._out)
        rate = steps * self._settings.batch_size / (time.monotonic() - self._began)
        found = {name: float(value) for name, value in self._details.items()}
        if others:
            found["replaced"] = round(others * self._accelerator.num_processes)
        self._since, self._began, self._losses = at, time.monotonic(), []
        return {"loss": mean, "images_per_second": rate, **found}


def diverged(what: str, at: int, out: Path) -> TrainingError:
    """The error of a run whose losses or weights cannot be trained on.

    Args:
        what: happened.
        at: steps done.
        out: the run's folder, which holds the last good state.
    """
    return TrainingError(
        f"{what} at step {at}; lower training.optimizer.lr, or set training.clip. "
        f"The last checkpoint in {out}, if there is one, is unharmed"
    )
