"""mszoo recipes: the recipes that come with the package."""

from __future__ import annotations

from mszoo.cli.output import console, table

__all__ = ["recipes"]


def recipes() -> None:
    """List the recipes that come with the package."""
    from mszoo.recipe import read_recipe
    from mszoo.shipped import shipped_files

    rows = table("name", "what it trains", "file")
    for name, path in shipped_files("recipes", ".yaml").items():
        rows.add_row(name, read_recipe(path).values.get("description", ""), str(path))
    console.print(rows)
