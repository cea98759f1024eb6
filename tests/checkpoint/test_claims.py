"""A checkpoint made with a plugin: loads where it is installed, and elsewhere says what it claims to need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mszoo
from mszoo.errors import CheckpointError, UnknownComponentError
from tests.factories import denoiser

PLUGIN = """
import mszoo

@mszoo.hookimpl
def mszoo_components():
    yield mszoo.Spec("basis", "theirs/mine", "their_parts:Mine")
"""
PARTS = """
from mszoo.bases import OrthogonalBasis
from tests.factories import denoiser

class Mine(OrthogonalBasis):
    def __init__(self):
        super().__init__("db2")
"""
SAVE = """
import sys, mszoo
part = {"conditioner": {"name": "bias_free_cnn", "receptive_field": 5, "depth": 3, "width": 2}, "head": "denoiser"}
config = {"basis": "theirs/mine", "levels": 1, "detail": part, "coarse": part}
mszoo.MultiScaleModel.from_config(config).save_pretrained(sys.argv[1])
"""
LOAD = """
import sys, warnings
warnings.showwarning = lambda message, *_: print("warned:", message)
import mszoo
try:
    print(type(mszoo.load(sys.argv[1]).basis).__name__)
except mszoo.MszooError as error:
    print(error)
"""


def installed(folder: Path, version: str) -> dict[str, str]:
    info = folder / f"theirs-{version}.dist-info"
    info.mkdir(parents=True)
    (folder / "theirs.py").write_text(PLUGIN)
    (folder / "their_parts.py").write_text(PARTS)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: theirs-dist\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("[mszoo]\ntheirs = theirs\n")
    return {"PYTHONPATH": str(folder)}


def run(code: str, *words: str, env: dict[str, str]) -> str:
    plain = {k: v for k, v in os.environ.items() if k not in ("MSZOO_PLUGINS", "PYTHONPATH")}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env={**plain, **env}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("claims")
    env = installed(folder / "site", "1.4")
    run(SAVE, str(folder / "model"), env=env)
    return folder / "model", env


def test_it_records_each_component(checkpoint: tuple[Path, dict[str, str]]) -> None:
    config = json.loads((checkpoint[0] / "config.json").read_text())
    found = {(c["kind"], c["name"]): (c["distribution"], c["version"]) for c in config["components"]}
    assert found["basis", "theirs/mine"] == ("theirs-dist", "1.4")
    assert found["head", "denoiser"][0] == "mszoo"


def test_it_loads_where_the_plugin_is(checkpoint: tuple[Path, dict[str, str]]) -> None:
    folder, env = checkpoint
    assert run(LOAD, str(folder), env=env) == "Mine"


def test_elsewhere_it_says_what_it_claims(checkpoint: tuple[Path, dict[str, str]]) -> None:
    told = run(LOAD, str(checkpoint[0]), env={})
    assert "it needs the basis 'theirs/mine', which is not installed here" in told
    assert "claims that it comes from distribution 'theirs-dist' 1.4" in told
    assert "know the distribution before you install it" in told


def test_another_version_warns(checkpoint: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    warned, loaded = run(LOAD, str(checkpoint[0]), env=installed(tmp_path, "2.0")).splitlines()
    assert loaded == "Mine"
    assert "comes from theirs-dist 2.0 here; the checkpoint was saved with theirs-dist 1.4" in warned


def test_a_disabled_plugin_is_told(checkpoint: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    env = installed(tmp_path, "1.4")
    (tmp_path / "theirs.py").write_text("1 / 0")
    assert "distribution 'theirs-dist' is, but it is disabled: ZeroDivisionError" in run(
        LOAD, str(checkpoint[0]), env=env
    )


@pytest.mark.parametrize("components", [3, [3], [{"kind": "basis"}], [{"kind": "basis", "name": "x" * 1000}], {"a": 1}])
def test_malformed_claims_are_a_clean_error(tmp_path: Path, components: object) -> None:
    denoiser().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "components": components}))
    with pytest.raises(CheckpointError, match="its list of components is malformed"):
        mszoo.load(tmp_path)


def test_a_known_plugin_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    with pytest.raises(UnknownComponentError, match=r"mszoo-timm provides it: pip install \./plugins/mszoo-timm"):
        mszoo.create("conditioner", "timm/backbone", 1, 0)
    denoiser().save_pretrained(tmp_path)
    text = (tmp_path / "config.json").read_text()
    claim = {"kind": "conditioner", "name": "timm/backbone", "distribution": "mszoo-timm", "version": "0.1"}
    (tmp_path / "config.json").write_text(json.dumps({**json.loads(text), "components": [claim]}))
    with pytest.raises(CheckpointError, match=r"pip install \./plugins/mszoo-timm"):
        mszoo.load(tmp_path)
