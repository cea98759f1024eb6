"""The one module that Accelerate wraps: it holds the model and its objectives, and its forward is the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mszoo.model import MultiScaleModel
from mszoo.objectives import Objective
from mszoo.randomness import Draw

__all__ = ["Step"]

# For each trained scale, by its number: clean and noisy coefficients, noise variance, condition.
Corrupted = dict[int, tuple[Tensor, Tensor, Tensor, Tensor | None]]


class Step(nn.Module):
    """Loss of a batch of images, summed over the scales that are trained.

    Inner derivatives (the scores of energies) are taken inside this forward, so that wrapping it for data
    parallelism synchronizes the gradient of the whole loss.

    Args:
        model: the chain of scales.
        objectives: one per scale, finest first.
        scales: which scales to train; None: all. The others' weights are frozen.
    """

    def __init__(
        self, model: MultiScaleModel, objectives: Sequence[Objective], scales: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.objectives = nn.ModuleList(objectives)
        self.trained = set(range(len(objectives)) if scales is None else scales)
        for j, head in enumerate(model.scales):
            head.requires_grad_(j in self.trained)
        self.register_load_state_dict_pre_hook(_add_empty)

    def forward(self, x: Tensor, draw: Draw) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (a scalar) and what to log, from images (B, C, H, W) and the step's random numbers."""
        return self.loss(self.corrupt(x, draw))

    def corrupt(self, x: Tensor, draw: Draw) -> Corrupted:
        """The random part of a step: the noisy coefficients of every trained scale."""
        corrupted: Corrupted = {}
        for j, (coefficients, cond) in enumerate(self.model.decompose(x)):
            if j in self.trained:
                of_scale, objective = draw.scale(j), self._objective(j)
                clean = objective.augment(coefficients, of_scale)
                corrupted[j] = clean, *objective.corrupt(clean, of_scale), cond
        return corrupted

    def loss(self, corrupted: Corrupted) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and what to log: a function of the parameters, with nothing random in it."""
        losses, logs = [], {}
        for j, (clean, y, t, cond) in corrupted.items():
            loss, details = self._objective(j).loss(self.model.scales[j], clean, y, t, cond)
            losses.append(loss)
            logs |= {f"scale{j}/{name}": value for name, value in {"loss": loss.detach(), **details}.items()}
        return torch.stack(losses).sum(), logs

    def _objective(self, j: int) -> Objective:
        objective = self.objectives[j]
        assert isinstance(objective, Objective)
        return objective


def _add_empty(step: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Of several empty tensors Accelerate's states have one: it takes them for the same memory."""
    for name, t in step.state_dict(keep_vars=True).items():
        if not t.numel():
            state.setdefault(prefix + name, t)
