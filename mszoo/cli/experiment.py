"""mszoo experiment NAME: the papers' experiments, each a table, as CSV too, and a plot."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from mszoo.cli.inputs import check_folder, check_images, check_models
from mszoo.cli.options import Device, ModelName, Overwrite, Seed
from mszoo.cli.output import console, errors, plain, table
from mszoo.cli.targets import check_results

__all__ = ["app"]

app = typer.Typer(help="Run an experiment of the papers: a table, as CSV too, and a plot.", no_args_is_help=True)

Out = Annotated[
    Path | None, typer.Option(help="Folder for table and plot; by default experiments/NAME.", callback=check_folder)
]
Steps = Annotated[int | None, typer.Option(min=1, help="Training steps; by default the experiment's.")]
Data = Annotated[str, typer.Option(help="Images: a folder, zip file or glob.", callback=check_images)]
Count = Annotated[int, typer.Option(min=1, help="At most so many images, evenly spaced over the data.")]
_Draw = Callable[[Path], None]


@app.command("scale-mixture")
def scale_mixture(out: Out = None, overwrite: Overwrite = False, steps: Steps = None, seed: Seed = 0) -> None:
    """Dual against single score matching on a mixture of two scales, d = 1000."""
    folder = _folder("scale-mixture", out, overwrite)
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
    _write("scale-mixture", folder, rows, lambda path: plot(rows, path))


@app.command("known-densities")
def known_densities(
    names: Annotated[list[str] | None, typer.Argument(help="Which; by default all four.")] = None,
    objective: Annotated[str, typer.Option(help="dual_score_matching, or contrastive.")] = "dual_score_matching",
    out: Out = None,
    overwrite: Overwrite = False,
    steps: Steps = None,
    seed: Seed = 0,
) -> None:
    """Energies learned of Gaussians, a mixture and Laplacians, against the exact ones at five noise levels."""
    folder = _folder("known-densities", out, overwrite)
    from mszoo.errors import MszooError, suggest
    from mszoo.experiments.densities import DENSITIES
    from mszoo.experiments.known_densities import OBJECTIVES, SETTINGS, compare, plot, train

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
            for row in found:
                numbers = f"{row.exact:.4f}", f"{row.learned:.4f}", f"{row.difference:+.4f}", f"{row.deviation:.4f}"
                shown.add_row(row.density, str(row.d), f"{row.t:g}", *numbers)
            console.print(
                f"{name}: {steps or setting.training.steps} steps of {setting.training.batch_size}, {seconds:.0f} s, "
                f"{sum(p.numel() for p in models[name].parameters()):,} parameters"
            )
    console.print(shown)
    _write("known-densities", folder, rows, lambda path: plot(models, path))


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
    device: Device = "auto",
) -> None:
    """Do two models that saw different images agree on log p?"""
    folder = _folder("generalization", out, overwrite)
    from mszoo.experiments.generalization import agreement, plot

    one, other = _load(first, device), _load(second, device)
    sets = {path: _images(path, one, images) for path in data}
    with errors.status("measuring"):
        rows, values = agreement(one, other, sets)
    shown = table("images", "count", "first dB/dim", "second", "mean |difference|", "rms", "correlation", "losses")
    for row in rows:
        numbers = (row.first, row.second, row.absolute, row.rms, row.correlation)
        losses = f"{row.first_loss:.4f} {row.second_loss:.4f}"
        shown.add_row(plain(row.images), str(row.count), *(f"{v:.3f}" for v in numbers), losses)
    console.print(shown)
    _write("generalization", folder, rows, lambda path: plot(values, (first, second), path))


@app.command()
def transformations(
    model: ModelName,
    data: Data,
    images: Count = 200,
    out: Out = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
) -> None:
    """How log p changes with contrast and brightness, and how it goes with sparsity."""
    folder = _folder("transformations", out, overwrite)
    import torch

    from mszoo.experiments.images import decibels
    from mszoo.experiments.transformations import changes, plot, sparsity

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
    _write("transformations", folder, rows, lambda path: plot(rows, sparse, values, path))


@app.command()
def dimensionality(
    model: ModelName,
    data: Data,
    images: Count = 8,
    draws: Annotated[int, typer.Option(min=1, help="Noises for each image and noise level (paper: 1,000).")] = 64,
    out: Out = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
) -> None:
    """Effective dimensionality of images at each scale of noise, t from 1e-12 to 1e3."""
    folder = _folder("dimensionality", out, overwrite)
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
    _write("dimensionality", folder, rows, lambda path: plot(rows, path))


@app.command()
def denoisers(
    models: Annotated[
        list[str], typer.Argument(help="Models to compare, the first as reference.", callback=check_models)
    ],
    data: Data,
    images: Count = 200,
    out: Out = None,
    overwrite: Overwrite = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Output against input PSNR of several models, such as an energy and a score network of its size."""
    folder = _folder("denoisers", out, overwrite)
    from mszoo.experiments.denoisers import INPUTS, denoised, plot

    loaded = {name: _load(name, device) for name in models}
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
    _write("denoisers", folder, rows, lambda path: plot(rows, path))


