"""Two ways to the same gradients: through Accelerate's wrapper, and compiled as a function of the parameters.

``torch.compile`` refuses a backward pass through a derivative, but compiles a function that takes both derivatives
with ``torch.func``. Such a function bypasses the wrapper that averages gradients over processes; so that is done here.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.func import functional_call

from mszoo.errors import MszooError, TrainingError
from mszoo.randomness import Draw
from mszoo.text import one_line
from mszoo.training.step import Corrupted, Step

__all__ = ["CompiledGradients", "EagerGradients", "Gradients"]


class Gradients(Protocol):
    """Adds a batch's gradient to the parameters' ``grad``; returns its loss and what to log."""

    def __call__(self, x: Tensor, draw: Draw) -> tuple[Tensor, dict[str, Tensor]]:
        """Images (B, C, H, W) and the step's random numbers."""
        ...


class EagerGradients:
    """Forward and backward of the module that Accelerate has wrapped."""

    def __init__(self, accelerator: Accelerator, wrapped: nn.Module) -> None:
        self._accelerator, self._wrapped = accelerator, wrapped

    def __call__(self, x: Tensor, draw: Draw) -> tuple[Tensor, dict[str, Tensor]]:
        """See :class:`Gradients`."""
        loss, logs = self._wrapped(x, draw)
        self._accelerator.backward(loss)
        return loss, logs


class CompiledGradients:
    """The step's loss as a function of its parameters, differentiated and compiled; one graph per shape of batch.

    The first call compiles, which can take minutes: stderr has a line before and one after. Where it fails, a line says
    so, and the same function is computed uncompiled.

    Args:
        accelerator: whose processes' gradients are averaged.
        step: whose parameters.

    Raises:
        TrainingError: the basis is learned.
    """

    def __init__(self, accelerator: Accelerator, step: Step) -> None:
        basis = step.model.basis
        if basis is not None and any(p.requires_grad for p in basis.parameters()):
            raise TrainingError(
                "a compiled step is given the coefficients, and cannot train a learned basis: training.compile=false"
            )
        self._accelerator, self._step = accelerator, step
        self._parameters = {name: p for name, p in step.named_parameters() if p.requires_grad}

        module = _Loss(step)

        def loss(parameters: dict[str, Tensor], corrupted: Corrupted) -> tuple[Tensor, dict[str, Tensor]]:
            return functional_call(module, {f"step.{k}": v for k, v in parameters.items()}, (corrupted,))

        self._eager: Any = torch.func.grad_and_value(loss, has_aux=True)
        self._compiled: Any = torch.compile(self._eager, fullgraph=True)
        self._called = False

    def __call__(self, x: Tensor, draw: Draw) -> tuple[Tensor, dict[str, Tensor]]:
        """See :class:`Gradients`."""
        corrupted = self._step.corrupt(x, draw)
        values = {name: p.detach() for name, p in self._parameters.items()}
        with self._accelerator.autocast():
            gradients, (loss, logs) = self._differentiate(values, corrupted)
        for name, p in self._parameters.items():
            part = gradients[name] / self._accelerator.gradient_accumulation_steps
            p.grad = part if p.grad is None else p.grad + part
            if self._accelerator.sync_gradients:
                p.grad = self._accelerator.reduce(p.grad, "mean")  # type: ignore[assignment]
        return loss, logs

    def _differentiate(self, values: dict[str, Tensor], corrupted: Corrupted) -> Any:
        if self._called:
            return self._compiled(values, corrupted)
        self._called = True
        self._say("compiling the step, which can take minutes")
        began = time.monotonic()
        try:
            found = self._compiled(values, corrupted)
        except MszooError:  # the model's, not the compiler's
            raise
        except Exception as error:
            found = self._eager(values, corrupted)  # a fault of the step itself is raised here once more
            self._compiled = self._eager
            self._say(f"torch.compile fails here, training goes on without: {one_line(str(error))[:200]}")
        else:
            self._say(f"compiled in {time.monotonic() - began:.1f} s")
        return found

    def _say(self, text: str) -> None:
        if self._accelerator.is_main_process:
            print(text, file=sys.stderr)  # the progress bar makes room for it


class _Loss(nn.Module):
    """``step.loss`` as a forward, which is what ``functional_call`` calls."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step

    def forward(self, corrupted: Corrupted) -> tuple[Tensor, dict[str, Tensor]]:
        return self.step.loss(corrupted)
