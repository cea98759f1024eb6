"""mszoo evaluate: how well models do, in a table, a file and plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from mszoo.cli.figures import FigureFormat, Figures, FigureSize, Format
from mszoo.cli.inputs import check_images, check_models
from mszoo.cli.options import Device, Overwrite, Seed, Views, number
from mszoo.cli.output import (
    AsJson,
    console,
    errors,
    plain,
    print_error,
    print_json,
    print_likelihood,
    print_psnr,
)
from mszoo.cli.tables import check_folder_or_table, is_measured, is_table
from mszoo.cli.targets import check_results
from mszoo.errors import MszooError

if TYPE_CHECKING:
    from mszoo.evaluation import ComparisonRow, Likelihood, Result

__all__ = ["evaluate"]

_PLOTS = "psnr-noise", "psnr-receptive-field"


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Packaged models, checkpoint folders, or owner/name on the Hub.",
            callback=check_models,
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(help="Folder, zip or glob of images; by default the astronaut.", callback=check_images),
    ] = None,
    sigma: Annotated[list[str] | None, typer.Option(help="Noise level; give it several times. 0.1, or 25/255.")] = None,
    seed: Seed = 0,
    views: Views = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for psnr.csv and plots: against noise level and receptive field; or a .csv or .parquet file: "
            "a row for each image and noise level, of one model and any number of images.",
            callback=check_folder_or_table,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a table in --out that was ended before its time.")
    ] = False,
    pixel: Annotated[
        list[str] | None,
        typer.Option(help="ROW,COLUMN of the first image: draw the filter applied there into --out. Several times."),
    ] = None,
    overwrite: Overwrite = False,
    format: FigureFormat = Format.png,
    figure_size: FigureSize = None,
    device: Device = "auto",
    json: AsJson = False,
) -> None:
    """Measure denoising, and log p where a model has one. A checkpoint folder keeps the results in evaluation.json.

    What was measured is written after each model, so that a fault of a later one loses nothing. All processes of
    accelerate launch share the images, each is measured once, and the numbers are those of one process.

    A table of images has no log p (`mszoo log-prob` does); every row is kept as it is measured, and --resume goes on:

    accelerate launch -m mszoo evaluate MODEL --data FOLDER --out psnr.parquet
    """
    from mszoo.checkpoint.folder import title_of
    from mszoo.recipe import SIGMAS

    sigmas = [number(text, "--sigma") for text in sigma] if sigma else list(SIGMAS)
    if out is not None and is_table(out):
        if len(models) > 1 or pixel:
            raise MszooError(
                f"{out} is of one model, and has no picture: give --out FOLDER for several, or for --pixel"
            )
        _table(models[0], data, out, sigmas, seed, views, resume, overwrite, device, json)
        return
    if resume:
        raise MszooError("--resume goes on with a table: --out psnr.csv or psnr.parquet")
    if pixel and out is None:
        raise MszooError("--pixel draws a picture: say where with --out FOLDER")
    pixels = [coordinates(p) for p in pixel or ()]
    figures = Figures.of(format, figure_size)
    names = [title_of(name) for name in models]
    if len(set(names)) < len(names):
        raise MszooError("two of the models have the same name")
    pictures = {title: figures.name(f"filters-{title.replace('/', '-')}") for title in names} if pixels else {}
    if out is not None:
        drawn = ["psnr.csv", *map(figures.name, _PLOTS), *pictures.values()]
        check_results([out / name for name in drawn], overwrite)

    import mszoo
    from mszoo.evaluation import check_fits, comparison, name_of, open_images, read_results
    from mszoo.evaluation import evaluate as measure
    from mszoo.experiments import filters
    from mszoo.inference import fast
    from mszoo.processes import find_processes

    processes = find_processes(device)
    loaded = [fast(mszoo.load(model, str(processes.device))) for model in models]
    with processes.one_voice():
        images = open_images(data, max(model.channels for model in loaded))
    for model, source in zip(loaded, models, strict=True):  # all that can be known before the first is measured
        check_fits(model, images)
        height, width = (side // model.unit * model.unit for side in images.size(0))
        filters.check_pixels(pixels, (height, width))
        if Path(source).is_dir():
            read_results(Path(source))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    rows: list[ComparisonRow] = []
    measured: list[dict[str, Any]] = []
    left_out: list[str] = []
    for source, title, model in zip(models, names, loaded, strict=True):
        with Progress(console=errors, transient=True, disable=not processes.first) as progress:
            task = progress.add_task(plain(title))
            found = measure(
                model,
                images,
                sigmas=sigmas,
                seed=seed,
                views=views,
                name=name_of(data),
                progress=lambda done, total, task=task: progress.update(task, completed=done, total=total),
                processes=processes,
            )
        if not processes.first:  # one of them writes and tells
            continue
        rows += comparison(f"{title}, {views} views" if views > 1 else title, model, found)
        if Path(source).is_dir():  # what others made is not written into
            keep(found.results, Path(source))
        if out is not None:
            left_out = draw(rows, out, figures)
            if pixels:
                filters.draw(model, images[0], pixels, sigmas[-1], out / pictures[title], seed)
        if json:
            measured.append({"model": title, **asdict(found)})
            continue
        if len(models) > 1:
            console.print(f"[bold]{plain(title)}[/]")
        print_psnr(found.psnr)
        if found.likelihood is not None:
            print_likelihood(found.likelihood)
    if not processes.first:
        return
    if json:
        print_json(measured)
    elif out is not None:
        for reason in left_out:
            console.print(reason, soft_wrap=True)
        console.print(f"wrote {plain(', '.join(sorted(str(p) for p in out.iterdir())))}", soft_wrap=True)


def _table(
    model: str,
    data: str | None,
    out: Path,
    sigmas: Sequence[float],
    seed: int,
    views: int,
    resume: bool,
    overwrite: bool,
    device: str,
    json: bool,
) -> None:
    """A row for each image, by all processes."""
    if is_measured(out, resume, overwrite):
        return

    import mszoo
    from mszoo.checkpoint.folder import WEIGHTS, checksum, title_of
    from mszoo.evaluation import Result, name_of, open_images, psnr_table
    from mszoo.hub import find
    from mszoo.inference import fast
    from mszoo.processes import find_processes

    processes = find_processes(device)
    loaded = fast(mszoo.load(model, str(processes.device)))
    with processes.one_voice():
        images = open_images(data, loaded.channels)
    with Progress(console=errors, transient=True, disable=not processes.first) as bar:
        task = bar.add_task(plain(out.name), total=len(images))
        rows = psnr_table(
            loaded,
            images,
            out,
            processes,
            sigmas=sigmas,
            weights=checksum(find(model) / WEIGHTS),
            seed=seed,
            views=views,
            resume=resume,
            progress=lambda done: bar.update(task, completed=done),
        )
    if not processes.first:
        return
    found = Result(name_of(data), seed, rows, views)
    if Path(model).is_dir():
        keep([found], Path(model))
    if json:
        print_json([{"model": title_of(model), "psnr": asdict(found)}])
        return
    print_psnr(found)
    measured = len(sigmas) * rows[0].images
    console.print(f"wrote {measured:,} row(s) of {len(images):,} image(s) to {plain(str(out))}", soft_wrap=True)


def keep(results: Sequence[Result | Likelihood], folder: Path) -> None:
    """Write into the checkpoint; a folder that cannot be written to is no reason to stop."""
    from mszoo.evaluation import write_result

    try:
        for result in results:
            write_result(folder, result)
    except OSError as error:
        print_error(f"the results are not kept in {folder}: {error.strerror}", "[yellow]warning:[/]")


def draw(rows: Sequence[ComparisonRow], out: Path, figures: Figures) -> list[str]:
    """A table and plots of all that was measured so far. A plot of one point is none.

    Returns:
        Which plots there are not, and why.
    """
    from mszoo.evaluation import plots, write_csv
    from mszoo.experiments import receptive_fields

    write_csv(rows, out / "psnr.csv")
    sigmas = {row.sigma for row in rows}
    fields = {row.receptive_field for row in rows} - {None}
    drawn = (plots.noise_levels, sigmas, "noise level"), (receptive_fields.plot, fields, "receptive field")
    left_out = []
    for stem, (plot, points, kind) in zip(_PLOTS, drawn, strict=True):
        path = out / figures.name(stem)
        if len(points) > 1:
            figures.write(plots.figure_of(lambda axes, plot=plot: plot(axes, rows), (6, 4.2)), path)
        else:
            path.unlink(missing_ok=True)  # of what was measured before
            left_out.append(f"no {path.name}: it needs more than one {kind}")
    return left_out


def coordinates(text: str) -> tuple[int, int]:
    """``80,60`` as (80, 60)."""
    try:
        row, column = map(int, text.split(","))
    except ValueError:
        raise MszooError(f"--pixel: {text!r} is no ROW,COLUMN; write 80,60") from None
    return row, column
