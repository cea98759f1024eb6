"""The command line: thin, each verb calls what Python users call."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated, Any

import typer

from mszoo.cli import experiments, generating, hub, listing, plugins, probability, training, using
from mszoo.cli.output import console, fail, print_error
from mszoo.errors import MszooError, RecipeError

__all__ = ["app", "main"]

app = typer.Typer(
    name="mszoo",
    help="A plugin-based model zoo of image probability models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for verb in (
    *(listing.components, listing.plugins, listing.recipes, listing.models, listing.info),
    *(training.train, training.assemble),
    *(using.denoise, using.evaluate, using.demo),
    *(generating.sample, generating.solve),
    *(hub.push, hub.pull, hub.card),
):
    app.command()(verb)
app.command("super-resolve")(generating.super_resolve)
app.command("log-prob")(probability.log_prob)
convert = typer.Typer(help="Turn other people's checkpoints into mszoo's.", no_args_is_help=True)
convert.command("paper-a")(training.convert_paper_a)
convert.command("paper-b")(training.convert_paper_b)
app.add_typer(convert, name="convert")
app.add_typer(experiments.app, name="experiment")
app.add_typer(plugins.app, name="plugin")


def main() -> None:
    """Run the command line; a user's error is one message and exit code 1."""
    warnings.showwarning = _show_warning
    try:
        app()
    except RecipeError as error:
        if os.environ.get("RANK", "0") != "0":  # every process of a launch finds the same faults; one tells them
            sys.exit(1)
        fail(str(error))
    except MszooError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        fail("stopped", 130)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, UserWarning):
        print_error(str(message), "[yellow]warning:[/]")


@app.callback(invoke_without_command=True)
def version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """A plugin-based model zoo of image probability models."""
    if version:
        from mszoo import __version__

        console.print(__version__)
        raise typer.Exit
