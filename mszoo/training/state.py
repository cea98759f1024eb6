"""The state from which a killed run continues: Accelerate's, written whole or not at all.

It lives in ``OUT/state/step-XXXXXXXX``. It is never pushed or pulled: it is pickled (and read as tensors only). The
moving average is a safetensors file beside it, since Accelerate would read a registered object's pickle unrestricted.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import safetensors.torch
from accelerate import Accelerator
from safetensors import SafetensorError
from torch import nn

from mszoo.checkpoint.folder import checksum
from mszoo.errors import TrainingError
from mszoo.files import flush, read_text

__all__ = ["latest", "load", "save"]

_AVERAGE, _CHECKSUMS = "average.safetensors", "sha256.json"
_NAME = re.compile(r"step-(\d{8})\Z")


def save(accelerator: Accelerator, folder: Path, step: int, average: nn.Module | None = None, keep: int = 2) -> None:
    """Write the state after ``step`` steps, then prune older ones. All processes call it together.

    Args:
        accelerator: whose state it is.
        folder: of all states of the run.
        step: steps done.
        average: a module that Accelerate does not know of, the same on every process; None: none.
        keep: how many of the newest states are left.

    Raises:
        OSError: it cannot be written; older states are whole.
    """
    final, temporary = _folder(folder, step), folder / f".step-{step:08d}.part"
    if accelerator.is_main_process:
        shutil.rmtree(temporary, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    accelerator.wait_for_everyone()
    try:
        _write(accelerator, temporary, average)
        if accelerator.is_main_process:
            shutil.rmtree(final, ignore_errors=True)
            os.replace(temporary, final)
    except Exception as error:
        if accelerator.is_main_process:  # a full disk has better uses for it
            shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, (RuntimeError, SafetensorError)):  # they have no error of their own for a full disk
            raise OSError(str(error).splitlines()[0]) from error
        raise
    if accelerator.is_main_process:
        for old in _whole(folder)[:-keep]:
            shutil.rmtree(old, ignore_errors=True)  # by the next time, if not now
    accelerator.wait_for_everyone()


def _write(accelerator: Accelerator, temporary: Path, average: nn.Module | None) -> None:
    accelerator.save_state(str(temporary))
    averaged = None if average is None else average.state_dict()  # of divided weights: by all processes together
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        if averaged is not None:
            tensors = {name: tensor.contiguous() for name, tensor in averaged.items()}
            safetensors.torch.save_file(tensors, temporary / _AVERAGE)
        files = [file for file in temporary.rglob("*") if file.is_file()]
        checksums = {str(file.relative_to(temporary)): checksum(file) for file in files}
        (temporary / _CHECKSUMS).write_text(json.dumps(checksums, indent=2) + "\n", encoding="utf-8")
        for file in (*files, temporary / _CHECKSUMS):
            flush(file)


def clear(accelerator: Accelerator, folder: Path) -> None:
    """Remove all states, of a run that begins anew. All processes call it together."""
    if accelerator.is_main_process:
        shutil.rmtree(folder, ignore_errors=True)
    accelerator.wait_for_everyone()


def latest(folder: Path) -> int | None:
    """The step of the newest whole state; None if there is none."""
    whole = _whole(folder)
    return int(whole[-1].name.removeprefix("step-")) if whole else None


def load(accelerator: Accelerator, folder: Path, step: int, average: nn.Module | None = None) -> None:
    """Restore the state after ``step`` steps.

    Args:
        accelerator: whose state it is.
        folder: of all states of the run.
        step: steps done.
        average: a module that Accelerate does not know of, the same on every process; None: none.

    Raises:
        TrainingError: it does not fit this run, or a file of it is damaged.
    """
    path = _folder(folder, step)
    _check(path)
    try:
        accelerator.load_state(str(path))
        if average is not None:
            average.load_state_dict(safetensors.torch.load_file(path / _AVERAGE))
    except Exception as error:
        raise TrainingError(
            f"cannot resume from {path}: {error}; if the recipe's model or optimizer was changed, start a new run "
            f"with another --out"
        ) from error


def _check(path: Path) -> None:
    """Hold the files of a state against their checksums; older ones have none."""
    try:
        recorded = json.loads(read_text(path / _CHECKSUMS))
        damaged = [name for name, digest in recorded.items() if checksum(path / name) != digest]
    except FileNotFoundError as error:
        if Path(error.filename).name == _CHECKSUMS:
            return
        damaged = [Path(error.filename).name]
    except (OSError, ValueError, AttributeError):
        damaged = [_CHECKSUMS]
    if damaged:
        raise TrainingError(
            f"cannot resume from {path}: {', '.join(damaged)} is damaged; remove that folder to go on from the state "
            f"before it"
        )


def _folder(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}"


def _whole(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if _NAME.match(p.name)) if folder.is_dir() else []
