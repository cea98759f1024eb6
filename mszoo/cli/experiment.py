"""mszoo experiment NAME: the papers' experiments, each a table, as CSV too, and a plot."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress, TaskID

from mszoo.cli.figures import FigureFormat, Figures, FigureSize, Format
from mszoo.cli.inputs import check_folder, check_images, check_models
from mszoo.cli.options import Device, ModelName, Overwrite, Seed
from mszoo.cli.output import console, errors, plain, table
from mszoo.cli.targets import check_results
from mszoo.errors import DataError, MszooError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["app"]

app = typer.Typer(help="Run an experiment of the papers: a table, as CSV too, and a plot.", no_args_is_help=True)

Out = Annotated[
    Path | None, typer.Option(help="Folder for table and plot; by default experiments/NAME.", callback=check_folder)
]
Steps = Annotated[int | None, typer.Option(min=1, help="Training steps; by default the experiment's.")]
Data = Annotated[str, typer.Option(help="Images: a folder, zip file or glob.", callback=check_images)]
Count = Annotated[int, typer.Option(min=1, help="At most so many images, evenly spaced over the data.")]


@app.command("scale-mixture")
def scale_mixture(
    out: Out = None,
    overwrite: Overwrite = False,
    format: FigureFormat = Format.png,
    figure_size: FigureSize = None,
    steps: Steps = None,
    seed: Seed = 0,
) -> None:
    """Dual against single score matching on a mixture of two scales, d = 1000."""
    results = _Results("scale-mixture", out, overwrite, format, figure_size)
    from mszoo.evaluation.plots import figure_of
    from mszoo.experiments.scale_mixture import compare, plot, train

    energies, seconds, steps = {}, {}, steps or 10_000
    with Progress(console=errors, transient=True) as progress:
        for title in ("dual", "single"):
            task = progress.add_task(f"{title} score matching", total=steps)
            began = time.monotonic()
            energies[title] = train(
                title == "dual", steps=steps, seed=seed, progress=lambda step, task=task: progress.advance(task)
            )
            seconds[title] = time.monotonic() - began
    rows = compare(energies)
    shown = table("score matching", "seconds", "r/sqrt(d)", "t", "exact dB/dim", "learned", "error")
    for row in rows:
        if row.t == min(r.t for r in rows) and row.radius in (1.0, 4.0):
            numbers = f"{row.exact:.3f}", f"{row.learned:.3f}", f"{row.error:+.3f}"
            shown.add_row(row.objective, f"{seconds[row.objective]:.0f}", f"{row.radius:g}", f"{row.t:g}", *numbers)
    console.print(shown)
    results.write(rows, lambda: figure_of(lambda axes: plot(axes, rows)))


@app.command("known-densities")
def known_densities(
    names: Annotated[list[str] | None, typer.Argument(help="Which; by default all four.")] = None,
    objective: Annotated[str, typer.Option(help="dual_score_matching, or contrastive.")] = "dual_score_matching",
    out: Out = None,
    overwrite: Overwrite = False,
    format: FigureFormat = Format.png,
    figure_size: FigureSize = None,
    steps: Steps = None,
    seed: Seed = 0,
) -> None:
    """Energies learned of Gaussians, a mixture and Laplacians, against the exact ones at five noise levels."""
    results = _Results("known-densities", out, overwrite, format, figure_size)
    from mszoo.errors import suggest
    from mszoo.experiments.densities import DENSITIES
    from mszoo.experiments.known_densities import OBJECTIVES, SETTINGS, compare, draw, train

    if objective not in OBJECTIVES:
        raise MszooError(f"no objective {objective!r} here; there are {', '.join(OBJECTIVES)}")
    names = names or list(DENSITIES)
    for name in names:
        if name not in DENSITIES:
            raise MszooError(f"no density {name!r}{suggest(name, list(DENSITIES))}; there are {', '.join(DENSITIES)}")
    models: dict[str, Any] = {}
    rows = []
    shown = table("density", "d", "t", "exact bits/dim", "learned", "difference", "rms")
    with Progress(console=errors, transient=True) as progress:
        for name in names:
            setting, began = SETTINGS[name], time.monotonic()
            task = progress.add_task(name, total=steps or setting.training.steps)
            models[name] = train(
                DENSITIES[name], setting, steps, seed, lambda step, task=task: progress.advance(task), objective
            )
            seconds = time.monotonic() - began
            found = compare(name, models[name])
            rows += found
            results.keep(rows)
            for row in found:
                numbers = f"{row.exact:.4f}", f"{row.learned:.4f}", f"{row.difference:+.4f}", f"{row.deviation:.4f}"
                shown.add_row(row.density, str(row.d), f"{row.t:g}", *numbers)
            console.print(
                f"{name}: {steps or setting.training.steps} steps of {setting.training.batch_size}, {seconds:.0f} s, "
                f"{sum(p.numel() for p in models[name].parameters()):,} parameters"
            )
    console.print(shown)
    results.write(rows, lambda: draw(models))


@app.command()
def generalization(
    first: ModelName,
    second: ModelName,
    data: Annotated[
        list[str],
        typer.Option(
            help="Images, once for each set: a folder, zip file or glob.",
            callback=lambda paths: [check_images(path) for path in paths],
        ),
    ],
    images: Count = 500,
    out: Out = None,
    overwrite: Overwrite = False,
    format: FigureFormat = Format.png,
    figure_size: FigureSize = None,
    device: Device = "auto",
) -> None:
    """Do two models that saw different images agree on log p?"""
    results = _Results("generalization", out, overwrite, format, figure_size)
    from mszoo.checkpoint.folder import title_of
    from mszoo.evaluation import name_of
    from mszoo.evaluation.plots import figure_of
    from mszoo.experiments.generalization import agreement, plot

    one, other = _load(first, device), _load(second, device)
    names = [name_of(path) for path in data]
    names = names if len(set(names)) == len(names) else data
    sets = {name: _images(path, one, images) for name, path in zip(names, data, strict=True)}
    with errors.status("measuring"):
        rows, values = agreement(one, other, sets)
    shown = table("images", "count", "first dB/dim", "second", "mean |difference|", "rms", "correlation", "losses")
    for row in rows:
        numbers = (row.first, row.second, row.absolute, row.rms, row.correlation)
        losses = f"{row.first_loss:.4f} {row.second_loss:.4f}"
        shown.add_row(plain(row.images), str(row.count), *(f"{v:.3f}" for v in numbers), losses)
    console.print(shown)
    if max(row.count for row in rows) < 2:
        results.write(rows, None)
        return
    titles = title_of(first), title_of(second)
    results.write(rows, lambda: figure_of(lambda axes: plot(axes, values, titles), (4.6, 4.4)))


@app.command()
def transformations(
    model: ModelName,
    data: Data,
    images: Count = 200,
    out: Out = None,
    overwrite: Overwrite = False,
    format: FigureFormat = Format.png,
    figure_size: FigureSize = None,
    device: Device = "auto",
) -> None:
    """How log p changes with contrast and brightness, and how it goes with sparsity."""
    results = _Results("transformations", out, overwrite, format, figure_size)
    import torch

    from mszoo.experiments.images import decibels
    from mszoo.experiments.transformations import changes, draw, sparsity

    loaded = _load(model, device)
    chosen = _images(data, loaded, images)
    with errors.status("measuring"):
        rows = changes(loaded, chosen)
        sparse, values = [sparsity(x) for x in chosen], decibels(loaded, chosen)
    shown = table("transformation", "amount", "mean dB/dim", "10%", "90%")
    for row in rows:
        shown.add_row(row.transformation, f"{row.amount:g}", f"{row.mean:.3f}", f"{row.low:.3f}", f"{row.high:.3f}")
    console.print(shown)
    if len(chosen) > 1:
        correlation = torch.corrcoef(torch.stack([torch.tensor(sparse), values]))[0, 1].item()
        console.print(f"correlation of log p with |c|_1^2 / (n |c|_2^2) of the Haar details: {correlation:+.3f}")
    results.write(rows, lambda: draw(rows, sparse, values))


@app.command()
def dimensionality(
    model: ModelName,
    data: Data,
    images: Count = 8,
    draws: Annotated[int, typer.Option(min=1, help="Noises for each image and noise level (paper: 1,000).")] = 64,
    out: Out = None,
    overwrite: Overwrite = False,
    format: FigureFormat = Format.png,
    figure_size: FigureSize = None,
    device: Device = "auto",
) -> None:
    """Effective dimensionality of images at each scale of noise, t from 1e-12 to 1e3."""
    results = _Results("dimensionality", out, overwrite, format, figure_size)
    from mszoo.evaluation.plots import figure_of
    from mszoo.experiments.dimensionality import dimensionality as measure
    from mszoo.experiments.dimensionality import noise_variances, plot

    loaded, times = _load(model, device), noise_variances()
    chosen = _images(data, loaded, images)
    with Progress(console=errors, transient=True) as progress:
        task = progress.add_task("effective dimensionality", total=len(chosen) * len(times))
        rows = measure(loaded, chosen, times, draws, lambda: progress.advance(task))
    shown = table("t", "mean d_eff / d", "least", "greatest")
    for t in times:
        fractions = [row.fraction for row in rows if row.t == t]
        numbers = sum(fractions) / len(fractions), min(fractions), max(fractions)
        shown.add_row(f"{t:.0e}", *(f"{v:.4f}" for v in numbers))
    console.print(shown)
    results.write(rows, lambda: figure_of(lambda axes: plot(axes, rows)))


@app.command()
def denoisers(
    models: Annotated[
        list[str], typer.Argument(help="Models to compare, the first as reference.", callback=check_models)
    ],
    data: Data,
    images: Count = 200,
    out: Out = None,
    overwrite: Overwrite = False,
    format: FigureFormat = Format.png,
    figure_size: FigureSize = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Output against input PSNR of several models, such as an energy and a score network of its size."""
    results = _Results("denoisers", out, overwrite, format, figure_size)
    from mszoo.checkpoint.folder import title_of
    from mszoo.evaluation.plots import figure_of
    from mszoo.experiments.denoisers import INPUTS, denoised, plot

    titles = [title_of(name) for name in models]
    if any(title_of(one) == title_of(other) for one, other in combinations(dict.fromkeys(models), 2)):
        raise MszooError("two of the models have the same name")
    loaded = {title: _load(name, device) for title, name in zip(titles, models, strict=True)}
    models = list(loaded)
    with errors.status("measuring"):
        rows = denoised(loaded, _images(data, next(iter(loaded.values())), images), seed=seed)
    found = {(row.model, row.input): row.output for row in rows}
    shown = table("input dB", *models, *(f"{name} - {models[0]}" for name in models[1:]))
    for decibels in INPUTS:
        outputs = [found[name, decibels] for name in models]
        gaps = [output - outputs[0] for output in outputs[1:]]
        shown.add_row(f"{decibels:g}", *(f"{v:.2f}" for v in outputs), *(f"{v:+.2f}" for v in gaps))
    console.print(shown)
    results.write(rows, lambda: figure_of(lambda axes: plot(axes, rows)))


