"""mszoo sample: draw images."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mszoo.cli.drawing import ascending, sampler
from mszoo.cli.figures import FigureFormat, Figures, FigureSize, Format
from mszoo.cli.options import (
    H0,
    Beta,
    Device,
    ModelOption,
    Overwrite,
    SamplerOption,
    Seed,
    SigmaEnd,
    SkipExisting,
    Steps,
    sides,
)
from mszoo.cli.output import console
from mszoo.cli.targets import Existing, check_results, check_targets
from mszoo.errors import MszooError
from mszoo.text import one_line

__all__ = ["sample"]

_MOST_PIXELS = 2**30  # of all images together; they are drawn at once
_SHOWN = 64  # images on the sheet


def sample(
    out: Annotated[Path, typer.Argument(help="A folder for the images.")],
    model: ModelOption = "photographs-haar-rf13",
    count: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many images.")] = 4,
    size: Annotated[str, typer.Option(help="Side in pixels, or HEIGHTxWIDTH.")] = "160",
    sampler_name: SamplerOption = None,
    steps: Steps = None,
    seed: Seed = 0,
    beta: Beta = None,
    h0: H0 = None,
    sigma_end: SigmaEnd = None,
    coarse_beta: Annotated[float | None, typer.Option(help="As --beta, for the coarsest image.")] = None,
    coarse_h0: Annotated[float | None, typer.Option(help="As --h0, for the coarsest image.")] = None,
    coarse_sigma_end: Annotated[float | None, typer.Option(help="As --sigma-end, for the coarsest image.")] = None,
    overwrite: Overwrite = False,
    skip_existing: SkipExisting = False,
    format: FigureFormat = Format.png,
    figure_size: FigureSize = None,
    device: Device = "auto",
) -> None:
    """Draw images from a model: 0.png, 1.png, ... and, of several, a contact sheet of the first 64."""
    height_width = sides(size)
    if count > _MOST_PIXELS // (height_width[0] * height_width[1]):
        raise MszooError(
            f"--count: {count:,} images of {size} are drawn at once, and have more than {_MOST_PIXELS:,} pixels"
        )
    existing = Existing.of(overwrite, skip_existing)
    figures = Figures.of(format, figure_size)
    targets, sheet = [out / f"{i}.png" for i in range(count)], out / figures.name("sheet")
    check_targets([], targets, existing)
    check_results([sheet] * (count > 1), overwrite or skip_existing)

    import mszoo
    from mszoo.bases import check_multiple
    from mszoo.data.images import write_image
    from mszoo.inference import fast
    from mszoo.inference.sampling import sample as draw

    loaded = fast(mszoo.load(model, device))
    check_multiple(*height_width, loaded.unit, advice="; give one with --size")
    finest = {"beta": beta, "h0": h0, "sigma_end": sigma_end}
    coarsest = {"beta": coarse_beta, "h0": coarse_h0, "sigma_end": coarse_sigma_end}
    detail, coarse = (sampler(sampler_name, loaded.blind, steps=steps, **given) for given in (finest, coarsest))
    with ascending() as show:
        images = draw(loaded, count, height_width, generator=seed, coarse=coarse, detail=detail, on_step=show)
    out.mkdir(parents=True, exist_ok=True)
    for image, target in zip(images, targets, strict=True):
        if not (existing is Existing.skip and target.exists()):
            write_image(image, target)
    if count > 1 and not (existing is Existing.skip and sheet.exists()):
        from mszoo.checkpoint.folder import title_of
        from mszoo.evaluation import plots  # a single image needs no matplotlib

        named = [(target.name, image) for image, target in zip(images[:_SHOWN], targets, strict=False)]
        columns = math.ceil(math.sqrt(len(named)))
        rows = [named[i : i + columns] for i in range(0, len(named), columns)]
        title = f"drawn from {title_of(model)}" + f", the first {_SHOWN} of {count}" * (count > _SHOWN)
        figures.write(plots.sheet(rows, title), sheet)
    for told in filter(None, [coarse.report(), detail.report()]):
        console.print(told)
    console.print(f"wrote {count} image(s) into {escape(one_line(str(out)))}")
