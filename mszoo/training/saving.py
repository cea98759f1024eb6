"""What is kept of a run: its model, settled and the same on every process, and the state that it goes on from."""

from __future__ import annotations

import hashlib

import torch
from accelerate.utils import broadcast, gather_object
from torch import nn

from mszoo.errors import TrainingError
from mszoo.inference import has_density, normalize
from mszoo.model import MultiScaleModel
from mszoo.training import state
from mszoo.training.log import Log
from mszoo.training.start import Run
from mszoo.training.statistics import calibrate
from mszoo.training.watch import diverged

__all__ = ["save_checkpoint", "settle"]


def settle(run: Run, at: int, log: Log) -> MultiScaleModel:
    """The model to keep after ``at`` steps, in eval mode, with fresh statistics.

    Raises:
        TrainingError: weights that are not finite, or that differ between the processes.
    """
    for buffer in run.step.buffers():
        broadcast(buffer)
    kept, device = run.kept, run.accelerator.device
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
    """Write the model, and then the state after ``at`` steps; the last model with the constant of its density."""
    if run.accelerator.is_main_process:
        last = at == run.recipe.training.steps
        if last and model.levels in run.step.trained and has_density(model):
            normalize(model, run.batches.sizes[0])
        model.save_pretrained(run.out, beside={"recipe.yaml": run.source.text()})
    state.save(run.accelerator, run.out / "state", at, run.average)


def _fingerprint(module: nn.Module) -> str:
    """A digest of all parameters and buffers."""
    digest = hashlib.sha256()
    for tensor in module.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
