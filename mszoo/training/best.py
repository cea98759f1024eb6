"""The best model of a run, by its PSNR or its log p on the test images: a checkpoint of its own, ``OUT/best``."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

from mszoo.checkpoint.folder import CONFIG
from mszoo.files import read_text, replace_file
from mszoo.model import MultiScaleModel
from mszoo.training.saving import unsaved
from mszoo.training.start import Run

__all__ = ["clear_best", "keep_best"]

_FOLDER, _RECORD = "best", "best.json"


def keep_best(run: Run, model: MultiScaleModel, at: int, measured: Mapping[str | float, float]) -> None:
    """Write the model, if it is better than the best so far; on the main process alone.

    What is recorded of it is written after it: a run that is killed in between measures the same model once more.

    Args:
        run: its recipe says what is compared.
        model: after ``at`` steps.
        at: steps done.
        measured: what :func:`mszoo.training.measuring.evaluate` gave; the largest PSNR is the best, the least nll.

    Raises:
        TrainingError: the disk is full, or cannot be written; the best model before is whole.
    """
    measure = run.recipe.training.best
    if measure is None or not run.accelerator.is_main_process:
        return
    value, before = measured[measure], _value(run.out / _FOLDER, measure)
    worse = before is not None and (value >= before if measure == "nll" else value <= before)
    if worse or not math.isfinite(value):
        return
    record = json.dumps({"step": at, "measure": measure, "value": value}) + "\n"
    try:
        model.save_pretrained(run.out / _FOLDER, beside={"recipe.yaml": run.source.text()})
        replace_file(run.out / _FOLDER / _RECORD, lambda part: part.write_text(record, encoding="utf-8"))
    except OSError as error:
        raise unsaved(run, f"the best model, of step {at},", error) from error


def clear_best(out: Path) -> None:
    """Remove it, of a run that begins anew."""
    shutil.rmtree(out / _FOLDER, ignore_errors=True)


def _value(folder: Path, measure: str | float) -> float | None:
    """What the best so far has come to by this measure; None: there is none, or it was chosen by another."""
    try:
        record = json.loads(read_text(folder / _RECORD))
        return float(record["value"]) if record["measure"] == measure and (folder / CONFIG).exists() else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
