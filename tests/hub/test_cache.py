"""The cache comes first: without a network, beside other processes, on a full or a read-only disk."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants

import mszoo
from mszoo.hub import pull
from tests.hub.helpers import REPO, asked, blobs, build, files_of, host, namespaces, python, refusal, same, save
from tests.hub.server import Fault, HubServer

WEIGHTS = "model.safetensors"


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every attempt to open a connection fails, and is counted."""
    attempts: list[object] = []

    def refuse(*args: object, **_: object) -> None:
        attempts.append(args)
        raise OSError("there is no network")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    return attempts


# ---- no network ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offline", [False, True], ids=["unset", "HF_HUB_OFFLINE=1"])
@pytest.mark.parametrize("revision", [None, "main", "v1.0", "commit"])
def test_a_warm_cache_needs_no_network(
    hub: HubServer,
    published: dict[str, bytes],
    clock: list[float],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    offline: bool,
    revision: str | None,
) -> None:
    commit = host(hub, published)
    hub.repos[REPO].tags["v1.0"] = commit
    revision = commit if revision == "commit" else revision
    pull(REPO, revision)
    hub.requests.clear()
    attempts = request.getfixturevalue("no_sockets")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    assert same(mszoo.load(REPO, revision=revision), build())
    assert (hub.requests, attempts, clock) == ([], [], [])


