"""Files that are made when they are asked for, and stay on the disk: all of them, or those that were used last."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import platformdirs
from filelock import FileLock

from mszoo.files import replace_file

__all__ = ["Kept", "cache_folder", "digest"]

_LOCKS = 16


def cache_folder(chosen: str | None) -> Path:
    """Where data of elsewhere is kept: the folder that was chosen; None: the user's, of mszoo."""
    if chosen is not None:
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("mszoo", appauthor=False) / "shards"


def digest(text: str) -> str:
    """A name for a file of what has none that is short, 16 characters: the same on every machine."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Kept:
    """Files by their names, each made by one process of the machine while the others that want it wait.

    Args:
        folder: where they are; there are no other files if only some stay.
        most: how many stay, those that were used last; None: all.
    """

    def __init__(self, folder: Path, most: int | None = None) -> None:
        self._folder, self._most = folder, most

    def open(self, name: str, make: Callable[[Path], object]) -> IO[bytes]:
        """The file, open for reading; open it can be read to its end, whether or not it stays.

        Args:
            name: of the file, not hidden.
            make: writes it to a path, if it is not there.
        """
        place = self._folder / name
        while True:
            with suppress(FileNotFoundError):
                os.utime(place)
                return open(place, "rb")
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / f".{zlib.crc32(name.encode()) % _LOCKS}.lock"):
                if not place.exists():
                    replace_file(place, make)
                    self._prune()

    def _prune(self) -> None:
        if self._most is None:
            return
        files = [path for path in self._folder.iterdir() if path.name[0] != "."]
        for old in sorted(files, key=_last_used)[: -self._most]:
            with suppress(OSError):  # another process was faster
                old.unlink()


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
