"""mszoo super-resolve: enlarge an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mszoo.cli.drawing import ascending, open_pages, proceed, sampler, seed_of
from mszoo.cli.options import (
    H0,
    Beta,
    Device,
    ModelOption,
    Overwrite,
    Quality,
    SamplerOption,
    Samples,
    Seed,
    SigmaEnd,
    SkipExisting,
    Steps,
    ValueRange,
    value_range,
)
from mszoo.cli.output import console
from mszoo.text import one_line

__all__ = ["super_resolve"]


def super_resolve(
    image: Annotated[Path, typer.Argument(metavar="IN", help="A small image.")],
    out: Annotated[Path, typer.Argument(help="The image to write.")],
    model: ModelOption = "photographs-haar-rf13",
    factor: Annotated[int, typer.Option(help="A power of two, at most 2^levels of the model.")] = 4,
    samples: Samples = 1,
    sampler_name: SamplerOption = None,
    steps: Steps = None,
    seed: Seed = 0,
    beta: Beta = None,
    h0: H0 = None,
    sigma_end: SigmaEnd = None,
    values: ValueRange = None,
    quality: Quality = 95,
    overwrite: Overwrite = False,
    skip_existing: SkipExisting = False,
    device: Device = "auto",
) -> None:
    """Enlarge an image, or all pages of one: its details are drawn from the model."""
    limits = None if values is None else value_range(values)
    if not proceed([image], out, overwrite, skip_existing):
        return
    small = open_pages(image, out, limits)

    import mszoo
    from mszoo.inference import fast
    from mszoo.inference.sampling import super_resolve as enlarge

    loaded = fast(mszoo.load(model, device))
    drawn = sampler(sampler_name, loaded.blind, steps=steps, beta=beta, h0=h0, sigma_end=sigma_end)
    with ascending() as show:
        large = [
            enlarge(loaded, low, factor, mean_of=samples, sampler=drawn, generator=seed_of(k, seed), on_step=show)
            for k, low in enumerate(small.batches(loaded.channels, loaded.device))
        ]
    notes = [*small.picture.notes, *["transparency not kept"] * any(page.alpha is not None for page in small.pages)]
    for page in small.pages:
        page.alpha = None  # of another size
    out.parent.mkdir(parents=True, exist_ok=True)
    notes += [*small.write(large, out, quality), *filter(None, [drawn.report()])]
    pages = f", {len(large)} pages" * (len(large) > 1)
    console.print(
        escape(f"wrote {one_line(str(out))}{pages}" + f"  ({'; '.join(notes)})" * bool(notes)), soft_wrap=True
    )