def test_a_cold_cache_offline(hub: HubServer, no_sockets: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    message = refusal(lambda: mszoo.load("hf-hub:org/model@v1.0"))
    assert message == (
        f"org/model@v1.0 is not in the cache of this machine ({constants.HF_HUB_CACHE}), and HF_HUB_OFFLINE is set; "
        f"unset it, or pull where there is a network and copy the cache"
    )
    assert "publishing needs the Hub, and HF_HUB_OFFLINE is set; unset it" in refusal(
        lambda: build().push_to_hub(REPO, unmeasured=True)
    )
    assert not no_sockets


def test_a_cold_cache_without_a_network(hub: HubServer, no_sockets: list[object], clock: list[float]) -> None:
    message = refusal(lambda: mszoo.load("hf-hub:org/model"))
    assert message == f"org/model: {hub.url} cannot be reached (ConnectError); check the network, and try again"
    assert clock == [1, 2]


def test_a_server_that_is_down(
    hub: HubServer, published: dict[str, bytes], point: Callable[[str], None], clock: list[float]
) -> None:
    host(hub, published)
    pull(REPO)
    with socket.socket() as free:  # bound, but nobody listens
        free.bind(("127.0.0.1", 0))
        point(f"http://127.0.0.1:{free.getsockname()[1]}")
        assert same(mszoo.load(REPO), build())
        assert clock == []
        for call in (lambda: pull(REPO), lambda: mszoo.load("org/other")):
            assert "cannot be reached (ConnectError); check the network, and try again" in refusal(call)


def test_a_server_that_goes_down_between_two_files(hub: HubServer, published: dict[str, bytes]) -> None:
    host(hub, published)
    hub.faults.append(Fault("HEAD", WEIGHTS, status=503, times=-1))
    assert "the Hub has trouble of its own (HTTP 503)" in refusal(lambda: pull(REPO))
    assert "trouble" in refusal(lambda: mszoo.load(REPO))  # a model that is half there is none
    hub.faults.clear()
    hub.requests.clear()
    assert same(mszoo.load(REPO), build())
    assert asked(hub, "GET", "/cdn/")
    assert not asked(hub, "GET", "config.json")  # what was there already is not fetched again


# ---- revisions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["branch", "tag"])
def test_what_is_loaded_moves_only_with_a_pull(
    hub: HubServer, published: dict[str, bytes], tmp_path: Path, kind: str
) -> None:
    first = host(hub, published)
    refs = hub.repos[REPO].branches if kind == "branch" else hub.repos[REPO].tags
    refs["v1.0"] = first
    assert same(mszoo.load(REPO, revision="v1.0"), build())
    refs["v1.0"] = second = hub.commit(REPO, files_of(save(newer := build(seed=1), tmp_path / "newer")))
    assert same(mszoo.load(REPO, revision="v1.0"), build())
    assert pull(REPO, "v1.0").name == second
    assert same(mszoo.load(REPO, revision="v1.0"), newer)
    hub.requests.clear()
    assert same(mszoo.load(REPO, revision=first), build())  # a commit is for ever, and is still there
    assert pull(REPO, first).name == first
    assert not asked(hub, "HEAD")


def test_an_interrupted_pull_leaves_the_older_one_serving(
    hub: HubServer, published: dict[str, bytes], tmp_path: Path, cache: Path
) -> None:
    first = host(hub, published)
    pull(REPO)
    second = hub.commit(REPO, files_of(save(newer := build(seed=1, width=5), tmp_path / "newer")))
    hub.faults.append(Fault(path="/cdn/", cut=100, times=-1))
    message = refusal(lambda: pull(REPO))
    assert "cannot be reached (RemoteProtocolError); check the network, and try again" in message
    assert (cache / "models--org--model" / "snapshots" / second / "config.json").exists()
    assert same(mszoo.load(REPO), build())
    assert (cache / "models--org--model" / "refs" / "main").read_text() == first
    hub.faults.clear()
    pull(REPO)
    assert same(mszoo.load(REPO), newer)


def test_a_cache_without_links(
    hub: HubServer, published: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on systems that have none: files are in the snapshots themselves, whose names are no checksums."""
    monkeypatch.setattr("huggingface_hub.file_download.are_symlinks_supported", lambda *_: False)
    first = host(hub, published)
    pull(REPO)
    newer = files_of(save(build(seed=1), tmp_path / "newer"))
    hub.commit(REPO, newer)
    weights = pull(REPO) / WEIGHTS
    assert not weights.is_symlink()
    hub.requests.clear()
    assert same(mszoo.load(REPO), build(seed=1))
    assert same(mszoo.load(REPO, revision=first), build())
    assert hub.requests == []
    weights.write_bytes(published[WEIGHTS])  # right bytes, of another commit
    assert f"{weights} is not what it should be" in refusal(lambda: mszoo.load(REPO))
    pull(REPO)
    assert weights.read_bytes() == newer[WEIGHTS]


# ---- other processes, other disks ----------------------------------------------------------------------------

# Two processes of one start, for that takes longest.
TWICE = """
import os
import mszoo.hub.pulling

children = [os.fork(), 0]
if children[0]:
    children[1] = os.fork()
if 0 in children:
    code = 1
    try:
        os.write(1, f"{mszoo.hub.pull('org/model')}\\n".encode())  # at once: lines of two processes must not mix
        code = 0
    finally:
        os._exit(code)
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
"""


def test_two_processes_pull_at_once(hub: HubServer, published: dict[str, bytes], cache: Path) -> None:
    host(hub, published)
    hub.faults.append(Fault(path="/cdn/", delay=0.5))  # the first holds the file while the second comes
    done = python("-c", TWICE)
    assert done.code == 0, done.err
    (snapshot,) = (cache / "models--org--model" / "snapshots").iterdir()
    assert done.out.splitlines() == [str(snapshot)] * 2
    assert len(asked(hub, "GET", "/api/models")) == 2
    assert files_of(snapshot) == {n: published[n] for n in published if "/" not in n}
    assert len(blobs(cache)) == len(files_of(snapshot))
    assert same(mszoo.load(REPO), build())


# Pull on a small disk, then on a larger one. Both in one process, for its start takes longest.
FULL = """
import os, resource, subprocess, sys
import mszoo.hub
from mszoo.errors import HubError

def space(size):
    if sys.argv[1] == "disk":
        folder = os.environ["HF_HUB_CACHE"]
        again = "remount," if os.path.ismount(folder) else ""
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"{again}size={size}", "none", folder], check=True)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

