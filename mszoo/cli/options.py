"""Options that several verbs take, and the reading of numbers."""

from __future__ import annotations

import math
import re
from typing import Annotated

import typer

from mszoo.cli.inputs import check_model, check_named
from mszoo.errors import MszooError

__all__ = [
    "Beta",
    "ChosenModel",
    "Device",
    "H0",
    "ModelName",
    "ModelOption",
    "Overwrite",
    "Quality",
    "SamplerOption",
    "Samples",
    "Seed",
    "SigmaEnd",
    "SkipExisting",
    "Steps",
    "ValueRange",
    "Views",
    "complete_component",
    "complete_model",
    "complete_recipe",
    "number",
    "photon_noise",
    "sides",
    "value_range",
]

Device = Annotated[str, typer.Option(help="Where to compute: cpu, cuda, mps; auto: a GPU if there is one.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of all that is random.")]
Views = Annotated[
    int,
    typer.Option(min=1, max=1024, help="Average over so many shifts of the image, 4^levels for all: slower, better."),
]
_MODEL = "A packaged model, a checkpoint folder, or owner/name on the Hub."


def complete_model(incomplete: str) -> list[str]:
    """Names of models that begin so, for a shell's completion."""
    from mszoo.hub.listing import find_models

    return [entry.name for entry in find_models() if entry.name.startswith(incomplete)]


def complete_recipe(incomplete: str) -> list[str]:
    """Names of recipes that begin so."""
    from mszoo.shipped import shipped_files

    return [name for name in shipped_files("recipes", ".yaml") if name.startswith(incomplete)]


def complete_component(incomplete: str) -> list[str]:
    """Kinds and names of components that begin so."""
    from mszoo.discovery import registry
    from mszoo.registry import KINDS

    return [name for name in (*KINDS, *registry().names()) if name.startswith(incomplete)]


def complete_sampler(incomplete: str) -> list[str]:
    """Names of samplers that begin so."""
    from mszoo.discovery import registry

    return [name for name in registry().names("sampler") if name.startswith(incomplete)]


ModelName = Annotated[str, typer.Argument(help=_MODEL, callback=check_model, autocompletion=complete_model)]
ModelOption = Annotated[str, typer.Option("--model", help=_MODEL, callback=check_model, autocompletion=complete_model)]
ChosenModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        help=f"{_MODEL} Without, a packaged one by the image: for grey, or for colour.",
        callback=check_named,
        autocompletion=complete_model,
    ),
]
Samples = Annotated[int, typer.Option(min=1, help="1: one sample. More: their mean, which has the smaller error.")]
SamplerOption = Annotated[
    str | None,
    typer.Option(
        "--sampler",
        help="ascent, heun, langevin, or a plugin's. By default ascent for a blind model, heun for another.",
        autocompletion=complete_sampler,
    ),
]
Steps = Annotated[int | None, typer.Option(min=1, help="How often the sampler asks the network, about.")]
Beta = Annotated[
    float | None, typer.Option(help="ascent: 1 adds no noise on the way; less adds more, and varies more.")
]
H0 = Annotated[float | None, typer.Option(help="ascent: first step size; smaller is slower and finer.")]
SigmaEnd = Annotated[
    float | None, typer.Option(help="ascent: stop at this noise level, relative to the image's deviation.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that are there already.")]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Leave results that are there already as they are.")
]
ValueRange = Annotated[
    str | None,
    typer.Option("--range", metavar="LOW:HIGH", help="Stored values that are black and white: 0:4095 for 12 bits."),
]
Quality = Annotated[int, typer.Option(min=1, max=100, help="Of JPEG and WebP files.")]


_MOST_PIXELS = 178_956_970  # of one image; Pillow reads no more


def number(text: str, option: str) -> float:
    """0.1, or a fraction such as 25/255."""
    try:
        above, _, below = text.partition("/")
        value = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        raise MszooError(f"{option}: {text[:40]!r} is no number; write 0.1, or 25/255") from None
    if not 0 <= value < float("inf"):
        raise MszooError(f"{option}: the noise level must be 0 or more, got {text}")
    if value > 10:
        raise MszooError(f"{option}: {text} is far above images in [0, 1]; did you mean {text}/255?")
    return value


def photon_noise(text: str) -> tuple[float, float]:
    """``2/255``, or ``2/255:0.01``: gain and read noise, in images of [0, 1]."""
    gain, _, read = text.partition(":")
    values = number(gain, "--poisson"), number(read or "0", "--poisson")
    if not values[0]:
        raise MszooError("--poisson: the gain, what one photon adds to the image, must be above 0; write 2/255")
    return values


def sides(text: str) -> tuple[int, int]:
    """``160``, or ``128x192``; no image larger than what is read again."""
    if not re.fullmatch("[0-9]{1,9}([xX][0-9]{1,9})?", text):
        raise MszooError(f"--size: {text[:40]!r} is no size; write 160, or 128x192")
    first, _, second = text.lower().partition("x")
    height, width = int(first), int(second or first)
    if min(height, width) < 1:
        raise MszooError(f"--size: {text[:40]!r} has no pixels; write 160, or 128x192")
    if height * width > _MOST_PIXELS:
        raise MszooError(f"--size: {text[:40]} has more than {_MOST_PIXELS:,} pixels")
    return height, width


def value_range(text: str) -> tuple[float, float]:
    """``0:4095``: the stored values of black and white."""
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise MszooError(f"--range: {text[:40]!r} is no range; write LOW:HIGH, as 0:4095") from None
    if not -math.inf < low < high < math.inf:
        raise MszooError(f"--range: {text[:40]!r}: the second number must be the larger one, as in 0:4095")
    return low, high
