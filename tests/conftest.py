"""What all tests share: fixed seeds, two threads (or OMP_NUM_THREADS), no plugins, and the folder of reference data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

os.environ["MSZOO_PLUGINS"] = ""  # plugins that happen to be installed here are not under test
os.environ["COLUMNS"] = "200"  # tables as wide as in a pipe; a worker of pytest-xdist is told 80
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
settings.register_profile("mszoo", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("mszoo")


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
