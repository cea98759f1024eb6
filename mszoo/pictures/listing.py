"""Which files of a folder are images."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mszoo.errors import DataError
from mszoo.registry import natural_order

__all__ = ["SUFFIXES", "Listing", "find_images", "hidden", "in_order", "list_folder"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})


@dataclass
class Listing:
    """The images of a folder, in natural order, and what else lies there.

    Attributes:
        images: paths that begin with the folder.
        left_out: how many files were left out, by reason.
    """

    images: list[Path]
    left_out: Counter[str] = field(default_factory=Counter)


def list_folder(folder: Path, without: Collection[Path] = ()) -> Listing:
    """All images under a folder; linked subfolders are followed, each folder is entered once.

    Args:
        folder: where to look, to the bottom. Hidden files and folders (``.name``: ``._*``, ``.ipynb_checkpoints``) are
            left out, as well as FIFOs and devices, which have no end.
        without: folders not to enter.
    """
    listing = Listing([])
    listing.images = [Path(name) for name in _list(folder, without, listing.left_out)]
    return listing


def find_images(path: str) -> list[str]:
    """Image files under a folder, matching a glob, or the one file itself, in natural order.

    Raises:
        DataError: nothing there; the message says what was looked for.
    """
    root = Path(path).expanduser()  # a shell leaves the ~ in KEY=~/photos
    if root.is_dir():
        found = _list(root, (), Counter())
        if not found:
            raise DataError(f"no image files in folder {path} ({', '.join(sorted(SUFFIXES))})")
        return found
    if root.exists():
        return [str(root)]
    found = [str(Path(p)) for p in glob.glob(str(root), recursive=True) if os.path.isfile(p)]
    if not found:
        raise DataError(f"no such folder, zip file, image or match: {path}")
    return in_order(found)


def in_order(names: Iterable[str]) -> list[str]:
    """In natural order, whatever theirs was: ``007`` and ``7``, alike in it, by their characters."""
    plain = sorted(names)
    same = os.path.commonprefix([plain[0], plain[-1]]) if plain else ""  # noqa: RUF071 (cut to a folder below)
    start = same.rfind("/") + 1  # what all begin with has no weight
    return sorted(plain, key=lambda name: natural_order(name[start:]))


def hidden(name: str) -> bool:
    """Whether some part of a path is hidden, or macOS's folder of resource forks."""
    parts = Path(name).parts if os.sep in name or "/" in name else (name,)
    return any(part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in parts)


def _list(folder: Path, without: Collection[Path], left_out: Counter[str]) -> list[str]:
    """Paths as texts: of a million files, objects of their own take longer than all else."""
    root = "" if str(folder) == "." else os.path.join(str(folder), "")
    return in_order(_walk(root, {_identity(f) for f in (folder, *without) if f.is_dir()}, left_out))


def _walk(folder: str, entered: set[tuple[int, int]], left_out: Counter[str]) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder or "."))
    except OSError:
        left_out["a folder that cannot be read"] += 1
        return
    for entry in entries:
        name, path = entry.name, folder + entry.name
        if entry.is_dir():
            if hidden(name):
                left_out["a hidden folder"] += 1
            elif (inner := _identity(path)) not in entered:
                entered.add(inner)
                yield from _walk(os.path.join(path, ""), entered, left_out)
        elif hidden(name):
            left_out["hidden"] += 1
        elif os.path.splitext(name)[1].lower() not in SUFFIXES:
            left_out["no image format"] += 1
        elif not entry.is_file():
            left_out["a link to nothing" if entry.is_symlink() else "no plain file"] += 1
        else:
            yield path


def _identity(path: str | Path) -> tuple[int, int]:
    state = os.stat(path)
    return state.st_dev, state.st_ino
