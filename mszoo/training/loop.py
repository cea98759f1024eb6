"""The training loop."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object
from torch import nn

from mszoo.data import ImageDataset
from mszoo.errors import TrainingError
from mszoo.evaluation import psnr_curve
from mszoo.hooks import registry
from mszoo.hub import find
from mszoo.model import MultiScaleModel
from mszoo.recipe import DatasetConfig, Recipe, Source
from mszoo.training import state
from mszoo.training.batches import Batches
from mszoo.training.check import check
from mszoo.training.log import Log
from mszoo.training.optimization import make_average, make_optimizer, make_scheduler
from mszoo.training.statistics import calibrate
from mszoo.training.step import Step

__all__ = ["train"]

_LOG_EVERY = 10


def train(source: Source, out: Path, resume: bool = False) -> MultiScaleModel:
    """Train the model of a recipe.

    Writes into ``out``: the checkpoint (``config.json``, ``model.safetensors``, ``recipe.yaml``), ``metrics.jsonl``,
    and ``state/``, from which ``resume`` goes on to bitwise the same weights.

    Args:
        source: what to train; it is checked, and stored beside the weights.
        out: the run's folder.
        resume: go on from the newest state in ``out``, if there is one.

    Returns:
        The trained model (the moving average, if the recipe asks for one), in eval mode.

    Raises:
        RecipeError: the recipe has faults.
        TrainingError: the run cannot start, or its loss is no longer finite.
        DataError: no images.
    """
    recipe, _ = check(source)
    settings = recipe.training
    accelerator = make_accelerator(recipe)
    rank, processes, main = accelerator.process_index, accelerator.num_processes, accelerator.is_main_process
    found = state.latest(out / "state")
    if found and not resume:
        raise TrainingError(f"{out} holds a run at step {found[1]}; go on with --resume, or choose another --out")
    start = found[1] if found else 0

    torch.manual_seed(settings.seed)
    model = MultiScaleModel.from_config(recipe.model)
    objectives = [registry().create("objective", o.name, **o.options) for o in recipe.objectives()]
    if settings.init is not None:
        start_from(model, settings.init)
    cut, images = recipe.data.train, make_dataset(recipe.data.train, model.channels)
    # the PSNR of a model that is trained in part means nothing
    test = make_dataset(recipe.data.test, model.channels) if recipe.data.test and settings.scales is None else None
    batches = Batches(images, cut, settings, rank, processes)
    whole_batches = Batches(images, cut, settings)  # the same on every process

    step = Step(model, objectives, settings.scales).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(step, settings)
    scheduler = make_scheduler(optimizer, settings)
    wrapped, optimizer = accelerator.prepare(step, optimizer)
    average = make_average(step, settings)
    if found:
        state.load(accelerator, found[0], average)

    def finish(at: int) -> MultiScaleModel:
        """The model to keep after ``at`` steps, with fresh statistics, the same on every process."""
        for buffer in step.buffers():
            broadcast(buffer)
        kept = step if average is None else average.module
        first_batches = whole_batches.steps(0, settings.calibration_batches)
        with accelerator.autocast():
            calibrate(kept, ((x.to(accelerator.device), draw) for x, draw in first_batches))
        fingerprints = gather_object([fingerprint(kept.model)])
        log.write("fingerprint", at, processes=fingerprints)
        if len(set(fingerprints)) > 1:
            raise TrainingError(f"the processes' models differ after step {at}: {fingerprints}")
        return kept.model

    with Log(out / "metrics.jsonl", recipe.name, start, settings.steps, main) as log:
        kind = accelerator.distributed_type.value
        log.write("start", start, processes=processes, distributed=kind, device=str(accelerator.device))
        log.say(
            f"{recipe.name}: {processes} process{'es' * (processes > 1)} ({kind}), {accelerator.device}, into {out}"
        )
        began, since, window = time.monotonic(), start, torch.zeros((), device=accelerator.device)
        parts, at = 0, start
        step.train()
        for x, draw in batches.steps(start, settings.steps):
            if parts == 0:
                scheduler.step_update(at)
            with accelerator.accumulate(wrapped):
                loss, logs = wrapped(x.to(accelerator.device), draw)
                accelerator.backward(loss)
                if accelerator.sync_gradients and settings.clip is not None:
                    accelerator.clip_grad_norm_(wrapped.parameters(), settings.clip)
                optimizer.step()
                optimizer.zero_grad()
            window += loss.detach() / settings.accumulate
            parts = (parts + 1) % settings.accumulate
            if parts:
                continue
            at += 1
            if average is not None:
                average.update(step, step=at)

            last = at == settings.steps
            if at % _LOG_EVERY == 0 or last:
                mean = float(accelerator.reduce(window, "mean")) / (at - since)  # type: ignore[arg-type]
                if not mean < float("inf"):
                    raise TrainingError(
                        f"the loss is {mean} at step {at}; lower training.optimizer.lr, or set training.clip. "
                        f"The last checkpoint in {out} is unharmed"
                    )
                rate = (at - since) * settings.batch_size / (time.monotonic() - began)
                details = {name: float(value) for name, value in logs.items()}
                log.progress(at, mean, rate, lr=optimizer.param_groups[0]["lr"], **details)
                began, since, window = time.monotonic(), at, torch.zeros_like(window)
            every = recipe.evaluation.every
            evaluation_due = test is not None and (last or (every is not None and at % every == 0))
            checkpoint_due = last or at % settings.checkpoint_every == 0
            if evaluation_due or checkpoint_due:
                kept = finish(at)
                if evaluation_due and main:
                    evaluate(kept, test, recipe, at, log)  # type: ignore[arg-type]
                if checkpoint_due and main:
                    kept.save_pretrained(out, beside={"recipe.yaml": source.text()})
                if checkpoint_due:
                    state.save(accelerator, out / "state", at, average)
                accelerator.wait_for_everyone()
                step.train()
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return (step if average is None else average.module).model.eval()


def make_accelerator(recipe: Recipe) -> Accelerator:
    """Accelerate's view of the machine. Raises :class:`TrainingError` when the launcher meant another one."""
    precision = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}[recipe.training.precision]
    try:
        accelerator = Accelerator(mixed_precision=precision, gradient_accumulation_steps=recipe.training.accumulate)
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


def make_dataset(config: DatasetConfig, channels: int) -> ImageDataset:
    """The data set that a recipe names."""
    return registry().create("dataset", config.name, channels, **config.options)


def evaluate(model: MultiScaleModel, test: ImageDataset, recipe: Recipe, at: int, log: Log) -> None:
    """PSNR on the test images."""
    for row in psnr_curve(model, test, recipe.evaluation.sigmas):
        log.write("evaluation", at, sigma=row.sigma, noisy=row.noisy, psnr=row.denoised, images=row.images)
        log.say(f"{recipe.name}: step {at}, sigma {row.sigma:.3g}: {row.noisy:.2f} -> {row.denoised:.2f} dB")


def fingerprint(module: nn.Module) -> str:
    """A digest of all parameters and buffers."""
    digest = hashlib.sha256()
    for tensor in module.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
