"""A run's folder: nobody's model is replaced unasked, and two runs never write into one."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch

import mszoo
from mszoo.errors import MszooError, TrainingError
from mszoo.recipe import read_recipe
from mszoo.training import assemble, train
from mszoo.training.folder import hold

SMALL = [
    *("training.steps=4", "training.batch_size=2", "training.warmup=0", "training.calibration_batches=1"),
    *("data.train.crop=16", "data.test=null", "training.ema=null"),
]


@pytest.fixture(autouse=True)
def _any_algorithm() -> None:
    torch.use_deterministic_algorithms(False)


def run(out: Path, *overrides: str, **options: bool) -> Path:
    train(read_recipe("smoke-denoiser", [*SMALL, *overrides]), out, **options)
    return out


def start(out: Path, *overrides: str, **options: object) -> subprocess.Popen[str]:
    """The command line, as another process."""
    words = ["train", "smoke-denoiser", "--out", str(out), *SMALL, *overrides]
    code = "import sys; from mszoo.cli import main; sys.argv = ['mszoo', *sys.argv[1:]]; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], text=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, **options
    )  # type: ignore[call-overload]


def wait_for(path: Path, pattern: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not list(path.glob(pattern)):
        assert time.monotonic() < deadline, f"no {pattern} in {path}"
        time.sleep(0.01)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(out / "model.safetensors")


def test_a_model_that_is_no_runs_is_replaced_only_when_told(tmp_path: Path) -> None:
    out = tmp_path / "model"
    model = mszoo.load("cifar10-grey-energy")
    model.save_pretrained(out)
    before = (out / "model.safetensors").read_bytes()
    for options in ({}, {"resume": True}):
        with pytest.raises(TrainingError, match=r"holds a model.*--out.*training\.init=.*--overwrite"):
            run(out, **options)
    with pytest.raises(TrainingError, match="give one of them"):
        run(out, resume=True, overwrite=True)
    assert (out / "model.safetensors").read_bytes() == before
    run(out, overwrite=True)
    assert (out / "model.safetensors").read_bytes() != before


def test_a_run_that_begins_anew_leaves_no_state_of_the_one_before(tmp_path: Path) -> None:
    out = run(tmp_path / "run")
    with pytest.raises(TrainingError, match=r"holds a run at step 4; go on with --resume.*--overwrite"):
        run(out)
    run(out, "training.steps=2", "training.seed=1", overwrite=True)
    assert [p.name for p in (out / "state").iterdir()] == ["step-00000002"]
    one, other = weights(out), weights(run(tmp_path / "other", "training.steps=2", "training.seed=1"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_runs_are_never_assembled_into_one_of_themselves(tmp_path: Path) -> None:
    fine, coarse = run(tmp_path / "fine", "training.scales=[0, 1]"), run(tmp_path / "coarse", "training.scales=[2]")
    before = (fine / "model.safetensors").read_bytes()
    for options in ({}, {"overwrite": True}):
        with pytest.raises(TrainingError, match="is one of the runs"):
            assemble(tmp_path / "coarse" / ".." / "fine", [fine, coarse], **options)
        with pytest.raises(TrainingError, match="holds a run"):
            assemble(run(tmp_path / f"third{len(options)}"), [fine, coarse], **options)
    assert (fine / "model.safetensors").read_bytes() == before
    assemble(tmp_path / "whole", [fine, coarse])
    with pytest.raises(TrainingError, match=r"holds a model; choose another folder, or .* --overwrite"):
        assemble(tmp_path / "whole", [fine, coarse])
    assemble(tmp_path / "whole", [fine, coarse], overwrite=True)


@pytest.mark.parametrize("edit", ["", "scales: 3", "scales: {a: 1}", "scales: [0, [1]]", "scales: [7]", "x"])
def test_runs_whose_recipes_were_edited_are_told_of(tmp_path: Path, edit: str) -> None:
    fine, coarse = run(tmp_path / "fine", "training.scales=[0, 1]"), run(tmp_path / "coarse", "training.scales=[2]")
    (fine / "recipe.yaml").write_text(f"name: edited\ntraining: {'{' + edit + '}' if edit != 'x' else 'x'}\n")
    with pytest.raises(MszooError, match=r"training\.scales|trained by"):
        assemble(tmp_path / "whole", [fine, coarse])
    assert not (tmp_path / "whole").exists()


def test_one_run_at_a_time_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(out, "training.steps=100000", "training.checkpoint_every=2")
    try:
        wait_for(out / "state", "step-*")
        for options in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(TrainingError, match=rf"in use: process {process.pid} on .*another --out"):
                run(out, **options)
    finally:
        process.kill()
        process.wait()
    at = max(int(p.name[5:]) for p in (out / "state").glob("step-*"))
    run(out, f"training.steps={at + 1}", "training.checkpoint_every=2", resume=True)


def test_a_folder_that_nothing_came_of_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="why"), hold(tmp_path / "runs" / "run"):
        raise ValueError("why")
    assert not list(tmp_path.iterdir())
    with hold(tmp_path / "run"):
        (tmp_path / "run" / "file").write_text("x")
    assert (tmp_path / "run" / "file").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_told_to_end_saves_and_says_how_to_go_on(tmp_path: Path, number: int, code: int) -> None:
    process = start(tmp_path / "run", "training.steps=3000", "training.checkpoint_every=4")
    wait_for(tmp_path / "run" / "state", "step-*")
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    (line,) = [line for line in err.splitlines() if "error:" in line]
    assert "stopped and saved at step" in line
    assert "--resume" in line
    assert "Traceback" not in err
    step = int(line.split("at step ")[1].split(";")[0])
    assert (tmp_path / "run" / "state" / f"step-{step:08d}").is_dir()
    whole = run(tmp_path / "whole", f"training.steps={step + 2}", "training.scheduler=null")
    again = run(tmp_path / "again", f"training.steps={step}", "training.scheduler=null")
    run(again, f"training.steps={step + 2}", "training.scheduler=null", resume=True)
    one, other = weights(whole), weights(again)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("more", [-1000, 20_000])  # bytes beyond the size of the model: less, or too few for the state
def test_a_disk_that_fills_leaves_the_last_state_whole(tmp_path: Path, more: int) -> None:
    out = run(tmp_path / "run")
    before, size = weights(out), (out / "model.safetensors").stat().st_size
    limit = size + more
    words = ("training.steps=8", "training.optimizer=adam")

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = start(out, "training.steps=8", "--resume", preexec_fn=full)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert "cannot be saved" in err
    assert "bytes" in err
    assert "from step 4 with --resume" in err.replace("\n", " ")
    assert "Traceback" not in err
    assert [p.name for p in (out / "state").iterdir()] == ["step-00000004"], words
    mszoo.load(out)
    if more < 0:
        assert all(torch.equal(tensor, before[name]) for name, tensor in weights(out).items())
    run(out, "training.steps=8", resume=True)
    one, other = weights(out), weights(run(tmp_path / "other", "training.steps=8"))
    assert one.keys() == other.keys()
    assert os.path.exists(out / "state" / "step-00000008")


def test_a_disk_that_fills_with_metrics_is_told_with_the_room_that_is_needed(tmp_path: Path) -> None:
    out = run(tmp_path / "run")
    with open(out / "metrics.jsonl", "ab") as file:  # lines that are kept when it goes on
        file.write(b'{"event": "note", "step": 1}\n' * 20_000)
    limit = (out / "metrics.jsonl").stat().st_size + 40

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = start(out, "training.steps=8", "--resume", preexec_fn=full)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert "Traceback" not in err
    assert re.search(
        r"metrics\.jsonl cannot be saved in .*take about [\d,]+ bytes.*from step 4 with --resume", err, re.S
    )
    run(out, "training.steps=8", resume=True)
    assert (out / "state" / "step-00000008").exists()


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    out = run(tmp_path / "run")
    (out / ".model.safetensors.123.part").write_bytes(b"half")
    (out / "state" / ".step-00000007.part").mkdir()
    (out / "state" / ".step-00000007.part" / "optimizer.bin").write_bytes(b"half")
    run(out, "training.steps=5", resume=True)
    assert not [*out.rglob(".*.part")]
