"""`mszoo plugin new`: each kind's skeleton installs with pip, keeps its contract and trains."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mszoo.errors import MszooError
from mszoo.registry import KINDS
from mszoo.scaffold import new_plugin

NAMES = {kind: f"mszoo-my-{kind}" for kind in KINDS}


@pytest.fixture(scope="module")
def skeletons(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with one skeleton of each kind, and the environment in which all are installed."""
    folder = tmp_path_factory.mktemp("plugins")
    for kind, name in NAMES.items():
        new_plugin(name, kind, folder / name)
    site = folder / "site"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"),
            *("--disable-pip-version-check", "--target", str(site), *(str(folder / name) for name in NAMES.values())),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    env = {k: v for k, v in os.environ.items() if k != "MSZOO_PLUGINS"}
    path = os.pathsep.join(filter(None, [str(site), env.get("PYTHONPATH")]))
    return folder, {**env, "PYTHONPATH": path, "MSZOO_PLUGINS_STRICT": "1", "COLUMNS": "300"}


def run(folder: Path, env: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, env=env, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_all_are_listed(skeletons: tuple[Path, dict[str, str]]) -> None:
    listed = run(*skeletons, "mszoo", "plugins")
    for kind, name in NAMES.items():
        assert f"{name} 0.1.0" in listed
        assert f"{kind} my-{kind}/" in listed
    assert "disabled" not in listed


@pytest.mark.slow
def test_their_own_tests_pass(skeletons: tuple[Path, dict[str, str]]) -> None:
    folder, env = skeletons
    tests = [str(folder / name / "tests") for name in NAMES.values()]
    told = run(folder, env, "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider", *tests)
    assert "failed" not in told


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("sampler", "importer")])
def test_their_recipes_train(skeletons: tuple[Path, dict[str, str]], kind: str) -> None:
    folder, env = skeletons
    recipe = str(folder / NAMES[kind] / "recipe.yaml")
    run(folder, env, "mszoo", "train", recipe, "training.steps=3", "--out", f"runs/{kind}")
    config = (folder / "runs" / kind / "config.json").read_text()
    if kind in ("basis", "conditioner", "head"):
        assert f'"distribution": "{NAMES[kind]}"' in config


@pytest.mark.parametrize(
    ("name", "kind", "fault"),
    [
        ("My_Plugin", "basis", "small letters"),
        ("mszoo--x", "basis", "small letters"),
        ("../up", "basis", "small letters"),
        ("mine", "bases", "did you mean 'basis'"),
    ],
)
def test_bad_names_write_nothing(tmp_path: Path, name: str, kind: str, fault: str) -> None:
    with pytest.raises(MszooError, match=fault):
        new_plugin(name, kind, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    new_plugin("mine", "basis", tmp_path / "mine")
    with pytest.raises(MszooError, match="is there already"):
        new_plugin("mine", "head", tmp_path / "mine")
