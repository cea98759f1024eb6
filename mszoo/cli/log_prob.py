"""mszoo log-prob: how probable images are."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress, track

from mszoo.cli.figures import FigureFormatAlone, Figures, FigureSize
from mszoo.cli.figures import Format as PlotFormat
from mszoo.cli.inputs import check_alone, check_images, check_model
from mszoo.cli.options import Device, Overwrite
from mszoo.cli.output import AsJson, console, errors, plain, print_error, print_json, table
from mszoo.cli.tables import check_folder_or_table, is_measured, is_table
from mszoo.cli.targets import check_results
from mszoo.errors import DataError, ImageSizeError, MszooError

__all__ = ["log_prob"]

if TYPE_CHECKING:
    from mszoo.data import ImageDataset
    from mszoo.evaluation import ProbabilityRow


class Format(str, Enum):
    """Of the table."""

    csv = "csv"
    parquet = "parquet"


def log_prob(
    model: Annotated[
        str, typer.Option(help="A packaged model's name, or a checkpoint folder, with an energy.", callback=check_model)
    ],
    images: Annotated[list[str] | None, typer.Argument(help="Image files, folders, zips or globs.")] = None,
    more: Annotated[list[str] | None, typer.Option("--data", help="The same, as an option. Several times.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the table, a histogram and a contact sheet; or a .csv or .parquet file: the table alone, "
            "of any number of images, in their order, measured by all processes of accelerate launch.",
            callback=check_folder_or_table,
        ),
    ] = None,
    format: Annotated[Format, typer.Option(help="Of the table in --out.")] = Format.csv,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a measurement into --out that was ended before its time.")
    ] = False,
    overwrite: Overwrite = False,
    show: Annotated[int, typer.Option(min=1, help="How many of the least and of the most probable to show.")] = 8,
    maps: Annotated[
        bool, typer.Option("--maps", help="Draw where the images that are shown are improbable, into OUT/maps.")
    ] = False,
    figure_format: FigureFormatAlone = PlotFormat.png,
    figure_size: FigureSize = None,
    device: Device = "auto",
    json: AsJson = False,
) -> None:
    """How probable images are: log p in dB per dimension, and bits per dimension, most probable first.

    Bits per dimension are those of the density at the 8-bit values, no bound on a code length. Images too small for
    the model are named and skipped; those without a finite log p are named, and are the last rows of the table.

    With --out every row is kept as it is measured, and --resume goes on after an end before the time, with images that
    have not changed. A table in a file is of the measured images, once each:

    accelerate launch -m mszoo log-prob --data FOLDER --model MODEL --out scores.parquet
    """
    sources = [*(images or ()), *(more or ())]
    if not sources:
        raise MszooError("which images? Name files, folders, zips or globs")
    figures = Figures.of(figure_format, figure_size)
    histogram, sheet = map(figures.name, ("log-prob", "most-and-least"))
    if out is not None and is_table(out):
        _score(sources, model, out, resume, overwrite, device)
        return
    check_alone("they share the work for a table, --out scores.parquet")
    if resume and out is None:
        raise MszooError("--resume goes on with what is in a folder: say which with --out FOLDER")
    if maps and out is None:
        raise MszooError("--maps draws pictures into a folder: say which with --out FOLDER")
    if out is not None:
        written = [out / name for name in (f"log-prob.{format.value}", histogram, sheet)]
        check_results(written, overwrite or resume)
        if maps and (out / "maps").exists() and not (overwrite or resume):
            raise MszooError(f"{out / 'maps'} exists: --overwrite replaces what is in it")
    there = [path for path in sources if _is_there(path)]
    if not there:
        raise MszooError("no image could be measured")

    import mszoo
    from mszoo.evaluation import probabilities
    from mszoo.evaluation.journal import Journal
    from mszoo.evaluation.tables import import_pyarrow, write_table
    from mszoo.hub import find

    if format is Format.parquet:
        import_pyarrow()  # fail before the measuring if the table cannot be written
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    loaded = mszoo.load(model, device)
    journal = None if out is None else Journal(out, find(model), resume)
    found: list[tuple[ProbabilityRow, ImageDataset, int]] = []
    for path in there:
        try:
            data = mszoo.create("dataset", "image_folder", loaded.channels, path=path)
            numbers = {data.label(i): i for i in range(len(data))}
            measured = probabilities(loaded, data, known=None if journal is None else journal.known(path))
            measured = measured if journal is None else journal.keep(path, measured)
            for row in track(measured, plain(path), total=len(data), console=errors, transient=True):
                found.append((row, data, numbers[row.image]))
        except (DataError, ImageSizeError) as error:  # name it, go on with the rest
            print_error(str(error))
    if not found:
        raise MszooError("no image could be measured")
    finite = [one for one in found if math.isfinite(one[0].db_per_dim)]
    finite.sort(key=lambda one: one[0].db_per_dim, reverse=True)
    others = [row for row, _, _ in found if not math.isfinite(row.db_per_dim)]
    rows = [row for row, _, _ in finite] + others
    if json:
        print_json([asdict(row) for row in rows])
    else:
        _print(rows, show)
    if others:
        named = ", ".join(row.image for row in others[:show]) + (", ..." if len(others) > show else "")
        warnings.warn(f"{len(others)} image(s) have no finite log p: {named}", stacklevel=1)
    if finite and not json:
        mean = [sum(getattr(row, name) for row, _, _ in finite) / len(finite) for name in ("db_per_dim", "nll")]
        how = "8-bit convention, in grey" if loaded.channels == 1 else "8-bit convention"
        console.print(f"{len(finite)} image(s), mean {mean[0]:.3f} dB/dim, {mean[1]:.4f} bits/dim ({how})")
    for c in () if json else loaded.constants.values():
        size = "x".join(map(str, c.size[1:]))
        console.print(f"the constant of {size} images: standard error {c.error:.2g} nats, at noise variance {c.t:g}")
    if out is None or journal is None:
        return
    import torch

    from mszoo.checkpoint.folder import title_of
    from mszoo.evaluation import plots
    from mszoo.evaluation.probability import cut

    write_table(rows, out / f"log-prob.{format.value}")
    if finite:
        if len(finite) > 1:
            values = {"images": [row.db_per_dim for row, _, _ in finite]}
            figures.write(plots.figure_of(lambda axes: plots.histogram(axes, values), (7, 3.8)), out / histogram)
        else:
            (out / histogram).unlink(missing_ok=True)  # of what was measured before
        titled = [
            [((shorten(Path(row.image).name), f"{row.db_per_dim:.2f} dB/dim"), data[i]) for row, data, i in end]
            for end in plots.ends(finite, show)
        ]
        order = "most probable first" if len(titled) == 1 else "the most probable above, the least probable below"
        plots.save_figure(plots.sheet(titled, f"log p by {title_of(model)}: {order}"), out / sheet)
        if maps:
            (out / "maps").mkdir(exist_ok=True)
            chosen = [one for end in plots.ends(finite, show) for one in end]
            for rank, (row, data, i) in enumerate(track(chosen, "maps", console=errors, transient=True), 1):
                image = cut(data[i], loaded.unit)
                with torch.no_grad():
                    shares = [share[0] for share in loaded.log_prob_map(image[None].to(loaded.device))]
                name = figures.name(f"{rank:03d}-{Path(row.image).stem}")
                drawn = plots.maps_figure(f"{Path(row.image).name}: {row.nll:.3f} bits/dim", image, shares)
                plots.save_figure(drawn, out / "maps" / name)
    journal.close()
    if not json:
        if len(finite) == 1:
            console.print(f"no {histogram}: it needs more than one image", soft_wrap=True)
        console.print(f"wrote {plain(', '.join(sorted(str(p) for p in out.iterdir())))}", soft_wrap=True)


def shorten(name: str, most: int = 26) -> str:
    """A file's name that fits above its picture: the middle of a long one is left out."""
    return name if len(name) <= most else f"{name[: most // 2 - 1]}...{name[-(most // 2 - 2) :]}"


