"""YAML text with ``key=value`` overrides, and the file and line of every key."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import yaml

from mszoo.errors import RecipeError, key_path, suggest
from mszoo.files import read_text
from mszoo.shipped import shipped_files

__all__ = ["KeyPath", "Source", "differences", "read_recipe"]

KeyPath = tuple[str | int, ...]

# A recipe may come with somebody else's model. Its size is limited, and so is its size with aliases written out.
_LARGEST, _MOST_VALUES, _LONGEST_NUMBER, _DEEPEST = 2**16, 20_000, 100, 100


_NUMBERS = {
    "tag:yaml.org,2002:float": re.compile(
        r"[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.inf|\.nan)\Z", re.IGNORECASE
    ),
    "tag:yaml.org,2002:int": re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"),
}


class _Loader(yaml.SafeLoader):
    """Safe YAML whose numbers are those of YAML 1.2: ``1e-3`` is one, ``010`` is ten, and ``1:30`` is a text."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NUMBERS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def fetch_flow_collection_start(self, TokenClass: type[yaml.Token]) -> None:
        """PyYAML takes quadratic time to find that brackets are nested too deep."""
        if self.flow_level >= _DEEPEST:
            raise yaml.YAMLError(f"brackets are nested deeper than {_DEEPEST}")
        super().fetch_flow_collection_start(TokenClass)


class _Dumper(yaml.SafeDumper):
    """Writes texts that this YAML, or the older one of other readers, would take for numbers in quotes."""

    yaml_implicit_resolvers: ClassVar = dict(yaml.SafeDumper.yaml_implicit_resolvers)


for _tag, _pattern in _NUMBERS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_tag, _pattern, list("-+0123456789."))


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    """Text that can be printed: escapes can write characters that steer a terminal, and halves of characters."""
    text = loader.construct_yaml_str(node)
    wrong = next((c for c in text if (c < " " and c not in "\t\n\r") or c == "\x7f" or "\ud800" <= c <= "\udfff"), None)
    if wrong is not None:
        raise yaml.constructor.ConstructorError(None, None, f"{wrong!r} is no character of a text", node.start_mark)
    return text


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    if len(node.value) > _LONGEST_NUMBER:
        raise yaml.constructor.ConstructorError(None, None, "a number is too long", node.start_mark)
    text = str(node.value)
    return int(text, {"0o": 8, "0x": 16}.get(text[:2].lower(), 10))


