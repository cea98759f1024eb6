"""What a run starts from: the machine, the images, the weights, and an earlier session of the same run."""

from __future__ import annotations

import os
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin

from mszoo.data import ImageDataset
from mszoo.discovery import registry
from mszoo.errors import DataError, MszooError, TrainingError
from mszoo.hub import find
from mszoo.model import MultiScaleModel
from mszoo.options import validate
from mszoo.recipe import Recipe, Source, differences, read_recipe

__all__ = ["check_unchanged", "make_accelerator", "open_data", "start_from"]


def make_accelerator(recipe: Recipe) -> Accelerator:
    """Accelerate's view of the machine. Raises :class:`TrainingError` when the launcher meant another one."""
    precision = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}[recipe.training.precision]
    try:
        # as a plugin, the recipe's number is not overridden by the launcher's environment
        accumulation = GradientAccumulationPlugin(num_steps=recipe.training.accumulate, sync_with_dataloader=False)
        accelerator = Accelerator(mixed_precision=precision, gradient_accumulation_plugin=accumulation)
    except ValueError as error:
        raise TrainingError(f"Accelerate cannot start: {error}") from None
    expected = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != expected:
        raise TrainingError(
            f"the environment says WORLD_SIZE={expected}, but Accelerate sees {accelerator.num_processes} process(es): "
            f"each would train alone and overwrite the others' files. On CPUs start with\n"
            f"ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes {expected} -m mszoo train ..."
        )
    return accelerator


def start_from(model: MultiScaleModel, name_or_folder: str) -> None:
    """Take over a checkpoint's weights. Raises :class:`TrainingError` when it is of another model."""
    other = MultiScaleModel.from_pretrained(find(name_or_folder))
    if other.config() != model.config():
        raise TrainingError(f"training.init: {name_or_folder} is another model: its basis, networks or heads differ")
    model.load_state_dict(other.state_dict())


def open_data(source: Source, recipe: Recipe) -> tuple[ImageDataset, ImageDataset | None]:
    """Training and test images. Raises :class:`RecipeError` with the place of what cannot be read."""
    opened: dict[str, ImageDataset | None] = {"train": None, "test": None}
    rows: list[tuple[tuple[str | int, ...], str]] = []
    for key, config in (("train", recipe.data.train), ("test", recipe.data.test)):
        # the PSNR of a model that is trained in part means nothing
        if config is None or (key == "test" and recipe.training.scales is not None):
            continue
        try:
            opened[key] = registry().create("dataset", config.name, recipe.model.channels, **config.options)
        except DataError as error:
            place = ("data", key, "path") if "path" in config.options else ("data", key)
            rows.append((place, f"{error}; set it with {'.'.join(place)}=..."))
    if opened["train"] is None or rows:
        raise source.error(rows)
    return opened["train"], opened["test"]


def check_unchanged(recipe: Recipe, out: Path) -> None:
    """Raise :class:`TrainingError` if a run would go on with another recipe than it began with."""
    try:
        began = validate(Recipe, read_recipe(out / "recipe.yaml").values, "recipe")
    except MszooError:  # of an older version, or killed before it was written: nothing to compare with
        return
    free = ("training.steps", "training.workers", "training.checkpoint_every", "training.init", "data.train.path")
    free += ("data.test", "evaluation", "publication", "description", "name")
    changed = [d for d in differences(began.model_dump(), recipe.model_dump()) if not d.startswith(free)]
    if changed:
        raise TrainingError(
            f"{out} was begun with another recipe: {', '.join(changed)} would not go on with the same run; "
            f"leave the change out, or start a new run with another --out"
        )
