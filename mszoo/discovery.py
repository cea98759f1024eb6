"""The components of this process: the built-ins, and those of every installed plugin.

A plugin that cannot be loaded, or that registers a name already taken, is disabled with one warning and rolled
back as a whole; everything else works. Two environment variables:

- ``MSZOO_PLUGINS`` restricts which are loaded: a comma-separated list of entry-point names, or an empty string: none.
- ``MSZOO_PLUGINS_STRICT=1`` raises instead of warning.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import metadata

import pluggy

from mszoo import components
from mszoo.errors import PluginError
from mszoo.hooks import GROUP, Hooks
from mszoo.isolation import Caught, isolated
from mszoo.registry import Registry, Spec

__all__ = ["Plugin", "discover", "plugins", "registry"]


@dataclass(frozen=True)
class Plugin:
    """A plugin's entry point, and whether it could be loaded.

    Attributes:
        name: the entry point's.
        distribution, version: that it belongs to.
        hooks: which of :class:`Hooks` it implements.
        components: kind and name of what it registered; nothing if it is disabled.
        fault: why it is disabled; None: it works.
        notes: what its import did beside importing, such as a setting that was put back.
    """

    name: str
    distribution: str
    version: str
    hooks: tuple[str, ...] = ()
    components: tuple[tuple[str, str], ...] = ()
    fault: str | None = None
    notes: tuple[str, ...] = ()


def registry() -> Registry:
    """The process's registry, filled on first use: built-ins first, then the installed plugins."""
    return _discovered()[0]


def plugins() -> list[Plugin]:
    """The installed plugins that ``MSZOO_PLUGINS`` allows, the disabled ones too."""
    return _discovered()[1]


@lru_cache(maxsize=1)
def _discovered() -> tuple[Registry, list[Plugin]]:
    filled = Registry()
    _add(filled, components, "mszoo", _version("mszoo"))
    return filled, discover(filled)


def discover(into: Registry) -> list[Plugin]:
    """Load every installed plugin that ``MSZOO_PLUGINS`` allows; a bad one is disabled with a warning.

    Raises:
        PluginError: there is a bad one, and ``MSZOO_PLUGINS_STRICT`` is set.
    """
    allowed = os.environ.get("MSZOO_PLUGINS")
    names = None if allowed is None else {n.strip() for n in allowed.split(",") if n.strip()}
    found = []
    for entry, distribution, version, fault in sorted(_entry_points(), key=lambda e: (e[0].name, e[1])):
        if names is not None and entry.name not in names:
            continue
        plugin = Plugin(entry.name, distribution, version, fault=fault)
        if fault is None:
            plugin = _load(into, entry, plugin)
        if plugin.fault is not None:
            message = f"plugin {entry.name!r} of distribution {distribution!r} {version} is disabled: {plugin.fault}"
            if os.environ.get("MSZOO_PLUGINS_STRICT", "") not in ("", "0"):
                raise PluginError(message)
            warnings.warn(message, stacklevel=2)
        found.append(plugin)
    return found


def _load(into: Registry, entry: metadata.EntryPoint, plugin: Plugin) -> Plugin:
    """Import the entry point and register its components; or the plugin with its fault, and nothing registered."""
    caught = Caught()
    try:
        with isolated() as caught:
            hooks, specs = _add(into, entry.load(), plugin.distribution, plugin.version)
    except (Exception, SystemExit) as error:
        return replace(plugin, fault=f"{type(error).__name__}: {error}", notes=tuple(caught.notes()))
    components = tuple((spec.kind, spec.name) for spec in specs)
    return replace(plugin, hooks=tuple(hooks), components=components, notes=tuple(caught.notes()))


def _entry_points() -> Iterator[tuple[metadata.EntryPoint, str, str, str | None]]:
    """Entry points of our group with distribution, version and fault.

    One distribution at a time: a malformed file makes :func:`importlib.metadata.entry_points` fail for all of them.
    """
    seen: set[str] = set()
    for distribution in metadata.distributions():
        try:
            text = distribution.read_text("entry_points.txt") or ""
        except Exception:  # unreadable; if it is a plugin, nobody can know
            continue
        if f"[{GROUP}]" not in text:
            continue
        where = os.path.basename(str(getattr(distribution, "_path", "")))
        try:
            name = distribution.metadata["Name"] or where
            version = distribution.metadata["Version"] or ""
        except Exception:
            name, version = where, ""
        if name.lower() in seen:  # an older installation, further back on the path
            continue
        seen.add(name.lower())
        try:
            entries = [e for e in distribution.entry_points if e.group == GROUP]
        except Exception as error:
            broken = metadata.EntryPoint(name, "", GROUP)
            yield broken, name, version, f"its entry_points.txt is malformed ({type(error).__name__}: {error})"
            continue
        for entry in entries:
            try:
                fault = None if entry.module else "its entry point names no module"
            except Exception:  # what does not parse has no module
                fault = f"its entry point is malformed: {entry.value!r}"
            yield entry, name, version, fault


def _add(into: Registry, plugin: object, distribution: str, version: str) -> tuple[list[str], list[Spec]]:
    """Register all of a plugin's components, or none of them; its hooks' names and its specs."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    manager.register(plugin)
    manager.check_pending()
    callers = manager.get_hookcallers(plugin) or []  # none: it is there for its own functions
    found = {caller.name for caller in callers}
    defined = [name for name in vars(Hooks) if name.startswith(f"{GROUP}_") and hasattr(plugin, name)]
    if unmarked := [name for name in defined if name not in found]:
        raise TypeError(f"its {unmarked[0]} is no hook yet: decorate it with @mszoo.hookimpl")
    trial, added = into.copy(), []
    for specs in manager.hook.mszoo_components():
        for spec in specs:
            if not isinstance(spec, Spec):
                raise TypeError(f"mszoo_components gave {spec!r}, which is not a mszoo.Spec")
            added.append(replace(spec, distribution=distribution, version=version))
            trial.register(added[-1])
    into.update(trial)
    return [caller.name for caller in callers], added


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return ""
