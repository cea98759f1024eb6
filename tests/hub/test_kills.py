"""A push or a pull that is killed at any request, and done again, comes to the result of one that was not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

import mszoo
from tests.hub.helpers import REPO, answer, build, files_of, host, published_files, python
from tests.hub.server import HubServer

# At which request it is killed; the last of twenty are requests that are never made.
FEW = pytest.param([5], id="one")
MANY = pytest.param([*range(1, 21)], id="twenty", marks=pytest.mark.fuzz)


def killed(hub: HubServer, at: int, *words: object) -> None:
    """The command line, killed as soon as it has sent so many requests."""
    hub.requests.clear()
    process = subprocess.Popen(
        [sys.executable, "-m", "mszoo", *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while len(hub.requests) < at and process.poll() is None:
        Event().wait(0.001)  # the fixture has replaced time.sleep
    process.kill()
    process.wait()


@pytest.mark.parametrize("kills", [FEW, MANY])
def test_push(hub: HubServer, saved: Path, published: dict[str, bytes], kills: list[int]) -> None:
    for at in kills:
        killed(hub, at, "push", saved, REPO)
        if REPO in hub.repos:
            there = published_files(hub)
            assert there in ({}, published), "a commit holds all of it, or none"
    for _ in range(2):
        done = python("-m", "mszoo", "push", saved, REPO)
        assert done.code == 0, done.err
        assert published_files(hub) == published
    assert len(hub.repos[REPO].commits) == 2, "the Hub's own first commit, and ours"


@pytest.mark.parametrize("kills", [FEW, MANY])
def test_pull(hub: HubServer, published: dict[str, bytes], cache: Path, kills: list[int]) -> None:
    commit = host(hub, published)
    for at in kills:
        killed(hub, at, "pull", REPO)
        offline = python("-m", "mszoo", "info", REPO, before=("env", "HF_HUB_OFFLINE=1"))
        assert offline.code in (0, 1)
        assert "Traceback" not in offline.err
        assert "damaged" not in offline.err
    done = python("-m", "mszoo", "pull", REPO)
    assert done.code == 0, done.err
    folder = cache / "models--org--model" / "snapshots" / commit
    assert files_of(folder) == {n: data for n, data in published.items() if "/" not in n}
    assert (answer(mszoo.load(REPO)) == answer(build())).all()
