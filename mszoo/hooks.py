"""How components reach the registry: one pluggy hook, for the built-ins and for every plugin alike.

A plugin is an installed distribution with an entry point in group ``mszoo`` that names a module (or object)
with an implementation of :meth:`Hooks.mszoo_components`::

    # pyproject.toml                          # my_plugin.py
    [project.entry-points.mszoo]              import mszoo
    my-plugin = "my_plugin"
                                              @mszoo.hookimpl
                                              def mszoo_components():
                                                  yield mszoo.Spec("basis", "mine", "my_basis:Mine", "one line")
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from mszoo.registry import Spec

__all__ = ["GROUP", "Hooks", "hookimpl"]

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
        The class must be a subclass of its kind's base (:data:`mszoo.registry.BASES`) and pass
        :mod:`mszoo.testing`.
        """
