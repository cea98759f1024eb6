"""Compiled, eager, alone and in parts: always the same gradient."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

import mszoo
from mszoo.randomness import Draw
from mszoo.training.gradients import CompiledGradients, EagerGradients
from mszoo.training.step import Step
from tests.factories import SMOOTH, chain, network
from tests.launching import on_two_processes

LOCAL = network(**SMOOTH | {"norm": "channel"})
PARTS = {
    "inner_product": ({"name": "unet", "width": 4, "halvings": 1}, "dual_score_matching"),
    "anchored": (LOCAL, "dual_score_matching"),
    "squared_norm": (LOCAL, "score_matching"),
}


def make(head: str) -> Step:
    conditioner, objective = PARTS[head]
    torch.manual_seed(0)
    model = mszoo.MultiScaleModel.from_config(chain(0, conditioner, head))
    return Step(model, [mszoo.create("objective", objective, noise={"psnr": [40, -10]})])


def gradient(step: Step) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in step.named_parameters() if p.grad is not None}
    step.zero_grad()
    return found


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name, g in one.items():
        assert (g - other[name]).norm() <= tolerance * g.norm(), name


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was said of compiling; torch may print warnings of its own."""
    return [
        line for line in capsys.readouterr().err.splitlines() if re.match(r"compil(ing|ed) |torch\.compile fails", line)
    ]


# With both derivatives, and with the score alone.
@pytest.mark.parametrize("head", ["anchored", pytest.param("squared_norm", marks=pytest.mark.slow)])
def test_compiled_gives_the_gradient_of_eager(head: str, capsys: pytest.CaptureFixture[str]) -> None:
    step, accelerator = make(head), Accelerator(cpu=True)
    x = torch.rand(4, 1, 8, 8)
    loss, logs = EagerGradients(accelerator, step)(x, Draw(0, 0, [0, 1, 2, 3]))
    expected = gradient(step)
    compiled = CompiledGradients(accelerator, step)
    compiled_loss, compiled_logs = compiled(x, Draw(0, 0, [0, 1, 2, 3]))
    assert len(expected) == len(list(step.parameters()))
    assert_same(expected, gradient(step), 1e-4)
    torch.testing.assert_close((compiled_loss, compiled_logs), (loss.detach(), logs), rtol=1e-4, atol=1e-5)
    compiled(x, Draw(0, 1, [0, 1, 2, 3]))
    before, after = told(capsys)
    assert before.startswith("compiling the step")
    assert re.fullmatch(r"compiled in \d+\.\d s", after)


def test_a_step_that_cannot_be_compiled_is_computed_eagerly(capsys: pytest.CaptureFixture[str]) -> None:
    step, accelerator = make("anchored"), Accelerator(cpu=True)
    x, draw = torch.rand(4, 1, 8, 8), Draw(0, 0, [0, 1, 2, 3])
    EagerGradients(accelerator, step)(x, draw)
    expected = gradient(step)
    network = step.model.scales[0].conditioner
    network.register_forward_pre_hook(lambda *_: torch._dynamo.graph_break())  # which a whole graph may not have
    torch._dynamo.reset()  # what another test compiled is taken again without a look at hooks
    gradients = CompiledGradients(accelerator, step)
    for _ in range(2):
        gradients(x, Draw(0, 0, [0, 1, 2, 3]))
        assert_same(expected, gradient(step), 1e-4)
    before, after = told(capsys)
    assert before.startswith("compiling the step")
    assert after.startswith("torch.compile fails here, training goes on without: ")


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


@pytest.mark.parametrize(
    ("way", "head"),
    [
        ("eager", "anchored"),
        pytest.param("eager", "inner_product", marks=pytest.mark.slow),
        pytest.param("compiled", "anchored", marks=pytest.mark.slow),
    ],
)
def test_two_processes_give_the_gradient_of_one(tmp_path: Path, way: str, head: str) -> None:
    step = make(head).double()
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    EagerGradients(Accelerator(cpu=True), step)(x, Draw(0, 0, [0, 1, 2, 3]))
    whole = gradient(step)
    threads = {"TORCHINDUCTOR_COMPILE_THREADS": "1"}
    on_two_processes("gradients_on_two_processes.py", __file__, tmp_path / "found", way, head, **threads)
    shares = [torch.load(f"{tmp_path}/found.{rank}", weights_only=True) for rank in (0, 1)]
    for share in shares:
        assert share["processes"] == 2
        assert_same(whole, share["gradients"], 1e-5)
    for name, g in shares[0]["gradients"].items():
        assert torch.equal(g, shares[1]["gradients"][name])
