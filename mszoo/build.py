"""Build the parts of a model from its configuration, and name every fault at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mszoo.bases import Basis
from mszoo.discovery import registry
from mszoo.errors import MszooError, OptionsError
from mszoo.heads import Head
from mszoo.recipe.schema import ModelConfig, NamedConfig, ScaleConfig

__all__ = ["build_parts"]


def build_parts(config: ModelConfig) -> tuple[Basis | None, list[Head], Head]:
    """Basis, heads of the details (finest first) and coarse head, with fresh weights.

    Raises:
        OptionsError: unknown parts or options, or parts that do not fit; every fault is listed.
    """
    faults: list[tuple[tuple[str | int, ...], str]] = []

    def attempt(
        path: tuple[str | int, ...],
        action: Callable[..., Any],
        kind: str,
        part: NamedConfig,
        *supplied: Any,
    ) -> Any:
        try:
            return action(kind, part.name, *supplied, **part.options)
        except OptionsError as error:
            faults.extend(((*path, *inner), text) for inner, text in error.rows)
        except MszooError as error:
            faults.append((path, str(error)))
        return None

    def build(path: tuple[str | int, ...], scale: ScaleConfig, channels: int, cond: int) -> Any:
        create, check = registry().create, registry().check
        conditioner = attempt((*path, "conditioner"), create, "conditioner", scale.conditioner, channels, cond)
        if conditioner is None:
            return attempt((*path, "head"), check, "head", scale.head)
        return attempt((*path, "head"), create, "head", scale.head, conditioner)

    c = config.channels
    basis = attempt(("basis",), registry().create, "basis", config.basis) if config.basis else None
    detail = [build(("detail", j), scale, 3 * c, c) for j, scale in enumerate(config.detail)]
    coarse = build(("coarse",), config.coarse, c, 0)
    if faults:
        raise OptionsError("model", faults)
    return basis, detail, coarse
