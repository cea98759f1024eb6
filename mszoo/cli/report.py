"""mszoo report: all that is to be said of a model on some images, as one page."""

from __future__ import annotations

import platform
import shlex
from pathlib import Path
from typing import Annotated

import typer

from mszoo.cli.doctor import versions
from mszoo.cli.inputs import check_folder, check_images
from mszoo.cli.options import Device, ModelName, Overwrite, Seed, number
from mszoo.cli.output import console, errors, plain
from mszoo.cli.targets import check_results
from mszoo.errors import MszooError

__all__ = ["report"]

_SIGMAS = ("10/255", "25/255", "50/255")


def report(
    model: ModelName,
    data: Annotated[
        str | None,
        typer.Option(help="Folder, zip or glob of images; by default the astronaut.", callback=check_images),
    ] = None,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    sigma: Annotated[list[str] | None, typer.Option(help="Noise level; give it several times. 0.1, or 25/255.")] = None,
    images: Annotated[
        int, typer.Option(min=1, help="Denoise at most so many, evenly spaced; log p is measured of all.")
    ] = 8,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            help="A baseline (bm3d, nl-means, wavelet, tv) or a model to denoise beside it; by default the baselines."
        ),
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    device: Device = "auto",
) -> None:
    """Measure a model and write a page to hand on: one file, which needs no network.

    PSNR beside the baselines that are installed, samples, time; of a model with a density also log p, the least and
    the most probable images, and where they are improbable. What does not apply is left out, and the page says why.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise MszooError(f"--out: {out} is no page's name; write it as .html")
    check_folder(out.absolute().parent)
    check_results([out], overwrite)
    told = sigma or list(_SIGMAS)
    sigmas = [number(text, "--sigma") for text in told]

    from mszoo import __version__
    from mszoo.checkpoint.folder import RECIPE, title_of
    from mszoo.cli.info import recipe_key
    from mszoo.evaluation import name_of
    from mszoo.files import read_text, replace_file
    from mszoo.hub import find
    from mszoo.report import find_out, page

    folder = find(model)
    with errors.status("starting") as status:
        found = find_out(
            model,
            data,
            sigmas,
            beside=beside,
            most=images,
            seed=seed,
            device=device,
            tell=lambda text: status.update(plain(text)),
        )
    title = title_of(model)
    named = name_of(data)
    again = ["mszoo", "report", title, "--data", named, "--images", str(images), "--seed", str(seed)]
    again += [word for text in told for word in ("--sigma", text)]
    again += [word for other in beside or () for word in ("--beside", title_of(other))]
    commands = [shlex.join(again), shlex.join(["mszoo", "evaluate", title, "--data", named])]
    commands += [shlex.join(["mszoo", "log-prob", named, "--model", title])] * bool(found.rows)
    if data is None:
        commands = [shlex.join(again[:3] + again[5:]), shlex.join(["mszoo", "evaluate", title])]
    recipe = folder / RECIPE
    text = page(
        title,
        recipe_key(folder, "description"),
        found,
        data=named,
        recipe=read_text(recipe) if recipe.is_file() else None,
        versions={
            "mszoo": __version__,
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}, {found.model.device}",
            **versions(),
        },
        commands=commands,
    )
    replace_file(out, lambda part: part.write_text(text, encoding="utf-8"))
    for what, why in found.left_out.items():
        console.print(f"left out: {plain(what)}: {plain(why)}", soft_wrap=True)
    console.print(f"wrote {plain(str(out))}", soft_wrap=True)
