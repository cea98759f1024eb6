"""The components that a recipe can name, by kind and name, and how to build them.

A component is announced by a *lazy* :class:`Spec` (kind, name, ``"module:Class"``, one line), so that listing
what there is imports none of it. The class is imported when the component is first created.
"""

from __future__ import annotations

import fnmatch
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from mszoo.errors import ClashError, MszooError, OptionsError, UnknownComponentError, suggest
from mszoo.isolation import Caught, isolated
from mszoo.options import options_model, validate

__all__ = ["BASES", "KINDS", "PROVIDERS", "Part", "Registry", "Spec", "natural_order"]

KINDS = ("basis", "conditioner", "head", "objective", "dataset", "sampler", "importer")

# Leading parameters of a component's class that the model supplies; all others are options of a recipe.
SUPPLIED: Mapping[str, tuple[str, ...]] = {
    "basis": (),
    "conditioner": ("channels", "cond_channels"),
    "head": ("conditioner",),
    "objective": (),
    "dataset": ("channels",),
    "sampler": (),
    "importer": (),
}

# The class that states each kind's contract; imported only when a component is.
BASES: Mapping[str, str] = {
    "basis": "mszoo.bases:Basis",
    "conditioner": "mszoo.conditioners:Conditioner",
    "head": "mszoo.heads:Head",
    "objective": "mszoo.objectives:Objective",
    "dataset": "mszoo.data:ImageDataset",
    "sampler": "mszoo.samplers:Sampler",
    "importer": "mszoo.importers:Importer",
}

# What stands before the slash in the names of our own plugins' components: an error names the plugin to install.
PROVIDERS: Mapping[str, str] = {
    "diffusers": "mszoo-diffusers",
    "learned": "mszoo-learned-basis",
    "restoration": "mszoo-restoration",
    "timm": "mszoo-timm",
}

_NUMBER = re.compile(r"[0-9]+")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*\Z")


@dataclass(frozen=True)
class Spec:
    """A component that can be built later.

    Args:
        kind: one of ``mszoo.registry.KINDS``.
        name: how recipes call it; a plugin's may be written ``plugin/name``.
        target: ``"module:Class"``, imported when the component is first created.
        summary: one line for ``mszoo components``.
        options: options fixed by this name (``db4`` is the orthogonal basis with ``wavelet="db4"``).
        listed: whether listings show it. An unlisted name can still be asked for.
        distribution: who provides it; filled in at discovery.
        version: of that distribution; filled in at discovery.

    Example:
        >>> Spec("basis", "mine", "my_basis:Mine", "one line").kind  # my_basis is not imported
        'basis'
    """

    kind: str
    name: str
    target: str
    summary: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    listed: bool = True
    distribution: str = "mszoo"
    version: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownComponentError(
                f"unknown kind {self.kind!r}{suggest(str(self.kind), KINDS)}; the kinds are {', '.join(KINDS)}"
            )
        if not isinstance(self.name, str) or not self.name or any(c.isspace() for c in self.name):
            raise MszooError(f"a {self.kind} needs a name without spaces, got {self.name!r}")
        if not isinstance(self.target, str) or not _TARGET.match(self.target):
            raise MszooError(f"{self.kind} {self.name!r}: the target must be 'module:Class', got {self.target!r}")

    def load(self) -> type:
        """Import and return the class, see :meth:`load_watched`."""
        return self.load_watched()[0]

    def load_watched(self) -> tuple[type, Caught]:
        """Import and return the class, and the side effects of its import (settings that it changed are restored).

        Raises:
            MszooError: the import failed, or it is no class of its kind; the distribution is named.
        """
        module, _, attribute = self.target.partition(":")
        try:
            with isolated() as caught:
                cls = getattr(importlib.import_module(module), attribute)
        except (Exception, SystemExit) as error:
            raise MszooError(
                f"{self.kind} {self.name!r} of distribution {self.distribution!r} cannot be imported from "
                f"{self.target!r}: {type(error).__name__}: {error}"
            ) from error
        base_module, base = BASES[self.kind].split(":")
        if not (inspect.isclass(cls) and issubclass(cls, getattr(importlib.import_module(base_module), base))):
            raise MszooError(
                f"{self.kind} {self.name!r} of distribution {self.distribution!r}: {self.target} is no subclass of "
                f"{base_module}.{base}, the contract of this kind"
            )
        return cls, caught


@dataclass(frozen=True)
class Part:
    """What a component was built from: enough to build it again. Kept on the component as ``part``."""

    kind: str
    name: str
    options: Mapping[str, Any]
    distribution: str
    version: str

    def config(self) -> dict[str, Any]:
        """``{"name": ..., **options}``, as a recipe writes it: numbers, strings, lists and mappings alone."""
        return {"name": self.name, **pydantic_core.to_jsonable_python(dict(self.options))}


