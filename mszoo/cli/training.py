"""Verbs that make models."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mszoo.cli.output import console, fail
from mszoo.errors import MszooError


def train(
    recipe: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped recipe.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key.path=value, such as training.steps=200.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default runs/NAME.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the folder.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe and sizes; train nothing.")
    ] = False,
) -> None:
    """Train a recipe's model. For several processes: accelerate launch -m mszoo train RECIPE ..."""
    from mszoo.recipe import read_recipe
    from mszoo.training import check
    from mszoo.training import train as run

    source = read_recipe(recipe, overrides or [])
    if dry_run:
        checked, model = check(source)
        import yaml

        console.print(escape(yaml.safe_dump(checked.model_dump(), sort_keys=False)))
        for j, head in enumerate(model.scales):
            console.print(f"scale {j}: {sum(p.numel() for p in head.parameters()):,} parameters")
        console.print(f"in all: {sum(p.numel() for p in model.parameters()):,} parameters")
        return
    folder = out or Path("runs") / str(source.values.get("name", "unnamed"))
    try:
        run(source, folder, resume)
    except KeyboardInterrupt:
        again = shlex.join(["mszoo", "train", recipe, *(overrides or []), "--out", str(folder), "--resume"])
        fail(f"stopped; go on with: {again}", 130)


def assemble(
    out: Annotated[Path, typer.Argument(help="Folder of the assembled model.")],
    runs: Annotated[list[Path], typer.Argument(help="Runs of one model, each with training.scales of its own.")],
) -> None:
    """Put together a model whose scales were trained by different runs."""
    from mszoo.training import assemble as put_together

    put_together(out, runs)
    console.print(f"wrote {escape(str(out))}")


def convert_paper_a(
    out: Annotated[Path, typer.Argument(help="Folder of the converted model.")],
    low: Annotated[Path | None, typer.Option(help="The low-pass model's state dict.")] = None,
    detail: Annotated[
        list[Path] | None, typer.Option(help="A conditional model's; once for each scale, finest first.")
    ] = None,
    flat: Annotated[Path | None, typer.Option(help="A pixel-domain model's, instead of --low and --detail.")] = None,
    basis: Annotated[str, typer.Option(help="The wavelet basis they were trained on.")] = "haar",
) -> None:
    """Convert paper A's checkpoints (PyTorch state dicts; tensors are read, nothing is run)."""
    from mszoo.hub.paper_a import convert_flat, convert_multi_scale

    if flat is not None and low is None and not detail:
        model = convert_flat(flat)
    elif flat is None and low is not None and detail:
        model = convert_multi_scale(low, detail, basis)
    else:
        raise MszooError("give --low FILE with one --detail FILE per scale, finest first; or --flat FILE alone")
    model.save_pretrained(out)
    console.print(f"wrote {escape(str(out))}: {model.levels} levels")


def convert_paper_b(
    out: Annotated[Path, typer.Argument(help="Folder of the converted model.")],
    run: Annotated[
        Path, typer.Argument(help="The authors' model.pth.tar, or its folder; args.json must be beside it.")
    ],
) -> None:
    """Convert paper B's training files (a pickle: only its tensors are read, nothing of it is run)."""
    from mszoo.hub.paper_b import convert

    model, refused = convert(run)
    model.save_pretrained(out)
    head = type(model.coarse).__name__
    console.print(f"wrote {escape(str(out))}: {model.channels} channels, {head}")
    if refused:
        console.print(f"left out, and not run: {escape(', '.join(refused))}", soft_wrap=True)
