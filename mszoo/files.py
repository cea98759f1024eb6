"""Files: strangers' are read up to a limit of size, our own are replaced whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["check_plain", "flush", "read_text", "removed_on_failure", "replace_file"]

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

    A process that is killed leaves its hidden ``.NAME.PROCESS.part``, which nothing reads.

    Raises:
        OSError: it cannot be written; the file that was there is as it was.
    """
    # cut, for a name may be as long as the file system allows
    temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}.part")
    with removed_on_failure(temporary):
        write_to(temporary)
        flush(temporary)
        os.replace(temporary, path)


def flush(path: Path) -> None:
    """Have the disk hold what was written to a file."""
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())


@contextmanager
def removed_on_failure(*temporary: Path) -> Iterator[None]:
    """Remove files, those that are there, if what is done with them fails; the disk may be full of them."""
    try:
        yield
    except BaseException:
        for path in temporary:
            with suppress(OSError):  # what failed is told, not this
                path.unlink(missing_ok=True)
        raise