@app.command()
def histogram(
    model: ModelName,
    data: Data,
    images: Count = 1000,
    out: Out = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
) -> None:
    """log p of images, and of what is none: constants, noise, shuffled pixels. A picture shows some of each."""
    folder = _folder("histogram", out, overwrite, images=True)
    from mszoo.evaluation.plots import plot_histogram, plot_images
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
    _write(
        "histogram", folder, rows, lambda path: plot_histogram(values, path), lambda path: plot_images(pictures, path)
    )


@app.command()
def modes(
    model: ModelName,
    data: Data,
    images: Count = 8,
    steps: Annotated[int, typer.Option(min=1, help="Of each ascent.")] = 100,
    out: Out = None,
    overwrite: Overwrite = False,
    device: Device = "cpu",
) -> None:
    """Spurious modes: what log p reaches by ascent from photographs, noise and constants, and a remedy."""
    folder = _folder("modes", out, overwrite)
    from mszoo.experiments.images import batches
    from mszoo.experiments.modes import NOISES, plot
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
    _write("modes", folder, rows, lambda path: plot({k: v.cpu() for k, v in found.items()}, rows, path))


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
    parameters: Annotated[int, typer.Option(min=1000, help="Of each model, about.")] = 100_000,
    channels: Annotated[int, typer.Option(min=1, max=4, help="1: in grey.")] = 1,
    images: Count = 10_000,
    out: Out = None,
    overwrite: Overwrite = False,
    seed: Seed = 0,
) -> None:
    """Bits per scale against the receptive field, flat and in chains, at equal parameters and seconds or steps."""
    folder = _folder("neighbourhoods", out, overwrite)
    import torch

    from mszoo.experiments.neighbourhoods import FIELDS, make, measure, neighbourhood, plot

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
            trained, count, took = neighbourhood(
                model, x, seconds, steps, seed=seed, tell=lambda done, task=task: progress.update(task, completed=done)
            )
            whole, *parts = found = measure(trained, tested, field, count, took)
            rows += found
            each = " ".join(f"{part.bits:.3f}" for part in parts)
            console.print(
                f"{j} levels, receptive field {field}: {whole.bits:.3f} bits/pixel; of each scale {each or '-'}"
            )
            numbers = f"{whole.parameters:,}", str(count), f"{took:.0f}", f"{whole.bits:.3f}", each
            shown.add_row(str(j), str(field), *numbers)
    console.print(shown)
    _write("neighbourhoods", folder, rows, lambda path: plot(rows, path))


def _stack(path: str, model: Any, count: int) -> Any:
    """At most so many images of one size, (N, C, H, W)."""
    import torch

    from mszoo.errors import DataError

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


def _folder(name: str, out: Path | None, overwrite: bool, images: bool = False) -> Path:
    """Where the results go; those that are there already are not replaced unasked."""
    folder = out or Path("experiments") / name
    check_results([folder / f"{name}{end}" for end in (".csv", ".png", *["-images.png"] * images)], overwrite)
    return folder


def _write(name: str, folder: Path, rows: Sequence[Any], plot: _Draw, images: _Draw | None = None) -> None:
    from mszoo.evaluation import write_csv

    folder.mkdir(parents=True, exist_ok=True)
    write_csv(rows, folder / f"{name}.csv")
    plot(folder / f"{name}.png")
    if images is not None:
        images(folder / f"{name}-images.png")
    console.print(f"wrote {plain(', '.join(sorted(str(p) for p in folder.iterdir())))}", soft_wrap=True)
