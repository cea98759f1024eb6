"""Check a whole recipe before anything is started: keys, parts, how they fit, and what training needs."""

from __future__ import annotations

from typing import Any

from mszoo.errors import MszooError, OptionsError
from mszoo.hooks import registry
from mszoo.model import MultiScaleModel
from mszoo.recipe import ModelConfig, Recipe
from mszoo.recipe.source import KeyPath, Source
from mszoo.registry import validate
from mszoo.training.optimization import make_optimizer, make_scheduler

__all__ = ["check"]


def check(source: Source) -> tuple[Recipe, MultiScaleModel]:
    """The recipe, and its model with fresh weights.

    Raises:
        RecipeError: listing every fault with file, line and key path.
    """
    rows: list[tuple[KeyPath, str]] = []

    def attempt(path: KeyPath, action: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return action(*arguments, **options)
        except OptionsError as error:
            rows.extend(((*path, *inner), text) for inner, text in error.rows)
        except MszooError as error:
            rows.append((path, str(error)))
        return None

    recipe: Recipe | None = attempt((), validate, Recipe, source.values, "recipe")
    config = recipe.model if recipe else _model_alone(source)
    model = attempt(("model",), MultiScaleModel.from_config, config) if config else None
    if recipe is not None:
        names = [("model", "detail", j, "objective") for j in range(recipe.model.levels)]
        names.append(("model", "coarse", "objective"))
        for own, objective in zip(names, recipe.objectives(), strict=True):
            place = own if source.has(own) else ("objective",)
            attempt(place, registry().check, "objective", objective.name, **objective.options)
        for key, data in (("train", recipe.data.train), ("test", recipe.data.test)):
            if data is not None:
                attempt(("data", key), registry().check, "dataset", data.name, **data.options)
        crop, unit = recipe.data.train.crop, 2**recipe.model.levels
        if crop is not None and crop % unit:
            text = f"{crop} cannot be halved {recipe.model.levels} times; use a multiple of {unit}"
            rows.append((("data", "train", "crop"), text))
    if recipe is not None and model is not None:
        optimizer = attempt((), make_optimizer, model, recipe.training)
        if optimizer is not None:
            attempt((), make_scheduler, optimizer, recipe.training)
    if rows or recipe is None or model is None:
        raise source.error(rows)
    return recipe, model


def _model_alone(source: Source) -> ModelConfig | None:
    """The model's part of a recipe that has faults elsewhere, so that its own faults are listed too."""
    try:
        return validate(ModelConfig, source.values.get("model"), "model")
    except OptionsError:
        return None
