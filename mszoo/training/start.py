"""What a run is made of, and what it starts from: machine, images, weights, an earlier session of the same run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import GradientAccumulationPlugin
from timm.scheduler.scheduler import Scheduler
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from mszoo.data import ImageDataset
from mszoo.discovery import registry
from mszoo.errors import DataError, MszooError, TrainingError
from mszoo.hub import find
from mszoo.model import MultiScaleModel
from mszoo.options import validate
from mszoo.randomness import Draw
from mszoo.recipe import Recipe, Source, differences, read_recipe
from mszoo.training import state
from mszoo.training.batches import Batches
from mszoo.training.gradients import CompiledGradients, EagerGradients, Gradients
from mszoo.training.grow import grow
from mszoo.training.optimization import make_average, make_optimizer, make_scheduler
from mszoo.training.statistics import fit_heads
from mszoo.training.step import Step

__all__ = ["Run", "find_start", "make_accelerator", "open_data", "prepare"]


@dataclass(frozen=True)
class Run:
    """What a run is made of.

    Attributes:
        source, recipe: what to train, as written and as checked.
        out: the run's folder.
        accelerator: devices, processes and precision.
        step: the model and its objectives, whose forward is the loss.
        wrapped: the same, as Accelerate wraps it.
        optimizer, scheduler: what changes the weights, and at which rate.
        gradients: how they are computed.
        average: moving average of the weights; None: none.
        batches: training images, those of this process.
        test: images of evaluations; None: none.
    """

    source: Source
    recipe: Recipe
    out: Path
    accelerator: Accelerator
    step: Step
    wrapped: nn.Module
    optimizer: AcceleratedOptimizer
    scheduler: Scheduler
    gradients: Gradients
    average: ModelEmaV3 | None
    batches: Batches
    test: ImageDataset | None

    @property
    def kept(self) -> Step:
        """What is evaluated and saved: the moving average, or else what is trained."""
        if self.average is None:
            return self.step
        assert isinstance(self.average.module, Step)
        return self.average.module

    def first_batches(self) -> Iterator[tuple[Tensor, Draw]]:
        """The batches that statistics are taken over: undivided, the same on every process and at every call."""
        return self.batches.whole().steps(0, self.recipe.training.calibration_batches)


def find_start(recipe: Recipe, out: Path, resume: bool) -> int:
    """The step that the run in a folder has come to; 0: there is none yet.

    Raises:
        TrainingError: there is one, and it is not to be resumed, or was begun with another recipe.
    """
    step = state.latest(out / "state")
    if step is None:
        return 0
    if not resume:
        raise TrainingError(f"{out} holds a run at step {step}; go on with --resume, or choose another --out")
    _check_unchanged(recipe, out)
    return step


def prepare(source: Source, recipe: Recipe, out: Path, accelerator: Accelerator, start: int) -> Run:
    """Open the data, build the model, and restore the state that ``out`` holds after ``start`` steps.

    Raises:
        RecipeError: images that cannot be read.
        TrainingError: weights or a state to start from that do not fit, or a batch that cannot be shared.
        DataError: no image is as large as the crop.
    """
    settings = recipe.training
    images, test = open_data(source, recipe)
    batches = Batches(
        images, recipe.data.train, settings, rank=accelerator.process_index, processes=accelerator.num_processes
    )

    torch.manual_seed(settings.seed)
    model = MultiScaleModel.from_config(recipe.model)
    objectives = [registry().create("objective", o.name, **o.options) for o in recipe.objectives()]
    model.largest_t = min(model.largest_t, objectives[-1].largest_t)
    if start == 0 and settings.init is not None:
        grow(model, MultiScaleModel.from_pretrained(find(settings.init)), settings.init)
    step = Step(model, objectives, settings.scales).to(memory_format=torch.channels_last)
    if start == 0 and settings.init is None:
        fit_heads(step, lambda: (x for x, _ in batches.whole().steps(0, settings.calibration_batches)))

    optimizer = make_optimizer(step, settings)
    scheduler = make_scheduler(optimizer, settings)
    wrapped, optimizer = accelerator.prepare(step, optimizer)
    gradients = CompiledGradients(accelerator, step) if settings.compile else EagerGradients(accelerator, wrapped)
    average = make_average(step, settings)
    if start:
        state.load(accelerator, out / "state", start, average)
    return Run(source, recipe, out, accelerator, step, wrapped, optimizer, scheduler, gradients, average, batches, test)


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


def _check_unchanged(recipe: Recipe, out: Path) -> None:
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
