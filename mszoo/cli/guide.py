"""mszoo guide: the guides that come with the package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mszoo.cli.output import console, table
from mszoo.errors import MszooError, suggest

__all__ = ["guide", "guides", "notebooks"]

_ORDER = (
    "first-steps",
    "denoise",
    "generate",
    "log-prob",
    "train",
    "recipe",
    "scale",
    "add-a-part",
    "share",
    "elsewhere",
    "papers",
)


def guides() -> dict[str, Path]:
    """The files of the guides by name, in the order in which one would read them."""
    found = {path.stem: path for path in (Path(__file__).parents[1] / "guides").glob("*.md")}
    return {name: found[name] for name in (*_ORDER, *sorted(found.keys() - set(_ORDER))) if name in found}


def notebooks() -> list[Path]:
    """The papers' figures, to run in Jupyter."""
    return sorted((Path(__file__).parents[1] / "guides").glob("*.ipynb"))


def guide(name: Annotated[str | None, typer.Argument(help="Which; without, they are listed.")] = None) -> None:
    """Read a guide: rendered and paged in a terminal, as it is in a pipe."""
    there = guides()
    if name is None:
        rows = table("guide", "about")
        for each, path in there.items():
            with path.open(encoding="utf-8") as lines:
                rows.add_row(each, next(lines).lstrip("# ").strip())
        console.print(rows)
        for path in notebooks():
            console.print(f"notebook: {path}", soft_wrap=True)
        return
    if name not in there:
        raise MszooError(f"no guide {name!r}{suggest(name, list(there))}; there are {', '.join(there)}")
    text = there[name].read_text(encoding="utf-8")
    if not console.is_terminal:
        sys.stdout.write(text)
        return
    from rich.markdown import Markdown

    with console.pager(styles=True):
        console.print(Markdown(text))