@app.command()
def histogram(
    model: ModelName,
    data: Data,
    images: Count = 1000,
    out: Out = None,
    overwrite: Overwrite = False,
    format: FigureFormat = Format.png,
    figure_size: FigureSize = None,
    device: Device = "auto",
) -> None:
    """log p of images, and of what is none: constants, noise, shuffled pixels. A picture shows some of each."""
    results = _Results("histogram", out, overwrite, format, figure_size, images=True)
    from mszoo.checkpoint.folder import title_of
    from mszoo.evaluation.plots import figure_of
    from mszoo.evaluation.plots import histogram as plot
    from mszoo.evaluation.plots import sheet as draw_sheet
    from mszoo.experiments.histogram import measure, sheet, strangers, summary

    loaded = _load(model, device)
    chosen = _images(data, loaded, images)
    with errors.status("measuring"):
        measured = measure(loaded, {"images": chosen, **strangers(chosen)})
    rows, values = summary(measured), {name: [value for value, _ in kind] for name, kind in measured.items()}
    shown = table("images", "count", "mean dB/dim", "median", "deviation", "least", "greatest")
    for row in rows:
        numbers = row.mean, row.median, row.deviation, row.least, row.greatest
        shown.add_row(row.images, str(row.count), *(f"{v:.3f}" for v in numbers))
    console.print(shown)
    pictures = sheet(measured)
    title = f"log p by {title_of(model)}, in dB per dimension"
    results.write(
        rows, lambda: figure_of(lambda axes: plot(axes, values), (7, 3.8)), lambda: draw_sheet(pictures, title)
    )


