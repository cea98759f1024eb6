"""The verb that tells how probable images are."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import track

from mszoo.cli.output import Device, console, errors, print_error, table


class Format(str, Enum):
    """Of the table."""

    csv = "csv"
    parquet = "parquet"


def log_prob(
    images: Annotated[list[str], typer.Argument(help="Image files, folders, zips or globs.")],
    model: Annotated[str, typer.Option(help="A packaged model's name, or a checkpoint folder, with an energy.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the table, a histogram and a contact sheet.")] = None,
    format: Annotated[Format, typer.Option(help="Of the table in --out.")] = Format.csv,
    show: Annotated[int, typer.Option(min=1, help="How many of the least and of the most probable to show.")] = 8,
    device: Device = "cpu",
) -> None:
    """How probable images are: log p in dB per dimension, and bits per dimension, most probable first.

    Bits per dimension are those of the density at the 8-bit values, no bound on a code length.
    """
    import mszoo
    from mszoo.errors import MszooError
    from mszoo.evaluation import plots, probabilities, write_csv, write_parquet

    loaded = mszoo.load(model, device)
    rows: list[Any] = []
    places: dict[str, tuple[Any, int]] = {}
    for path in images:
        try:
            data = mszoo.create("dataset", "image_folder", loaded.channels, path=path)
        except MszooError as error:  # name it, go on with the rest
            print_error(str(error))
            continue
        places |= {data.label(i): (data, i) for i in range(len(data))}
        measured = probabilities(loaded, data)
        rows += track(measured, f"{path}", total=len(data), console=errors, transient=True)
    if not rows:
        raise MszooError("no image could be read")
    rows.sort(key=lambda row: -row.db_per_dim)
    shown = table("", "image", "size", "dB/dim", "bits/dim")
    for rank, row in enumerate(rows, 1):
        if rank <= show or rank > len(rows) - show:
            size = f"{row.height}x{row.width}"
            shown.add_row(str(rank), escape(row.image), size, f"{row.db_per_dim:.3f}", f"{row.nll:.4f}")
        elif rank == show + 1:
            shown.add_row("...")
    console.print(shown)
    mean = [sum(getattr(row, name) for row in rows) / len(rows) for name in ("db_per_dim", "nll")]
    console.print(f"{len(rows)} image(s), mean {mean[0]:.3f} dB/dim, {mean[1]:.4f} bits/dim (8-bit convention)")
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    write = write_csv if format is Format.csv else write_parquet
    write(rows, out / f"log-prob.{format.value}")
    plots.plot_histogram([row.db_per_dim for row in rows], out / "log-prob.png")
    ends = [rows[:show], rows[-show:]] if len(rows) > show else [rows]
    named = [[(f"{row.db_per_dim:.2f}", places[row.image]) for row in end] for end in ends]
    plots.plot_images([[(title, data[i]) for title, (data, i) in end] for end in named], out / "most-and-least.png")
    console.print(f"wrote {escape(', '.join(sorted(str(p) for p in out.iterdir())))}", soft_wrap=True)