_Loader.add_constructor("tag:yaml.org,2002:str", _text)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def _parse(text: str) -> tuple[yaml.Node | None, Any]:
    """The nodes of a YAML text, and their values.

    Raises:
        yaml.YAMLError: not YAML, a value that does not fit its tag, or aliases of aliases that stand for too much.
        RecursionError: keys nested too deep.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is None:
            return None, None
        if _size(node, {}) > _MOST_VALUES:
            raise yaml.YAMLError(f"it stands for more than {_MOST_VALUES} values")
        return node, _Loader("").construct_document(node)
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        # What PyYAML lets through for a text that does not fit its tag: 2001-99-99, !!bool maybe, "\UFFFFFFFF".
        raise yaml.YAMLError(f"a value does not fit its type ({error})") from error


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """The number of values in a node when its aliases are written out."""
    if id(node) not in known:
        inner = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(_size(part, known) for part in inner))
    return known[id(node)]


class Source:
    """A recipe as written: its values, and the line of each key.

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
            node, values = _parse(text)
            self.values: dict[str, Any] = _unshared(values) if node else {}
        except yaml.YAMLError as error:
            raise RecipeError(f"{origin} is not YAML: {error}") from None
        except RecursionError:
            raise RecipeError(f"{origin}: an anchor contains itself, or keys are nested too deep") from None
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
                if not isinstance(key, yaml.ScalarNode):
                    raise RecipeError(f"{place}  a key is a text")
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
        steps = re.split(r"[.\[\]]+", dotted.rstrip("]"))
        path: KeyPath = tuple(int(p) if re.fullmatch(r"[0-9]{1,6}", p) else p for p in steps)
        try:
            value = _parse(text)[1]
        except (yaml.YAMLError, RecursionError) as error:
            raise RecipeError(f"{place}  the value is not YAML: {error}") from None
        self._write_out_scales(path)
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

    def _write_out_scales(self, path: KeyPath) -> None:
        """One mapping for every scale becomes a list of them, where a path names one scale of it."""
        model = self.values.get("model")
        if len(path) < 3 or path[:2] != ("model", "detail") or not isinstance(path[2], int):
            return
        if not isinstance(model, dict) or not isinstance(model.get("levels"), int):
            return
        if isinstance(model.get("detail"), dict):
            model["detail"] = [_unshared(model["detail"]) for _ in range(model["levels"])]

    def place(self, path: KeyPath) -> str:
        """File and line of a key, or of the nearest key above it."""
        while path and path not in self._places:
            path = path[:-1]
        return self._places.get(path, f"{self.origin}:1")

    def error(self, rows: Iterable[tuple[KeyPath, str]]) -> RecipeError:
        """All faults as one error, in the order of the file."""
        written = ((self._as_written(path), text) for path, text in rows)
        lines = dict.fromkeys("  ".join([self.place(path), *key_path(path), text]) for path, text in written)
        count = f"{len(lines)} faults" if len(lines) > 1 else "a fault"
        ordered = sorted(lines, key=lambda line: [int(n) for n in re.findall(r":(\d+)  ", line)[:1]])
        return RecipeError("\n".join([f"recipe {self.origin} has {count}; nothing was started:", *ordered]))

    def _as_written(self, path: KeyPath) -> KeyPath:
        """Drop the indices of a list that is written as one mapping for every scale."""
        kept: list[str | int] = []
        holder: Any = self.values
        for step in path:
            if isinstance(step, int) and isinstance(holder, dict):
                continue
            kept.append(step)
            try:
                holder = holder[step]
            except (LookupError, TypeError):
                holder = None
        return tuple(kept)

    def text(self) -> str:
        """The recipe with its overrides, as YAML."""
        return yaml.dump(self.values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _unshared(value: Any) -> Any:
    """A copy in which what YAML anchors share is separate, so that an override changes one place alone."""
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    return [_unshared(inner) for inner in value] if isinstance(value, list) else value


def differences(base: dict[str, Any], other: dict[str, Any], path: str = "") -> list[str]:
    """``key.path=value`` for each value of the other recipe that is not the base's (``null`` where it has none).

    Args:
        base, other: the values of two recipes.
        path: of the key that holds them, with a dot at its end.
    """
    found = []
    for key in dict.fromkeys([*base, *other]):
        name, before, after = f"{path}{key}", base.get(key), other.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, f"{name}.")
        elif before != after:
            found.append(f"{name}={yaml.safe_dump(after, default_flow_style=True).splitlines()[0]}")
    return found


def _find(name_or_path: str) -> Path:
    """The file of a recipe, given by path or by the name of a shipped one.

    Raises:
        RecipeError: neither; the message lists the closest names.
    """
    path = Path(name_or_path)
    try:
        if path.is_file():
            return path
    except OSError:  # a name that no file can have
        pass
    known = shipped_files("recipes", ".yaml")
    name = path.stem if path.suffix in (".yaml", ".yml") else name_or_path
    if name in known and path.parent in (Path(), Path("recipes")):
        return known[name]
    raise RecipeError(
        f"no recipe file and no shipped recipe {name_or_path!r}{suggest(name, known)}; `mszoo recipes` lists them"
    )


def read_recipe(name_or_path: str | Path, overrides: Iterable[str] = ()) -> Source:
    """Read a recipe, given by file or shipped name, and apply ``key.path=value`` overrides."""
    path = _find(str(name_or_path))
    try:
        text = read_text(path, _LARGEST)
    except (OSError, ValueError) as error:
        raise RecipeError(f"cannot read recipe {path}: {error}") from None
    source = Source(text, str(path))
    for assignment in overrides:
        source.override(assignment)
    return source
