"""Verbs that draw images: samples, super-resolution, inverse problems."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from mszoo.cli.output import Device, ModelOption, Seed, console, errors
from mszoo.errors import ImageSizeError, MszooError

Count = Annotated[int, typer.Option(min=1, help="How many images.")]
Samples = Annotated[int, typer.Option(min=1, help="1: one sample. More: their mean, which has the smaller error.")]
Beta = Annotated[float | None, typer.Option(help="1 adds no noise on the way; less adds more, and varies more.")]
H0 = Annotated[float | None, typer.Option(help="First step size; smaller is slower and finer.")]
SigmaEnd = Annotated[float | None, typer.Option(help="Stop at this noise level, relative to the image's deviation.")]


class Measurement(str, Enum):
    """What ``mszoo solve`` can measure."""

    inpainting = "inpainting"
    pixels = "random-pixels"
    projections = "random-projections"
    blur = "blur"
    super_resolution = "super-resolution"


def sample(
    out: Annotated[Path, typer.Argument(help="A folder for the images.")],
    model: ModelOption = "photographs-haar-rf13",
    count: Count = 4,
    size: Annotated[str, typer.Option(help="Side in pixels, or HEIGHTxWIDTH.")] = "160",
    seed: Seed = 0,
    beta: Beta = None,
    h0: H0 = None,
    sigma_end: SigmaEnd = None,
    coarse_beta: Annotated[float | None, typer.Option(help="As --beta, for the coarsest image.")] = None,
    coarse_h0: Annotated[float | None, typer.Option(help="As --h0, for the coarsest image.")] = None,
    coarse_sigma_end: Annotated[float | None, typer.Option(help="As --sigma-end, for the coarsest image.")] = None,
    device: Device = "cpu",
) -> None:
    """Draw images from a model: 0.png, 1.png, ... and, of several, a contact sheet."""
    import mszoo
    from mszoo.bases import check_size
    from mszoo.data.images import write_image
    from mszoo.inference import fast
    from mszoo.inference.sampling import COARSE, DETAIL
    from mszoo.inference.sampling import sample as draw

    coarse = schedule(COARSE, beta=coarse_beta, h0=coarse_h0, sigma_end=coarse_sigma_end)
    detail = schedule(DETAIL, beta=beta, h0=h0, sigma_end=sigma_end)
    height_width = sides(size)
    loaded = fast(mszoo.load(model, device))
    check_size(*height_width, loaded.levels)
    out.mkdir(parents=True, exist_ok=True)
    with ascending() as show:
        images = draw(loaded, count, height_width, generator=seed, coarse=coarse, detail=detail, on_step=show)
    for i, image in enumerate(images):
        write_image(image, out / f"{i}.png")
    if count > 1:
        write_image(contact_sheet(images), out / "sheet.png")
    console.print(f"wrote {count} image(s) into {escape(str(out))}")


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


def solve(
    image: Annotated[Path, typer.Argument(metavar="IN", help="The image to measure.")],
    out: Annotated[Path, typer.Argument(help="The image to write.")],
    operator: Annotated[Measurement, typer.Option(help="How the image is measured.")] = Measurement.pixels,
    model: ModelOption = "photographs-haar-rf13",
    mask: Annotated[
        Path | None, typer.Option(help="inpainting: an image of the same size, white where pixels are known.")
    ] = None,
    fraction: Annotated[float, typer.Option(help="random-*: how much is measured.")] = 0.5,
    width: Annotated[float, typer.Option(help="blur: the Gaussian's deviation in pixels.")] = 1.5,
    factor: Annotated[int, typer.Option(help="super-resolution: a power of two.")] = 4,
    samples: Samples = 1,
    seed: Seed = 0,
    beta: Beta = None,
    h0: H0 = None,
    sigma_end: SigmaEnd = None,
    device: Device = "cpu",
) -> None:
    """Measure an image, and recover it from the measurement; prints how close that comes."""
    from mszoo.data.images import write_image
    from mszoo.evaluation import psnr
    from mszoo.inference.inverse import SOLVE
    from mszoo.inference.inverse import solve as recover

    stepping = schedule(SOLVE, beta=beta, h0=h0, sigma_end=sigma_end)
    loaded, clean = open_both(model, image, device)
    measuring = make_operator(operator, loaded, tuple(clean.shape[1:]), mask, fraction, width, factor, seed)
    measured = measuring.forward(clean)
    with ascending() as show:
        found = recover(
            loaded, measured, measuring, mean_of=samples, generator=seed, schedule=stepping,
            on_step=lambda k, y, sigma: show(0, k, y, sigma),
        )  # fmt: skip
    write_image(found.flatten(0, 1), out)
    start, end = (psnr(x, clean).mean().item() for x in (measuring.pseudo_inverse(measured), found))
    console.print(f"{escape(str(out))}  {start:.2f} dB (pseudo-inverse) -> {end:.2f} dB", soft_wrap=True)


def make_operator(
    kind: Measurement,
    model: Any,
    shape: tuple[int, int, int],
    mask: Path | None,
    fraction: float,
    width: float,
    factor: int,
    seed: int,
) -> Any:
    """The measurement that the command line asks for, of images (C, H, W)."""
    from mszoo.data.images import read_image
    from mszoo.inference import Blur, Inpainting, RandomProjections, SuperResolution

    size = shape[1:]
    try:
        if kind is Measurement.inpainting:
            if mask is None:
                raise MszooError("inpainting needs --mask IMAGE, white where pixels are known")
            known = read_image(mask, str(mask), 1)[0] > 0.5
            if tuple(known.shape) != size:
                raise ImageSizeError(f"the mask is {tuple(known.shape)}, the image {size}: they must be the same")
            return Inpainting(known)
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


def open_both(name: str, path: Path, device: str) -> tuple[Any, Any]:
    """A model, and an image as a batch for it: a grey model takes each channel as an image of its own."""
    import mszoo
    from mszoo.data.images import read_image
    from mszoo.inference import fast

    model = fast(mszoo.load(name, device))
    image = read_image(path, str(path), None if model.channels == 1 else model.channels).to(device)
    return model, image[:, None] if model.channels == 1 else image[None]


def schedule(base: Any, **given: float | None) -> Any:
    """A schedule with the options that were given; an impossible one is a user's error."""
    try:
        return replace(base, **{name: value for name, value in given.items() if value is not None})
    except ValueError as error:
        raise MszooError(str(error)) from None


def sides(text: str) -> tuple[int, int]:
    """``160``, or ``128x192``."""
    try:
        height, _, width = text.lower().partition("x")
        return int(height), int(width or height)
    except ValueError:
        raise MszooError(f"--size: {text!r} is no size; write 160, or 128x192") from None


def contact_sheet(images: Any) -> Any:
    """Images (n, C, H, W) side by side in rows, (C, rows H, columns W)."""
    import torch

    columns = next(c for c in range(1, len(images) + 1) if c * c >= len(images))
    blank = images.new_ones(-len(images) % columns, *images.shape[1:])
    tiles = torch.cat([images, blank]).unflatten(0, (-1, columns))
    return tiles.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)


@contextmanager
def ascending() -> Iterator[Any]:
    """A status line that tells scale, step and the largest noise level left."""
    with errors.status("starting") as status:
        yield lambda j, k, y, sigma: status.update(f"scale {j}, step {k}: noise {sigma.max().item():.4f}")
