"""mszoo plugin new: the skeleton of a plugin."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mszoo.cli.output import console

__all__ = ["app"]

app = typer.Typer(help="Make a plugin of your own.", no_args_is_help=True)


class Kind(str, Enum):
    """Of the component."""

    basis = "basis"
    conditioner = "conditioner"
    head = "head"
    objective = "objective"
    dataset = "dataset"
    sampler = "sampler"
    importer = "importer"


@app.callback()
def plugin() -> None:
    """Make a plugin of your own."""


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the distribution, such as mszoo-mine.")],
    kind: Annotated[Kind, typer.Option(help="What it provides.")],
    out: Annotated[Path | None, typer.Option(help="Folder to make; by default the name, here.")] = None,
) -> None:
    """Write a working plugin: a distribution, a component, and tests of its contract that pass."""
    from mszoo.scaffold import new_plugin

    folder = out or Path(name)
    for path in new_plugin(name, kind.value, folder):
        console.print(escape(str(path)), soft_wrap=True)
    console.print(f"next: cd {escape(str(folder))} && pip install -e '.\\[test]' && pytest")