@app.command()
def modes(
    model: ModelName,
    data: Data,
    images: Count = 8,
    steps: Annotated[int, typer.Option(min=1, help="Of each ascent.")] = 100,
    out: Out = None,
    overwrite: Overwrite = False,
    format: FigureFormat = Format.png,
    figure_size: FigureSize = None,
    device: Device = "cpu",
) -> None:
    """Spurious modes: what log p reaches by ascent from photographs, noise and constants, and a remedy."""
    results = _Results("modes", out, overwrite, format, figure_size)
    from mszoo.experiments.images import batches
    from mszoo.experiments.modes import NOISES, draw
    from mszoo.experiments.modes import modes as measure

    loaded = _load(model, device)
    photographs = next(iter(batches(_images(data, loaded, images)))).to(next(loaded.parameters()))
    with Progress(console=errors, transient=True) as progress:
        task = progress.add_task("ascending", total=3 * len(NOISES) * steps)
        rows, found = measure(loaded, photographs, NOISES, steps, lambda: progress.advance(task))
    shown = table("start", "t", "bits/dim before", "after", "saved in 8 bits", "noisy before", "after", "rms change")
    for row in rows:
        numbers = row.before, row.after, row.saved, row.noisy_before, row.noisy_after, row.distance
        shown.add_row(row.start, f"{row.t:.2g}", *(f"{v:.3f}" for v in numbers))
    console.print(shown)
    results.write(rows, lambda: draw({k: v.cpu() for k, v in found.items()}, rows))


