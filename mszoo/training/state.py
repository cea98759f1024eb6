"""The state from which a killed run continues: Accelerate's, written whole or not at all.

It lives in ``OUT/state/step-XXXXXXXX``. It is never pushed or pulled: it is pickled (and read as tensors only). The
moving average is a safetensors file beside it, since Accelerate would read a registered object's pickle unrestricted.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import safetensors.torch
from accelerate import Accelerator
from torch import nn

from mszoo.errors import TrainingError

__all__ = ["latest", "load", "save"]

_AVERAGE = "average.safetensors"
_KEEP = 2
_NAME = re.compile(r"step-(\d{8})\Z")


def save(accelerator: Accelerator, folder: Path, step: int, average: nn.Module | None = None) -> None:
    """Write the state after ``step`` steps, then prune older ones. All processes call it together.

    Args:
        accelerator: whose state it is.
        folder: of all states of the run.
        step: steps done.
        average: a module that Accelerate does not know of, the same on every process; None: none.
    """
    final, temporary = _folder(folder, step), folder / f".step-{step:08d}.part"
    if accelerator.is_main_process:
        shutil.rmtree(temporary, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    accelerator.wait_for_everyone()
    try:
        _write(accelerator, temporary, average)
    except Exception:
        if accelerator.is_main_process:  # a full disk has better uses for it
            shutil.rmtree(temporary, ignore_errors=True)
        raise
    if accelerator.is_main_process:
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
        for old in _whole(folder)[:-_KEEP]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def _write(accelerator: Accelerator, temporary: Path, average: nn.Module | None) -> None:
    accelerator.save_state(str(temporary))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        if average is not None:
            tensors = {name: tensor.contiguous() for name, tensor in average.state_dict().items()}
            safetensors.torch.save_file(tensors, temporary / _AVERAGE)
        for file in temporary.rglob("*"):
            if file.is_file():
                with open(file, "rb") as handle:
                    os.fsync(handle.fileno())


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
    """Restore the state after ``step`` steps. Raises :class:`TrainingError` if it does not fit this run.

    Args:
        accelerator: whose state it is.
        folder: of all states of the run.
        step: steps done.
        average: a module that Accelerate does not know of, the same on every process; None: none.
    """
    path = _folder(folder, step)
    try:
        accelerator.load_state(str(path))
        if average is not None:
            average.load_state_dict(safetensors.torch.load_file(path / _AVERAGE))
    except Exception as error:
        raise TrainingError(
            f"cannot resume from {path}: {error}; if the recipe's model or optimizer was changed, start a new run "
            f"with another --out"
        ) from error


def _folder(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}"


def _whole(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if _NAME.match(p.name)) if folder.is_dir() else []
