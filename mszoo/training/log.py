"""Reports of a run: a progress bar for people, ``metrics.jsonl`` for programs, and a tracker."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mszoo.files import replace_file
from mszoo.recipe import Recipe
from mszoo.training.divided import divides
from mszoo.training.tracking import Tracker

__all__ = ["METRICS", "Log"]

METRICS = "metrics.jsonl"
_LINE_EVERY = 30.0  # seconds between lines where there is no terminal to draw a bar on


class Log:
    """Metrics of a run; silent on all processes but the main one.

    Args:
        out: the run's folder, with ``metrics.jsonl``. Lines past ``start`` (of a run that was killed) are dropped.
        recipe: its name, and how many steps there are in all.
        start: steps before this session.
        accelerator: devices and processes.

    Attributes:
        tracker: the recipe's.
    """

    def __init__(self, out: Path, recipe: Recipe, start: int, accelerator: Accelerator) -> None:
        path, main = out / METRICS, accelerator.is_main_process
        self._path, self._main, self._name, self._stop = path, main, recipe.name, recipe.training.steps
        self._console = Console(stderr=True, quiet=not main)
        self._live = self._console.is_terminal
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[metrics]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console, disable=not (main and self._live))
        self._task = self._bar.add_task(self._name, total=self._stop, completed=start, metrics="")
        self._last_line = 0.0
        self.tracker = Tracker(accelerator, recipe, start)
        if main:
            out.mkdir(parents=True, exist_ok=True)
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
            kept = [line for line in lines if _step_of(line) <= start] if start else []
            replace_file(path, lambda p: p.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8"))
        kind = "FSDP" if divides(accelerator) else accelerator.distributed_type.value
        processes, device = accelerator.num_processes, accelerator.device
        self.write("start", start, processes=processes, distributed=kind, device=str(device))
        self.say(f"{self._name}: {processes} process{'es' * (processes > 1)} ({kind}), {device}, into {out}")

    def __enter__(self) -> Log:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, highlight=False, markup=False)

    def write(self, event: str, step: int, **values: Any) -> None:
        """Append a record to the file. Raises :class:`OSError`, with the file's name, if it cannot be."""
        if self._main:
            try:
                with open(self._path, "a", encoding="utf-8") as file:
                    file.write(json.dumps({"event": event, "step": step, **values}) + "\n")
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self._path)) from None

    def progress(self, step: int, loss: float, images_per_second: float, **values: Any) -> None:
        """Record and show how training goes after ``step`` steps."""
        self.write("train", step, loss=loss, images_per_second=round(images_per_second, 2), **values)
        values |= {"loss": loss, "images_per_second": images_per_second}
        self.tracker.numbers({f"train/{name}": value for name, value in values.items()}, step)
        metrics = f"loss {loss:.4g}, {images_per_second:.1f} images/s"
        self._bar.update(self._task, completed=step, metrics=metrics)
        if not self._live and (time.monotonic() - self._last_line > _LINE_EVERY or step == self._stop):
            self._last_line = time.monotonic()
            self.say(f"{self._name}: step {step}/{self._stop}, {metrics}")


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a line cut off by the kill
