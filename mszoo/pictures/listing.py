"""Which files of a folder are images."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mszoo.errors import DataError
from mszoo.registry import natural_order

__all__ = ["SUFFIXES", "Listing", "find_images", "hidden", "list_folder"]

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
    for path in _walk(folder, {_identity(f) for f in without if f.is_dir()}, listing.left_out):
        if hidden(path.name):
            listing.left_out["hidden"] += 1
        elif path.suffix.lower() not in SUFFIXES:
            listing.left_out["no image format"] += 1
        elif not path.is_file():
            listing.left_out["a link to nothing" if path.is_symlink() else "no plain file"] += 1
        else:
            listing.images.append(path)
    listing.images.sort(key=lambda p: natural_order(str(p)))
    return listing


def find_images(path: str) -> list[Path]:
    """Image files under a folder, matching a glob, or the one file itself, in natural order.

    Raises:
        DataError: nothing there; the message says what was looked for.
    """
    root = Path(path).expanduser()  # a shell leaves the ~ in KEY=~/photos
    if root.is_dir():
        found = list_folder(root).images
        if not found:
            raise DataError(f"no image files in folder {path} ({', '.join(sorted(SUFFIXES))})")
    elif root.exists():
        found = [root]
    else:
        found = [Path(p) for p in glob.glob(str(root), recursive=True) if Path(p).is_file()]
        if not found:
            raise DataError(f"no such folder, zip file, image or match: {path}")
    return sorted(found, key=lambda p: natural_order(str(p)))


def hidden(name: str) -> bool:
    """Whether some part of a path is hidden, or macOS's folder of resource forks."""
    return any(part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in Path(name).parts)


def _walk(folder: Path, entered: set[tuple[int, int]], left_out: Counter[str]) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        left_out["a folder that cannot be read"] += 1

    entered.add(_identity(folder))
    for here, folders, files in os.walk(folder, followlinks=True, onerror=unreadable):
        kept = []
        for name in folders:
            inner = _identity(Path(here, name))
            if hidden(name):
                left_out["a hidden folder"] += 1
            elif inner not in entered:
                entered.add(inner)
                kept.append(name)
        folders[:] = kept
        yield from (Path(here, name) for name in files)


def _identity(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_dev, state.st_ino
