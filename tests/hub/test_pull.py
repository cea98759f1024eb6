"""Pulling from a Hub that refuses, is busy, or sends the wrong bytes."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from huggingface_hub import constants

import mszoo
from mszoo.errors import CheckpointError
from mszoo.hub import pull
from tests.hub.helpers import REPO, asked, blobs, build, files_of, host, refusal, same, save
from tests.hub.server import Fault, HubServer

WEIGHTS = "model.safetensors"


def test_a_pulled_model_is_the_published_one(
    hub: HubServer, published: dict[str, bytes], cache: Path, clock: list[float]
) -> None:
    commit = host(hub, published | {"notes.txt": b"not mszoo's", "picture.png": b"png"})
    folder = pull(REPO)
    assert folder == cache / "models--org--model" / "snapshots" / commit
    assert files_of(folder) == {n: published[n] for n in published if "/" not in n}
    assert not asked(hub, "GET", "notes.txt") + asked(hub, "GET", "picture.png")
    assert same(mszoo.load(REPO), build())
    assert clock == []


def test_a_second_pull_fetches_nothing_but_the_state(hub: HubServer, published: dict[str, bytes]) -> None:
    host(hub, published)
    first = pull(REPO)
    hub.requests.clear()
    assert pull(REPO) == first
    assert hub.requests == [("GET", f"/api/models/{REPO}/revision/main?blobs=true")]


# ---- who may, and what is there ------------------------------------------------------------------------------


def test_401_a_token_that_is_not_accepted(
    hub: HubServer, published: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    host(hub, published)
    monkeypatch.setenv("HF_TOKEN", "hf_unknown")
    assert "does not accept your token; log in again with `hf auth login`" in refusal(lambda: pull(REPO))


def test_401_of_somebody_who_is_not_logged_in(
    hub: HubServer, published: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    host(hub, published, private=True)
    monkeypatch.delenv("HF_TOKEN")
    message = refusal(lambda: pull(REPO))
    assert "no model 'org/model', or it is private and you are not logged in" in message
    assert "`hf auth login`" in message


def test_403_a_token_that_may_not_read(hub: HubServer, published: dict[str, bytes]) -> None:
    host(hub, published)
    hub.faults.append(Fault(path="/api/models", status=403, message="Forbidden", times=-1))
    message = refusal(lambda: pull(REPO))
    assert "your token may not do this" in message
    assert "'read' to pull" in message
    assert f"{hub.url}/settings/tokens" in message


@pytest.mark.parametrize("token", ["hf_write", "hf_read"])
def test_404_no_such_repository(hub: HubServer, token: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub.create("org/secret", private=True)
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.chdir(tmp_path)
    message = refusal(lambda: mszoo.load("org/modle"))
    assert f"{hub.url} has no model 'org/modle', or it is private" in message
    assert message.startswith("there is no folder 'org/modle' here, and as a model of the Hub: ")
    if token == "hf_read":  # who may not see it is told the same
        assert refusal(lambda: pull("org/secret")) == refusal(lambda: pull("org/modle")).replace("modle", "secret")


@pytest.mark.parametrize("name", ["v9", "0" * 40, "a/branch"])
def test_404_no_such_revision(hub: HubServer, published: dict[str, bytes], name: str) -> None:
    host(hub, published)
    for call in (
        lambda: mszoo.load(REPO, revision=name),
        lambda: mszoo.load(f"{REPO}@{name}"),
        lambda: pull(REPO, name),
    ):
        message = refusal(call)
        assert f"org/model has no revision {name!r}; its branches, tags and commits are at {hub.url}/" in message


def test_gated(
    hub: HubServer, published: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    host(hub, published, gated=True)
    monkeypatch.setenv("HF_TOKEN", "hf_read")
    message = refusal(lambda: mszoo.load(REPO))
    assert f"org/model is gated: accept its terms at {hub.url}/org/model, then log in here" in message
    assert clock == []
    monkeypatch.setenv("HF_TOKEN", "hf_write")  # the owner may
    assert same(mszoo.load(REPO), build())


def test_private(hub: HubServer, published: dict[str, bytes]) -> None:
    host(hub, published, private=True)
    assert same(mszoo.load(REPO), build())


def test_another_librarys_repository(hub: HubServer) -> None:
    host(hub, {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    message = refusal(lambda: pull(REPO))
    assert "is no mszoo model: it has no model.safetensors; it holds .gitattributes, config.json" in message
    assert not asked(hub, "HEAD")


def test_pickles_stay_where_they_are(hub: HubServer, published: dict[str, bytes], cache: Path) -> None:
    host(hub, published | {"pytorch_model.bin": b"pickle", "optimizer.pt": b"pickle", "sub/a.PKL": b"pickle"})
    with pytest.warns(UserWarning, match=r"also holds optimizer.pt, pytorch_model.bin, sub/a.PKL: files that can run"):
        folder = pull(REPO)
    assert not [path for _, path in hub.requests if "resolve" in path and path.endswith((".bin", ".pt", ".PKL"))]
    assert sorted(files_of(folder)) == ["README.md", "config.json", "evaluation.json", WEIGHTS, "recipe.yaml"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mszoo.load(REPO)


# ---- busy ----------------------------------------------------------------------------------------------------


def test_429_waits_as_long_as_the_hub_asks(hub: HubServer, published: dict[str, bytes], clock: list[float]) -> None:
    host(hub, published)
    hub.faults.append(Fault(path="/api/models", status=429, headers={"Retry-After": "7"}))
    pull(REPO)
    assert clock == [7]


@pytest.mark.parametrize(("seconds", "waits"), [(7, [7, 7, 7, 8]), (3600, [])])
def test_429_for_ever(
    hub: HubServer, published: dict[str, bytes], clock: list[float], seconds: int, waits: list[float]
) -> None:
    host(hub, published)
    hub.faults.append(Fault(path="/api/models", status=429, headers={"Retry-After": str(seconds)}, times=-1))
    message = refusal(lambda: pull(REPO))
    assert f"too many requests, says the Hub; come back in {seconds} seconds" in message
    assert clock == waits


def test_429_of_the_bytes(hub: HubServer, published: dict[str, bytes], clock: list[float]) -> None:
    host(hub, published)
    hub.faults.append(Fault(path="/cdn/", status=429, headers={"Retry-After": "7"}))
    pull(REPO)
    assert clock == [8]  # the client's: one more


PLACES = {
    "the state": ("GET", "/api/models"),
    "the head of a small file": ("HEAD", "config.json"),
    "the head of a large file": ("HEAD", f"resolve/.*{WEIGHTS}"),
    "a small file": ("GET", "config.json"),
    "a large file": ("GET", "/cdn/"),
}


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("place", PLACES)
def test_500_then_success(
    hub: HubServer, published: dict[str, bytes], clock: list[float], place: str, status: int
) -> None:
    host(hub, published)
    hub.faults.append(Fault(*PLACES[place], status=status, times=2))
    pull(REPO)
    assert hub.faults[0].times == 0
    assert clock == ([1] if PLACES[place][0] == "HEAD" else [1, 2])  # the client asks for a head again at once
    assert same(mszoo.load(REPO), build())


@pytest.mark.parametrize("place", PLACES)
def test_500_for_ever(hub: HubServer, published: dict[str, bytes], place: str, cache: Path) -> None:
    host(hub, published)
    hub.faults.append(Fault(*PLACES[place], status=500, times=-1))
    message = refusal(lambda: pull(REPO))
    assert "org/model: the Hub has trouble of its own (HTTP 500); nothing is wrong here, come back later" in message
    assert not (cache / "models--org--model" / "refs" / "main").exists()


def test_a_slow_server(
    hub: HubServer, published: dict[str, bytes], clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    host(hub, published)
    monkeypatch.setattr("mszoo.hub.pulling._timeout", lambda: 0.2)
    hub.faults.append(Fault(path="/api/models", delay=0.5))
    pull(REPO)
    assert clock == [1]
    hub.faults.append(Fault(path="/api/models", delay=0.5, times=-1))
    message = refusal(lambda: pull(REPO))
    assert f"org/model: {hub.url} cannot be reached (ReadTimeout); check the network, and try again" in message


def test_a_slow_file(
    hub: HubServer, published: dict[str, bytes], clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    host(hub, published)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    hub.faults.append(Fault(path="/cdn/", delay=0.5))
    assert same(mszoo.load(REPO), build())
    assert clock == [1]


# ---- the wrong bytes -----------------------------------------------------------------------------------------


def test_a_cut_connection_is_resumed(hub: HubServer, tmp_path: Path, clock: list[float]) -> None:
    model = build(width=256, depth=9, receptive_field=17)
    files = files_of(save(model, tmp_path / "large"))
    assert len(files[WEIGHTS]) > 12 * 2**20
    host(hub, files)
    hub.faults.append(Fault(path="/cdn/", cut=(10 * 2**20) + 1000))
    assert same(mszoo.load(REPO), model)
    ranges = [h.get("range") for (_, path), h in zip(hub.requests, hub.headers, strict=True) if "/cdn/" in path]
    assert ranges == [None, f"bytes={10 * 2**20}-"]
    assert clock == [1]


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
def test_a_truncated_file(hub: HubServer, published: dict[str, bytes], clock: list[float], name: str) -> None:
    host(hub, published)
    hub.faults.append(Fault(path=f"{name}$", truncate=100))
    assert same(mszoo.load(REPO), build())
    assert clock == [1]


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
def test_a_file_that_is_always_truncated(
    hub: HubServer, published: dict[str, bytes], clock: list[float], cache: Path, name: str
) -> None:
    host(hub, published)
    hub.faults.append(Fault(path=f"{name}$", truncate=100, times=-1))
    message = refusal(lambda: pull(REPO))
    assert f"org/model: {name} arrived with another size than the Hub says, so it was cut on its way" in message
    assert clock == [1, 2]
    assert not list(cache.glob(f"**/snapshots/*/{name}"))


@pytest.mark.parametrize("name", ["config.json", "recipe.yaml", WEIGHTS])
def test_wrong_bytes_of_the_right_size_once(hub: HubServer, published: dict[str, bytes], name: str) -> None:
    host(hub, published)
    hub.faults.append(Fault(path=f"{name}$", corrupt=True))
    folder = pull(REPO)
    assert hub.faults[0].times == 0
    assert (folder / name).read_bytes() == published[name]


@pytest.mark.parametrize("name", ["config.json", "recipe.yaml", WEIGHTS])
def test_wrong_bytes_of_the_right_size_always(
    hub: HubServer, published: dict[str, bytes], cache: Path, name: str
) -> None:
    host(hub, published)
    hub.faults.append(Fault(path=f"{name}$", corrupt=True, times=-1))
    message = refusal(lambda: mszoo.load(REPO))
    assert (
        f"org/model: {name} arrived twice with bytes whose checksum is not the Hub's record; it was removed" in message
    )
    assert not list(cache.glob(f"**/snapshots/*/{name}"))
    assert all(path.read_bytes() in published.values() for path in blobs(cache))
    hub.faults.clear()
    assert same(mszoo.load(REPO), build())


@pytest.mark.parametrize("name", ["config.json", "recipe.yaml", WEIGHTS])
def test_bytes_that_went_wrong_in_the_cache(hub: HubServer, published: dict[str, bytes], name: str) -> None:
    host(hub, published)
    path = pull(REPO) / name
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))
    hub.requests.clear()
    message = refusal(lambda: mszoo.load(REPO))
    assert f"{path} is not what it should be: its checksum is not " in message
    assert message.endswith("which is the Hub's record; `mszoo pull` fetches the right bytes")
    assert not hub.requests
    pull(REPO)
    assert len(asked(hub, "HEAD")) == 1
    assert same(mszoo.load(REPO), build())


def test_checksums_are_compared_once_per_download(
    hub: HubServer, published: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    host(hub, published)
    pull(REPO)

    def never(*_: object) -> str:
        raise AssertionError("read again")

    monkeypatch.setattr("mszoo.hub.integrity._digest", never)
    mszoo.load(REPO)
    pull(REPO)


def test_a_name_that_is_none(hub: HubServer) -> None:
    for text in ("hf-hub:model", "hf-hub:../x", "hf-hub:a/b/c", "hf-hub:org/model@../x", "org/model@a..b"):
        with pytest.raises(CheckpointError, match=r"no repository|no revision"):
            mszoo.load(text)
    assert not hub.requests
