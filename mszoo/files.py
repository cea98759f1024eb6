"""Files: strangers' are read up to a limit of size, our own are replaced whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

__all__ = ["check_plain", "read_text", "replace_file"]

_LARGEST_TEXT = 2**20  # bytes


def check_plain(path: Path) -> os.stat_result:
    """The state of a file that can be read to its end.

    Raises:
        OSError: there is none.
        ValueError: a folder, or a FIFO or a device, which has no end.
    """
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise ValueError("it is no plain file")
    return state


def read_text(path: Path, largest: int = _LARGEST_TEXT) -> str:
    """The text of a file that may be a stranger's.

    Raises:
        OSError: there is none to read.
        ValueError: no UTF-8, more bytes than ``largest``, or no plain file (a device has no end).
    """
    state = check_plain(path)
    if state.st_size > largest:
        raise ValueError(f"it has {state.st_size:,} bytes, and at most {largest:,} are read")
    return path.read_text(encoding="utf-8")


def replace_file(path: Path, write_to: Callable[[Path], object]) -> None:
    """Write through a temporary name, flushed to the disk and renamed: readers see the old file or the new one.

    Raises:
        OSError: it cannot be written; the file that was there is as it was.
    """
    # cut, for a name may be as long as the file system allows
    temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}.part")
    try:
        write_to(temporary)
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