def _score(sources: Sequence[str], model: str, out: Path, resume: bool, overwrite: bool, device: str) -> None:
    """All images into one table, by all processes."""
    if is_measured(out, resume, overwrite):
        return

    import mszoo
    from mszoo.checkpoint.folder import WEIGHTS, checksum
    from mszoo.evaluation import Joined, log_prob_table
    from mszoo.hub import find
    from mszoo.processes import find_processes

    processes = find_processes(device)
    loaded = mszoo.load(model, str(processes.device))
    opened: list[ImageDataset] = []
    for path in sources:
        try:
            with processes.one_voice():
                opened.append(mszoo.create("dataset", "image_folder", loaded.channels, path=path))
        except DataError as error:
            if processes.first:
                print_error(str(error))
    if not opened:
        raise MszooError("no image could be measured")
    images = Joined(opened)
    with Progress(console=errors, transient=True, disable=not processes.first) as bar:
        task = bar.add_task(plain(out.name), total=len(images))
        rows = log_prob_table(
            loaded,
            images,
            out,
            processes,
            weights=checksum(find(model) / WEIGHTS),
            resume=resume,
            progress=lambda done: bar.update(task, completed=done),
        )
    if processes.first:
        console.print(f"wrote {rows:,} row(s) of {len(images):,} image(s) to {plain(str(out))}", soft_wrap=True)


def _is_there(path: str) -> bool:
    """Whether there are images of that name; if not, print an error."""
    try:
        check_images(path)
    except DataError as error:
        print_error(str(error))
        return False
    return True


def _print(rows: Sequence[Any], show: int) -> None:
    """The first and the last rows."""
    shown = table("", "image", "size", "dB/dim", "bits/dim")
    for rank, row in enumerate(rows, 1):
        if rank <= show or rank > len(rows) - show:
            size = f"{row.height}x{row.width}"
            shown.add_row(str(rank), plain(row.image), size, f"{row.db_per_dim:.3f}", f"{row.nll:.4f}")
        elif rank == show + 1:
            shown.add_row("...")
    console.print(shown)
