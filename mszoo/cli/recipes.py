"""mszoo recipes: the recipes that come with the package."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mszoo.cli.options import complete_recipe
from mszoo.cli.output import AsJson, console, print_json, table
from mszoo.errors import MszooError, suggest

__all__ = ["recipes"]


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Print this one, to begin one's own with.", autocompletion=complete_recipe)
    ] = None,
    json: AsJson = False,
) -> None:
    """List the recipes that come with the package, or print one."""
    from mszoo.recipe import read_recipe
    from mszoo.shipped import shipped_files

    there = shipped_files("recipes", ".yaml")
    if name is not None and name not in there:
        raise MszooError(f"no recipe {name!r}{suggest(name, list(there))}; `mszoo recipes` lists all")
    if json:
        read = {each: read_recipe(path).values for each, path in there.items() if name in (None, each)}
        print_json(read)
        return
    if name is not None:
        sys.stdout.write(there[name].read_text(encoding="utf-8"))
        return
    rows = table("name", "what it trains", "file")
    for each, path in there.items():
        rows.add_row(each, read_recipe(path).values.get("description", ""), str(path))
    console.print(rows)
