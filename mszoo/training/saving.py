"""Save a run: its model, the same on every process, and the state from which it continues."""

from __future__ import annotations

import hashlib
import shutil

import torch
from accelerate.utils import broadcast, gather_object
from torch import Tensor, nn

from mszoo.errors import TrainingError
from mszoo.inference import has_density, normalize
from mszoo.model import MultiScaleModel
from mszoo.training import state
from mszoo.training.divided import whole_step
from mszoo.training.log import Log
from mszoo.training.start import Run
from mszoo.training.statistics import calibrate
from mszoo.training.watch import diverged

__all__ = ["save_checkpoint", "settle", "unsaved"]


def settle(run: Run, at: int, log: Log) -> MultiScaleModel:
    """The model to keep after ``at`` steps, in eval mode, with fresh statistics.

    Args:
        run: whose weights are taken, or their moving average.
        at: steps done.
        log: where warnings go.

    Raises:
        TrainingError: weights that are not finite, or that differ between the processes.
    """
    for buffer in run.step.buffers():
        broadcast(buffer)
    kept, device = whole_step(run.kept), run.accelerator.device
    kept.model.constants.clear()  # a density's, of the weights before
    with run.accelerator.autocast():
        calibrate(kept, ((x.to(device), draw) for x, draw in run.first_batches()))
    if not all(bool(t.isfinite().all()) for t in kept.state_dict().values() if t.is_floating_point()):
        raise diverged("weights are no longer finite", at, run.out)
    fingerprints = gather_object([_fingerprint(kept.model)])
    log.write("fingerprint", at, processes=fingerprints)
    if len(set(fingerprints)) > 1:
        raise TrainingError(f"the processes' models differ after step {at}: {fingerprints}")
    return kept.model


def save_checkpoint(run: Run, model: MultiScaleModel, at: int) -> None:
    """Write the model, and then the state after ``at`` steps; the last model with the constant of its density.

    Args:
        run: whose folder and state they are.
        model: what :func:`settle` gave.
        at: steps done.

    Raises:
        TrainingError: the disk is full, or cannot be written; the state before is whole.
    """
    main, last = run.accelerator.is_main_process, at == run.recipe.training.steps
    if main and last and model.levels in run.step.trained and has_density(model):
        normalize(model, run.batches.sizes[0])
    try:
        if main:
            model.save_pretrained(run.out, beside={"recipe.yaml": run.source.text()})
        state.save(run.accelerator, run.out / "state", at, run.average, run.recipe.training.keep)
    except OSError as error:
        raise unsaved(run, f"step {at}", error) from error


def unsaved(run: Run, what: str, error: OSError) -> TrainingError:
    """The error of a run whose disk is full, or cannot be written.

    Args:
        run: which one.
        what: cannot be written.
        error: the system's.
    """
    before, free = state.latest(run.out / "state"), shutil.disk_usage(run.out).free
    advice = "begin anew with --overwrite" if before is None else f"go on from step {before} with --resume"
    return TrainingError(
        f"{what} cannot be saved in {run.out}: {error}. Model and state take about {_bytes(run):,} bytes, "
        f"{free:,} are free there. Make room, and {advice}"
    )


def _bytes(run: Run) -> int:
    """What a model and a state take, nearly all of it tensors; divided ones count whole, and are not gathered here."""
    modules = [run.kept.model, run.step, *([] if run.average is None else [run.average])]
    tensors = [t for module in modules for t in (*module.parameters(), *module.buffers())]
    moments = [v for of_one in run.optimizer.state.values() for v in of_one.values() if isinstance(v, Tensor)]
    return sum(t.nbytes for t in (*tensors, *moments))


def _fingerprint(module: nn.Module) -> str:
    """A digest of all parameters and buffers."""
    digest = hashlib.sha256()
    for tensor in module.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
