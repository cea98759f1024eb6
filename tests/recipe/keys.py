"""Every key of a recipe with its type, default and meaning, as the guide ``mszoo/guides/recipe.md``.

python -m tests.recipe.keys > mszoo/guides/recipe.md
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, get_args

import pydantic
import yaml

from mszoo.discovery import registry
from mszoo.options import described, explained, options_model
from mszoo.recipe import Recipe
from mszoo.recipe.schema import NamedConfig
from mszoo.registry import SUPPLIED

_HEAD = """# Every key of a recipe

Written by `python -m tests.recipe.keys`; a test compares. On the command line a key is its path, `mszoo train RECIPE
training.steps=200`, and `model.detail.0.head` is the finest scale's where `model.detail` is a list. A part is a name
or a mapping with its name and its options. Those of built-in parts stand below; `mszoo components NAME` has them too,
and those of plugins' parts.
"""
_OF = {"conditioner": "conditioners", "head": "heads", "objective": "objectives", "dataset": "data sets"}


def page() -> str:
    """The guide, as Markdown."""
    sections = [_HEAD, *_table(_keys(Recipe, described(Recipe), ""))]
    for kind, kinds in _OF.items():
        sections.append(f"\n## Options of {kinds}")
        for spec in registry():
            if spec.kind == kind and spec.listed and spec.distribution == "mszoo":
                cls = spec.load()
                model = options_model(cls, len(SUPPLIED[kind]), tuple(spec.options))
                sections += [f"\n### {spec.name}\n", f"{spec.summary[:1].upper()}{spec.summary[1:]}."]
                rows = list(_keys(model, described(cls), ""))
                sections += ["", *_table(rows)] if rows else ["", "It has no options."]
    return "\n".join(sections) + "\n"


def _keys(model: type[pydantic.BaseModel], meanings: dict[str, str], under: str) -> Iterator[dict[str, Any]]:
    """Its keys, each with those below it."""
    for key in explained(model, meanings):
        inner = [each for each in _models(model.model_fields[key["name"]].annotation) if each is not NamedConfig]
        path = under + key["name"]
        yield {**key, "name": path, **({"type": "mapping", "default": None} if inner else {})}
        for each in inner:
            yield from _keys(each, described(each), f"{path}.")


def _models(annotation: Any) -> list[type[pydantic.BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, pydantic.BaseModel):
        return [annotation]
    return [each for inner in get_args(annotation) for each in _models(inner)]


def _table(keys: Any) -> Iterator[str]:
    yield from ("| key | type | default | meaning |", "| --- | --- | --- | --- |")
    for key in keys:
        default = "required" if key["required"] else _default(key["default"])
        kind = key["type"].replace("NamedConfig", "part")
        cells = (f"`{key['name']}`", f"`{kind}`", default, key["meaning"])
        yield " | ".join(["", *(cell.replace("|", r"\|") for cell in cells), ""]).strip()


def _default(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, NamedConfig):
        value = {"name": value.name, **value.options}
    value = list(value) if isinstance(value, tuple) else value
    plain = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    return f"`{plain.splitlines()[0]}`"


if __name__ == "__main__":
    print(page(), end="")
