"""The verbs push, pull, card and models, and what they never show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mszoo
from mszoo.hub import pull
from mszoo.registry import natural_order
from tests.hub.helpers import REPO, TOKENS, asked, build, files_of, host, published_files, python, save
from tests.hub.server import Fault, HubServer

Command = Callable[..., tuple[int, str, str]]


def test_push_and_pull(hub: HubServer, saved: Path, mszoo_command: Command, cache: Path) -> None:
    code, out, err = mszoo_command("push", saved, REPO, "--tag", "v1.0", "--private")
    commit = hub.repos[REPO].tags["v1.0"]
    assert (code, err) == (0, "")
    assert out.startswith("published config.json, model.safetensors, recipe.yaml, evaluation.json, README.md")
    assert f"commit {commit[:10]}, {hub.url}/{REPO}" in out
    assert hub.repos[REPO].private
    code, out, _ = mszoo_command("push", saved, REPO)
    assert (code, out) == (0, f"nothing to publish, it is all there: commit {commit[:10]}, {hub.url}/{REPO}\n")
    code, out, _ = mszoo_command("pull", f"{REPO}@v1.0")
    folder = cache / "models--org--model" / "snapshots" / commit
    assert (code, out) == (0, f"{REPO}@v1.0: commit {commit[:10]}, in {folder}\n")
    code, out, _ = mszoo_command("models", "org/*")
    assert code == 0
    assert all(text in out for text in ("org/model", "cached", "dB at 0.098 on set12", "4.123 bits/dim on set12"))
    code, out, _ = mszoo_command("info", REPO)
    assert code == 0
    assert "A small model, for tests." in out


def test_dry_run_shows_all_and_sends_nothing(hub: HubServer, saved: Path, mszoo_command: Command) -> None:
    code, out, _ = mszoo_command("push", saved, REPO, "--dry-run")
    assert code == 0
    assert hub.requests == []
    assert not hub.repos
    assert "nothing was sent; without --dry-run it becomes one commit of org/model" in out
    mszoo_command("push", saved, REPO)
    for name, data in published_files(hub).items():
        assert any(line.split() == [name, f"{len(data):,}"] for line in out.splitlines()), name
    assert "".join(published_files(hub)["README.md"].decode().split()) in "".join(out.split())


def test_refusals(
    hub: HubServer, saved: Path, tmp_path: Path, mszoo_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    unmeasured = save(build(), tmp_path / "unmeasured", measured=False)
    code, out, err = mszoo_command("push", unmeasured, REPO)
    assert (code, out) == (1, "")
    assert "or publish it all the same with --unmeasured" in err
    code, _, err = mszoo_command("push", saved, "model")
    assert (code, err) == (1, "error: 'model' names no repository; write owner/name\n")
    code, _, err = mszoo_command("push", saved, "model", "--dry-run")
    assert (code, err) == (1, "error: 'model' names no repository; write owner/name\n")
    code, _, err = mszoo_command("pull", "photographs-haar-rf13")
    assert (code, err) == (
        1,
        "error: 'photographs-haar-rf13' is a packaged model, here already; pull owner/name, or owner/name@revision\n",
    )
    code, _, err = mszoo_command("pull", "photograps")
    assert (code, err) == (1, "error: 'photograps' is no model of the Hub; pull owner/name, or owner/name@revision\n")
    code, _, err = mszoo_command("push", "photographs-haar-rf1", REPO)
    assert code == 1
    assert "did you mean 'photographs-haar-rf13'" in err
    assert hub.requests == []
    monkeypatch.setenv("HF_TOKEN", "hf_read")
    code, _, err = mszoo_command("push", saved, REPO)
    assert code == 1
    assert err.startswith("error: org/model: your token may not do this")


def test_a_card(hub: HubServer, saved: Path, mszoo_command: Command, tmp_path: Path) -> None:
    code, out, _ = mszoo_command("card", saved, "--repository", REPO, "--out", tmp_path / "card.md")
    assert (code, out) == (0, f"wrote {tmp_path / 'card.md'}\n")
    mszoo_command("push", saved, REPO)
    assert published_files(hub)["README.md"] == (tmp_path / "card.md").read_bytes()


# ---- all models there are ------------------------------------------------------------------------------------


def test_the_hubs_models_page_by_page(
    hub: HubServer, published: dict[str, bytes], mszoo_command: Command, clock: list[float]
) -> None:
    card = {"README.md": published["README.md"]}
    for n in range(60):
        host(hub, card, f"org/model-{n}")
    host(hub, {"README.md": b"---\nlibrary_name: diffusers\n---\n"}, "org/another-library")
    host(hub, {"README.md": b"---\nlibrary_name: mszoo\n---\n"}, "org/says-nothing")
    host(hub, {"README.md": b"---\nlibrary_name: mszoo\nmszoo: [1]\nmodel-index: [{}]\n---\n"}, "org/says-nonsense")
    host(hub, published, "org/cached")
    pull("org/cached")
    hub.requests.clear()
    hub.faults.append(Fault(path="^/api/models$", status=503))
    names = mszoo.list_models("org/*", hub=True)
    assert names == sorted(names, key=natural_order)
    assert {"org/says-nothing", "org/says-nonsense", "org/cached"} < set(names)
    assert set(names) - {"org/says-nothing", "org/says-nonsense", "org/cached"} == {f"org/model-{n}" for n in range(60)}
    assert len(asked(hub, "GET", "/api/models?")) == 3  # two pages, one of them twice
    assert clock == [1]
    assert mszoo.list_models("org/*") == ["org/cached"]
    assert set(mszoo.list_models()) < set(mszoo.list_models(hub=True))

    code, out, err = mszoo_command("models", "org/*", "--hub")
    assert (code, err) == (0, "")
    (line,) = [line for line in out.splitlines() if line.startswith("org/model-7 ")]
    assert line.split()[1] == "Hub"
    assert "30.73 PSNR (dB) at sigma 0.05 on set12" in line
    assert "4.12 bits per dimension on set12" in line
    assert sum(line.startswith("org/cached ") for line in out.splitlines()) == 1


def test_models_of_a_hub_that_cannot_be_reached(
    hub: HubServer, point: Callable[[str], None], mszoo_command: Command
) -> None:
    point("http://127.0.0.1:1")
    code, _, err = mszoo_command("models", "--hub")
    assert code == 1
    assert "error: the list of models: http://127.0.0.1:1 cannot be reached" in err
    assert mszoo_command("models")[0] == 0


# ---- tokens --------------------------------------------------------------------------------------------------

# Every verb, in one process that logs all there is, with tokens of the environment.
TALKATIVE = """
import contextlib, logging, os, sys, traceback
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
import huggingface_hub.utils.logging as client
client.set_verbosity_debug()
from mszoo.cli import main

