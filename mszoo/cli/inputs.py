"""Checks of a verb's arguments without torch: a mistyped name is reported before torch's seconds of loading.

Each check returns what it was given, so that it serves as the callback of an option or an argument.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path

from mszoo.errors import DataError, MszooError

__all__ = [
    "check_alone",
    "check_folder",
    "check_images",
    "check_model",
    "check_models",
    "check_named",
]


def check_alone(instead: str) -> None:
    """Raises :class:`MszooError` if a launcher has started several processes, each of which would do the same.

    Args:
        instead: what several can do.
    """
    count = os.environ.get("WORLD_SIZE", "1")
    if count != "1":
        raise MszooError(f"{count} processes were started, and each would do all of it: {instead}")


def check_images(path: str | None) -> str | None:
    """Raises :class:`DataError` unless there is a folder, a file or a match of a glob (or nothing was given)."""
    if path is None:
        return None
    root = Path(path).expanduser()
    try:
        if root.exists() and not (root.is_dir() or root.is_file()):
            raise DataError(f"{path} is no plain file: a FIFO or a device has no end")
        there = root.is_dir() or root.is_file() or any(glob.iglob(str(root), recursive=True))
    except (OSError, ValueError):  # longer than a name may be, or with a NUL
        there = False
    if not there:
        raise DataError(f"no such folder, zip file, image or match: {path}")
    return path


def check_model(name: str) -> str:
    """Raises :class:`CheckpointError` unless there is a model of that name; one of the Hub is fetched."""
    from mszoo.hub import find

    find(name)
    return name


def check_named(name: str | None) -> str | None:
    """The same where a model need not be named."""
    return None if name is None else check_model(name)


def check_models(names: list[str]) -> list[str]:
    """The same for several."""
    return [check_model(name) for name in names]


def check_folder(path: Path | None) -> Path | None:
    """Raises :class:`MszooError` for a folder that cannot be made or written into; it is not made yet."""
    if path is None:
        return None
    try:
        nearest = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    except OSError as error:
        raise MszooError(f"{path}: {error.strerror}") from None
    if not nearest.is_dir():
        raise MszooError(f"{path} cannot be a folder to write to: {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise MszooError(f"{path} cannot be written to: no permission in {nearest}")
    return path
