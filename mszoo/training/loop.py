"""The training loop."""

from __future__ import annotations

import warnings
from itertools import islice
from pathlib import Path

from mszoo.model import MultiScaleModel
from mszoo.recipe import Source
from mszoo.training import state
from mszoo.training.best import clear_best, keep_best
from mszoo.training.check import check
from mszoo.training.denormals import flushed_denormals
from mszoo.training.folder import hold
from mszoo.training.log import METRICS, Log
from mszoo.training.measuring import evaluate
from mszoo.training.saving import save_checkpoint, settle, unsaved
from mszoo.training.start import Run, find_start, make_accelerator, prepare
from mszoo.training.stopping import Signals, Stopped
from mszoo.training.watch import Watch

__all__ = ["train"]

_LOG_EVERY = 10


def train(source: Source, out: Path, resume: bool = False, overwrite: bool = False) -> MultiScaleModel:
    """Train the model of a recipe.

    Writes into ``out``: the checkpoint (``config.json``, ``model.safetensors``, ``recipe.yaml``), ``metrics.jsonl``,
    the best model so far in ``best/``, if the recipe asks for it, and ``state/``, from which ``resume`` goes on to
    bitwise the same weights.

    Args:
        source: what to train; it is checked, and stored beside the weights.
        out: the run's folder.
        resume: go on from the newest state in ``out``, if there is one.
        overwrite: begin anew, whatever model or run ``out`` holds: the first checkpoint replaces it.

    Returns:
        The trained model (the moving average, if the recipe asks for one), in eval mode.

    Raises:
        RecipeError: the recipe has faults.
        TrainingError: the run cannot start (``out`` holds something else, or another process trains into it), its loss
            grows beyond hope or is no longer finite, or it cannot be saved.
        Stopped: it was asked to end (Ctrl-C, SIGTERM), and has saved its state.
    """
    recipe, _ = check(source)
    accelerator = make_accelerator(recipe, out)
    with hold(out, accelerator):
        start = find_start(recipe, out, resume, overwrite)
        if start >= recipe.training.steps:
            warnings.warn(f"{out} is at step {start} already; to go on, raise training.steps", stacklevel=2)
            return MultiScaleModel.from_pretrained(out)
        run = prepare(source, recipe, out, accelerator, start)
        if overwrite:
            state.clear(accelerator, out / "state")
            clear_best(out)
        try:
            with Signals(accelerator) as signals, Log(out, recipe, start, accelerator) as log, flushed_denormals():
                model = optimize(run, log, signals)
        except OSError as error:
            if error.filename != str(out / METRICS):
                raise
            raise unsaved(run, METRICS, error) from error
        accelerator.end_training()
    return model.eval()


def optimize(run: Run, log: Log, signals: Signals) -> MultiScaleModel:
    """Take the steps of a run that are left; evaluate and save when they are due. Returns what was saved last."""
    accelerator, settings, every = run.accelerator, run.recipe.training, run.recipe.evaluation.every
    batches, watch = run.batches.steps(run.start, settings.steps), Watch(accelerator, settings, run.start, run.out)
    model = run.kept.model
    run.wrapped.train()
    for at in range(run.start + 1, settings.steps + 1):
        run.scheduler.step_update(at - 1)
        for x, draw in islice(batches, settings.accumulate):
            with accelerator.accumulate(run.wrapped):
                watch.add(*run.gradients(x.to(accelerator.device), draw))
                if accelerator.sync_gradients and settings.clip is not None:
                    accelerator.clip_grad_norm_(run.wrapped.parameters(), settings.clip)
                run.optimizer.step()
                run.optimizer.zero_grad()
        if run.average is not None:
            run.average.update(run.step, step=at)

        last, stopped = at == settings.steps, signals.stop(at)
        if at % _LOG_EVERY == 0 or last or stopped:
            log.progress(at, **watch.look(at, run.batches.replaced), lr=run.optimizer.param_groups[0]["lr"])
        evaluates = run.test is not None and (last or (every is not None and at % every == 0))
        saves = last or stopped or at % settings.checkpoint_every == 0
        if evaluates or saves:
            model = settle(run, at, log)
            if evaluates:
                keep_best(run, model, at, evaluate(run, model, at, log))
            if saves:
                save_checkpoint(run, model, at)
            run.wrapped.train()
        if stopped and not last:
            raise Stopped(at, signals.number)
    return model