@app.command()
def neighbourhoods(
    data: Data,
    test: Annotated[str, typer.Option(help="Test images, likewise.", callback=check_images)],
    fields: Annotated[
        list[int] | None, typer.Option("--field", help="Receptive field; by default 5, 9, 13, 21.")
    ] = None,
    levels: Annotated[
        list[int] | None, typer.Option("--levels", min=0, max=3, help="By default 0 (flat) and 1.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="Of processor time for each model; by default --steps.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Of training, without --seconds.")] = 1000,
    batch: Annotated[int, typer.Option(min=1, help="Images in a step.")] = 8,
    parameters: Annotated[int, typer.Option(min=1000, help="Of each model, about.")] = 100_000,
    channels: Annotated[int, typer.Option(min=1, max=4, help="1: in grey.")] = 1,
    images: Count = 10_000,
    out: Out = None,
    overwrite: Overwrite = False,
    format: FigureFormat = Format.png,
    figure_size: FigureSize = None,
    seed: Seed = 0,
) -> None:
    """Bits per scale against the receptive field, flat and in chains, at equal parameters and seconds or steps."""
    results = _Results("neighbourhoods", out, overwrite, format, figure_size)
    import torch

    from mszoo.experiments.neighbourhoods import FIELDS, draw, make, measure, neighbourhood

    fields, levels = fields or list(FIELDS), levels or [0, 1]
    torch.manual_seed(seed)
    models = {(j, field): make(channels, j, field, parameters) for j in levels for field in fields}
    deepest = models[max(levels), fields[0]]
    x, tested = (_stack(path, deepest, count) for path, count in ((data, images), (test, 500)))
    rows = []
    shown = table("levels", "receptive field", "parameters", "steps", "seconds", "bits/pixel", "of each scale")
    with Progress(console=errors, transient=True) as progress:
        for (j, field), model in models.items():
            task = progress.add_task(f"{j} levels, receptive field {field}", total=1.0)

            def tell(done: float, task: TaskID = task) -> None:
                progress.update(task, completed=done)

            trained, count, took = neighbourhood(model, x, seconds, steps, batch, seed, tell)
            whole, *parts = found = measure(trained, tested, field, count, took)
            rows += found
            results.keep(rows)
            each = " ".join(f"{part.bits:.3f}" for part in parts)
            console.print(
                f"{j} levels, receptive field {field}: {whole.bits:.3f} bits/pixel; of each scale {each or '-'}"
            )
            numbers = f"{whole.parameters:,}", str(count), f"{took:.0f}", f"{whole.bits:.3f}", each
            shown.add_row(str(j), str(field), *numbers)
    console.print(shown)
    results.write(rows, (lambda: draw(rows)) if len(set(fields)) > 1 else None)


def _stack(path: str, model: Any, count: int) -> Any:
    """At most so many images of one size, (N, C, H, W)."""
    import torch

    chosen = _images(path, model, count)
    if len({image.shape for image in chosen}) > 1:
        raise DataError(f"{path} holds images of several sizes; this experiment takes those of one")
    return torch.stack(chosen)


def _load(name: str, device: str) -> Any:
    import mszoo

    return mszoo.load(name, device)


def _images(path: str, model: Any, count: int) -> Any:
    import mszoo
    from mszoo.experiments.images import evenly

    return evenly(mszoo.create("dataset", "image_folder", model.channels, path=path), count, model)


_Draw = Callable[[], "Figure"]


class _Results:
    """Where a table, a plot and perhaps a contact sheet go; those that are there already are not replaced unasked."""

    def __init__(
        self, name: str, out: Path | None, overwrite: bool, format: Format, size: str | None, images: bool = False
    ) -> None:
        folder, self._figures = out or Path("experiments") / name, Figures.of(format, size)
        plot, sheet = map(self._figures.name, (name, f"{name}-images"))
        self._table, self._plot, self._sheet = folder / f"{name}.csv", folder / plot, folder / sheet
        check_results([self._table, self._plot, *[self._sheet] * images], overwrite)

    def keep(self, rows: Sequence[Any]) -> None:
        """Write the table of what is measured already: an experiment that is stopped has not been for nothing."""
        from mszoo.evaluation import write_csv

        self._table.parent.mkdir(parents=True, exist_ok=True)
        write_csv(rows, self._table)

    def write(self, rows: Sequence[Any], plot: _Draw | None, sheet: _Draw | None = None) -> None:
        """Write all; no plot if it is None, as one of a single point would be."""
        from mszoo.evaluation.plots import save_figure

        self.keep(rows)
        if plot is not None:
            self._figures.write(plot(), self._plot)
        else:
            self._plot.unlink(missing_ok=True)  # of what was measured before
            console.print(f"no {plain(self._plot.name)}: it would show one point", soft_wrap=True)
        if sheet is not None:
            save_figure(sheet(), self._sheet)
        console.print(f"wrote {plain(', '.join(sorted(str(p) for p in self._table.parent.iterdir())))}", soft_wrap=True)
