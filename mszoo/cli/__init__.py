"""The command line: thin, each verb calls what Python users call."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any

import typer

from mszoo.cli.assemble import assemble
from mszoo.cli.card import card
from mszoo.cli.compare import compare
from mszoo.cli.components import components
from mszoo.cli.convert import convert
from mszoo.cli.demo import demo
from mszoo.cli.denoise import denoise
from mszoo.cli.doctor import doctor, versions
from mszoo.cli.evaluate import evaluate
from mszoo.cli.experiment import app as experiment
from mszoo.cli.guide import guide
from mszoo.cli.info import info
from mszoo.cli.log_prob import log_prob
from mszoo.cli.models import models
from mszoo.cli.output import console, escape_unknown, fail, print_error, speaks
from mszoo.cli.plugin import app as plugin
from mszoo.cli.plugins import plugins
from mszoo.cli.pull import pull
from mszoo.cli.push import push
from mszoo.cli.recipes import recipes
from mszoo.cli.report import report
from mszoo.cli.sample import sample
from mszoo.cli.solve import solve
from mszoo.cli.super_resolve import super_resolve
from mszoo.cli.train import train
from mszoo.cli.web import web
from mszoo.errors import MszooError, RecipeError

__all__ = ["app", "main"]

app = typer.Typer(
    name="mszoo",
    help="A plugin-based model zoo of image probability models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="mszoo guide first-steps: how to begin.",
)
_USE, _TRAIN, _SHARE, _EXTEND = "Use", "Train and measure", "Share", "Extend and look up"
for _panel, _verbs in {
    _USE: (demo, denoise, super_resolve, solve, sample, log_prob, web),
    _TRAIN: (train, assemble, evaluate, compare, report),
    _SHARE: (models, info, pull, push, card, convert),
    _EXTEND: (guide, components, recipes, plugins, doctor),
}.items():
    for _verb in _verbs:
        app.command(_verb.__name__.replace("_", "-"), rich_help_panel=_panel)(_verb)
app.add_typer(experiment, name="experiment", rich_help_panel=_TRAIN)
app.add_typer(plugin, name="plugin", rich_help_panel=_EXTEND)


def main() -> None:
    """Run the command line; a user's error is one message and exit code 1."""
    warnings.showwarning = _show_warning
    escape_unknown()
    try:
        app()
    except RecipeError as error:
        if not speaks():  # every process of a launch finds the same faults; one tells them
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
def version(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version, and those of what it stands on.")
    ] = False,
) -> None:
    """A plugin-based model zoo of image probability models."""
    if version:
        from mszoo import __version__

        console.print(__version__)
        console.print(", ".join(f"{name} {number}" for name, number in versions().items()), soft_wrap=True)
        raise typer.Exit
