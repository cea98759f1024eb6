"""Whole runs, as a user starts them: the same again, killed and resumed, on two processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch

import mszoo
from tests.factories import small_run
from tests.launching import TWO

# A smoke recipe cut down to seconds: accumulation, clipping, warm-up, EMA and a norm with running statistics are on.
SMALL = small_run(
    *("training.checkpoint_every=5", "training.warmup=4", "training.accumulate=2", "training.clip=100.0"),
    *("training.batch_size=4", "training.calibration_batches=3", "data.train.crop=32"),
    steps=24,
)


def command(recipe: str, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "mszoo", "train", recipe, "--out", str(out), *SMALL, *more]


def run(recipe: str, out: Path, *more: str) -> Path:
    done = subprocess.run(command(recipe, out, *more), capture_output=True, text=True, timeout=240, env=environment())
    assert done.returncode == 0, done.stderr
    return out


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def weights(out: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(out / "model.safetensors")


def records(out: Path, event: str) -> list[dict]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [r for r in map(json.loads, lines) if r["event"] == event]


def assert_bitwise_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.fixture(scope="module", params=["smoke-denoiser", "smoke-energy"])
def whole_run(request, tmp_path_factory) -> tuple[str, Path]:
    return request.param, run(request.param, tmp_path_factory.mktemp("whole"))


def test_same_seed_gives_the_same_weights_bitwise(whole_run, tmp_path):
    recipe, whole = whole_run
    assert_bitwise_equal(weights(whole), weights(run(recipe, tmp_path)))
    other = weights(run(recipe, tmp_path / "other", "training.seed=1"))
    assert any(not torch.equal(tensor, other[name]) for name, tensor in weights(whole).items())


def test_killed_in_the_middle_of_an_epoch_and_resumed_gives_the_same_weights(whole_run, tmp_path):
    recipe, whole = whole_run
    process = subprocess.Popen(command(recipe, tmp_path), env=environment(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "state").glob("step-*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    saved = sorted((tmp_path / "state").glob("step-*"))
    assert saved, "no state was written before the kill"
    assert int(saved[-1].name.removeprefix("step-")) < 24, "the run finished before it was killed"
    mszoo.load(tmp_path)  # what stands there at the kill is a whole checkpoint

    refused = subprocess.run(command(recipe, tmp_path), env=environment(), capture_output=True, text=True, timeout=240)
    assert refused.returncode == 1
    assert "--resume" in refused.stderr

    run(recipe, tmp_path, "--resume")
    assert_bitwise_equal(weights(whole), weights(tmp_path))
    steps = [r["step"] for r in records(tmp_path, "train")]
    assert steps == sorted(set(steps)), "a step is logged twice after resuming"
    assert len(list((tmp_path / "state").iterdir())) <= 2, "old states are pruned"


def test_two_processes(tmp_path, whole_run):
    recipe, whole = whole_run
    done = subprocess.run(
        [sys.executable, "-m", *TWO, "-m", *command(recipe, tmp_path)[2:]],
        env=environment(ACCELERATE_USE_CPU="true"),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    (start,) = records(tmp_path, "start")
    assert (start["processes"], start["distributed"]) == (2, "MULTI_CPU")
    assert "2 processes" in done.stderr
    prints = records(tmp_path, "fingerprint")
    assert prints
    for record in prints:  # parameters and buffers, digested on each process
        first, second = record["processes"]
        assert first == second
    model = mszoo.load(tmp_path)
    assert model.denoise(torch.rand(1, 1, 16, 16), 0.1).isfinite().all()
    if recipe == "smoke-energy":  # batch-independent: the processes together do what one does, up to rounding
        for key, tensor in weights(whole).items():
            torch.testing.assert_close(weights(tmp_path)[key], tensor, rtol=1e-3, atol=1e-4)


def test_processes_that_do_not_know_of_each_other_are_refused(tmp_path):
    """Plain torchrun without a GPU: Accelerate sees one process in each of the two."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    lonely = environment()
    lonely.pop("ACCELERATE_USE_CPU", None)
    done = subprocess.run(
        [*launch, *command("smoke-denoiser", tmp_path)[2:]],
        env=lonely,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode != 0
    assert "WORLD_SIZE=2" in done.stderr
    assert "accelerate launch --multi_gpu" in done.stderr
    assert not (tmp_path / "config.json").exists()


def test_a_diverging_run_stops_and_says_so(tmp_path):
    done = subprocess.run(
        command(
            "smoke-denoiser",
            tmp_path,
            "training.optimizer.name=sgd",
            "training.optimizer.lr=1e30",
            "training.clip=null",
        ),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 1
    assert "training.optimizer.lr" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.filterwarnings("ignore:the constant")
def test_the_constant_is_found_within_the_noise_of_training(tmp_path):
    out = run("smoke-energy", tmp_path, "model.coarse.head=inner_product", "training.steps=6")
    model = mszoo.load(out)
    constant = model.constants[(1, 32, 32)]
    assert model.largest_t == [constant.t]
    assert model.trained_size == (32, 32)
    assert constant.t == pytest.approx(10)  # PSNR -10 dB
    assert constant.error > 0
