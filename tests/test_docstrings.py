"""Public names say what they are, what they take, and show it. (The examples run with ``--doctest-modules``.)."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


FACE = ["mszoo", *(f"mszoo.{name}" for name in mszoo.STABLE)]  # what the reference has
INHERITED = {"train", "load_state_dict", "forward"}  # of torch.nn.Module
NOT_RUN = {
    "check_conditioner": "one of its checks starts two processes",
    "check_head": "one of its checks starts two processes",
    "check_objective": "one of its checks starts two processes",
    "check_sampler": "it draws thousands of images",
    "MultiScaleModel.push_to_hub": "it publishes",
    "write_parquet": "it needs the extra data",
}


def face() -> Iterator[tuple[str, Any]]:
    """Public classes, functions, and methods of models, by name."""
    for module in map(importlib.import_module, [*FACE, "mszoo.evaluation"]):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value) or (inspect.isclass(value) and module.__name__ in FACE):
                yield name, value
    for name, value in vars(mszoo.MultiScaleModel).items():
        if not name.startswith("_") and name not in INHERITED and callable(getattr(mszoo.MultiScaleModel, name)):
            yield f"MultiScaleModel.{name}", getattr(value, "__func__", value)


@pytest.mark.parametrize(("name", "value"), dict(face()).items())
def test_an_example_shows_its_use(name: str, value: Any) -> None:
    examples = doctest.DocTestParser().get_examples(value.__doc__ or "")
    if inspect.isclass(value) and issubclass(value, Exception) and not examples:
        return  # it is caught, as any error is
    run = [each for each in examples if not each.options.get(doctest.SKIP)]
    shown = "".join(each.source for each in (examples if name in NOT_RUN else run))
    assert name.rpartition(".")[2] in shown, f"an example in the docstring of {name} that uses it"
    assert bool(NOT_RUN.get(name)) == (len(run) < len(examples)), f"{name}: what is not run is told why"
    assert name in NOT_RUN or any(each.want for each in run), f"{name}: an example has a result"


def test_what_is_not_run_is_there() -> None:
    assert NOT_RUN.keys() <= dict(face()).keys()