for words in sys.argv[1:]:
    token, *sys.argv[1:] = words.split()
    os.environ["HF_TOKEN"] = token
    print("==", *sys.argv[1:], flush=True)
    try:
        main()
    except SystemExit as stop:
        print("exit", stop.code or 0, flush=True)
        traceback.print_exc()
"""


def test_tokens_are_never_shown(hub: HubServer, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host(hub, files_of(saved), "org/gated", gated=True)
    hub.faults += [
        Fault("POST", "/commit/", status=400, message="no"),
        Fault("POST", "/api/repos/create", status=500),
        Fault("GET", "/cdn/", cut=100),
    ]
    monkeypatch.setenv("HF_DEBUG", "1")
    lines = {
        f"hf_write push {saved} {REPO}": 1,
        f"hf_write push {saved} {REPO} --tag v1": 0,
        f"hf_write pull {REPO}@v1": 0,
        f"hf_read push {saved} org/other": 1,
        f"hf_unknown push {saved} {REPO}": 1,
        f"hf_unknown pull {REPO}": 1,
        "hf_read pull org/gated": 1,
        "hf_read pull org/none": 1,
        "hf_write models org/* --hub": 0,
    }
    done = python("-c", TALKATIVE, *lines)
    assert done.code == 0, done.err
    assert [int(line.split()[1]) for line in done.out.splitlines() if line.startswith("exit")] == list(lines.values())
    assert "Bearer hf_write" in {headers.get("authorization") for headers in hub.headers}
    assert "curl" in done.err  # the client tells each request
    assert "the Hub refuses (HTTP 400): no" in done.err
    assert "Traceback" in done.err  # and all causes are told
    for token in TOKENS:
        assert token not in done.out.replace(f"== {token}", "")
        assert token not in done.err