space(2**20)
try:
    mszoo.hub.pull("org/model")
except HubError as error:
    print(error)
space(2**24)
print(sorted(os.listdir(mszoo.hub.pull("org/model"))))
"""


@pytest.mark.parametrize("kind", ["disk", "limit"])
def test_a_full_disk(hub: HubServer, cache: Path, tmp_path: Path, kind: str) -> None:
    """A file system of 1 MiB; or, which needs no rights, a process that may write no file above 1 MiB."""
    if kind == "disk" and not namespaces():
        pytest.skip("this user may not mount a small disk")
    files = files_of(save(build(width=128, depth=6, receptive_field=13), tmp_path / "larger"))
    assert len(files[WEIGHTS]) > 2**21
    host(hub, files)
    cache.mkdir(parents=True)
    before = ("unshare", "-rm") if kind == "disk" else ()
    done = python("-c", FULL, kind, before=before)
    assert done.code == 0, done.err
    message, listing = done.out.splitlines()
    way_out = {
        "disk": "the disk is full; free some space (`hf cache prune`, `hf cache rm`), or set HF_HOME to another disk",
        "limit": "the file is larger than this system allows; raise the limit (ulimit -f)",
    }
    assert message.startswith("org/model: ")
    assert way_out[kind] in message
    assert WEIGHTS in listing
    assert len(asked(hub, "GET", "/cdn/")) == 2  # nobody insists on a full disk


READ_ONLY = """
import mszoo.hub
from mszoo.errors import HubError

print(len(mszoo.load("org/model").state_dict()))
print(mszoo.hub.pull("org/model").name)
for call in (lambda: mszoo.load("org/other"), lambda: mszoo.hub.pull("org/model", "new")):
    try:
        call()
    except HubError as error:
        print(error)
"""


def test_a_read_only_cache(hub: HubServer, published: dict[str, bytes], cache: Path, tmp_path: Path) -> None:
    """A warm one serves, and a cold one says what to do."""
    commit = host(hub, published)
    host(hub, published, "org/other")
    pull(REPO)
    (cache / "models--org--model" / ".mszoo-verified.json").unlink()  # others pulled it: nothing is noted here
    hub.repos[REPO].branches["new"] = hub.commit(REPO, files_of(save(build(seed=1), tmp_path / "newer")))
    hub.repos[REPO].branches["main"] = commit
    if namespaces():
        mounts = 'mount --bind "$HF_HUB_CACHE" "$HF_HUB_CACHE" && mount -o remount,bind,ro "$HF_HUB_CACHE"'
        done = python("-c", READ_ONLY, before=("unshare", "-rm", "sh", "-c", mounts + ' && exec "$@"', "sh"))
    elif os.getuid():
        folders = [cache, *(path for path in cache.rglob("*") if path.is_dir())]
        for folder in folders:
            folder.chmod(0o555)
        done = python("-c", READ_ONLY)
        for folder in folders:
            folder.chmod(0o755)
    else:
        pytest.skip("root writes everywhere, and may not mount a read-only disk here")
    assert done.code == 0, done.err
    count, pulled, *messages = done.out.splitlines()
    assert (int(count), pulled) == (len(build().state_dict()), commit)
    assert len(messages) == 2
    for name, message in zip(("org/other", REPO), messages, strict=True):
        assert f"{name}: {cache}" in message
        assert "set HF_HOME (or HF_HUB_CACHE) to a folder that you may write to" in message


def test_a_cache_that_was_copied_to_another_machine(
    hub: HubServer, published: dict[str, bytes], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host(hub, published)
    pull(REPO)
    shutil.copytree(cache, tmp_path / "copy", symlinks=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "copy"))
    hub.requests.clear()
    assert same(mszoo.load(REPO), build())
    assert hub.requests == []