class Registry:
    """The components known in this process, by kind and name."""

    def __init__(self) -> None:
        self._specs: dict[tuple[str, str], Spec] = {}

    def register(self, spec: Spec) -> None:
        """Add a component. Raises :class:`ClashError` if its kind and name are taken."""
        holder = self._specs.get((spec.kind, spec.name))
        if holder is not None:
            raise ClashError(
                f"{spec.kind} {spec.name!r} is registered twice: by distribution {holder.distribution!r} "
                f"({holder.target}) and by distribution {spec.distribution!r} ({spec.target}); "
                f"uninstall one, or write the name as 'plugin/{spec.name}' in the plugin"
            )
        self._specs[spec.kind, spec.name] = spec

    def copy(self) -> Registry:
        """An independent registry with the same components."""
        other = Registry()
        other._specs = dict(self._specs)
        return other

    def update(self, other: Registry) -> None:
        """Take over another registry's components."""
        self._specs.update(other._specs)

    def __iter__(self) -> Iterator[Spec]:
        return iter(sorted(self._specs.values(), key=lambda s: (KINDS.index(s.kind), natural_order(s.name))))

    def names(self, kind: str | None = None, pattern: str = "*") -> list[str]:
        """Names of the listed components of a kind (all kinds: None) that match a wildcard pattern."""
        if kind is not None:
            self._check_kind(kind)
        return [s.name for s in self if s.listed and kind in (None, s.kind) and fnmatch.fnmatchcase(s.name, pattern)]

    def get(self, kind: str, name: str) -> Spec:
        """The spec of a component. Raises :class:`UnknownComponentError` with the closest names."""
        self._check_kind(kind)
        if (kind, name) in self._specs:
            return self._specs[kind, name]
        elsewhere = [k for k in KINDS if (k, name) in self._specs]
        hint = f"; {name!r} is a {elsewhere[0]}" if elsewhere else suggest(str(name), self.names(kind))
        plugin, _, rest = str(name).partition("/")
        if rest and plugin in PROVIDERS and plugin not in {s.name.partition("/")[0] for s in self}:
            hint = f"; {PROVIDERS[plugin]} provides it: pip install ./plugins/{PROVIDERS[plugin]} in mszoo's repository"
        raise UnknownComponentError(
            f"unknown {kind} {name!r}{hint}; `mszoo components {kind}` lists all (the kinds are {', '.join(KINDS)})"
        )

    def create(self, kind: str, name: str, /, *supplied: Any, **options: Any) -> Any:
        """Build a component.

        Args:
            kind: one of :data:`KINDS`.
            name: a registered name.
            supplied: what the model gives to this kind: ``channels, cond_channels`` to a conditioner, the
                conditioner to a head, ``channels`` to a data set.
            options: the component's own options, checked against the annotations of its constructor.

        Raises:
            UnknownComponentError: no such kind or name.
            OptionsError: an unknown option or a value of the wrong type.
        """
        spec = self.get(kind, name)
        options = self.check(kind, name, **options)
        try:
            component = spec.load()(*supplied, **spec.options, **options)
        except ValueError as error:
            if isinstance(error, MszooError):
                raise
            raise OptionsError(f"{kind} {name!r}", [((), str(error))]) from error
        component.part = Part(kind, name, options, spec.distribution, spec.version)
        return component

    def check(self, kind: str, name: str, /, **options: Any) -> dict[str, Any]:
        """The options of a component, converted to the annotated types, without building it.

        Raises as :meth:`create` does.
        """
        spec = self.get(kind, name)
        model = options_model(spec.load(), len(SUPPLIED[kind]), tuple(spec.options))
        checked = validate(model, options, f"{kind} {name!r}")
        return {key: value for key, value in checked if key in checked.model_fields_set}

    def _check_kind(self, kind: str) -> None:
        if kind not in KINDS:
            raise UnknownComponentError(
                f"unknown kind {kind!r}{suggest(str(kind), KINDS)}; the kinds are {', '.join(KINDS)}"
            )


def natural_order(name: str) -> str:
    """Sort key that puts db2 before db10, of any length.

    A text, of which a million are sorted in seconds: a number becomes its number of digits, as a character, and they,
    between a character before all others, where a word ends, and one after all others.
    """
    return _NUMBER.sub(_sortable, name)  # not \d: a superscript is a digit, and no number


def _sortable(number: re.Match[str]) -> str:
    digits = number[0].lstrip("0")
    end = "\0" if number.start() else ""  # of the word before it
    return f"{end}\U0010ffff{chr(min(len(digits) + 1, 0x10FFFE))}{digits}"  # the longer number is the larger one
