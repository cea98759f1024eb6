"""mszoo super-resolve: enlarge an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mszoo.cli.drawing import ascending, open_both, schedule
from mszoo.cli.options import H0, Beta, Device, ModelOption, Samples, Seed, SigmaEnd
from mszoo.cli.output import console

__all__ = ["super_resolve"]


def super_resolve(
    image: Annotated[Path, typer.Argument(metavar="IN", help="A small image.")],
    out: Annotated[Path, typer.Argument(help="The image to write.")],
    model: ModelOption = "photographs-haar-rf13",
    factor: Annotated[int, typer.Option(help="A power of two, at most 2^levels of the model.")] = 4,
    samples: Samples = 1,
    seed: Seed = 0,
    beta: Beta = None,
    h0: H0 = None,
    sigma_end: SigmaEnd = None,
    device: Device = "cpu",
) -> None:
    """Enlarge an image: its details are drawn from the model."""
    from mszoo.data.images import write_image
    from mszoo.inference.sampling import DETAIL
    from mszoo.inference.sampling import super_resolve as enlarge

    detail = schedule(DETAIL, beta=beta, h0=h0, sigma_end=sigma_end)
    loaded, low = open_both(model, image, device)
    with ascending() as show:
        large = enlarge(loaded, low, factor, mean_of=samples, generator=seed, detail=detail, on_step=show)
    write_image(large.flatten(0, 1), out)
    console.print(f"wrote {escape(str(out))}")
