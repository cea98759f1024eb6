"""mszoo assemble: put together a model of scales that were trained apart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mszoo.cli.output import console

__all__ = ["assemble"]


def assemble(
    out: Annotated[Path, typer.Argument(help="Folder of the assembled model.")],
    runs: Annotated[list[Path], typer.Argument(help="Runs of one model, each with training.scales of its own.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model that OUT holds.")] = False,
) -> None:
    """Put together a model whose scales were trained by different runs."""
    from mszoo.training import assemble as put_together

    put_together(out, runs, overwrite)
    console.print(f"wrote {escape(str(out))}")
