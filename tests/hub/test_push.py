"""Publishing: what travels, who may, and one commit however badly the Hub answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from mszoo.errors import CheckpointError
from mszoo.hub.pushing import Pushed, push
from tests.hub.helpers import REPO, asked, build, host, published_files, refusal, save
from tests.hub.server import Fault, HubServer

WEIGHTS = "model.safetensors"
TRAVELS = {
    *("config.json", WEIGHTS, "recipe.yaml", "README.md", "evaluation.json"),
    *(".eval_results/set12.yaml", ".eval_results/bsd68.yaml"),
}


def commits(hub: HubServer) -> list[str]:
    """Titles of all commits besides the Hub's own first one."""
    return [commit.title for commit in hub.repos[REPO].commits[1:]]


# ---- what travels --------------------------------------------------------------------------------------------


def test_one_commit_with_all_that_belongs_to_a_model(hub: HubServer, saved: Path) -> None:
    (saved / "state").mkdir()
    (saved / "state" / "optimizer.safetensors").write_bytes(b"training state")
    for name in ("metrics.jsonl", "optimizer.pt", ".secret", "notes.txt", "README.md"):
        (saved / name).write_bytes(b"stays here")
    (saved / "sample.png").write_bytes(b"a picture")
    pushed = push(saved, REPO)
    files = published_files(hub)
    assert set(files) == TRAVELS | {"sample.png"}
    assert set(pushed.changed) == set(files)
    assert files["sample.png"] == b"a picture"
    assert all(files[name] == (saved / name).read_bytes() for name in ("config.json", WEIGHTS, "recipe.yaml"))
    assert b"](sample.png)\n" in files["README.md"]
    assert len(commits(hub)) == 1
    assert pushed == Pushed(REPO, hub.repos[REPO].branches["main"], f"{hub.url}/{REPO}", pushed.changed)
    assert not hub.repos[REPO].private


def test_nothing_is_published_unmeasured_unless_told(hub: HubServer, tmp_path: Path) -> None:
    folder = save(build(), tmp_path / "unmeasured", measured=False)
    message = refusal(lambda: push(folder, REPO))
    assert (
        f"{folder} has no measurements, and its card could say nothing of its worth; measure it with `mszoo" in message
    )
    assert hub.requests == []
    push(folder, REPO, unmeasured=True)
    assert set(published_files(hub)) == {"config.json", WEIGHTS, "recipe.yaml", "README.md"}


