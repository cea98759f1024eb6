"""mszoo evaluate: how well models do, in a table, a file and plots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from mszoo.cli.options import Device, Seed, Views, number
from mszoo.cli.output import console, errors, print_likelihood, print_psnr
from mszoo.errors import MszooError

__all__ = ["evaluate"]


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="Packaged models, checkpoint folders, or owner/name on the Hub."),
    ],
    data: Annotated[str | None, typer.Option(help="Folder, zip or glob of images; by default the astronaut.")] = None,
    sigma: Annotated[list[str] | None, typer.Option(help="Noise level; give it several times. 0.1, or 25/255.")] = None,
    seed: Seed = 0,
    views: Views = 1,
    out: Annotated[
        Path | None, typer.Option(help="Folder for psnr.csv and plots: against noise level and receptive field.")
    ] = None,
    pixel: Annotated[
        list[str] | None,
        typer.Option(help="ROW,COLUMN of the first image: draw the filter applied there into --out. Several times."),
    ] = None,
    device: Device = "cpu",
) -> None:
    """Measure denoising, and log p where a model has one. A checkpoint folder keeps the results in evaluation.json."""
    import mszoo
    from mszoo.evaluation import (
        PsnrRow,
        Result,
        compare,
        likelihood_of,
        probabilities,
        write_csv,
        write_result,
    )
    from mszoo.inference import fast, has_density

    if pixel and out is None:
        raise MszooError("--pixel draws a picture: say where with --out FOLDER")
    pixels = [coordinates(p) for p in pixel or ()]
    loaded = {Path(name).name if Path(name).is_dir() else name: fast(mszoo.load(name, device)) for name in models}
    if len(loaded) < len(models):
        raise MszooError("two of the models have the same name")
    sigmas = [number(s, "--sigma") for s in sigma or ("0.05", "25/255", "50/255", "0.4", "0.8")]
    channels = max(m.channels for m in loaded.values())
    if data is None:
        name, images = "photographs", mszoo.create("dataset", "photographs", channels, split="test")
    else:
        name, images = Path(data).stem, mszoo.create("dataset", "image_folder", channels, path=data)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    rows = []
    for source, (title, model) in zip(models, loaded.items(), strict=True):
        with errors.status(f"{title}: denoising {len(images)} images at {len(sigmas)} noise levels"):
            told = f"{title}, {views} views" if views > 1 else title
            measured = list(compare({told: model}, images, sigmas, seed, views))
        rows += measured
        result = Result(name, seed, [PsnrRow(r.sigma, r.noisy, r.denoised, r.images) for r in measured], views)
        if len(models) > 1:
            console.print(f"[bold]{escape(title)}[/]")
        print_psnr(result)
        results: list[Any] = [result]
        if has_density(model):
            with errors.status(f"{title}: log p of {len(images)} images"):
                results.append(likelihood_of(name, probabilities(model, images)))
            print_likelihood(results[-1])
        for measured_one in results if Path(source).is_dir() else ():  # what others made is not written into
            write_result(Path(source), measured_one)
    if out is None:
        return
    from mszoo.evaluation import plots
    from mszoo.experiments import filters, receptive_fields

    write_csv(rows, out / "psnr.csv")
    plots.plot_noise_levels(rows, out / "psnr-noise.png")
    receptive_fields.plot(rows, out / "psnr-receptive-field.png")
    for title, model in loaded.items() if pixels else ():
        filters.draw(model, images[0], pixels, sigmas[-1], out / f"filters-{title}.png", seed)
    console.print(f"wrote {escape(', '.join(sorted(str(p) for p in out.iterdir())))}", soft_wrap=True)


def coordinates(text: str) -> tuple[int, int]:
    """``80,60`` as (80, 60)."""
    try:
        row, column = map(int, text.split(","))
    except ValueError:
        raise MszooError(f"--pixel: {text!r} is no ROW,COLUMN; write 80,60") from None
    return row, column
