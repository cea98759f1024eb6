"""Verbs that publish and fetch models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mszoo.cli.output import ModelName, console, table


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


def pull(
    model: Annotated[str, typer.Argument(help="owner/name on the Hub, or owner/name@revision.")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit; by default main.")] = None,
) -> None:
    """Fetch a model from the Hugging Face Hub, or what has changed of it, and compare its checksums."""
    from mszoo.hub import pull as pull_from_hub

    folder = pull_from_hub(model, revision)
    console.print(f"{escape(model)}: commit {folder.name[:10]}, in {escape(str(folder))}", soft_wrap=True)


def card(
    model: ModelName,
    repository: Annotated[str | None, typer.Option(help="owner/name that it will have on the Hub.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write it into this file.")] = None,
) -> None:
    """Write a model's card from its recipe and measurements."""
    from mszoo.hub import find
    from mszoo.hub.pushing import publication

    folder = find(model)
    text = publication(folder, repository or folder.name, unmeasured=True)["README.md"].decode()
    if out is None:
        console.print(escape(text), soft_wrap=True)
    else:
        out.write_text(text, encoding="utf-8")
        console.print(f"wrote {escape(str(out))}")
