"""What all tests share: fixed seeds, two threads (or OMP_NUM_THREADS), no plugins, and the folder of reference data."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

os.environ["MSZOO_PLUGINS"] = ""  # plugins that happen to be installed here are not under test
os.environ["COLUMNS"] = "200"  # tables as wide as in a pipe; a worker of pytest-xdist is told 80
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
settings.register_profile("mszoo", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("mszoo")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A check on two processes takes as long as fifty others: of those for each built-in component, one is not slow."""
    on_two = [item for item in items if "test_built_ins" in item.nodeid and "two_processes" in item.name]
    for item in on_two[1:]:
        item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    """Every test starts from the same seed, in whatever order, and leaves torch's settings as it found them."""
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of the authors' checkpoints and test images."""
    if "MSZOO_SHARED" not in os.environ:
        pytest.skip("MSZOO_SHARED is not set: the folder with the authors' checkpoints and test images")
    return Path(os.environ["MSZOO_SHARED"])


@pytest.fixture
def mszoo_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple]:
    """Run a command line; exit code, standard output and standard error."""
    from mszoo.cli import main

    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mszoo", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return run
