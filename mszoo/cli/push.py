"""mszoo push: publish a model on the Hub."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from mszoo.cli.options import ModelName
from mszoo.cli.output import console, table

__all__ = ["push"]


def push(
    model: ModelName,
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="On the Hub; made if it is not there.")],
    revision: Annotated[str | None, typer.Option(help="Branch to commit to; made if it is not there.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    tag: Annotated[str | None, typer.Option(help="A name for what is published, such as v1.0.")] = None,
    unmeasured: Annotated[bool, typer.Option("--unmeasured", help="Publish a model that nobody has measured.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the files and the card; send nothing.")] = False,
) -> None:
    """Publish a model on the Hugging Face Hub: weights, configuration, recipe, card and measurements, in one commit.

    Log in first with `hf auth login`. A folder's training state never travels.
    """
    from mszoo.hub import find, pushing

    folder = find(model)
    if dry_run:
        pushing.check_names(repository, revision, tag)
        files = pushing.publication(folder, repository, unmeasured)
        rows = table("file", "bytes")
        for name, data in files.items():
            rows.add_row(escape(name), f"{len(data):,}")
        console.print(rows)
        console.print(f"\n{escape(files['README.md'].decode())}", soft_wrap=True)
        console.print(f"nothing was sent; without --dry-run it becomes one commit of {escape(repository)}")
        return
    pushed = pushing.push(folder, repository, revision=revision, private=private, tag=tag, unmeasured=unmeasured)
    done = f"published {', '.join(pushed.changed)}" if pushed.changed else "nothing to publish, it is all there"
    console.print(f"{escape(done)}: commit {pushed.commit[:10]}, {pushed.url}", soft_wrap=True)
