"""mszoo solve: recover an image from a measurement."""

from __future__ import annotations

from enum import Enum
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer
from rich.markup import escape

from mszoo.cli.drawing import ascending, open_pages, proceed, schedule, seed_of
from mszoo.cli.options import (
    H0,
    Beta,
    Device,
    ModelOption,
    Overwrite,
    Quality,
    Samples,
    Seed,
    SigmaEnd,
    SkipExisting,
    ValueRange,
    number,
    value_range,
)
from mszoo.cli.output import console
from mszoo.errors import MszooError
from mszoo.text import one_line

__all__ = ["Measurement", "make_operator", "solve"]


class Measurement(str, Enum):
    """What ``mszoo solve`` can measure."""

    inpainting = "inpainting"
    pixels = "random-pixels"
    projections = "random-projections"
    blur = "blur"
    super_resolution = "super-resolution"


def solve(
    image: Annotated[Path, typer.Argument(metavar="IN", help="The image to measure.")],
    out: Annotated[Path, typer.Argument(help="The image to write.")],
    operator: Annotated[Measurement, typer.Option(help="How the image is measured.")] = Measurement.pixels,
    model: ModelOption = "photographs-haar-rf13",
    mask: Annotated[
        Path | None,
        typer.Option(
            help="inpainting: an image of the same size, white where pixels are known, black or transparent for holes."
        ),
    ] = None,
    fraction: Annotated[float, typer.Option(help="random-*: how much is measured.")] = 0.5,
    width: Annotated[float, typer.Option(help="blur: the Gaussian's deviation in pixels.")] = 1.5,
    factor: Annotated[int, typer.Option(help="super-resolution: a power of two.")] = 4,
    measured: Annotated[
        bool, typer.Option("--measured", help="IN is blurred, small or damaged already: restore it.")
    ] = False,
    sigma: Annotated[
        str | None,
        typer.Option(
            help="Standard deviation of the noise in what is measured, in images of [0, 1]: 0.05, or 5/255. "
            "Without --measured it is added first; with it, 0.03 for a blur (whose width and edges are never quite "
            "known), else 0. With --measured, auto: found in what is measured."
        ),
    ] = None,
    samples: Samples = 1,
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
    """Measure an image, or all pages of one, and recover it from the measurement; prints how close that comes.

    With --measured the image is the measurement, and what is written is the one that was measured.
    """
    if operator is Measurement.inpainting and mask is None:
        raise MszooError("inpainting needs --mask IMAGE, white where pixels are known")
    if operator is not Measurement.inpainting and mask is not None:
        raise MszooError(f"--mask is for --operator inpainting, not for {operator.value}")
    limits = None if values is None else value_range(values)
    if measured and operator in (Measurement.pixels, Measurement.projections):
        raise MszooError(
            "--measured: no photograph is measured at random; a blurred, small or damaged one is restored with "
            "--operator blur, super-resolution or inpainting"
        )
    noise: Any = "auto" if measured and sigma == "auto" else None if sigma is None else number(sigma, "--sigma")
    read = [image] if mask is None else [image, mask]
    if not proceed(read, out, overwrite, skip_existing):
        return
    given = open_pages(image, out, limits)
    known = None
    if mask is not None:
        for size in {page.stored.shape[:2]: None for page in given.pages}:  # one mask fits pages of one size
            known = _known(mask, size)

    import mszoo
    from mszoo.evaluation import psnr
    from mszoo.inference import add_noise, deblur, fast
    from mszoo.inference.deblurring import SUPPOSED
    from mszoo.inference.inverse import SOLVE

    stepping = schedule(SOLVE, beta=beta, h0=h0, sigma_end=sigma_end)
    loaded = fast(mszoo.load(model, device))
    starts, results = [], []
    for page, photo in enumerate(given.batches(loaded.channels, loaded.device)):
        measuring = make_operator(operator, loaded, tuple(photo.shape[1:]), known, fraction, width, factor, seed)
        m = photo if measured and operator is not Measurement.inpainting else measuring.forward(photo)
        if noise and not measured:
            m = add_noise(m, noise, seed, page)
        if measured and operator is Measurement.blur:
            recover = partial(deblur, loaded, photo, width, SUPPOSED if noise is None else noise or None)
        else:
            recover = partial(loaded.solve, m, measuring, noise or None)
        with ascending() as show:
            found = recover(
                mean_of=samples,
                generator=seed_of(page, seed),
                schedule=stepping,
                on_step=lambda k, y, level: show(0, k, y, level),
            )
        results.append(found)
        if not measured:
            starts.append(psnr(measuring.pseudo_inverse(m), photo).mean().item())
    out.parent.mkdir(parents=True, exist_ok=True)
    notes = [*given.picture.notes, *given.write(results, out, quality)]
    line = one_line(str(out)) + f"  {len(results)} pages" * (len(results) > 1)
    if not measured:
        written = given.written(out, loaded.channels, loaded.device), given.batches(loaded.channels, loaded.device)
        end = fmean(psnr(x, photo).mean().item() for x, photo in zip(*written, strict=True))
        line += f"  {fmean(starts):.2f} dB (pseudo-inverse) -> {end:.2f} dB"
    console.print(escape(line + f"  ({'; '.join(notes)})" * bool(notes)), soft_wrap=True)


def _known(mask: Path, size: tuple[int, int]) -> Any:
    from mszoo.pictures.mask import read_mask

    known = read_mask(mask, size)
    console.print(f"{known.size - known.sum():,} of {known.size:,} pixels are holes (black or transparent in the mask)")
    return known


def make_operator(
    kind: Measurement,
    model: Any,
    shape: tuple[int, int, int],
    known: Any,
    fraction: float,
    width: float,
    factor: int,
    seed: int,
) -> Any:
    """The operator that the command line asks for, for images (C, H, W); ``known`` is the mask for inpainting."""
    import torch

    from mszoo.inference import Blur, Inpainting, RandomProjections, SuperResolution

    size = shape[1:]
    try:
        if kind is Measurement.inpainting:
            return Inpainting(torch.from_numpy(known))
        if kind is Measurement.pixels:
            return Inpainting.random_pixels(size, fraction, seed)
        if kind is Measurement.projections:
            return RandomProjections(shape, fraction, seed)
        if kind is Measurement.blur:
            return Blur.gaussian(width, size)
        if model.basis is None:
            raise MszooError("this model has no basis to downsample with; use another --operator")
        return SuperResolution(model.basis, factor)
    except ValueError as error:
        if isinstance(error, MszooError):
            raise
        raise MszooError(str(error)) from None
