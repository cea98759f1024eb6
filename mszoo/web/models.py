"""The models that the page offers: those that come with the package, and those in the Hub's cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from mszoo.errors import MszooError
from mszoo.hub import DENOISERS
from mszoo.hub.listing import find_models
from mszoo.inference import fast
from mszoo.model import MultiScaleModel

__all__ = ["CHOSEN", "loaded", "named", "offered"]

CHOSEN = "by the photograph"
"""What is chosen where no model is: the packaged denoiser for grey, or for colour."""


@cache
def loaded(name: str) -> MultiScaleModel:
    """A model, made fast; read once."""
    return fast(MultiScaleModel.from_pretrained(name, device="auto"))


def named(name: str, channels: int) -> str:
    """The name of a model, or of the one for photographs of so many channels."""
    return DENOISERS[channels] if name == CHOSEN else name


def offered(fits: Callable[[MultiScaleModel], bool]) -> list[str]:
    """Names of the models that answer a question; no network is asked."""
    return [entry.name for entry in find_models() if _fits(entry.name, fits)]


def _fits(name: str, fits: Callable[[MultiScaleModel], bool]) -> bool:
    try:
        return fits(loaded(name))
    except MszooError:  # one in the cache that cannot be read, or needs a plugin that is not here
        return False
