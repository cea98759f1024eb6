"""mszoo models: packaged, cached, and on the Hub."""

from __future__ import annotations

from typing import Annotated

import typer

from mszoo.cli.output import console, plain, table

__all__ = ["models"]


def models(
    pattern: Annotated[str, typer.Argument(help="Wildcards, such as 'photo*' or 'owner/*'.")] = "*",
    hub: Annotated[bool, typer.Option("--hub", help="Ask the Hugging Face Hub, too.")] = False,
) -> None:
    """List the models that come with the package, those in the cache and, with --hub, all that the Hub has."""
    from mszoo.hub.listing import find_models

    rows = table("name", "where", "size", "receptive field", "measured", "what it is")
    for entry in find_models(pattern, hub):
        size = "" if entry.size is None else f"{entry.size / 2**20:.1f} MiB"
        texts = (entry.name, entry.where, size, str(entry.receptive_field or ""), entry.measured, entry.description)
        rows.add_row(*(plain(text) for text in texts))
    console.print(rows)
