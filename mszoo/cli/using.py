"""Verbs that use a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mszoo.cli.output import Device, ModelName, ModelOption, console, errors, number, print_error, print_psnr, table
from mszoo.errors import MszooError


def denoise(
    paths: Annotated[list[Path], typer.Argument(metavar="IN... OUT", help="Images or folders, and where to write.")],
    model: ModelOption = "photographs-haar-rf13",
    sigma: Annotated[
        str | None, typer.Option(help="Standard deviation of the noise in images of [0, 1]: 0.1, or 25/255.")
    ] = None,
    add_noise: Annotated[str | None, typer.Option(help="Add noise of this standard deviation first.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the added noise.")] = 0,
    tile: Annotated[int, typer.Option(help="Side in pixels of the tiles of a large image.")] = 768,
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
            result = denoise_image(loaded, y, level, tile)
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
    model: ModelName,
    data: Annotated[str | None, typer.Option(help="Folder, zip or glob of images; by default the astronaut.")] = None,
    sigma: Annotated[list[str] | None, typer.Option(help="Noise level; give it several times. 0.1, or 25/255.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    device: Device = "cpu",
) -> None:
    """Measure denoising: PSNR per noise level. A checkpoint folder keeps the result in evaluation.json."""
    import mszoo
    from mszoo.evaluation import Result, psnr_curve, write_result
    from mszoo.hub import find, packaged_models
    from mszoo.inference import fast

    folder, loaded = find(model), fast(mszoo.load(model, device))
    sigmas = [number(s, "--sigma") for s in sigma or ("0.05", "25/255", "50/255", "0.4", "0.8")]
    if data is None:
        name, images = "photographs", mszoo.create("dataset", "photographs", loaded.channels, split="test")
    else:
        name, images = Path(data).stem, mszoo.create("dataset", "image_folder", loaded.channels, path=data)
    with errors.status(f"denoising {len(images)} images at {len(sigmas)} noise levels"):
        result = Result(name, seed, list(psnr_curve(loaded, images, sigmas, seed)))
    print_psnr(result)
    if model not in packaged_models():
        write_result(folder, result)


def demo(
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("mszoo-demo.png"),
    model: ModelOption = "photographs-haar-rf13",
) -> None:
    """Denoise the astronaut with a packaged model: a PSNR table and a picture."""
    import mszoo
    from mszoo.evaluation.demo import astronaut_demo, draw
    from mszoo.inference import fast

    panels = astronaut_demo(fast(mszoo.load(model)))
    console.print("the astronaut's face, 160x160: PSNR in dB")
    rows = table("sigma", "noisy", "best Gaussian blur", model)
    for panel in panels:
        rows.add_row(f"{panel.sigma:g}", *(f"{value:.2f}" for value in panel.psnr()))
    console.print(rows)
    draw(panels, model, out)
    console.print(f"wrote {escape(str(out))}")


def pairs(sources: list[Path], out: Path) -> list[tuple[Path, Path]]:
    """Each image file, and where its result goes."""
    from mszoo.data.image_folder import find_images
    from mszoo.data.images import SUFFIXES

    if len(sources) == 1 and not sources[0].is_dir() and out.suffix.lower() in SUFFIXES and not out.is_dir():
        return [(sources[0], out)]
    if out.suffix.lower() in SUFFIXES and not out.is_dir():
        raise MszooError(f"several images need a folder to go to, {out} is named like an image")
    pairs = []
    for source in sources:
        if source.is_dir():
            pairs += [(image, out / image.relative_to(source)) for image in find_images(str(source))]
        else:
            pairs.append((source, out / source.name))
    targets = [target for _, target in pairs]
    for twice in {str(t) for t in targets if targets.count(t) > 1}:
        raise MszooError(f"two images would be written to {twice}; denoise them into different folders")
    return pairs
