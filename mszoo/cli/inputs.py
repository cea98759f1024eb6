"""What a verb was given, checked before torch is loaded: that takes seconds, and a mistyped name none."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from mszoo.cli.options import number
from mszoo.errors import DataError, MszooError
from mszoo.recipe import SIGMAS

__all__ = ["check_images", "check_model", "noise_levels", "titles"]


def check_images(path: str) -> None:
    """Raises :class:`DataError` unless there is a folder, a file or a match of a glob."""
    root = Path(path).expanduser()
    try:
        there = root.is_dir() or root.is_file() or any(glob.iglob(str(root), recursive=True))
    except (OSError, ValueError):  # longer than a name may be, or with a NUL
        there = False
    if not there:
        raise DataError(f"no such folder, zip file, image or match: {path}")


def check_model(name: str) -> None:
    """Raises :class:`CheckpointError` unless there is a model of that name; one of the Hub is fetched."""
    from mszoo.hub import find

    find(name)


def noise_levels(given: Sequence[str] | None) -> list[float]:
    """``--sigma`` as often as it was given; the usual ones if it was not."""
    return [number(text, "--sigma") for text in given] if given else list(SIGMAS)


def titles(models: Sequence[str]) -> list[str]:
    """What to call each model: its name; of a folder, the folder's.

    Raises:
        MszooError: there is no such model, or two would be called the same.
    """
    for model in models:
        check_model(model)
    names = [Path(name).resolve().name if Path(name).is_dir() else name for name in models]
    if len(set(names)) < len(names):
        raise MszooError("two of the models have the same name")
    return names
