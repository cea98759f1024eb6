"""Check a whole recipe before anything is started: keys, parts, how they fit, and what training needs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mszoo.checkpoint.reading import outline
from mszoo.discovery import registry
from mszoo.errors import MszooError, OptionsError, UnsupportedError
from mszoo.heads import EnergyHead
from mszoo.inference.likelihood import check_density
from mszoo.model import MultiScaleModel
from mszoo.options import validate
from mszoo.recipe import DatasetConfig, ModelConfig, NamedConfig, Recipe, TrainingConfig
from mszoo.recipe.source import KeyPath, Source
from mszoo.training.optimization import make_optimizer, make_scheduler
from mszoo.training.tracking import check_tracker

__all__ = ["check"]


def check(source: Source) -> tuple[Recipe, MultiScaleModel]:
    """The recipe, and the outline of its model: its parts, and tensors that have a shape and no memory.

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

    def part(kind: str, *path: str | int) -> None:
        """Check a named part for itself."""
        named = _section(source, DatasetConfig if kind == "dataset" else NamedConfig, *path)
        if named is not None:
            attempt(path, registry().check, kind, named.name, **named.options)

    recipe: Recipe | None = attempt((), validate, Recipe, source.values, "recipe")
    config = _section(source, ModelConfig, "model")
    model: MultiScaleModel | None = attempt(("model",), _outline, config) if config else None
    if config is None:
        part("basis", "model", "basis")
        for scale in _scales(source):
            part("conditioner", *scale, "conditioner")
            part("head", *scale, "head")

    part("objective", "objective")
    if recipe is not None:
        for j, (scale, objective) in enumerate(zip(recipe.model.scales(), recipe.objectives(), strict=True)):
            place = ("model", *(("detail", j) if j < recipe.model.levels else ("coarse",)), "objective")
            place = place if scale.objective else ("objective",)
            made = attempt(place, registry().create, "objective", objective.name, **objective.options)
            if made is not None and j < recipe.model.levels and not made.conditional:
                rows.append((place, f"with these options it cannot train scale {j}, whose condition stays as it is"))
            if made is not None and model is not None and made.needs_energy:
                head = model.scales[j]
                if not isinstance(head, EnergyHead):
                    name = objective.name
                    rows.append((place, f"{name} trains energies, and scale {j}'s {type(head).__name__} has none"))

    for key in ("train", "test"):
        part("dataset", "data", key)
        data = _section(source, DatasetConfig, "data", key)
        if data is not None and model is not None and data.crop and data.crop % model.unit:
            text = f"{data.crop} does not fit this model, which takes sides that are multiples of {model.unit}"
            rows.append((("data", key, "crop"), text))

    training = _section(source, TrainingConfig, "training")
    if training is not None:
        for j in training.scales or ():
            if config and j > config.levels:
                rows.append((("training", "scales"), f"there is no scale {j}; this model has 0 to {config.levels}"))
        attempt((), check_tracker, training)
    if recipe is not None and (fault := _unmeasured(recipe, model)):
        rows.append((("training", "best"), fault))
    for make in (_optimizer, _scheduler):
        attempt((), make, source)

    if rows or recipe is None or model is None:
        raise source.error(rows)
    return recipe, model


def _outline(config: ModelConfig) -> MultiScaleModel:
    return outline(config) or MultiScaleModel.from_config(config)


def _section(source: Source, schema: Any, *path: str | int) -> Any:
    """A section of the recipe, or None if it is absent or has faults (which the whole schema reports)."""
    try:
        return validate(schema, _dig(source, *path), "recipe")
    except OptionsError:
        return None


def _dig(source: Source, *path: str | int) -> Any:
    value: Any = source.values
    for key in path:
        try:
            value = value[key]
        except (LookupError, TypeError):
            return None
    return value


def _unmeasured(recipe: Recipe, model: MultiScaleModel | None) -> str | None:
    """Why a run could not measure what ``training.best`` asks for; None: it can."""
    best, sigmas = recipe.training.best, recipe.evaluation.sigmas
    if best is None:
        return None
    if recipe.data.test is None:
        return "there is nothing to measure it on: set data.test"
    if recipe.training.scales is not None:
        return "a model that is trained in part (training.scales) is not measured"
    if best == "nll":
        if model is None:  # its own faults are told
            return None
        try:
            check_density(model)
        except UnsupportedError as error:
            return f"nll cannot be measured: {error}"
    elif best == "psnr" and not sigmas:
        return "evaluation.sigmas is empty"
    elif best != "psnr" and best not in sigmas:
        return f"{best:g} is none of evaluation.sigmas: {', '.join(f'{sigma:.4g}' for sigma in sigmas)}"
    return None


def _optimizer(source: Source) -> None:
    given = _dig(source, "training", "optimizer")
    settings = validate(TrainingConfig, {} if given is None else {"optimizer": given}, "recipe")
    layer = nn.Linear(4, 4)
    optimizer = make_optimizer(layer, settings)
    layer(torch.ones(1, 4)).sum().backward()
    try:
        optimizer.step()
    except Exception as error:  # options that no constructor has looked at
        name = settings.optimizer.name
        text = f"{name} with these options cannot take a step: {error}"
        raise OptionsError("recipe", [(("training", "optimizer"), text)]) from None


def _scheduler(source: Source) -> None:
    settings = _section(source, TrainingConfig, "training")
    if settings is None:  # some other key has a fault
        training = _dig(source, "training")
        given = {"scheduler": training["scheduler"]} if isinstance(training, dict) and "scheduler" in training else {}
        settings = validate(TrainingConfig, given, "recipe")
    make_scheduler(torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=1.0), settings)


def _scales(source: Source) -> list[KeyPath]:
    """The key paths of the scales in a recipe whose model has faults."""
    detail = _dig(source, "model", "detail")
    count = len(detail) if isinstance(detail, list) else 0
    written: list[KeyPath] = [("model", "detail", j) for j in range(count)]
    return [*(written or [("model", "detail")]), ("model", "coarse")]
