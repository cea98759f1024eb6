"""mszoo convert: other people's checkpoints become mszoo's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mszoo.cli.output import console
from mszoo.errors import MszooError

__all__ = ["app"]

app = typer.Typer(help="Turn other people's checkpoints into mszoo's.", no_args_is_help=True)


@app.command("paper-a")
def paper_a(
    out: Annotated[Path, typer.Argument(help="Folder of the converted model.")],
    low: Annotated[Path | None, typer.Option(help="The low-pass model's state dict.")] = None,
    detail: Annotated[
        list[Path] | None, typer.Option(help="A conditional model's; once for each scale, finest first.")
    ] = None,
    flat: Annotated[Path | None, typer.Option(help="A pixel-domain model's, instead of --low and --detail.")] = None,
    basis: Annotated[str, typer.Option(help="The wavelet basis they were trained on.")] = "haar",
) -> None:
    """Convert paper A's checkpoints (PyTorch state dicts; tensors are read, nothing is run)."""
    from mszoo.importers.paper_a import convert_flat, convert_multi_scale

    if flat is not None and low is None and not detail:
        model = convert_flat(flat)
    elif flat is None and low is not None and detail:
        model = convert_multi_scale(low, detail, basis)
    else:
        raise MszooError("give --low FILE with one --detail FILE per scale, finest first; or --flat FILE alone")
    model.save_pretrained(out)
    console.print(f"wrote {escape(str(out))}: {model.levels} levels")


@app.command("paper-b")
def paper_b(
    out: Annotated[Path, typer.Argument(help="Folder of the converted model.")],
    run: Annotated[
        Path, typer.Argument(help="The authors' model.pth.tar, or its folder; args.json must be beside it.")
    ],
) -> None:
    """Convert paper B's training files (a pickle: only its tensors are read, nothing of it is run)."""
    from mszoo.importers.paper_b import convert

    model, refused = convert(run)
    model.save_pretrained(out)
    head = type(model.coarse).__name__
    console.print(f"wrote {escape(str(out))}: {model.channels} channels, {head}")
    if refused:
        console.print(f"left out, and not run: {escape(', '.join(refused))}", soft_wrap=True)
