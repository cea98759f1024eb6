"""From YAML text and ``key=value`` overrides to a :class:`Recipe`, every fault with file, line and key path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from mszoo.errors import OptionsError, RecipeError, key_path, suggest
from mszoo.recipe.schema import Recipe
from mszoo.registry import validate

__all__ = ["KeyPath", "Source", "find_recipe", "read_recipe"]

KeyPath = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """Safe YAML in which ``1e-3`` is a number (YAML 1.2), as everyone expects."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.inf|\.nan)\Z", re.IGNORECASE),
    list("-+0123456789."),
)


class Source:
    """A recipe as written: its values, and where each key stands.

    Args:
        text: YAML.
        origin: what to call the text in messages, usually the file's path.

    Raises:
        RecipeError: not YAML, a key given twice, or no mapping at the top.
    """

    def __init__(self, text: str, origin: str) -> None:
        self.origin = origin
        self._places: dict[KeyPath, str] = {}
        try:
            node = yaml.compose(text, Loader=_Loader)
            loader = _Loader("")
            self.values: dict[str, Any] = loader.construct_document(node) if node else {}
        except yaml.YAMLError as error:
            raise RecipeError(f"{origin} is not YAML: {error}") from None
        if not isinstance(self.values, dict):
            raise RecipeError(f"{origin}: a recipe is a mapping of keys, got {type(self.values).__name__}")
        if node:
            self._locate(node, ())

    def _locate(self, node: yaml.Node, path: KeyPath) -> None:
        self._places.setdefault(path, f"{self.origin}:{node.start_mark.line + 1}")
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                place = f"{self.origin}:{key.start_mark.line + 1}"
                inner = (*path, key.value)
                if key.value in seen:
                    raise RecipeError(f"{place}  {key_path(inner)[0]}  this key is given twice")
                seen.add(key.value)
                self._places[inner] = place
                self._locate(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                self._locate(value, (*path, i))

    def override(self, assignment: str) -> None:
        """Apply ``key.path=value``; the value is YAML. Raises :class:`RecipeError` on a bad form or path."""
        dotted, equals, text = assignment.partition("=")
        place = f"command line: {assignment}"
        if not equals or not dotted:
            raise RecipeError(f"{place}  expected key.path=value, such as training.steps=200")
        path: KeyPath = tuple(int(p) if p.isdigit() else p for p in re.split(r"[.\[\]]+", dotted.rstrip("]")))
        try:
            value = yaml.load(text, Loader=_Loader)
        except yaml.YAMLError as error:
            raise RecipeError(f"{place}  the value is not YAML: {error}") from None
        holder: Any = self.values
        for depth, step in enumerate(path[:-1], 1):
            if isinstance(holder, dict) and not isinstance(holder.get(step), (dict, list)):
                given = holder.get(step)
                holder[step] = {"name": given} if isinstance(given, str) else {}
            try:
                holder = holder[step]
            except (LookupError, TypeError):
                raise RecipeError(f"{place}  there is no {key_path(path[:depth])[0]} to set a key of") from None
        try:
            holder[path[-1]] = value
        except (IndexError, TypeError):
            raise RecipeError(f"{place}  there is no {key_path(path)[0]} to set") from None
        for known in [p for p in self._places if p[: len(path)] == path]:
            del self._places[known]
        self._places[path] = place

    def place(self, path: KeyPath) -> str:
        """Where a key stands, or the nearest key above it."""
        while path and path not in self._places:
            path = path[:-1]
        return self._places.get(path, f"{self.origin}:1")

    def error(self, rows: Iterable[tuple[KeyPath, str]]) -> RecipeError:
        """All faults as one error, in the order of the file."""
        lines = dict.fromkeys("  ".join([self.place(path), *key_path(path), text]) for path, text in rows)
        count = f"{len(lines)} faults" if len(lines) > 1 else "a fault"
        ordered = sorted(lines, key=lambda line: [int(n) for n in re.findall(r":(\d+)  ", line)[:1]])
        return RecipeError("\n".join([f"recipe {self.origin} has {count}; nothing was started:", *ordered]))

    def recipe(self) -> Recipe:
        """Check against the schema. Raises :class:`RecipeError` listing every fault."""
        try:
            return validate(Recipe, self.values, "recipe")
        except OptionsError as error:
            raise self.error(error.rows) from None


def find_recipe(name_or_path: str, shipped: Sequence[Path]) -> Path:
    """The file of a recipe, given by path or by the name of a shipped one.

    Raises:
        RecipeError: neither; the message lists the closest names.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    known = {p.stem: p for p in shipped}
    name = path.stem if path.suffix in (".yaml", ".yml") and len(path.parts) <= 2 else name_or_path
    if name in known:
        return known[name]
    hint = suggest(name, known)
    raise RecipeError(f"no recipe file and no shipped recipe {name_or_path!r}{hint}; `mszoo recipes` lists them")


def read_recipe(path: Path, overrides: Iterable[str] = ()) -> Source:
    """Read a recipe file and apply ``key.path=value`` overrides."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read recipe {path}: {error}") from None
    source = Source(text, str(path))
    for assignment in overrides:
        source.override(assignment)
    return source
