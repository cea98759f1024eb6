"""A run's folder: one run at a time writes into it, and no model is replaced without ``overwrite``."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from mszoo.checkpoint.folder import CONFIG
from mszoo.errors import TrainingError

try:
    import fcntl
except ImportError:  # Windows: there two runs may write into one folder
    fcntl = None

__all__ = ["check_free", "hold"]

_LOCK = ".lock"


def check_free(out: Path) -> None:
    """Raise :class:`TrainingError` if a folder holds a model that is no run's, or a run's that cannot go on."""
    if (out / CONFIG).exists():
        raise TrainingError(
            f"{out} holds a model, and no training state to go on from: it would be replaced. Choose another --out "
            f"(training.init={out} starts from its weights), or let it be replaced with --overwrite"
        )


@contextmanager
def hold(out: Path, accelerator: Accelerator | None = None) -> Iterator[None]:
    """Keep other processes from writing into a folder, which is made if it is not there.

    The lock is the operating system's on this process: it ends with it, however that ends, and not with the launcher.

    Args:
        out: the folder.
        accelerator: of a run of several processes, whose main one holds the folder; None: this process does.

    Raises:
        TrainingError: another process holds it; on every process.
    """
    main, made = accelerator is None or accelerator.is_main_process, [p for p in (out, *out.parents) if not p.exists()]
    file: IO[str] | None = None
    holder: str | None = None
    if main:
        out.mkdir(parents=True, exist_ok=True)
        file = open(out / _LOCK, "a+", encoding="utf-8")  # noqa: SIM115 (open as long as it is held)
        holder = _lock(file)
        if holder is None:
            _clear(out)
    if accelerator is not None:
        holder = broadcast_object_list([holder])[0]
    try:
        if holder is not None:
            raise TrainingError(
                f"{out} is in use: {holder} writes into it. Wait until it is done, end it (it trains on though its "
                f"launcher is gone), or choose another --out"
            )
        yield
    finally:
        if file is not None:
            file.close()
            if made and os.listdir(out) == [_LOCK]:  # nothing came of it
                (out / _LOCK).unlink()
                for folder in made:
                    folder.rmdir()


def _clear(out: Path) -> None:
    """Remove what a killed process left half-written."""
    for part in (*out.glob(".*.part"), *out.glob("state/.*.part")):
        shutil.rmtree(part) if part.is_dir() else part.unlink()


def _lock(file: IO[str]) -> str | None:
    """Lock an open file and write this process's name into it; if it is locked, return the holder's name.

    A POSIX lock: children that are forked, such as those that read images, do not hold it.
    """
    if fcntl is None:
        return None
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        return file.read(200).strip() or "another process"
    except OSError:  # a file system without locks
        return None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}\n")
    file.flush()
    return None
