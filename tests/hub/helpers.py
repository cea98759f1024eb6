"""What the tests of the Hub share besides fixtures."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor

from mszoo import MultiScaleModel
from mszoo.errors import HubError
from tests.factories import denoiser
from tests.hub.server import HubServer

REPO = "org/model"
TOKENS = ("hf_write", "hf_read", "hf_unknown")
RECIPE = {
    "name": "small",
    "description": "A small model, for tests.",
    "publication": {
        "license": "mit",
        "tags": ["denoising"],
        "data_terms": "Never trained.",
        "benchmarks": {"set12": "someone/set12"},
    },
}
EVALUATION = {
    "psnr": [
        {
            "data": data,
            "seed": 0,
            "rows": [
                {"sigma": sigma, "noisy": 20.1, "denoised": better - 10 * sigma, "images": 12}
                for sigma in (0.05, 25 / 255, 0.4)
            ],
        }
        for data, better in (("set12", 31.23456), ("bsd68", 29.87654))
    ],
    "nll": [{"data": "set12", "images": 12, "nll": 4.123456, "db_per_dim": -2.5}],
}


def build(seed: int = 0, width: int = 4, depth: int = 3, receptive_field: int = 5) -> MultiScaleModel:
    return denoiser(seed=seed, receptive_field=receptive_field, width=width, depth=depth, norm="none")


def save(model: MultiScaleModel, folder: Path, measured: bool = True) -> Path:
    recipe = {**RECIPE, "model": model.config()}
    model.save_pretrained(folder, beside={"recipe.yaml": yaml.safe_dump(recipe, sort_keys=False)})
    if measured:
        (folder / "evaluation.json").write_text(json.dumps(EVALUATION))
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    """A checkpoint's files, as a repository may hold them."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def answer(model: MultiScaleModel) -> Tensor:
    return model.denoise(torch.linspace(0, 1, 64).reshape(1, 1, 8, 8))


def same(one: MultiScaleModel, other: MultiScaleModel) -> bool:
    """Identical weights, identical outputs."""
    first, second = one.state_dict(), other.state_dict()
    equal = first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    return equal and torch.equal(answer(one), answer(other))


def host(server: HubServer, files: Mapping[str, bytes], repo_id: str = REPO, **options: bool) -> str:
    """Put files on the server without a client; the commit."""
    if repo_id not in server.repos:
        server.create(repo_id, **options)
    commit = server.commit(repo_id, dict(files))
    server.requests.clear()
    server.headers.clear()
    return commit


def published_files(server: HubServer, repo_id: str = REPO, branch: str = "main") -> dict[str, bytes]:
    """What a branch holds, besides what the Hub puts there itself."""
    repo = server.repos[repo_id]
    commit = repo.find(repo.branches[branch])
    assert commit is not None
    return {name: data for name, data in commit.files.items() if name != ".gitattributes"}


def refusal(call: Callable[[], object]) -> str:
    """What a user is told: one sentence without a token or a traceback."""
    with pytest.raises(HubError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    assert not any(token in message for token in TOKENS)
    return message


def asked(server: HubServer, method: str, part: str = "") -> list[str]:
    """Paths that were asked for."""
    return [path for verb, path in server.requests if verb == method and part in path]


def blobs(cache: Path) -> list[Path]:
    return sorted(path for path in cache.glob("models--*/blobs/*") if path.suffix != ".incomplete")


@dataclass
class Done:
    code: int
    out: str
    err: str


def python(*words: object, before: tuple[str, ...] = (), text: str | None = None) -> Done:
    """A process of its own, with the environment that the fixture `hub` has set."""
    command = [*before, sys.executable, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, input=text)
    return Done(done.returncode, done.stdout, done.stderr)


@cache
def namespaces() -> bool:
    """Whether this user may mount file systems of his own (in a mount namespace)."""
    command = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /mnt"]
    try:
        return subprocess.run(command, capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
