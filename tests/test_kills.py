"""Whatever is killed in its middle, and done again, comes to the result of what was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from PIL import Image

from tests.factories import energy, identity, small_run
from tests.launching import TWO

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="it looks for processes in /proc")

FEW = pytest.param(2, id="two")
MANY = pytest.param(20, id="twenty", marks=pytest.mark.fuzz)
LAUNCH = ["-m", *TWO]


def start(*words: object, several: bool = False) -> subprocess.Popen[bytes]:
    more = {"ACCELERATE_USE_CPU": "true"} if several else {}
    return subprocess.Popen(
        [sys.executable, *(LAUNCH if several else []), "-m", "mszoo", *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "MSZOO_PLUGINS": "", **more},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(*words: object, several: bool = False) -> None:
    process = start(*words, several=several)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err.decode()


def kill(words: list[object], progress: Callable[[], int], at: int, several: bool = False) -> bool:
    """Start a command, and kill it with all its processes as soon as it has come so far; whether it was still alive."""
    process = start(*words, several=several)
    try:
        deadline = time.monotonic() + 300
        while progress() < at and process.poll() is None:
            assert time.monotonic() < deadline, f"it does not come to {at}"
            time.sleep(0.002)
    finally:
        alive = process.poll() is None
        for number in family(process.pid):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        process.communicate()
    return alive


def family(number: int) -> list[int]:
    """A process and all that it started: a launcher's have sessions of their own, and outlive it."""
    try:
        children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    except OSError:
        return []
    return [number, *(one for child in children for one in family(int(child)))]


def contents(folder: Path) -> dict[str, bytes]:
    """The files that are not hidden."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    found = {p.relative_to(folder): p.read_bytes() for p in files}
    return {str(name): data for name, data in found.items() if not any(part[0] == "." for part in name.parts)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for i in range(40):
        side = (48, 64)[i % 2]
        Image.fromarray(rng.integers(0, 256, (side, 48), dtype=np.uint8)).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("kills", [FEW, MANY])
def test_denoise(photos: Path, tmp_path: Path, kills: int) -> None:
    identity().save_pretrained(tmp_path / "model")
    whole, again = tmp_path / "whole", tmp_path / "again"
    words = ["denoise", photos, "--model", tmp_path / "model", "--add-noise", "0.1"]
    finish(*words[:2], whole, *words[2:])
    killed = 0
    for k in range(kills):
        target = 1 + k * 38 // kills
        killed += kill([*words[:2], again, *words[2:], "--skip-existing"], lambda: len([*again.glob("[!.]*")]), target)
        assert contents(again).items() <= contents(whole).items()
    finish(*words[:2], again, *words[2:], "--skip-existing")
    assert killed
    assert contents(again) == contents(whole)


@pytest.mark.parametrize("kills", [FEW, MANY])
def test_log_prob(photos: Path, tmp_path: Path, kills: int) -> None:
    energy().save_pretrained(tmp_path / "model")
    for i in range(40):  # each of a size of its own: a batch of its own
        Image.new("L", (33 + i, 40), i).save(photos / f"{i}.png")
    whole, again = tmp_path / "whole", tmp_path / "again"
    words = ["log-prob", photos, "--model", tmp_path / "model", "--out"]
    finish(*words, whole)
    journal, killed = again / "log-prob.part.jsonl", 0

    def rows() -> int:
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    for k in range(kills):
        before = journal.read_text().splitlines() if journal.exists() else []
        killed += kill([*words, again, "--resume"], rows, 2 + k * 36 // kills)
        assert not journal.exists() or journal.read_text().splitlines()[: len(before)] == before
    assert killed
    if journal.exists():
        refused = start(*words, again)
        assert b"--resume" in refused.communicate()[1].replace(b"\n", b" ")
        assert refused.returncode == 1
    finish(*words, again, "--resume")
    assert contents(again) == contents(whole)


@pytest.mark.parametrize("several", [False, True], ids=["one process", "two processes"])
@pytest.mark.parametrize("kills", [FEW, MANY])
def test_log_prob_of_a_collection(photos: Path, tmp_path: Path, kills: int, several: bool) -> None:
    energy().save_pretrained(tmp_path / "model")
    for i in range(40):  # each of a size of its own: a batch of its own
        Image.new("L", (33 + i, 40), i).save(photos / f"{i}.png")
    whole, again = tmp_path / "whole.csv", tmp_path / "again.csv"
    words = ["log-prob", "--data", photos, "--model", tmp_path / "model", "--out"]
    finish(*words, whole)
    parts, killed = Path(f"{again}.part"), 0

    def rows() -> int:
        return sum(file.stat().st_size for file in parts.glob("*.rows")) // 24

    for k in range(kills):
        killed += kill([*words, again, "--resume"], rows, 2 + k * 36 // kills, several)
        assert not again.exists() or k
    assert killed
    if parts.exists():
        refused = start(*words, again)
        assert b"--resume" in refused.communicate()[1].replace(b"\n", b" ")
        assert refused.returncode == 1
    finish(*words, again, "--resume", several=several)
    assert again.read_bytes() == whole.read_bytes()
    assert len(whole.read_text().splitlines()) == 41
    assert not parts.exists()


@pytest.mark.parametrize("several", [False, True], ids=["one process", "two processes"])
@pytest.mark.parametrize("kills", [pytest.param(1, id="one", marks=pytest.mark.slow), MANY])
def test_train(tmp_path: Path, kills: int, several: bool) -> None:
    steps = 8 + 4 * kills
    words = ["train", "smoke-energy", *small_run("training.checkpoint_every=2", "training.batch_size=4", steps=steps)]
    whole, again = tmp_path / "whole", tmp_path / "again"
    finish(*words, "--out", whole, several=several)
    chance, killed = random.Random(0), 0

    def step() -> int:
        return max((int(p.name[5:]) for p in (again / "state").glob("step-*")), default=0)

    for _ in range(kills):
        target = min(steps - 4, step() + chance.randint(2, 4))
        killed += kill([*words, "--out", again, "--resume"], step, target, several)
        time.sleep(chance.random() * 0.05)
    assert killed
    finish(*words, "--out", again, "--resume", several=several)
    one, other = (safetensors.torch.load_file(out / "model.safetensors") for out in (whole, again))
    assert all((one[name] == other[name]).all() for name in one)
    assert not list(again.glob(".*.part"))
