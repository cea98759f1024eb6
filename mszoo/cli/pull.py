"""mszoo pull: fetch a model from the Hub."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from mszoo.cli.output import console

__all__ = ["pull"]


def pull(
    model: Annotated[str, typer.Argument(help="owner/name on the Hub, or owner/name@revision.")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit; by default main.")] = None,
) -> None:
    """Fetch a model from the Hugging Face Hub, or what has changed of it, and compare its checksums."""
    from mszoo.hub import pull as pull_from_hub

    folder = pull_from_hub(model, revision)
    console.print(f"{escape(model)}: commit {folder.name[:10]}, in {escape(str(folder))}", soft_wrap=True)
