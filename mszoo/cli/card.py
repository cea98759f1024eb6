"""mszoo card: write a model's card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mszoo.cli.options import ModelName, Overwrite
from mszoo.cli.output import console, plain
from mszoo.cli.targets import check_results
from mszoo.files import replace_file

__all__ = ["card"]


def card(
    model: ModelName,
    repository: Annotated[str | None, typer.Option(help="owner/name that it will have on the Hub.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write it into this file.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a model's card from its recipe and measurements."""
    if out is not None:
        check_results([out], overwrite)
    from mszoo.hub import find
    from mszoo.hub.pushing import publication

    folder = find(model)
    text = publication(folder, repository or folder.name, unmeasured=True)["README.md"].decode()
    if out is None:
        console.print(escape(text), soft_wrap=True)
    else:
        replace_file(out, lambda part: part.write_text(text, encoding="utf-8"))
        console.print(f"wrote {plain(out)}", soft_wrap=True)
