"""Prepare a run: devices, images, model, and the weights or the saved state that it starts from."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import GradientAccumulationPlugin, ProjectConfiguration, parse_flag_from_env
from timm.scheduler.scheduler import Scheduler
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from mszoo.checkpoint import folder as checkpoint
from mszoo.data import ImageDataset
from mszoo.discovery import registry
from mszoo.errors import DataError, ImageSizeError, MszooError, TrainingError, key_path
from mszoo.evaluation.probability import large_enough
from mszoo.hub import find
from mszoo.model import MultiScaleModel
from mszoo.options import validate
from mszoo.randomness import Draw
from mszoo.recipe import DatasetConfig, Recipe, Source, differences, read_recipe
from mszoo.recipe.source import KeyPath
from mszoo.training import state
from mszoo.training.batches import Batches, choose
from mszoo.training.check import check
from mszoo.training.divided import check_division, divide, divide_optimizer, divides, hidden
from mszoo.training.folder import check_free
from mszoo.training.gradients import CompiledGradients, EagerGradients, Gradients
from mszoo.training.grow import check_growth, grow
from mszoo.training.optimization import make_average, make_optimizer, make_scheduler
from mszoo.training.precision import slowdown
from mszoo.training.statistics import fit_heads
from mszoo.training.step import Step
from mszoo.training.tracking import FOLDER

__all__ = ["Run", "find_start", "make_accelerator", "open_data", "prepare", "rehearse"]

# By the variable with which Accelerate's launcher asks for it: what replaces the loop of training, or parts of it.
_REFUSED = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
}

_IMITATED = 3.0  # times as slow as fp32


@dataclass(frozen=True)
class Run:
    """What a run is made of.

    Attributes:
        source, recipe: what to train, as written and as checked.
        out: the run's folder.
        accelerator: devices, processes and precision.
        step: the model and its objectives, whose forward is the loss.
        wrapped: the same, as Accelerate wraps it or :func:`mszoo.training.divided.divide` divides it: what is called.
        optimizer, scheduler: what changes the weights, and at which rate.
        gradients: how they are computed.
        average: moving average of the weights; None: none.
        batches: training images, those of this process.
        test: images of evaluations; None: none.
        start: steps that were taken before.
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
    start: int

    @property
    def kept(self) -> Step:
        """What is evaluated and saved: the moving average, or else what is trained; divided, if that is."""
        if self.average is None:
            return self.step
        assert isinstance(self.average.module, Step)
        return self.average.module

    def first_batches(self) -> Iterator[tuple[Tensor, Draw]]:
        """The batches that statistics are taken over: undivided, the same on every process and at every call."""
        return self.batches.whole().steps(0, self.recipe.training.calibration_batches)


def find_start(recipe: Recipe, out: Path, resume: bool, overwrite: bool) -> int:
    """The step that the run in a folder has come to; 0: there is none yet, or it is to be overwritten.

    Args:
        recipe: of the run to start.
        out: the run's folder.
        resume: go on from the newest state.
        overwrite: begin anew, whatever the folder holds.

    Raises:
        TrainingError: there is one, and it is not to be resumed, or was begun with another recipe; or there is a model
            without a state.
    """
    if resume and overwrite:
        raise TrainingError("--resume goes on with the run that --overwrite replaces: give one of them")
    step = None if overwrite else state.latest(out / "state")
    if step is None:
        if not overwrite:
            check_free(out)
        return 0
    if not resume:
        raise TrainingError(
            f"{out} holds a run at step {step}; go on with --resume, choose another --out, or begin anew with "
            f"--overwrite"
        )
    _check_unchanged(recipe, out)
    return step