@pytest.mark.parametrize("name", ["config.json", WEIGHTS, "recipe.yaml"])
def test_half_a_checkpoint_is_not_published(hub: HubServer, saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        push(saved, REPO)
    assert hub.requests == []


def test_pushing_again_makes_no_commit(hub: HubServer, saved: Path) -> None:
    first = push(saved, REPO, tag="v1.0")
    again = push(saved, REPO, tag="v1.0")
    assert (again.commit, again.changed) == (first.commit, [])
    assert len(commits(hub)) == 1


def test_only_what_changed_is_sent(hub: HubServer, saved: Path) -> None:
    push(saved, REPO)
    hub.requests.clear()
    (saved / "recipe.yaml").write_text((saved / "recipe.yaml").read_text() + "\n")
    assert push(saved, REPO).changed == ["recipe.yaml"]
    assert asked(hub, "PUT") == []
    assert len(commits(hub)) == 2


def test_results_that_are_no_more_vanish(hub: HubServer, saved: Path) -> None:
    host(hub, {".eval_results/old.yaml": b"- {}", "notes.txt": b"the owner's", "sub/.eval_results/x.yaml": b"x"})
    push(saved, REPO)
    assert set(published_files(hub)) == TRAVELS | {"notes.txt", "sub/.eval_results/x.yaml"}
    assert len(commits(hub)) == 2  # that one, and ours


def test_a_branch_and_a_tag(hub: HubServer, saved: Path) -> None:
    pushed = push(saved, REPO, revision="next", tag="v2.0-rc1")
    repo = hub.repos[REPO]
    assert repo.tags == {"v2.0-rc1": pushed.commit}
    assert repo.branches["next"] == pushed.commit
    assert published_files(hub) == {}
    assert set(published_files(hub, branch="next")) == TRAVELS


def test_a_tag_that_is_there_already(hub: HubServer, saved: Path, tmp_path: Path) -> None:
    first = push(saved, REPO, tag="v1.0")
    other = save(build(seed=1), tmp_path / "other")
    message = refusal(lambda: push(other, REPO, tag="v1.0"))
    second = hub.repos[REPO].branches["main"]
    assert message == (
        f"org/model: the files are published as commit {second[:10]}, but tag 'v1.0' is there already and means "
        f"{first.commit[:10]}; choose another tag"
    )
    assert hub.repos[REPO].tags == {"v1.0": first.commit}


def test_private(hub: HubServer, saved: Path) -> None:
    push(saved, REPO, private=True)
    assert hub.repos[REPO].private
    push(saved, REPO, private=True)
    push(saved, REPO)  # what is there stays as it is
    assert hub.repos[REPO].private


def test_a_public_repository_does_not_become_private(hub: HubServer, saved: Path) -> None:
    hub.create(REPO)
    message = refusal(lambda: push(saved, REPO, private=True))
    assert "org/model is there already, and public: --private makes new repositories private" in message
    assert published_files(hub) == {}


@pytest.mark.parametrize(
    ("repo_id", "options"),
    [
        ("model", {}),
        ("org/model@v1", {}),
        ("a/b/c", {}),
        ("../model", {}),
        (REPO, {"tag": "../v1"}),
        (REPO, {"tag": "v 1"}),
        (REPO, {"revision": "a..b"}),
    ],
)
def test_mistyped_names_are_told_before_anything_is_sent(
    hub: HubServer, saved: Path, repo_id: str, options: dict[str, str]
) -> None:
    message = refusal(lambda: push(saved, repo_id, **options))  # type: ignore[arg-type]
    assert "names no repository; write owner/name" in message or "is no revision: it is a branch, a tag" in message
    assert hub.requests == []


# ---- who may -------------------------------------------------------------------------------------------------


def test_401_a_token_that_is_not_accepted(hub: HubServer, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_unknown")
    message = refusal(lambda: push(saved, REPO))
    assert message == "org/model: the Hub does not accept your token; log in again with `hf auth login`"


def test_401_of_somebody_who_is_not_logged_in(hub: HubServer, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    message = refusal(lambda: push(saved, REPO))
    assert message == "org/model: the Hub wants to know who you are; log in with `hf auth login`"


@pytest.mark.parametrize("there", [False, True])
def test_403_a_token_that_may_not_write(
    hub: HubServer, saved: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    if there:
        hub.create(REPO)
    monkeypatch.setenv("HF_TOKEN", "hf_read")
    message = refusal(lambda: push(saved, REPO))
    assert message == (
        f"org/model: your token may not do this; make one for org at {hub.url}/settings/tokens, with the role 'write' "
        f"to push, or 'read' to pull, then `hf auth login`"
    )


def test_404_a_repository_that_vanishes(hub: HubServer, saved: Path, clock: list[float]) -> None:
    hub.faults.append(Fault("POST", "/preupload/", status=404, error_code="RepoNotFound"))
    assert f"{hub.url} has no model 'org/model', or it is private" in refusal(lambda: push(saved, REPO))
    assert clock == []


# ---- one commit, whatever the answers ------------------------------------------------------------------------

STEPS = {
    "create": ("POST", "/api/repos/create"),
    "branch": ("POST", "/branch/"),
    "state": ("GET", "/api/models"),
    "commit": ("POST", "/commit/"),
    "tag": ("POST", "/tag/"),
}
CLIENTS = {
    "kind of upload": ("POST", "/preupload/"),
    "batch": ("POST", "/info/lfs/objects/batch"),
    "upload": ("PUT", "/upload/"),
    "verify": ("POST", "/upload/verify"),
}


def push_all(hub: HubServer, saved: Path) -> None:
    """Push with every step, and look at what has become of it."""
    pushed = push(saved, REPO, revision="next", tag="v1.0")
    assert len(commits(hub)) == 1
    assert set(published_files(hub, branch="next")) == TRAVELS
    assert hub.repos[REPO].tags == {"v1.0": pushed.commit}
    assert hub.repos[REPO].branches["next"] == pushed.commit
    assert all(fault.times == 0 for fault in hub.faults)


@pytest.mark.parametrize("step", STEPS)
def test_500_then_success(hub: HubServer, saved: Path, clock: list[float], step: str) -> None:
    hub.faults.append(Fault(*STEPS[step], status=500, times=2))
    push_all(hub, saved)
    assert clock == [1, 2]


@pytest.mark.parametrize("step", CLIENTS)
def test_500_then_success_where_the_client_insists(hub: HubServer, saved: Path, clock: list[float], step: str) -> None:
    hub.faults.append(Fault(*CLIENTS[step], status=500, times=2))
    push_all(hub, saved)
    assert clock == [1, 2]


@pytest.mark.parametrize("step", STEPS)
def test_429_waits_as_long_as_the_hub_asks(hub: HubServer, saved: Path, clock: list[float], step: str) -> None:
    hub.faults.append(Fault(*STEPS[step], status=429, headers={"Retry-After": "7"}))
    push_all(hub, saved)
    assert clock == [7]


@pytest.mark.parametrize("step", ["create", "branch", "commit", "tag"])
@pytest.mark.parametrize("way", ["status", "cut"])
def test_a_lost_answer(hub: HubServer, saved: Path, clock: list[float], step: str, way: str) -> None:
    """The Hub did it, and nobody heard: it is done once all the same."""
    lost = {"status": 500, "after": True} if way == "status" else {"cut": 0}
    if step == "branch" and way == "cut":
        lost["cut"] = 1  # its answer is short, but has a body
    hub.faults.append(Fault(*STEPS[step], **lost))  # type: ignore[arg-type]
    push_all(hub, saved)
    assert clock == [1]
    assert len(asked(hub, "POST", "/commit/")) == 1


@pytest.mark.parametrize("step", STEPS)
def test_500_for_ever(hub: HubServer, saved: Path, clock: list[float], step: str) -> None:
    hub.faults.append(Fault(*STEPS[step], status=503, times=-1))
    message = refusal(lambda: push(saved, REPO, revision="next", tag="v1.0"))
    assert "the Hub has trouble of its own (HTTP 503); nothing is wrong here, come back later" in message
    assert clock == [1, 2, 4, 8]
    hub.faults.clear()
    push_all(hub, saved)


def test_an_upload_that_fails_for_ever(hub: HubServer, saved: Path) -> None:
    hub.faults.append(Fault("PUT", "/upload/", status=500, times=-1))
    message = refusal(lambda: push(saved, REPO))
    assert "org/model: the Hub has trouble of its own (HTTP 500)" in message
    assert commits(hub) == []


def test_412_somebody_else_commits_meanwhile(hub: HubServer, saved: Path) -> None:
    """The server's own refusal: the parent that was read is no more when the commit arrives."""
    hub.create(REPO)
    hub.faults.append(Fault("POST", "/preupload/", delay=0.5))

    def interfere() -> None:
        while not asked(hub, "POST", "/preupload/"):
            time.sleep(0.01)
        hub.commit(REPO, {"notes.txt": b"theirs"}, "theirs")

    other = threading.Thread(target=interfere)
    other.start()
    message = refusal(lambda: push(saved, REPO))
    other.join()
    assert message == "org/model has changed while it was written to; nothing was overwritten, do it again"
    assert commits(hub) == ["theirs"]
    push(saved, REPO)
    assert set(published_files(hub)) == TRAVELS | {"notes.txt"}


def test_somebody_else_commits_between_two_attempts(
    hub: HubServer, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.create(REPO)
    hub.faults.append(Fault("POST", "/commit/", status=500))

    def interfere(_: float) -> None:
        hub.commit(REPO, {"notes.txt": b"theirs"}, "theirs")

    monkeypatch.setattr("mszoo.hub.client.time", SimpleNamespace(sleep=interfere))
    message = refusal(lambda: push(saved, REPO))
    assert "somebody else committed to main; nothing was overwritten, look at it and push again" in message
    assert commits(hub) == ["theirs"]


def test_a_server_that_is_down(hub: HubServer, saved: Path, point: Callable[[str], None], clock: list[float]) -> None:
    point("http://127.0.0.1:1")
    message = refusal(lambda: push(saved, REPO))
    assert message == "org/model: http://127.0.0.1:1 cannot be reached (ConnectError); check the network, and try again"
    assert clock == [1, 2]
