"""The public face is cheap to import, and whole. (That imports point one way is tested in test_architecture.py.)"""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import mszoo

PACKAGE = Path(mszoo.__file__).parent
PLUGINS = sorted((PACKAGE.parent / "plugins").glob("*/mszoo_*/*.py"))


def test_the_public_face_is_whole() -> None:
    for name in mszoo.__all__:
        assert getattr(mszoo, name).__doc__
        assert name in dir(mszoo)
    assert set(mszoo.STABLE) <= set(mszoo.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        mszoo.no_such_name  # noqa: B018


def test_stable_modules_say_what_is_theirs() -> None:
    for name in mszoo.STABLE:
        module = importlib.import_module(f"mszoo.{name}")
        assert all(hasattr(module, public) for public in module.__all__), name


@pytest.mark.parametrize("path", PLUGINS, ids=lambda p: f"{p.parent.name}.{p.stem}")
def test_plugins_use_what_is_stable_alone(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mszoo":
            names = {alias.name for alias in node.names}
            assert (node.module or "").partition(".")[2] in ("", *mszoo.STABLE), node.module
            assert names <= set(importlib.import_module(node.module or "").__all__), names
        if isinstance(node, ast.Import):
            rooms = {alias.name.partition(".")[2] for alias in node.names if alias.name.split(".")[0] == "mszoo"}
            assert rooms <= {"", *mszoo.STABLE}, rooms


@pytest.mark.parametrize("use", ["mszoo.inference.fast", "mszoo.heads.Head", "mszoo.train", "mszoo.errors.MszooError"])
def test_it_takes_one_import(use: str) -> None:
    code = f"import sys, mszoo; assert 'torch' not in sys.modules; {use}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


SLOW = {"torch", "numpy", "accelerate", "timm", "huggingface_hub.file_download"}


@pytest.mark.parametrize(
    "code",
    [
        "import mszoo",
        "import mszoo; mszoo.list_components(); mszoo.list_components('basis', 'db*')",
        "import mszoo; mszoo.list_models()",
        "import mszoo; mszoo.hookimpl, mszoo.Spec, mszoo.MszooError",
        "import mszoo.cli",
    ],
)
def test_needs_no_torch(code: str) -> None:
    check = f"import sys; heavy = {SLOW!r} & set(sys.modules); assert not heavy, heavy"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


# Slow to import, and what few verbs need.
HEAVY = {"torch._dynamo", "torch._inductor", "sympy", "matplotlib", "skimage", "scipy", "timm", "accelerate", "triton"}
ENERGY = "cifar10-grey-energy"
STEPS = "--h0", "0.7"
VERBS = {
    "denoise": ["denoise", "a.png", "out.png"],
    "evaluate": ["evaluate", "photographs-haar-rf13", "--data", "a.png", "--sigma", "0.1"],
    "sample": ["sample", "samples", "--count", "1", "--size", "16", *STEPS, "--coarse-h0", "0.7"],
    "super-resolve": ["super-resolve", "a.png", "out.png", "--factor", "2", *STEPS],
    "solve": ["solve", "a.png", "out.png", *STEPS],
    "log-prob": ["log-prob", "a.png", "--model", ENERGY],
    "info": ["info", ENERGY],
    "models": ["models"],
    "components": ["components"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_imports_what_it_uses(verb: str, tmp_path: Path) -> None:
    from PIL import Image

    Image.effect_noise((32, 32), 64).save(tmp_path / "a.png")
    code = f"""
import sys
from mszoo.cli import main
sys.argv = ["mszoo", *{VERBS[verb]!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = {HEAVY!r} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
