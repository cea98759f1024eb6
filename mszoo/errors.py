"""Errors a user can act on: each message names the thing that is wrong and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CheckpointError",
    "ClashError",
    "DataError",
    "HubError",
    "ImageSizeError",
    "IncompatiblePartsError",
    "MszooError",
    "NotOnHubError",
    "OptionsError",
    "PluginError",
    "RecipeError",
    "TrainingError",
    "UnknownComponentError",
    "UnsupportedError",
    "key_path",
    "suggest",
]


class MszooError(Exception):
    """Base of every error that the command line prints as one message, without a traceback.

    Example:
        >>> import mszoo
        >>> try:  # doctest: +ELLIPSIS
        ...     mszoo.create("sampler", "huen")
        ... except MszooError as error:  # whichever it is
        ...     print(error)
        unknown sampler 'huen'; did you mean 'heun'?; ...
    """


class UnknownComponentError(MszooError, LookupError):
    """A kind or a name that nothing has registered."""


class ClashError(MszooError):
    """Two distributions register the same name."""


class PluginError(MszooError):
    """A plugin that cannot be loaded, in strict mode."""


class OptionsError(MszooError, ValueError):
    """Options that a component does not have, or of the wrong type.

    ``rows`` holds one ``(key path, message)`` per fault.

    Example:
        >>> import mszoo
        >>> try:
        ...     mszoo.create("sampler", "heun", steps=0, ro=7)
        ... except OptionsError as error:
        ...     error.owner, [key_path(path) for path, _ in error.rows]
        ("sampler 'heun'", [['steps'], ['ro']])
    """

    def __init__(self, owner: str, rows: list[tuple[tuple[str | int, ...], str]]) -> None:
        self.owner = owner
        self.rows = rows
        super().__init__("\n".join(": ".join([owner, *key_path(path), text]) for path, text in rows))


class IncompatiblePartsError(MszooError, ValueError):
    """A head and a conditioner (or a model and its data) that do not fit together."""


class ImageSizeError(MszooError, ValueError):
    """An image whose size or number of channels a model cannot take."""


class UnsupportedError(MszooError, RuntimeError):
    """A question that this model's heads cannot answer."""


class RecipeError(MszooError, ValueError):
    """A recipe with faults; the message lists all of them with file, line and key path."""


class CheckpointError(MszooError):
    """A folder that is not a whole, readable checkpoint."""


class HubError(CheckpointError):
    """The Hub cannot give, or take, what was asked of it."""


class NotOnHubError(HubError):
    """The Hub has no such repository, or does not show it."""


class DataError(MszooError):
    """Images that cannot be found or read."""


class TrainingError(MszooError):
    """A training run that cannot start or go on."""


def suggest(name: str, known: Iterable[str], how_many: int = 3, before: str = "") -> str:
    """``"; did you mean 'a' or 'b'?"``, or an empty string when nothing is close.

    Args:
        name: what was asked for.
        known: the names that there are.
        how_many: the most that are suggested.
        before: what stands before each of them, such as the folder that they are in.

    Example:
        >>> f"no colour 'gray'{suggest('gray', ['grey', 'red'])}"
        "no colour 'gray'; did you mean 'grey'?"
    """
    close = difflib.get_close_matches(name, list(known), n=how_many, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(before + c) for c in close)}?" if close else ""


def key_path(path: tuple[str | int, ...]) -> list[str]:
    """``["model.detail[0].head"]`` for ``("model", "detail", 0, "head")``; an empty list for no path.

    Example:
        >>> key_path(("model", "detail", 0, "head")), key_path(())
        (['model.detail[0].head'], [])
    """
    joined = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)
    return [joined.removeprefix(".")] if joined else []
