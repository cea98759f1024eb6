"""mszoo denoise: clean image files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mszoo.cli.options import Device, ModelOption, Seed, Views, number
from mszoo.cli.output import console, print_error
from mszoo.cli.targets import pairs
from mszoo.errors import MszooError

__all__ = ["denoise"]


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
