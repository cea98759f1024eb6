"""A Hub on the loopback, to which the unmodified client is pointed, and a small model to publish on it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import constants

from mszoo.hub.pushing import publication
from tests.hub.helpers import REPO, build, save
from tests.hub.server import HubServer


@pytest.fixture(scope="session")
def hub_server() -> Iterator[HubServer]:
    server = HubServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody waits between attempts, neither mszoo nor its client; the seconds they would have waited."""
    waited: list[float] = []
    names = ("time", "monotonic", "perf_counter")
    still = SimpleNamespace(sleep=waited.append, **{name: getattr(time, name) for name in names})
    for module in ("mszoo.hub.client", "huggingface_hub.utils._http", "huggingface_hub.file_download"):
        monkeypatch.setattr(f"{module}.time", still)
    return waited


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The Hub's cache, empty."""
    return tmp_path / "home" / "hub"


@pytest.fixture
def point(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Point the client at an address: this process's by its constants, others by their environment."""

    def to(url: str) -> None:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setenv("HF_ENDPOINT", url)
        huggingface_hub.close_session()  # connections of an earlier test

    return to


@pytest.fixture
def hub(
    hub_server: HubServer,
    cache: Path,
    clock: list[float],
    point: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> HubServer:
    """The server, empty, with an empty cache, and a token that may write to `org`."""
    hub_server.reset()
    home = cache.parent
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("HF_TOKEN", "hf_write")
    for name in ("XET", "TELEMETRY", "UPDATE_CHECK", "PROGRESS_BARS"):
        monkeypatch.setenv(f"HF_HUB_DISABLE_{name}", "1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(home / ".agent_harnesses.json"), raising=False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    bars = sys.modules["huggingface_hub.utils.tqdm"]  # not the class of that name
    monkeypatch.setattr(bars, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    point(hub_server.url)
    return hub_server


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A checkpoint with recipe and measurements, to be changed at will."""
    return save(build(), tmp_path / "saved")


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of that checkpoint's repository."""
    return publication(save(build(), tmp_path_factory.mktemp("published")), REPO)
