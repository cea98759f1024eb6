"""Imports point one way, and the public face is cheap to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mszoo

PACKAGE = Path(mszoo.__file__).parent

# Each layer may import itself and the layers above it in this list.
LAYERS = [
    {"errors", "shipped"},
    {"registry"},
    {"hooks", "components"},
    {"bases", "conditioners", "heads"},
    {"model", "objectives", "data", "recipe", "checkpoint"},
    {"hub", "training", "inference", "evaluation"},
    {"api"},
    {"cli", "__main__", ""},  # the last is the package itself, the public face
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
# MultiScaleModel's convenience methods: one-line delegates that import inside the body.
ALLOWED: set[tuple[str, str]] = set()

MODULES = sorted(p.relative_to(PACKAGE) for p in PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, known: set[str]) -> Iterator[str]:
    """Modules of the package that are imported anywhere in a module, inside functions too, without ``mszoo.``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layers"
            found = [f"{node.module}.{a.name}" for a in node.names]
            found = [n if n.removeprefix("mszoo.") in known else str(node.module) for n in found]
        else:
            continue
        yield from (n.removeprefix("mszoo").removeprefix(".") for n in found if n.split(".")[0] == "mszoo")


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_one_way(path: Path) -> None:
    module = name_of(path)
    layer = module.split(".")[0]
    assert layer in RANK, f"give {layer} a place in LAYERS"
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    for imported in imports(tree, {name_of(p) for p in MODULES}):
        if (module, imported) not in ALLOWED:
            assert RANK[imported.split(".")[0]] <= RANK[layer], f"mszoo.{module} imports mszoo.{imported}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_modules_say_what_they_are(path: Path) -> None:
    assert ast.get_docstring(ast.parse((PACKAGE / path).read_text(encoding="utf-8")))


def test_the_public_face_is_whole() -> None:
    for name in mszoo.__all__:
        assert getattr(mszoo, name).__doc__
        assert name in dir(mszoo)
    with pytest.raises(AttributeError, match="no_such_name"):
        mszoo.no_such_name  # noqa: B018


@pytest.mark.parametrize(
    "code",
    [
        "import mszoo",
        "import mszoo; mszoo.list_components(); mszoo.list_components('basis', 'db*'); mszoo.list_models()",
        "import mszoo; mszoo.hookimpl, mszoo.Spec, mszoo.MszooError",
        "import mszoo.cli",
    ],
)
def test_needs_no_torch(code: str) -> None:
    check = "import sys; heavy = {'torch', 'numpy', 'accelerate', 'timm'} & set(sys.modules); assert not heavy, heavy"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
