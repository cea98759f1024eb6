"""Consoles and tables for every verb. No text, and no output that cannot be written to, ends a command."""

from __future__ import annotations

import math
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from mszoo.text import one_line, printable

if TYPE_CHECKING:
    from mszoo.evaluation import Likelihood, Result

__all__ = [
    "AsJson",
    "console",
    "errors",
    "escape_unknown",
    "fail",
    "plain",
    "print_error",
    "print_json",
    "print_likelihood",
    "print_psnr",
    "speaks",
    "table",
]


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


class _Console(Console):
    """A console that prints no control characters, and is silent once its output is closed."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Text without control characters: it may quote a stranger's file."""
        return super().render_str(printable(text), **options)

    def __exit__(self, *exception: Any) -> None:
        """Write what was printed (all output passes through here, progress bars too); ignore a full disk."""
        try:
            super().__exit__(*exception)
        except OSError:  # a full disk, say; a broken pipe comes to `on_broken_pipe`
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Print nothing from now on, and let the command go on."""
        self.quiet = True
        with suppress(OSError, ValueError):  # or else Python fails to flush its buffer at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


_reads_lines = sys.stdout is not None and sys.stdout.isatty()
# Lines of a pipe or a file are not wrapped at a terminal's width.
console = _Console(highlight=False, width=None if _reads_lines or "COLUMNS" in os.environ else 200)
errors = _Console(stderr=True, highlight=False)


def escape_unknown() -> None:
    r"""From now on characters that an encoding does not have are printed as ``\u4e2d``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def plain(text: object) -> str:
    """A name, a path or a description for a line or a cell: on one line, without markup."""
    return escape(one_line(str(text)))


def print_error(message: str, kind: str = "[bold red]error:[/]") -> None:
    """One message on standard error."""
    errors.print(f"{kind} {escape(message)}", soft_wrap=True)


def print_json(value: Any) -> None:
    """A value for programs: ASCII, so that any terminal and any pipe takes it; null for a number that is not finite."""
    import json

    console.print(json.dumps(_finite(value), indent=1, default=str), markup=False, soft_wrap=True)


def _finite(value: Any) -> Any:
    """The same without NaN and infinity, which JSON has not."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def speaks() -> bool:
    """Whether this process tells what every process of a launch finds: the first one, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def fail(message: str, code: int = 1) -> NoReturn:
    """Print an error and leave with an exit code."""
    print_error(message)
    sys.exit(code)


def table(*columns: str) -> Table:
    """A plain table."""
    return Table(*(Column(c, overflow="fold") for c in columns), box=None, header_style="bold", pad_edge=False)


def print_likelihood(result: Likelihood) -> None:
    """Mean log p."""
    numbers = f"{result.nll:.4f} bits/dim (8-bit convention), {result.db_per_dim:.3f} dB/dim"
    console.print(f"{plain(result.data)}: {numbers}, mean of {result.images} image(s)")


def print_psnr(result: Result) -> None:
    """PSNR per noise level."""
    count = f"{result.rows[0].images} image(s)" if result.rows else "no images"
    views = f", {result.views} views of each" if result.views > 1 else ""
    console.print(
        f"{plain(result.data)}: PSNR in dB, mean of per-image values, {count}{views}, noise seed {result.seed}"
    )
    rows = table("sigma", "sigma x 255", "noisy", "denoised")
    for row in result.rows:
        rows.add_row(f"{row.sigma:.4g}", f"{row.sigma * 255:.4g}", f"{row.noisy:.2f}", f"{row.denoised:.2f}")
    console.print(rows)
