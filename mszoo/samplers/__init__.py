"""Samplers: how images are drawn from a head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeAlias

from mszoo.discovery import registry
from mszoo.errors import OptionsError
from mszoo.samplers.ascent import Ascent, Schedule, ascend
from mszoo.samplers.base import OnStep, Sampler, Target
from mszoo.samplers.heun import Heun
from mszoo.samplers.langevin import Langevin

__all__ = [
    "AnySampler",
    "Ascent",
    "Heun",
    "Langevin",
    "OnStep",
    "Sampler",
    "Schedule",
    "Target",
    "ascend",
    "make_sampler",
]

AnySampler: TypeAlias = Sampler | Schedule | str | Mapping[str, Any]
"""What :func:`make_sampler` makes a sampler of."""


def make_sampler(given: AnySampler) -> Sampler:
    """A sampler, as users name one.

    Args:
        given: a sampler, a registered name, a mapping with ``name`` and options, or the schedule of an ascent.

    Raises:
        UnknownComponentError: no such name.
        OptionsError: none of these, or unknown or impossible options.

    Example:
        >>> make_sampler({"name": "heun", "steps": 20}).steps
        20
    """
    if isinstance(given, Sampler):
        return given
    if isinstance(given, Schedule):
        return registry().create("sampler", "ascent", **asdict(given))
    if isinstance(given, str):
        return registry().create("sampler", given)
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        fault = f"should be a sampler, its name, or a mapping with its name and options, got {given!r}"
        raise OptionsError("sampler", [((), fault)])
    options = dict(given)
    return registry().create("sampler", options.pop("name"), **options)
