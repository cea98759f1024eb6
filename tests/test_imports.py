"""The public face is cheap to import, and whole. (That imports point one way is tested in test_architecture.py.)"""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import mszoo

PACKAGE = Path(mszoo.__file__).parent
PLUGINS = sorted((PACKAGE.parent / "plugins").glob("*/mszoo_*/*.py"))
MODULES = sorted(p.relative_to(PACKAGE) for p in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_modules_say_what_they_are(path: Path) -> None:
    assert ast.get_docstring(ast.parse((PACKAGE / path).read_text(encoding="utf-8")))


def parameters(function: ast.FunctionDef) -> list[str]:
    given = function.args
    several = [a for a in (given.vararg, given.kwarg) if a is not None]
    return [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs, *several) if a.arg != "self"]


def public(tree: ast.Module) -> list[tuple[ast.FunctionDef, str]]:
    """Functions, and constructors of classes, that ``__all__`` names, with what is written of their arguments."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            names |= {e.value for e in ast.walk(node.value) if isinstance(e, ast.Constant) and isinstance(e.value, str)}
    found = [(node, ast.get_docstring(node) or "") for node in tree.body if isinstance(node, ast.FunctionDef)]
    for cls in (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in names):
        made = [node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
        found += [(node, (ast.get_docstring(cls) or "") + (ast.get_docstring(node) or "")) for node in made]
    return [(node, text) for node, text in found if node.name in {*names, "__init__"}]


# What a verb's arguments are, its --help says.
@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[0] != "cli"] + PLUGINS, ids=str)
def test_three_arguments_or_more_are_described(path: Path) -> None:
    for node, text in public(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))):
        if len(parameters(node)) >= 3:
            assert "Args:" in text, f"{path}:{node.lineno}: {node.name}({', '.join(parameters(node))})"


def test_the_public_face_has_examples() -> None:
    face = [getattr(mszoo, name) for name in mszoo.__all__ if name not in mszoo.STABLE]
    functions = [value for value in face if inspect.isfunction(value) or inspect.isclass(value)]
    inherited = {"train", "load_state_dict", "forward"}  # of torch.nn.Module
    functions += [
        getattr(value, "__func__", value)
        for name, value in vars(mszoo.MultiScaleModel).items()
        if not name.startswith("_") and name not in inherited and callable(getattr(mszoo.MultiScaleModel, name))
    ]
    for module in ("mszoo.inference", "mszoo.evaluation"):
        home = importlib.import_module(module)
        functions += [value for value in map(home.__dict__.get, home.__all__) if inspect.isfunction(value)]
    assert len(functions) > 50
    without = [f.__qualname__ for f in functions if "Example:" not in (f.__doc__ or "")]
    assert without == ["MszooError"]  # which is caught, as any error is


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
    check = "import sys; heavy = {'torch', 'numpy', 'accelerate', 'timm'} & set(sys.modules); assert not heavy, heavy"
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