def prepare(source: Source, recipe: Recipe, out: Path, accelerator: Accelerator, start: int) -> Run:
    """Open the data, build the model, and restore the state that ``out`` holds after ``start`` steps.

    Args:
        source: the recipe with the places of its keys, for messages.
        recipe: the same, checked.
        out: the run's folder.
        accelerator: devices and processes.
        start: steps done; 0: from the beginning.

    Raises:
        RecipeError: images that cannot be read, or do not fit.
        TrainingError: weights or a state to start from that do not fit, or a batch that cannot be shared.
    """
    settings = recipe.training
    torch.manual_seed(settings.seed)
    model = MultiScaleModel.from_config(recipe.model)
    batches, test = open_data(source, recipe, model.unit, accelerator.process_index, accelerator.num_processes)
    objectives = [registry().create("objective", o.name, **o.options) for o in recipe.objectives()]
    model.largest_t = [min(t, o.largest_t) for t, o in zip(model.largest_t, objectives, strict=True)]
    heights, widths = zip(*batches.sizes, strict=True)
    model.trained_size = max(heights), max(widths)
    if start == 0 and settings.init is not None:
        grow(model, MultiScaleModel.from_pretrained(find(settings.init)), settings.init)
    step = Step(model, objectives, settings.scales)
    step.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # torch 2.12 declares no such call
    if start == 0 and settings.init is None:
        fit_heads(step, lambda: (x for x, _ in batches.whole().steps(0, settings.calibration_batches)))

    make = partial(make_optimizer, settings=settings)
    if divides(accelerator):
        wrapped = divide(step, accelerator)
        optimizer = accelerator.prepare(divide_optimizer(make, step, settings.optimizer.name))
    else:
        wrapped, optimizer = accelerator.prepare(step, make(step))
    scheduler = make_scheduler(optimizer, settings)
    gradients = CompiledGradients(accelerator, step) if settings.compile else EagerGradients(accelerator, wrapped)
    average = make_average(step, settings)
    if start:
        state.load(accelerator, out / "state", start, average)
    return Run(
        source, recipe, out, accelerator, step, wrapped, optimizer, scheduler, gradients, average, batches, test, start
    )


def make_accelerator(recipe: Recipe, out: Path | None = None) -> Accelerator:
    """Accelerate's devices and processes. Raises :class:`TrainingError` if they are not what the launcher asked for.

    Args:
        recipe: its precision and accumulation, and its tracker.
        out: the run's folder; None: there is no tracker.
    """
    _check_launch()
    check_division(recipe.training)
    precision = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}[recipe.training.precision]
    try:
        # as a plugin, the recipe's number is not overridden by the launcher's environment
        accumulation = GradientAccumulationPlugin(num_steps=recipe.training.accumulate, sync_with_dataloader=False)
        tracker = None if out is None else recipe.training.tracker
        with hidden():
            accelerator = Accelerator(
                mixed_precision=precision,
                gradient_accumulation_plugin=accumulation,
                log_with=None if tracker is None else tracker.name,
                project_config=None if out is None else ProjectConfiguration(logging_dir=str(out / FOLDER)),
            )
    except ValueError as error:
        raise TrainingError(f"Accelerate cannot start: {error}") from None
    expected = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != expected:
        raise TrainingError(
            f"the environment says WORLD_SIZE={expected}, but Accelerate sees {accelerator.num_processes} process(es): "
            f"each would train alone and overwrite the others' files. On CPUs start with\n"
            f"ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes {expected} -m mszoo train ..."
        )
    _check_gain(accelerator)
    return accelerator


