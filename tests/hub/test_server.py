"""The Hub on the loopback, driven by the unmodified client: what it serves, whom it refuses, how it misbehaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub.server import Fault, HubServer

CARD = b"---\nlibrary_name: mszoo\nlicense: mit\ntags:\n- denoising\n---\n# A model\n"


@pytest.fixture(scope="module")
def running() -> Iterator[HubServer]:
    server = HubServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The client does not wait between attempts; the seconds it would have waited."""
    waited: list[float] = []
    clock = SimpleNamespace(**{name: getattr(time, name) for name in ("time", "monotonic", "perf_counter")})
    clock.sleep = waited.append
    monkeypatch.setattr("huggingface_hub.utils._http.time", clock)
    monkeypatch.setattr("huggingface_hub.file_download.time", clock)
    return waited


@pytest.fixture
def server(running: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, waits: list[float]) -> HubServer:
    running.reset()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    huggingface_hub.close_session()  # another test's connections, or its proxies
    return running


def client(server: HubServer, token: str | bool = "hf_write") -> HfApi:
    return HfApi(endpoint=server.url, token=token)


def status_of(error: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    return error.value.response.status_code


def to_storage(server: HubServer) -> list[dict[str, str]]:
    """The headers of the requests for large objects, which are at another origin."""
    return [h for (_, path), h in zip(server.requests, server.headers, strict=True) if path.startswith("/cdn/")]


def run(server: HubServer, tmp_path: Path, *command: str) -> str:
    """A process of its own, since the client reads these variables when it is imported."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))} | {
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": "hf_write",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    done = subprocess.run([sys.executable, *command], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_files_come_back_as_they_were_committed(server: HubServer, tmp_path: Path) -> None:
    api = client(server)
    folder = tmp_path / "folder"
    folder.mkdir()
    weights = os.urandom(2000)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "README.md").write_bytes(CARD)
    assert api.create_repo("org/model", private=True) == f"{server.url}/org/model"
    assert api.create_repo("org/model", exist_ok=True) == f"{server.url}/org/model"
    commit = api.upload_folder(repo_id="org/model", folder_path=folder)
    assert commit.oid == server.repos["org/model"].branches["main"]
    assert commit.commit_url == f"{server.url}/org/model/commit/{commit.oid}"

    snapshot = Path(api.snapshot_download("org/model", revision=commit.oid))
    assert (snapshot / "model.safetensors").read_bytes() == weights
    assert (snapshot / "README.md").read_bytes() == CARD
    info = api.model_info("org/model", files_metadata=True)
    assert info.sha == commit.oid
    assert info.private
    large = next(s for s in info.siblings or [] if s.rfilename == "model.safetensors")
    assert large.lfs is not None
    assert large.size == large.lfs.size == 2000
    assert api.verify_repo_checksums("org/model", revision=commit.oid).mismatches == []
    assert all("authorization" not in headers for headers in to_storage(server))

    uploads = [r for r in server.requests if r[0] == "PUT"]
    again = api.create_commit(
        "org/model",
        [CommitOperationAdd("sub/copy.bin", weights), CommitOperationDelete("README.md")],
        commit_message="again",
    )
    assert [r for r in server.requests if r[0] == "PUT"] == uploads  # known bytes are not sent again
    assert sorted(api.list_repo_files("org/model")) == [".gitattributes", "model.safetensors", "sub/copy.bin"]
    api.delete_folder("sub", "org/model")
    assert sorted(api.list_repo_files("org/model")) == [".gitattributes", "model.safetensors"]
    assert api.list_repo_commits("org/model", revision=again.oid)[0].title == "again"
    api.delete_repo("org/model")
    assert not server.repos


def test_large_objects_can_be_sent_in_parts(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "part", 1000, raising=False)
    server.create("org/model")
    data = os.urandom(2500)
    client(server).upload_file(path_or_fileobj=data, path_in_repo="a.bin", repo_id="org/model")
    assert server.repos["org/model"].commits[-1].files["a.bin"] == data
    assert sum(method == "PUT" for method, _ in server.requests) == 3


def test_a_stale_parent_is_refused(server: HubServer) -> None:
    server.create("org/model")
    old = server.commit("org/model", {"a.txt": b"1"})
    server.commit("org/model", {"a.txt": b"2"})
    with pytest.raises(HfHubHTTPError) as error:
        client(server).create_commit(
            "org/model", [CommitOperationAdd("a.txt", b"3")], commit_message="late", parent_commit=old
        )
    assert status_of(error) == 412


def test_tags_and_branches(server: HubServer) -> None:
    api = client(server)
    server.create("org/model")
    first = server.commit("org/model", {"a.txt": b"1"})
    api.create_tag("org/model", tag="v1/rc 1")
    last = server.commit("org/model", {"a.txt": b"2"})
    api.create_branch("org/model", branch="side", revision=first[:8])
    with pytest.raises(HfHubHTTPError) as error:
        api.create_tag("org/model", tag="v1/rc 1")
    assert status_of(error) == 409
    api.create_tag("org/model", tag="v1/rc 1", exist_ok=True)
    refs = api.list_repo_refs("org/model")
    assert {b.name: b.target_commit for b in refs.branches} == {"main": last, "side": first}
    assert {t.name: t.target_commit for t in refs.tags} == {"v1/rc 1": first}
    assert Path(api.hf_hub_download("org/model", "a.txt", revision="v1/rc 1")).read_bytes() == b"1"
    api.delete_tag("org/model", tag="v1/rc 1")
    with pytest.raises(RevisionNotFoundError):
        api.model_info("org/model", revision="v1/rc 1")


@pytest.mark.parametrize(
    ("token", "status"), [("hf_write", None), ("hf_read", 403), ("hf_unknown", 401), (False, 401), ("hf_other", 403)]
)
def test_who_may_write(server: HubServer, token: str | bool, status: int | None) -> None:
    server.tokens["hf_other"] = type(server.tokens["hf_write"])("other", "write")
    server.create("org/old")
    api = client(server, token)
    writes: list[Any] = [
        lambda: api.create_repo("org/new"),
        lambda: api.create_commit("org/old", [CommitOperationAdd("a.txt", b"1")], commit_message="1"),
        lambda: api.create_tag("org/old", tag="v1"),
        lambda: api.delete_repo("org/old"),
    ]
    for write in writes:
        if status is None:
            write()
        else:
            with pytest.raises(HfHubHTTPError) as error:
                write()
            assert status_of(error) == status


def test_who_is_asking(server: HubServer) -> None:
    assert client(server).whoami()["name"] == "org"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        client(server, "hf_unknown").whoami()


def test_private_and_gated_repositories(server: HubServer, tmp_path: Path) -> None:
    server.create("org/private", private=True)
    server.create("org/gated", gated=True)
    for repo_id in ("org/private", "org/gated"):
        server.commit(repo_id, {"a.txt": b"1"})
        assert Path(client(server).hf_hub_download(repo_id, "a.txt")).read_bytes() == b"1"
    others: list[tuple[str | bool, int]] = [("hf_read", 404), (False, 401)]
    for token, status in others:
        for repo_id in ("org/private", "org/none"):
            with pytest.raises(RepositoryNotFoundError) as missing:
                client(server, token).model_info(repo_id)
            assert status_of(missing) == status
        assert client(server, token).model_info("org/gated").gated == "manual"
        with pytest.raises(GatedRepoError) as gated:
            client(server, token).hf_hub_download("org/gated", "a.txt", cache_dir=tmp_path / str(token))
        assert status_of(gated) == 403
        assert [m.id for m in client(server, token).list_models()] == ["org/gated"]


def test_what_is_not_there(server: HubServer) -> None:
    server.create("org/model")
    api = client(server)
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download("org/model", "a.txt", revision="v9")
    with pytest.raises(RemoteEntryNotFoundError):
        api.hf_hub_download("org/model", "a.txt")
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("model-without-owner")
    assert not api.file_exists("org/model", "a.txt")
    assert api.file_exists("org/model", ".gitattributes")
    assert api.get_paths_info("org/model", ["a.txt"]) == []
    with pytest.raises(ValueError, match="model-index"):
        api.upload_file(path_or_fileobj=b"---\nmodel-index: 1\n---\n", path_in_repo="README.md", repo_id="org/model")


def test_models_are_listed_in_pages_and_filtered(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "page", 3, raising=False)
    for n in range(8):
        server.create(f"org/model-{n}")
        server.commit(f"org/model-{n}", {"README.md": CARD if n else b"no header"})
    server.create("else/model")
    api = client(server)
    assert [m.id for m in api.list_models(filter="mszoo")] == [f"org/model-{n}" for n in range(1, 8)]
    assert len([r for r in server.requests if r[1].startswith("/api/models?")]) == 3
    assert len(list(api.list_models(filter=["mszoo", "license:mit", "denoising"], author="org"))) == 7
    assert [m.id for m in api.list_models(author="else")] == ["else/model"]
    assert [m.id for m in api.list_models(search="L-3")] == ["org/model-3"]
    assert len(list(api.list_models(limit=5))) == 5
    (found,) = api.list_models(search="model-4", full=True, cardData=True)
    assert found.card_data is not None
    assert found.card_data.license == "mit"
    assert found.library_name == "mszoo"
    assert [s.rfilename for s in found.siblings or []] == [".gitattributes", "README.md"]
    (found,) = api.list_models(search="model-4")
    assert [found.card_data, found.siblings, found.sha] == [None, None, None]


def test_a_cut_download_is_resumed(server: HubServer, waits: list[float]) -> None:
    data = os.urandom(1 << 16) * 400  # 25 MiB: the client resumes in steps of 10 MiB
    server.create("org/model")
    server.commit("org/model", {"model.safetensors": data})
    fault = Fault(path="model.safetensors", cut=15 << 20)
    server.faults.append(fault)
    path = client(server).hf_hub_download("org/model", "model.safetensors")
    assert Path(path).read_bytes() == data
    assert [headers.get("range") for headers in to_storage(server)] == [None, f"bytes={10 << 20}-"]
    assert waits == [1]
    assert fault.times == 0


@pytest.mark.parametrize("name", ["large.safetensors", "small.txt"])
def test_damaged_bytes(server: HubServer, name: str) -> None:
    data = bytes(range(256)) * 4
    server.create("org/model")
    server.commit("org/model", {name: data})
    api = client(server)
    server.faults.append(Fault(path=name, truncate=100))
    with pytest.raises(OSError, match="should be of size 1024 but has size 100") as error:
        api.hf_hub_download("org/model", name)
    assert not isinstance(error.value, HfHubHTTPError)
    server.faults.append(Fault(path=name, corrupt=True))
    read = Path(api.hf_hub_download("org/model", name)).read_bytes()  # the client does not notice
    assert read != data
    assert len(read) == len(data)
    assert Path(api.hf_hub_download("org/model", name, force_download=True)).read_bytes() == data


def test_a_lost_answer_and_other_refusals(server: HubServer, waits: list[float]) -> None:
    server.create("org/model")
    server.faults += [
        Fault("POST", "/commit/", status=500, after=True, message="lost"),
        Fault("GET", "a.txt", times=2, status=429, headers={"Retry-After": "2"}),
        Fault("HEAD", "b.txt", status=404, error_code="RepoNotFound"),
    ]
    with pytest.raises(HfHubHTTPError, match="lost") as error:
        client(server).upload_file(path_or_fileobj=b"1", path_in_repo="a.txt", repo_id="org/model")
    assert status_of(error) == 500
    assert server.repos["org/model"].commits[-1].files["a.txt"] == b"1"
    assert Path(client(server).hf_hub_download("org/model", "a.txt")).read_bytes() == b"1"
    assert waits == [3, 3]  # Retry-After, and one
    with pytest.raises(RepositoryNotFoundError):
        client(server).hf_hub_download("org/model", "b.txt")
    assert [fault.times for fault in server.faults] == [0, 0, 0]


def test_slow_answers_and_a_server_that_is_gone(server: HubServer) -> None:
    server.create("org/model")
    server.faults.append(Fault(path="/api/models/org/model", delay=0.5))
    with pytest.raises(Exception, match="timed out"):
        client(server).model_info("org/model", timeout=0.1)
    other = HubServer()
    other.create("org/model")
    with pytest.raises(Exception, match="refused"):
        client(other).model_info("org/model")
    for _ in range(2):
        other.start()
        assert client(other).model_info("org/model").id == "org/model"
        other.stop()
        with pytest.raises(Exception, match="refused"):
            client(other).model_info("org/model")


def test_the_file_system(server: HubServer, tmp_path: Path) -> None:
    server.create("org/model")
    server.commit("org/model", {"a.txt": b"one", "sub/b.bin": b"two", "sub/deep/c.txt": b"three"})
    code = """
import json
from huggingface_hub import HfFileSystem
fs = HfFileSystem()
with fs.open("org/model/new.txt", "w") as file:
    file.write("four")
print(json.dumps({
    "ls": sorted(fs.ls("org/model", detail=False)),
    "glob": sorted(fs.glob("org/model/**/*.txt")),
    "read": fs.read_bytes("org/model/sub/b.bin").decode(),
    "range": fs.cat_file("org/model/sub/b.bin", start=1, end=2).decode(),
    "title": fs.info("org/model/a.txt", expand_info=True)["last_commit"]["title"],
}))
"""
    found = json.loads(run(server, tmp_path, "-c", code))
    root = "org/model/"
    assert found["ls"] == [root + name for name in (".gitattributes", "a.txt", "new.txt", "sub")]
    assert found["glob"] == [root + name for name in ("a.txt", "new.txt", "sub/deep/c.txt")]
    assert (found["read"], found["range"], found["title"]) == ("two", "w", "commit")
    assert server.repos["org/model"].commits[-1].files["new.txt"] == b"four"


def test_the_command_line(server: HubServer, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_bytes(CARD)
    hf = ("-m", "huggingface_hub.cli.hf")
    run(server, tmp_path, *hf, "upload", "org/model", str(folder), ".")
    assert set(server.repos["org/model"].commits[-1].files) == {".gitattributes", "README.md", "model.safetensors"}
    run(server, tmp_path, *hf, "download", "org/model", "--local-dir", str(tmp_path / "got"))
    assert (tmp_path / "got" / "model.safetensors").read_bytes() == b"weights"
    assert "org/model" in run(server, tmp_path, *hf, "models", "ls", "--filter", "mszoo")
