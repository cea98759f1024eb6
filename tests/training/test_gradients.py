"""Compiled, eager, alone and in parts: always the same gradient."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

import mszoo
from mszoo.objectives import Draw
from mszoo.training.gradients import CompiledGradients, EagerGradients
from mszoo.training.step import Step

LOCAL = {"name": "bias_free_cnn", "receptive_field": 5, "depth": 3, "width": 4, "norm": "channel"}
LOCAL |= {"activation": "gelu", "noise_embedding": True}
PARTS = {
    "inner_product": ({"name": "unet", "width": 4, "scales": 1}, "dual_score_matching"),
    "anchored": (LOCAL, "dual_score_matching"),
    "squared_norm": (LOCAL, "score_matching"),
}


def make(head: str) -> Step:
    conditioner, objective = PARTS[head]
    torch.manual_seed(0)
    model = mszoo.MultiScaleModel.from_config({"channels": 1, "coarse": {"conditioner": conditioner, "head": head}})
    return Step(model, [mszoo.create("objective", objective, noise={"psnr": [40, -10]})])


def gradient(step: Step) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in step.named_parameters() if p.grad is not None}
    step.zero_grad()
    return found


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name, g in one.items():
        assert (g - other[name]).norm() <= tolerance * g.norm(), name


@pytest.mark.parametrize("head", ["anchored", "squared_norm"])  # with both derivatives, and with the score alone
def test_compiled_gives_the_gradient_of_eager(head: str) -> None:
    step, accelerator = make(head), Accelerator(cpu=True)
    x = torch.rand(4, 1, 8, 8)
    loss, logs = EagerGradients(accelerator, step)(x, Draw(0, 0, [0, 1, 2, 3]))
    expected = gradient(step)
    compiled_loss, compiled_logs = CompiledGradients(accelerator, step)(x, Draw(0, 0, [0, 1, 2, 3]))
    assert len(expected) == len(list(step.parameters()))
    assert_same(expected, gradient(step), 1e-4)
    torch.testing.assert_close((compiled_loss, compiled_logs), (loss.detach(), logs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", list(PARTS))
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(head: str) -> None:
    step, x = make(head), torch.rand(4, 1, 8, 8)
    accelerator = Accelerator(cpu=True)
    EagerGradients(accelerator, step)(x, Draw(0, 0, [0, 1, 2, 3]))
    whole = gradient(step)
    for rows in ([0, 1], [2, 3]):
        loss, _ = step(x[rows], Draw(0, 0, rows))
        (loss / 2).backward()
    assert_same(whole, gradient(step), 1e-4)
