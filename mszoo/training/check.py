"""Check a whole recipe before anything is started: keys, parts, how they fit, and what training needs."""

from __future__ import annotations

from typing import Any

from torch import nn

from mszoo.errors import MszooError, OptionsError
from mszoo.hooks import registry
from mszoo.model import MultiScaleModel
from mszoo.recipe import DatasetConfig, ModelConfig, NamedConfig, Recipe, TrainingConfig
from mszoo.recipe.source import KeyPath, Source
from mszoo.registry import validate
from mszoo.training.optimization import make_optimizer, make_scheduler

__all__ = ["check"]


def check(source: Source) -> tuple[Recipe, MultiScaleModel]:
    """The recipe, and its model with fresh weights.

    Every section is checked for itself, so that a fault in one does not hide the faults of another.

    Raises:
        RecipeError: listing every fault with file, line and key path.
    """
    rows: list[tuple[KeyPath, str]] = []

    def attempt(path: KeyPath, action: Any, /, *arguments: Any, **options: Any) -> Any:
        try:
            return action(*arguments, **options)
        except OptionsError as error:
            rows.extend(((*path, *inner), text) for inner, text in error.rows)
        except MszooError as error:
            rows.append((path, str(error)))
        return None

    recipe: Recipe | None = attempt((), validate, Recipe, source.values, "recipe")

    config = _section(source, ModelConfig, "model")
    model = attempt(("model",), MultiScaleModel.from_config, config) if config else None

    default = _section(source, NamedConfig, "objective") or NamedConfig(name="denoising")
    attempt(("objective",), registry().check, "objective", default.name, **default.options)
    if recipe is not None:
        for j, (scale, objective) in enumerate(zip(recipe.model.scales(), recipe.objectives(), strict=True)):
            if scale.objective:
                where = ("detail", j) if j < recipe.model.levels else ("coarse",)
                place = ("model", *where, "objective")
                attempt(place, registry().check, "objective", objective.name, **objective.options)

    for key in ("train", "test"):
        data = _section(source, DatasetConfig, "data", key)
        if data is not None:
            attempt(("data", key), registry().check, "dataset", data.name, **data.options)
            if config and data.crop and data.crop % 2**config.levels:
                text = f"{data.crop} cannot be halved {config.levels} times; use a multiple of {2**config.levels}"
                rows.append((("data", key, "crop"), text))

    training = _section(source, TrainingConfig, "training")
    if training is not None:
        for j in training.scales or ():
            if config and j > config.levels:
                rows.append((("training", "scales"), f"there is no scale {j}; this model has 0 to {config.levels}"))
        optimizer = attempt((), make_optimizer, nn.Linear(2, 2), training)
        if optimizer is not None:
            attempt((), make_scheduler, optimizer, training)

    if rows or recipe is None or model is None:
        raise source.error(rows)
    return recipe, model


def _section(source: Source, schema: Any, *path: str) -> Any:
    """A section of the recipe, or None if it is absent or has faults (which the whole schema reports)."""
    value: Any = source.values
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    try:
        return validate(schema, value, "recipe")
    except OptionsError:
        return None
