"""What every verb prints with: consoles and tables."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

__all__ = [
    "console",
    "errors",
    "fail",
    "print_error",
    "print_likelihood",
    "print_psnr",
    "table",
]

# Lines of a pipe or a file are not wrapped at a terminal's width.
console = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 200)
errors = Console(stderr=True, highlight=False)


def print_error(message: str, kind: str = "[bold red]error:[/]") -> None:
    """One message on standard error."""
    # it may quote what a stranger wrote into a file: nothing of it may steer the terminal
    shown = "".join(c if c.isprintable() or c == "\n" else "?" for c in message)
    errors.print(f"{kind} {escape(shown)}", soft_wrap=True)


def fail(message: str, code: int = 1) -> NoReturn:
    """Print an error and leave with an exit code."""
    print_error(message)
    sys.exit(code)


def table(*columns: str) -> Table:
    """A plain table."""
    return Table(*(Column(c, overflow="fold") for c in columns), box=None, header_style="bold", pad_edge=False)


def print_likelihood(result: Any) -> None:
    """Mean log p; a :class:`mszoo.evaluation.Likelihood`."""
    numbers = f"{result.nll:.4f} bits/dim (8-bit convention), {result.db_per_dim:.3f} dB/dim"
    console.print(f"{escape(result.data)}: {numbers}, mean of {result.images} image(s)")


def print_psnr(result: Any) -> None:
    """PSNR per noise level; a :class:`mszoo.evaluation.Result`."""
    count = f"{result.rows[0].images} image(s)" if result.rows else "no images"
    views = f", {result.views} views of each" if result.views > 1 else ""
    console.print(
        f"{escape(result.data)}: PSNR in dB, mean of per-image values, {count}{views}, noise seed {result.seed}"
    )
    rows = table("sigma", "sigma x 255", "noisy", "denoised")
    for row in result.rows:
        rows.add_row(f"{row.sigma:.4g}", f"{row.sigma * 255:.4g}", f"{row.noisy:.2f}", f"{row.denoised:.2f}")
    console.print(rows)
