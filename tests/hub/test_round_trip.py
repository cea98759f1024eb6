"""Published, forgotten here, and back again: the same model, for mszoo and for everybody else."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi, HfFileSystem

import mszoo
from mszoo.errors import CheckpointError
from mszoo.hub import find, packaged_models, pull
from mszoo.hub.pushing import push
from mszoo.hub.release import release
from tests.hub.helpers import REPO, answer, blobs, build, files_of, host, published_files, python, refusal, same, save
from tests.hub.server import Fault, HubServer

WEIGHTS = "model.safetensors"


@pytest.mark.parametrize("text", ["org/model@v1.0", "hf-hub:org/model@v1.0"])
def test_push_wipe_the_cache_and_load_by_tag(hub: HubServer, saved: Path, cache: Path, text: str) -> None:
    before = mszoo.load(saved)
    expected = answer(before)
    push(saved, REPO, tag="v1.0")
    shutil.rmtree(saved)
    assert not cache.exists()
    after = mszoo.load(text)
    assert same(after, before)
    assert torch.equal(answer(after), expected)
    assert not after.training
    assert answer(mszoo.load(REPO, revision="v1.0")).equal(expected)


def test_everybody_else_sees_the_same_repository(
    hub: HubServer, saved: Path, tmp_path: Path, cache: Path, clock: list[float]
) -> None:
    commit = push(saved, REPO, tag="v1.0").commit
    files = published_files(hub)

    # The command, into a folder, and into the cache, where mszoo finds it.
    hf = ("-m", "huggingface_hub.cli.hf", "download", REPO, "--revision", "v1.0")
    done = python(*hf, "--local-dir", tmp_path / "got")
    assert done.code == 0, done.err
    assert {name: (tmp_path / "got" / name).read_bytes() for name in files} == files
    assert same(mszoo.load(tmp_path / "got"), build())
    assert not blobs(cache)

    system = HfFileSystem(endpoint=hub.url, token="hf_write", skip_instance_cache=True)
    found = {str(name).removeprefix(f"{REPO}@v1.0/") for name in system.find(f"{REPO}@v1.0")}
    assert found == {*files, ".gitattributes"}
    assert {name: system.read_bytes(f"{REPO}@v1.0/{name}") for name in files} == files

    api = HfApi(endpoint=hub.url, token="hf_write")
    folder = api.snapshot_download(REPO, revision="v1.0")
    assert api.verify_repo_checksums(REPO, revision=commit).mismatches == []
    hub.requests.clear()
    assert find(REPO, "v1.0") == Path(folder)
    assert same(mszoo.load(REPO, revision="v1.0"), build())
    assert hub.requests == []


# ---- from memory ---------------------------------------------------------------------------------------------


def test_a_loaded_model_keeps_its_measurements(hub: HubServer, saved: Path) -> None:
    assert mszoo.load(saved).push_to_hub(REPO, tag="v1.0") == f"{hub.url}/{REPO}"
    assert published_files(hub)["evaluation.json"] == (saved / "evaluation.json").read_bytes()
    assert published_files(hub)["recipe.yaml"] == (saved / "recipe.yaml").read_bytes()
    assert hub.repos[REPO].tags == {"v1.0": hub.repos[REPO].branches["main"]}


def test_a_model_that_was_changed_loses_them(hub: HubServer, saved: Path) -> None:
    model = mszoo.load(saved)
    next(model.parameters()).data.mul_(2)
    assert refusal(lambda: model.push_to_hub(REPO)) == (
        "this model has no measurements, and its card could say nothing of its worth; save it with "
        "save_pretrained(FOLDER), measure it with `mszoo evaluate FOLDER --data IMAGES` and push that, or publish it "
        "all the same with unmeasured=True"
    )
    assert not hub.requests
    model.push_to_hub(REPO, unmeasured=True)
    assert set(published_files(hub)) == {"config.json", WEIGHTS, "recipe.yaml", "README.md"}
    assert same(mszoo.load(REPO), model)


def test_a_model_that_was_built_here(hub: HubServer) -> None:
    model = build(seed=3)
    model.push_to_hub(REPO, private=True, unmeasured=True)
    assert hub.repos[REPO].private
    assert same(mszoo.load(REPO), model)
    assert "evaluation.json" not in files_of(find(REPO))


# ---- short names ---------------------------------------------------------------------------------------------


@pytest.fixture
def pin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Pin the short name `small`."""

    def to(commit: str, sha256: dict[str, str]) -> None:
        value = {"small": {"repo_id": REPO, "commit": commit, "sha256": sha256}}
        (tmp_path / "pins.json").write_text(json.dumps(value))
        monkeypatch.setattr("mszoo.hub.names.PINS", tmp_path / "pins.json")

    return to


