"""mszoo components: the parts that can be named."""

from __future__ import annotations

from typing import Annotated

import typer

from mszoo.cli.output import console, table

__all__ = ["components"]


def components(
    kind: Annotated[
        str | None, typer.Argument(help="basis, conditioner, head, objective, dataset, sampler or importer.")
    ] = None,
    pattern: Annotated[str, typer.Argument(help="Wildcards, such as 'db*'.")] = "*",
) -> None:
    """List the parts that recipes, and --sampler, can name, and who provides them."""
    from mszoo.discovery import registry

    names = set(registry().names(kind, pattern))
    rows = table("kind", "name", "what it is", "provided by")
    for spec in registry():
        if kind in (None, spec.kind) and spec.listed and spec.name in names:
            rows.add_row(spec.kind, spec.name, spec.summary, f"{spec.distribution} {spec.version}".strip())
    console.print(rows)