def _check_gain(accelerator: Accelerator) -> None:
    """Warn of a precision that the processor imitates."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(accelerator.mixed_precision)
    if dtype is None or accelerator.device.type != "cpu" or not accelerator.is_main_process:
        return
    if (times := slowdown(dtype)) > _IMITATED:
        name = accelerator.mixed_precision
        warnings.warn(
            f"this processor has no instructions for {name}: a convolution takes {times:.0f} times as long as in fp32; "
            f"train with training.precision=fp32",
            stacklevel=2,
        )


def _check_launch() -> None:
    """Raise :class:`TrainingError` if the launcher asks for what training does not use.

    On a CPU Accelerate would not do it, and not say so.
    """
    for variable, name in _REFUSED.items():
        if parse_flag_from_env(variable):
            raise TrainingError(
                f"{name} takes backward passes, clipping and saving out of training's hands, and is not supported. "
                f"To divide the weights among the processes, start with accelerate launch --use_fsdp; else with "
                f"accelerate launch --multi_gpu"
            )


def open_data(
    source: Source, recipe: Recipe, unit: int, rank: int = 0, processes: int = 1
) -> tuple[Batches, ImageDataset | None]:
    """Training batches and test images.

    Args:
        source, recipe: which images.
        unit: what both sides of an image must be multiples of; see :attr:`MultiScaleModel.unit`.
        rank, processes: which share of each batch to read.

    Raises:
        RecipeError: with the place of what cannot be read or does not fit; every fault is listed.
        TrainingError: the batch cannot be shared evenly.
    """
    rows: list[tuple[KeyPath, str]] = []

    def attempt(place: KeyPath, action: Callable[..., Any], *given: Any, **options: Any) -> Any:
        try:
            return action(*given, **options)
        except (DataError, ImageSizeError) as error:
            rows.append((place, str(error)))
        return None

    def opened(key: str, config: DatasetConfig) -> ImageDataset | None:
        place = ("data", key, "path") if "path" in config.options else ("data", key)
        return attempt(place, registry().create, "dataset", config.name, recipe.model.channels, **config.options)

    train, test, batches = recipe.data.train, recipe.data.test, None
    images, tested = opened("train", train), None
    if images is not None:
        batches = attempt(("data", "train"), Batches, images, train, recipe.training, rank, processes)
    if batches is not None:
        rows += [(("data", "train"), text) for text in _misfits(batches, unit)]
    if test is not None and recipe.training.scales is None:  # the PSNR of a model that is trained in part means nothing
        tested = opened("test", test)
        if tested is not None:
            chosen = attempt(("data", "test"), choose, range(len(tested)), test)
            if chosen is not None and recipe.training.best == "nll":
                attempt(("data", "test"), large_enough, tested, unit, chosen)
    if batches is None or rows:
        raise source.error(
            (p, f"{text}; set it with {key_path(p)[0]}=..." if "path" in p else text) for p, text in rows
        )
    return batches, tested


def _misfits(batches: Batches, unit: int) -> Iterator[str]:
    """What is wrong with the sizes of training images."""
    sizes = batches.sizes
    advice = "set data.train.crop to one of these" if unit > 1 else "set data.train.crop"
    odd = [f"{h}x{w}" for h, w in sizes if h % unit or w % unit]
    if odd:
        shown = ", ".join(odd[:4])
        yield f"images of {shown} do not fit this model, which takes sides that are multiples of {unit}; {advice}"
    elif len(sizes) > 1 and batches.together > 1:
        shown = ", ".join(f"{h}x{w}" for h, w in sizes[:4])
        yield f"images of different sizes ({shown}) make no batch; set data.train.crop"


def rehearse(source: Source) -> tuple[Recipe, MultiScaleModel]:
    """Find the faults that would end a run at its start: in the recipe, the first images, the weights or state.

    Returns:
        The recipe, and the outline of its model (see :func:`mszoo.training.check.check`).

    Raises:
        RecipeError: every fault, with its place.
        TrainingError: the weights to start from do not fit.
    """
    recipe, model = check(source)
    batches, _ = open_data(source, recipe, model.unit)
    batches.first()
    if recipe.training.init is not None:
        folder = find(recipe.training.init)
        new = {name: tuple(t.shape) for name, t in model.state_dict().items()}
        check_growth(
            checkpoint.read_config(folder)["model"],
            model.config(),
            checkpoint.read_shapes(folder),
            new,
            name=recipe.training.init,
        )
    return recipe, model


def _check_unchanged(recipe: Recipe, out: Path) -> None:
    """Raise :class:`TrainingError` if the recipe of a run to resume has changed."""
    try:
        began = validate(Recipe, read_recipe(out / "recipe.yaml").values, "recipe")
    except MszooError:  # of an older version, or killed before it was written: nothing to compare with
        return
    free = ("training.steps", "training.workers", "training.checkpoint_every", "training.init", "data.train.path")
    free += ("training.tracker", "training.keep", "training.best")
    free += ("data.test", "evaluation", "publication", "description", "name")
    changed = [d for d in differences(began.model_dump(), recipe.model_dump()) if not d.startswith(free)]
    if changed:
        raise TrainingError(
            f"{out} was begun with another recipe: {', '.join(changed)} would not go on with the same run; "
            f"leave the change out, or start a new run with another --out"
        )
