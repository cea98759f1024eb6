"""The verb that runs the papers' experiments."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress

from mszoo.cli.output import Seed, console, errors, table


class Experiment(str, Enum):
    """What there is."""

    scale_mixture = "scale-mixture"


def experiment(
    name: Annotated[Experiment, typer.Argument(help="Which one.")],
    out: Annotated[Path | None, typer.Option(help="Folder for table and plot; by default experiments/NAME.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps; by default the paper's.")] = None,
    seed: Seed = 0,
) -> None:
    """Run an experiment of the papers: it prints a table, and writes it as CSV beside a plot."""
    folder = out or Path("experiments") / name.value
    folder.mkdir(parents=True, exist_ok=True)
    {Experiment.scale_mixture: scale_mixture}[name](folder, steps, seed)
    console.print(f"wrote {escape(', '.join(sorted(str(p) for p in folder.iterdir())))}", soft_wrap=True)


def scale_mixture(out: Path, steps: int | None, seed: int) -> None:
    """Dual against single score matching on a mixture of two scales, d = 1000."""
    from mszoo.evaluation import write_csv
    from mszoo.experiments.scale_mixture import compare, plot, train

    energies, seconds, steps = {}, {}, steps or 20_000
    with Progress(console=errors, transient=True) as progress:
        for title in ("dual", "single"):
            task = progress.add_task(f"{title} score matching", total=steps)
            began = time.monotonic()
            energies[title] = train(
                title == "dual", steps=steps, seed=seed, progress=lambda step, task=task: progress.advance(task)
            )
            seconds[title] = time.monotonic() - began
    rows = compare(energies)
    write_csv(rows, out / "scale-mixture.csv")
    plot(rows, out / "scale-mixture.png")
    shown = table("score matching", "seconds", "r/sqrt(d)", "t", "exact dB/dim", "learned", "error")
    for row in rows:
        if row.t == min(r.t for r in rows) and row.radius in (1.0, 4.0):
            numbers = f"{row.exact:.3f}", f"{row.learned:.3f}", f"{row.error:+.3f}"
            shown.add_row(row.objective, f"{seconds[row.objective]:.0f}", f"{row.radius:g}", f"{row.t:g}", *numbers)
    console.print(shown)
