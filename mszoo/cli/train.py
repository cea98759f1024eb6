"""mszoo train: train the model of a recipe."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mszoo.cli.options import complete_recipe
from mszoo.cli.output import console, fail, speaks

__all__ = ["train"]


def train(
    recipe: Annotated[
        str, typer.Argument(help="A YAML file, or the name of a shipped recipe.", autocompletion=complete_recipe)
    ],
    overrides: Annotated[list[str] | None, typer.Argument(help="key.path=value, such as training.steps=200.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default runs/NAME.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the folder.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew, whatever model or run the folder holds.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all, open the data, print recipe and sizes; train nothing.")
    ] = False,
) -> None:
    """Train a recipe's model. For several processes: accelerate launch -m mszoo train RECIPE ..."""
    from mszoo.recipe import read_recipe

    source = read_recipe(recipe, overrides or [])  # before torch is loaded: the name may be mistyped

    from mszoo.training import rehearse
    from mszoo.training import train as run

    if dry_run:
        checked, model = rehearse(source)
        import yaml

        console.print(escape(yaml.safe_dump(checked.model_dump(), sort_keys=False)))
        for j, head in enumerate(model.scales):
            console.print(f"scale {j}: {sum(p.numel() for p in head.parameters()):,} parameters")
        console.print(f"in all: {sum(p.numel() for p in model.parameters()):,} parameters")
        return
    folder = out or Path("runs") / str(source.values.get("name", "unnamed"))
    try:
        run(source, folder, resume, overwrite)
        if speaks():
            name = escape(str(folder))
            console.print(f"wrote {name}: it is what --model {name} takes", soft_wrap=True)
    except KeyboardInterrupt as stop:
        number = getattr(stop, "number", signal.SIGINT)  # of a run that has saved its state, or had none yet
        if not speaks():
            sys.exit(128 + number)
        again = shlex.join(["mszoo", "train", recipe, *(overrides or []), "--out", str(folder), "--resume"])
        fail(f"{str(stop) or 'stopped'}; go on with: {again}", 128 + number)
