"""mszoo convert: other people's checkpoints become mszoo's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.markup import escape

from mszoo.cli.output import console
from mszoo.errors import MszooError

__all__ = ["convert"]


def convert(
    files: Annotated[
        list[Path], typer.Argument(help="The checkpoint: its file or files (finest first), or its folder.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder of the converted model, to be made.")],
    importer: Annotated[
        str | None, typer.Option("--as", help="Importer to use (`mszoo components importer`); by default it is found.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="An option of the importer, such as basis=db4; may be repeated.")
    ] = None,
) -> None:
    """Turn somebody else's checkpoint into a model (tensors are read of it, nothing is run)."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise MszooError(f"{out} is there already; the last argument is the folder to make")
    options = dict(map(_pair, option or []))
    from mszoo.importers import import_files

    done = import_files(files, importer, **options)
    done.model.save_pretrained(out)
    levels = f", {done.model.levels} levels" if done.model.levels else ""
    channels = f"{done.model.channels} channel" + ("s" if done.model.channels > 1 else "")
    console.print(f"wrote {escape(str(out))}: {channels}{levels}, a checkpoint of {escape(done.importer)}")
    if done.refused:
        console.print(f"left out, and not run: {escape(', '.join(done.refused))}", soft_wrap=True)
    if done.license:
        console.print(f"license: {escape(done.license)}", soft_wrap=True)


def _pair(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise MszooError(f"--option {text}: write it as name=value")
    try:
        return name, yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError):
        return name, value
