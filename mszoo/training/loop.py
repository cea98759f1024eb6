"""The training loop."""

from __future__ import annotations

import hashlib
import time
import warnings
from pathlib import Path

import torch
from accelerate.utils import broadcast, gather_object
from torch import nn

from mszoo.data import ImageDataset
from mszoo.discovery import registry
from mszoo.errors import TrainingError
from mszoo.evaluation import psnr_of
from mszoo.inference import has_density, normalize
from mszoo.model import MultiScaleModel
from mszoo.recipe import Recipe, Source
from mszoo.training import state
from mszoo.training.batches import Batches, choose
from mszoo.training.check import check
from mszoo.training.gradients import CompiledGradients, EagerGradients
from mszoo.training.log import Log
from mszoo.training.optimization import make_average, make_optimizer, make_scheduler
from mszoo.training.start import check_unchanged, make_accelerator, open_data, start_from
from mszoo.training.statistics import calibrate, fit_heads
from mszoo.training.step import Step

__all__ = ["train"]

_LOG_EVERY = 10
_HOPELESS = 1e6  # growth of the loss that no run recovers from; an optimizer of bounded steps keeps it finite for hours


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
        TrainingError: the run cannot start, or its loss grows beyond hope or is no longer finite.
        DataError: no image is as large as the crop.
    """
    recipe, _ = check(source)
    settings = recipe.training
    accelerator = make_accelerator(recipe)
    rank, processes, main = accelerator.process_index, accelerator.num_processes, accelerator.is_main_process
    found = state.latest(out / "state")
    if found and not resume:
        raise TrainingError(f"{out} holds a run at step {found[1]}; go on with --resume, or choose another --out")
    start = found[1] if found else 0
    if found:
        check_unchanged(recipe, out)
        if start >= settings.steps:
            warnings.warn(f"{out} is at step {start} already; to go on, raise training.steps", stacklevel=2)
            return MultiScaleModel.from_pretrained(out)
    images, test = open_data(source, recipe)

    torch.manual_seed(settings.seed)
    model = MultiScaleModel.from_config(recipe.model)
    objectives = [registry().create("objective", o.name, **o.options) for o in recipe.objectives()]
    model.largest_t = min(model.largest_t, objectives[-1].largest_t)
    if settings.init is not None:
        start_from(model, settings.init)
    batches = Batches(images, recipe.data.train, settings, rank, processes)
    whole_batches = batches.whole()

    step = Step(model, objectives, settings.scales).to(memory_format=torch.channels_last)
    if not found and settings.init is None:
        fit_heads(step, lambda: (x for x, _ in whole_batches.steps(0, settings.calibration_batches)))
    optimizer = make_optimizer(step, settings)
    scheduler = make_scheduler(optimizer, settings)
    wrapped, optimizer = accelerator.prepare(step, optimizer)
    gradients = CompiledGradients(accelerator, step) if settings.compile else EagerGradients(accelerator, wrapped)
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
        if not all(bool(t.isfinite().all()) for t in kept.state_dict().values() if t.is_floating_point()):
            raise diverged("weights are no longer finite", at)
        fingerprints = gather_object([fingerprint(kept.model)])
        log.write("fingerprint", at, processes=fingerprints)
        if len(set(fingerprints)) > 1:
            raise TrainingError(f"the processes' models differ after step {at}: {fingerprints}")
        return kept.model

    def diverged(what: str, at: int) -> TrainingError:
        return TrainingError(
            f"{what} at step {at}; lower training.optimizer.lr, or set training.clip. "
            f"The last checkpoint in {out}, if there is one, is unharmed"
        )

    with Log(out / "metrics.jsonl", recipe.name, start, settings.steps, main) as log:
        kind = accelerator.distributed_type.value
        log.write("start", start, processes=processes, distributed=kind, device=str(accelerator.device))
        log.say(
            f"{recipe.name}: {processes} process{'es' * (processes > 1)} ({kind}), {accelerator.device}, into {out}"
        )
        began, since, window = time.monotonic(), start, torch.zeros((), device=accelerator.device)
        parts, at, first = 0, start, None
        step.train()
        for x, draw in batches.steps(start, settings.steps):
            if parts == 0:
                scheduler.step_update(at)
            with accelerator.accumulate(wrapped):
                loss, logs = gradients(x.to(accelerator.device), draw)
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

            if first is None:
                first = float(accelerator.reduce(window, "mean"))  # type: ignore[arg-type]
            last = at == settings.steps
            if at % _LOG_EVERY == 0 or last:
                mean = float(accelerator.reduce(window, "mean")) / (at - since)  # type: ignore[arg-type]
                if not mean < float("inf"):
                    raise diverged("losses are no longer finite", at)
                if mean > _HOPELESS * max(abs(first), 1.0):
                    raise diverged(f"losses have grown from {first:.3g} to {mean:.3g}", at)
                rate = (at - since) * settings.batch_size / (time.monotonic() - began)
                details = {name: float(value) for name, value in logs.items()}
                log.progress(at, mean, rate, lr=optimizer.param_groups[0]["lr"], **details)
                began, since, window = time.monotonic(), at, torch.zeros_like(window)
            every = recipe.evaluation.every
            evaluation_due = test is not None and (last or (every is not None and at % every == 0))
            checkpoint_due = last or at % settings.checkpoint_every == 0
            if evaluation_due or checkpoint_due:
                kept = finish(at)
                if evaluation_due:
                    evaluate(kept, test, recipe, at, log, rank, processes)  # type: ignore[arg-type]
                if checkpoint_due and main:
                    if last and model.levels in step.trained and has_density(kept.eval()):
                        normalize(kept, (x.shape[-2], x.shape[-1]))
                    kept.save_pretrained(out, beside={"recipe.yaml": source.text()})
                if checkpoint_due:
                    state.save(accelerator, out / "state", at, average)
                accelerator.wait_for_everyone()
                step.train()
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return (step if average is None else average.module).model.eval()


def evaluate(
    model: MultiScaleModel, test: ImageDataset, recipe: Recipe, at: int, log: Log, rank: int, processes: int
) -> None:
    """PSNR on the test images, which the processes share."""
    assert recipe.data.test is not None
    chosen = choose(range(len(test)), recipe.data.test)
    for sigma in recipe.evaluation.sigmas:
        mine = [psnr_of(model, test[i], sigma, 0, i) for i in chosen[rank::processes]]
        noisy, denoised = (sum(column) / len(chosen) for column in zip(*gather_object(mine), strict=True))
        log.write("evaluation", at, sigma=sigma, noisy=noisy, psnr=denoised, images=len(chosen))
        log.say(f"{recipe.name}: step {at}, sigma {sigma:.3g}: {noisy:.2f} -> {denoised:.2f} dB")


def fingerprint(module: nn.Module) -> str:
    """A digest of all parameters and buffers."""
    digest = hashlib.sha256()
    for tensor in module.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
