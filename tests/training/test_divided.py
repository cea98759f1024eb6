"""Weights that are divided among the processes train as whole ones do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from accelerate import Accelerator
from torch import Tensor

import mszoo
from mszoo.errors import TrainingError
from mszoo.options import validate
from mszoo.randomness import Draw
from mszoo.recipe import NamedConfig, Recipe, TrainingConfig, read_recipe
from mszoo.training.divided import check_division
from mszoo.training.gradients import EagerGradients
from mszoo.training.optimization import make_optimizer
from mszoo.training.step import Step
from tests.factories import SMOOTH, chain, network, small_run
from tests.launching import DIVIDED, on_two_processes

ODD = network(**SMOOTH | {"norm": "channel", "width": 5})  # two processes have unequal parts
# With what each is trained; energies are differentiated twice.
HEADS = {
    "denoiser": "denoising",
    "score": "score_matching",
    "squared_norm": "score_matching",
    "anchored": "dual_score_matching",
}
# What a step does of its own: a moving average, clipping, parts of a batch.
RUNS = {
    "denoiser": ("training.ema=0.9", "training.clip=0.1", "training.accumulate=2", "training.optimizer.name=adamw"),
    "score": ("training.ema=null", "training.optimizer.name=adam"),
}


def make(head: str) -> Step:
    """In float64, where what is left of a difference is no rounding."""
    torch.manual_seed(0)
    model = mszoo.MultiScaleModel.from_config(chain(0, ODD, head))
    noise = {"max_sigma": 1.0} if head == "denoiser" else {"psnr": [40, -10]}
    return Step(model, [mszoo.create("objective", HEADS[head], noise=noise)]).double()


def images() -> Tensor:
    return torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def share(x: Tensor, rank: int) -> tuple[Tensor, Draw]:
    rows = [2 * rank, 2 * rank + 1]
    return x[rows], Draw(0, 0, rows)


def smoke_recipe() -> Recipe:
    return validate(Recipe, read_recipe("smoke-denoiser", small_run()).values, "recipe")


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, t in expected.items():
        assert (found[name] - t).norm() <= tolerance * t.norm(), name


def test_gradients_and_steps_are_those_of_whole_weights(tmp_path: Path) -> None:
    asked, optimizers = {"ACCELERATE_USE_FSDP": "true"}, ("adamw", "adamuon", "muon", "adamp")
    on_two_processes("divided_on_two_processes.py", __file__, tmp_path / "found", *optimizers, **asked)
    shares: list[dict[str, Any]] = [torch.load(f"{tmp_path}/found.{rank}", weights_only=True) for rank in (0, 1)]
    for head in HEADS:
        step = make(head)
        EagerGradients(Accelerator(cpu=True), step)(images(), Draw(0, 0, [0, 1, 2, 3]))
        expected = {name: p.grad for name, p in step.named_parameters() if p.grad is not None}
        total = sum(p.numel() for p in step.parameters())
        assert sum(found[f"{head} held"] for found in shares) == total
        for found in shares:
            assert found[f"{head} held"] < 0.7 * total
            assert_close(found[head], expected, 1e-9)
    for name in ("adamw", "adamuon", "muon"):
        step = make("denoiser")
        settings = TrainingConfig(optimizer=NamedConfig.model_validate({"name": name, "lr": 1e-3}))
        optimizer = make_optimizer(step, settings)
        for _ in range(3):
            EagerGradients(Accelerator(cpu=True), step)(images(), Draw(0, 0, [0, 1, 2, 3]))
            optimizer.step()
            optimizer.zero_grad()
        for found in shares:
            assert_close(found[name], {n: p.detach() for n, p in step.named_parameters()}, 1e-5)
    for found in shares:
        assert found["adamp"].startswith("the optimizer adamp cannot step weights that are divided (--use_fsdp): ")
        assert "training.optimizer.name=adamw" in found["adamp"]


@pytest.mark.parametrize("head", ["denoiser", pytest.param("score", marks=pytest.mark.slow)])
def test_a_run_gives_the_weights_of_one_process_also_resumed(tmp_path: Path, head: str) -> None:
    noise = "{max_sigma: 1.0}" if head == "denoiser" else "{psnr: [40, -10]}"
    part = {"conditioner": ODD, "head": head}
    words = small_run(
        *(f"model={ {'channels': 1, 'basis': 'haar', 'levels': 1, 'detail': part, 'coarse': part} }", *RUNS[head]),
        *(f"objective={{name: {HEADS[head]}, noise: {noise}}}", "training.batch_size=4", "training.checkpoint_every=4"),
        *("data.test={name: photographs, split: test, limit: 1, crop: 32}", "evaluation.sigmas=[0.2]"),
        steps=6,
    )
    launch = ["-m", *DIVIDED]

    def run(out: Path, *more: str, launcher: list[str]) -> dict[str, Tensor]:
        done = subprocess.run(
            [sys.executable, *launcher, "-m", "mszoo", "train", "smoke-denoiser", "--out", str(out), *words, *more],
            env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert ("2 processes (FSDP)" in done.stderr) == (launcher == launch)
        return safetensors.torch.load_file(out / "model.safetensors")

    one = run(tmp_path / "one", launcher=[])
    divided = run(tmp_path / "divided", launcher=launch)
    assert_close(divided, one, 1e-5)
    (tmp_path / "again").mkdir()
    shutil.copytree(tmp_path / "divided" / "state" / "step-00000004", tmp_path / "again" / "state" / "step-00000004")
    shutil.copy(tmp_path / "divided" / "recipe.yaml", tmp_path / "again")
    shutil.copytree(tmp_path / "again", tmp_path / "alone")
    again = run(tmp_path / "again", "--resume", launcher=launch)
    assert all(torch.equal(again[name], t) for name, t in divided.items())
    assert_close(run(tmp_path / "alone", "--resume", launcher=[]), one, 1e-5)  # a state is of whole weights


@pytest.mark.parametrize(
    ("variable", "settings", "advice"),
    [
        (None, {"compile": True}, r"training\.compile=false"),
        (None, {"precision": "fp16"}, r"training\.precision=bf16"),
        ("FSDP_OFFLOAD_PARAMS", {}, "leave --fsdp_offload_params out"),
    ],
)
def test_what_needs_whole_weights_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, settings: dict[str, Any], advice: str
) -> None:
    if variable is not None:
        monkeypatch.setenv(variable, "true")
    check_division(TrainingConfig(**settings))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(TrainingError, match=advice):
        check_division(TrainingConfig(**settings))
