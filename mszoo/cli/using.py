"""Verbs that use a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from mszoo.cli.output import (
    Device,
    ModelOption,
    Seed,
    Views,
    console,
    errors,
    number,
    print_error,
    print_likelihood,
    print_psnr,
    table,
)
from mszoo.errors import MszooError


def denoise(
    paths: Annotated[list[Path], typer.Argument(metavar="IN... OUT", help="Images or folders, and where to write.")],
    model: ModelOption = "photographs-haar-rf13",
    sigma: Annotated[
        str | None, typer.Option(help="Standard deviation of the noise in images of [0, 1]: 0.1, or 25/255.")
    ] = None,
    add_noise: Annotated[str | None, typer.Option(help="Add noise of this standard deviation first.")] = None,
    seed: Seed = 0,
    tile: Annotated[int, typer.Option(min=64, help="Side in pixels of the tiles of a large image.")] = 768,
    views: Views = 1,
    device: Device = "cpu",
) -> None:
    """Denoise image files of any size. OUT is a file for one image, a folder for more."""
    import mszoo
    from mszoo.data.images import read_image, write_image
    from mszoo.evaluation import psnr
    from mszoo.inference import add_noise as add
    from mszoo.inference import denoise_image, fast

    if len(paths) < 2:
        raise MszooError("give one or more images or folders, and last where to write: mszoo denoise IN... OUT")
    loaded = fast(mszoo.load(model, device))
    noise = None if add_noise is None else number(add_noise, "--add-noise")
    level = number(sigma, "--sigma") if sigma is not None else noise
    failed = 0
    for i, (source, target) in enumerate(pairs(paths[:-1], paths[-1])):
        try:
            clean = read_image(source, str(source), None if loaded.channels == 1 else loaded.channels)[None].to(device)
            y = clean if noise is None else add(clean, noise, seed, i)
            result = denoise_image(loaded, y, level, tile, views)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_image(result[0], target)
        except MszooError as error:  # name it, go on with the rest
            failed += 1
            print_error(str(error))
            continue
        gain = "" if noise is None else f"  {psnr(y, clean).item():.2f} -> {psnr(result, clean).item():.2f} dB"
        console.print(f"{escape(str(target))}{gain}", soft_wrap=True)
    if failed:
        raise typer.Exit(1)


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

    write_csv(rows, out / "psnr.csv")
    plots.plot_noise_levels(rows, out / "psnr-noise.png")
    plots.plot_receptive_fields(rows, out / "psnr-receptive-field.png")
    for title, model in loaded.items() if pixels else ():
        draw_filters(model, images[0], pixels, sigmas[-1], out / f"filters-{title}.png", seed)
    console.print(f"wrote {escape(', '.join(sorted(str(p) for p in out.iterdir())))}", soft_wrap=True)


def demo(
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("mszoo-demo.png"),
    model: ModelOption = "photographs-haar-rf13",
) -> None:
    """Denoise the astronaut with a packaged model: a PSNR table and a picture."""
    import mszoo
    from mszoo.evaluation.demo import astronaut_demo, draw
    from mszoo.inference import fast

    if out.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise MszooError(f"--out: {out} is no picture's name; write it as .png, .pdf or .svg")
    panels = astronaut_demo(fast(mszoo.load(model)))
    console.print("the astronaut's face, 160x160: PSNR in dB")
    rows = table("sigma", "noisy", "best Gaussian blur", model)
    for panel in panels:
        rows.add_row(f"{panel.sigma:g}", *(f"{value:.2f}" for value in panel.psnr()))
    console.print(rows)
    draw(panels, model, out)
    console.print(f"wrote {escape(str(out))}")


def draw_filters(model: Any, clean: Any, pixels: list[tuple[int, int]], sigma: float, path: Path, seed: int) -> None:
    """The filters that a model applies at some pixels of a noisy image (C, H, W), as a picture."""
    from mszoo.evaluation import adaptive_filters
    from mszoo.evaluation.plots import plot_filters
    from mszoo.inference import add_noise

    unit = 2**model.levels
    height, width = (side // unit * unit for side in clean.shape[-2:])
    y = add_noise(clean[None, : model.channels, :height, :width], sigma, seed, 0)[0]
    plot_filters(y, adaptive_filters(model, y, pixels, None if model.blind else sigma), pixels, path)


def coordinates(text: str) -> tuple[int, int]:
    """``80,60`` as (80, 60)."""
    try:
        row, column = map(int, text.split(","))
    except ValueError:
        raise MszooError(f"--pixel: {text!r} is no ROW,COLUMN; write 80,60") from None
    return row, column


def pairs(sources: list[Path], out: Path) -> list[tuple[Path, Path]]:
    """Each image file, and where its result goes."""
    from mszoo.data.image_folder import find_images
    from mszoo.data.images import SUFFIXES

    if len(sources) == 1 and not sources[0].is_dir() and out.suffix.lower() in SUFFIXES and not out.is_dir():
        return distinct([(sources[0], out)])
    if out.suffix.lower() in SUFFIXES and not out.is_dir():
        raise MszooError(f"several images need a folder to go to, {out} is named like an image")
    if len(sources) == 1 and not sources[0].is_dir() and out.suffix and not out.is_dir():
        raise MszooError(f"{out}: no image format {out.suffix}; use {', '.join(sorted(SUFFIXES))}, or name a folder")
    pairs = []
    for source in sources:
        if source.is_dir():
            pairs += [(image, out / image.relative_to(source)) for image in find_images(str(source))]
        else:
            pairs.append((source, out / source.name))
    return distinct(pairs)


def distinct(pairs: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """The same pairs. Raises :class:`MszooError` if a result would replace an original, or another result."""
    for source, target in pairs:
        if target.exists() and source.exists() and target.samefile(source):
            raise MszooError(f"{target} would be overwritten by its own result; give another OUT")
    targets = [target for _, target in pairs]
    for twice in {str(t) for t in targets if targets.count(t) > 1}:
        raise MszooError(f"two images would be written to {twice}; denoise them into different folders")
    return pairs