def checksums(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def test_a_short_name_is_one_commit(
    hub: HubServer, published: dict[str, bytes], pin: Callable[..., None], tmp_path: Path
) -> None:
    commit = host(hub, published)
    hub.commit(REPO, files_of(save(build(seed=1), tmp_path / "newer")))
    pin(commit, checksums(published))
    assert same(mszoo.load("small"), build())
    assert find("small").name == pull("small").name == commit
    hub.requests.clear()
    assert same(mszoo.load("small"), build())
    assert hub.requests == []
    with pytest.raises(CheckpointError, match="did you mean 'small'"):
        mszoo.load("smal")


def test_a_pinned_checksum_is_believed_before_the_hubs(
    hub: HubServer, published: dict[str, bytes], pin: Callable[..., None]
) -> None:
    """A Hub that has other bytes, and says that these are right."""
    commit = host(hub, published)
    pin(commit, checksums(published) | {WEIGHTS: "0" * 64})
    message = refusal(lambda: mszoo.load("small"))
    assert "model.safetensors arrived twice with bytes whose checksum is not mszoo's pin; it was removed" in message
    pin(commit, checksums(published))
    folder = pull("small")
    pin(commit, checksums(published) | {"config.json": "0" * 64})
    message = refusal(lambda: mszoo.load("small"))
    assert f"{folder / 'config.json'} is not what it should be: its checksum is not 000000000000..." in message
    assert "which is mszoo's pin" in message


def test_the_owners_command(
    hub: HubServer,
    saved: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = save(build(seed=1), tmp_path / "other")
    (tmp_path / "pins.json").write_text("{}")
    (tmp_path / "cards").mkdir()
    for module in ("release", "pushing"):
        monkeypatch.setattr(f"mszoo.hub.{module}.packaged_models", lambda: {"one": saved, "two": other})
    for module in ("release", "names"):
        monkeypatch.setattr(f"mszoo.hub.{module}.PINS", tmp_path / "pins.json")
    monkeypatch.setattr("mszoo.hub.release.shipped_folder", lambda _: tmp_path / "cards")
    hub.faults.append(Fault("POST", "/api/models/org/two/commit/", status=403, message="Forbidden"))
    assert "org/two: your token may not do this" in refusal(lambda: release("org", "v1.0"))
    assert list(json.loads((tmp_path / "pins.json").read_text())) == ["one"]  # what is done is kept

    found = release("org", "v1.0")
    commits = {name: hub.repos[f"org/{name}"].branches["main"] for name in ("one", "two")}
    assert {name: pin.commit for name, pin in found.items()} == commits
    assert [len(hub.repos[f"org/{name}"].commits) for name in commits] == [2, 2]  # the Hub's own, and ours
    for name, commit in commits.items():
        assert hub.repos[f"org/{name}"].tags == {"v1.0": commit}
        files = published_files(hub, f"org/{name}")
        assert found[name].sha256 == checksums(files)
        assert files["README.md"].decode() == (tmp_path / "cards" / f"{name}.md").read_text()
        assert f"{hub.url}/org/{name} {commit}" in capsys.readouterr().out or name == "two"
    assert "one" not in packaged_models()
    assert same(mszoo.load("one"), build())  # as somebody who has the pins, not the folders
    assert same(mszoo.load("two"), build(seed=1))
