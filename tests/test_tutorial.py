"""The tutorial, followed by hand: its files, installed with pip, listed, tested, trained and loaded."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launching import TWO

TUTORIAL = (Path(__file__).parents[1] / "plugins" / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with the tutorial's distribution, and the environment where it is installed."""
    folder = tmp_path_factory.mktemp("tutorial")
    files = re.findall(r"`(mszoo-mine/[^`]+)`:.*?```\w+\n(.*?)```", TUTORIAL, re.DOTALL)
    assert len(files) == 4
    for name, text in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    site = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*pip, "--disable-pip-version-check", "--target", str(site), str(folder / "mszoo-mine")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    env = {k: v for k, v in os.environ.items() if k not in ("MSZOO_PLUGINS", "PYTHONPATH")}
    return folder, {**env, "PYTHONPATH": str(site), "COLUMNS": "300", "MSZOO_PLUGINS": "mine"}


def run(folder: Path, env: dict[str, str], *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_it_is_listed_and_keeps_its_contract(built: tuple[Path, dict[str, str]]) -> None:
    told = run(*built, "mszoo", "plugins", "--check")
    assert "mszoo-mine 0.1.0" in told
    assert "basis mine/hadamard: 11 checks passed, 0 failed" in told


@pytest.mark.slow
def test_its_tests_pass(built: tuple[Path, dict[str, str]]) -> None:
    told = run(*built, "pytest", "mszoo-mine/tests", "-p", "no:cacheprovider")
    assert "22 passed" in told


@pytest.mark.slow
def test_it_trains_on_two_processes_and_loads_only_where_it_is(built: tuple[Path, dict[str, str]]) -> None:
    folder, env = built
    words = [
        "smoke-denoiser",
        "model.basis=mine/hadamard",
        "training.steps=3",
        "training.warmup=0",
        "data.test=null",
        "--out",
        "runs/mine",
    ]
    told = run(
        folder, {**env, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}, *TWO, "-m", "mszoo", "train", *words
    )
    assert "2 processes (MULTI_CPU)" in told
    assert "mine/hadamard basis" in run(folder, env, "mszoo", "info", "runs/mine")
    elsewhere = {k: v for k, v in env.items() if k != "PYTHONPATH"}
    refused = " ".join(run(folder, {**elsewhere, "MSZOO_PLUGINS": ""}, "mszoo", "info", "runs/mine", code=1).split())
    assert "it needs the basis 'mine/hadamard', which is not installed here" in refused
    assert "claims that it comes from distribution 'mszoo-mine' 0.1.0" in refused
