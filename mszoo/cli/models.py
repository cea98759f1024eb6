"""mszoo models: packaged, cached, and on the Hub."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mszoo.cli.output import AsJson, console, plain, print_json, table

__all__ = ["models"]

_WIDE = 140  # columns, for a table with a line or two for each model


def models(
    pattern: Annotated[str, typer.Argument(help="Wildcards, such as 'photo*' or 'owner/*'.")] = "*",
    hub: Annotated[bool, typer.Option("--hub", help="Ask the Hugging Face Hub, too.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a table in Markdown.")] = False,
    json: AsJson = False,
) -> None:
    """List the models that come with the package, those in the cache and, with --hub, all that the Hub has."""
    from mszoo.hub.listing import find_models

    if json:
        print_json([asdict(entry) for entry in find_models(pattern, hub)])
        return
    titles = "name", "where", "size", "receptive field", "measured", "what it is"
    rows: list[tuple[str, ...]] = []
    for entry in find_models(pattern, hub):
        size = "" if entry.size is None else f"{entry.size / 2**20:.1f} MiB"
        field = str(entry.receptive_field or "")
        rows.append((entry.name, entry.where, size, field, entry.measured, entry.description))
    if markdown:
        for row in (titles, ["---"] * len(titles), *rows):
            console.print("| " + " | ".join(plain(text).replace("|", r"\|") for text in row) + " |", soft_wrap=True)
        return
    if console.width < _WIDE:
        for row in rows:
            _print_lines(dict(zip(titles, map(plain, row), strict=True)))
        return
    shown = table(*titles)
    for row in rows:
        shown.add_row(*(plain(text) for text in row))
    console.print(shown)


def _print_lines(row: dict[str, str]) -> None:
    """One model on a narrow terminal: its name whole, and below it what else there is to say."""
    from rich.padding import Padding

    field = f"receptive field {row['receptive field']}" if row["receptive field"] else ""
    console.print(f"[bold]{row['name']}[/]")
    for text in (row["what it is"], row["measured"], ", ".join(filter(None, (row["where"], row["size"], field)))):
        if text:
            console.print(Padding(text, (0, 0, 0, 4)))
