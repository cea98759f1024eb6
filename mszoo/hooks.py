"""How components reach the registry: one pluggy hook, for the built-ins and for every plugin alike.

A plugin is an installed distribution with an entry point in group ``mszoo`` that names a module (or object)
with an implementation of :meth:`Hooks.mszoo_components`::

    # pyproject.toml                          # my_plugin.py
    [project.entry-points.mszoo]              import mszoo
    my-plugin = "my_plugin"
                                              @mszoo.hookimpl
                                              def mszoo_components():
                                                  yield mszoo.Spec("basis", "mine", "my_basis:Mine", "one line")

A plugin that cannot be loaded, or that registers a name already taken, is disabled with one warning and rolled
back as a whole; everything else works. ``MSZOO_PLUGINS`` restricts which are loaded: a comma-separated list of
entry-point names, or an empty string for none.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from importlib import metadata

import pluggy

from mszoo.registry import Registry, Spec

__all__ = ["GROUP", "Hooks", "discover", "hookimpl", "registry"]

GROUP = "mszoo"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


class Hooks:
    """The hooks a plugin may implement; the docstrings are their manual."""

    @hookspec
    def mszoo_components(self) -> Iterable[Spec]:  # type: ignore[empty-body]
        """Announce components.

        Return (or yield) a :class:`mszoo.Spec` for each. Specs are lazy: name the class as ``"module:Class"``
        and keep heavy imports (torch too) out of the module that holds this hook, so that listing stays fast.
        """


@lru_cache(maxsize=1)
def registry() -> Registry:
    """The process's registry, filled on first use: built-ins first, then the installed plugins."""
    from mszoo import components

    filled = Registry()
    _add(filled, components, "mszoo", _version("mszoo"))
    discover(filled)
    return filled


def discover(into: Registry) -> None:
    """Load every installed plugin that ``MSZOO_PLUGINS`` allows; a bad one is disabled with a warning."""
    allowed = os.environ.get("MSZOO_PLUGINS")
    names = None if allowed is None else {n.strip() for n in allowed.split(",") if n.strip()}
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda e: e.name):
        if names is not None and entry.name not in names:
            continue
        distribution = entry.dist.name if entry.dist else entry.name
        version = entry.dist.version if entry.dist else ""
        try:
            _add(into, entry.load(), distribution, version)
        except (Exception, SystemExit) as error:
            warnings.warn(
                f"plugin {entry.name!r} of distribution {distribution!r} {version} is disabled: "
                f"{type(error).__name__}: {error}",
                stacklevel=2,
            )


def _add(into: Registry, plugin: object, distribution: str, version: str) -> None:
    """Register all of a plugin's components, or none of them."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    manager.register(plugin)
    manager.check_pending()
    if not manager.get_hookcallers(plugin):
        raise TypeError("it implements no hook of mszoo: decorate mszoo_components with @mszoo.hookimpl")
    trial = into.copy()
    for specs in manager.hook.mszoo_components():
        for spec in specs:
            if not isinstance(spec, Spec):
                raise TypeError(f"mszoo_components gave {spec!r}, which is not a mszoo.Spec")
            trial.register(replace(spec, distribution=distribution, version=version))
    into.update(trial)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return ""
