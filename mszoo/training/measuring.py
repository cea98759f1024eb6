"""Measure a model while it is trained."""

from __future__ import annotations

import torch
from torch import Tensor

from mszoo.data import readable
from mszoo.evaluation import likelihood_of, psnr_curve
from mszoo.evaluation.probability import shared_probabilities
from mszoo.inference import add_noise, denoise_image
from mszoo.model import MultiScaleModel
from mszoo.processes import Processes
from mszoo.training.batches import choose
from mszoo.training.log import Log
from mszoo.training.start import Run

__all__ = ["evaluate"]

_SHOWN, _SIDE = 4, 256  # images that a tracker shows, and the largest side of each


def evaluate(run: Run, model: MultiScaleModel, at: int, log: Log) -> dict[str | float, float]:
    """PSNR on the test images, which the processes share, into the log; some pictures, to its tracker.

    Bits per dimension too, where the best model is chosen by them.

    Args:
        run: its recipe says which images, and which noise levels.
        model: in eval mode.
        at: after how many steps.
        log: where the numbers go.

    Returns:
        PSNR in dB by noise level, their mean as ``psnr``, and ``nll`` in bits per dimension.
    """
    config, test, accelerator = run.recipe.data.test, run.test, run.accelerator
    assert config is not None
    assert test is not None
    found: dict[str | float, float] = {}
    chosen = choose(range(len(test)), config)
    processes = Processes(accelerator.process_index, accelerator.num_processes, accelerator.device)
    for row in psnr_curve(model, test, run.recipe.evaluation.sigmas, numbers=chosen, processes=processes):
        found[row.sigma] = row.denoised
        named = f"sigma {row.sigma:.3g}"
        log.tracker.numbers({f"psnr/{named}": row.denoised, f"psnr of the noisy image/{named}": row.noisy}, at)
        log.write("evaluation", at, sigma=row.sigma, noisy=row.noisy, psnr=row.denoised, images=row.images)
        log.say(f"{run.recipe.name}: step {at}, {named}: {row.noisy:.2f} -> {row.denoised:.2f} dB")
    if found:
        found["psnr"] = sum(found.values()) / len(found)
    if run.recipe.training.best == "nll":
        measured = likelihood_of(config.name, shared_probabilities(model, test, processes, chosen))
        found["nll"] = measured.nll
        log.tracker.numbers({"nll": measured.nll}, at)
        log.write("likelihood", at, nll=measured.nll, db_per_dim=measured.db_per_dim, images=measured.images)
        log.say(f"{run.recipe.name}: step {at}: {measured.nll:.4f} bits/dim")
    if run.recipe.training.tracker is not None and accelerator.is_main_process:
        log.tracker.pictures(_pictures(run, model, chosen), at)
    return found


def _pictures(run: Run, model: MultiScaleModel, chosen: list[int]) -> dict[str, Tensor]:
    """Some images, with noise and denoised, side by side, for each noise level."""
    pictures: dict[str, Tensor] = {}
    assert run.test is not None
    for i, image in readable(run.test, chosen[:_SHOWN]):
        clean = image[None, :, :_SIDE, :_SIDE]
        for sigma in run.recipe.evaluation.sigmas:
            y = add_noise(clean, sigma, 0, i)
            denoised = denoise_image(model, y.to(run.accelerator.device), None if model.blind else sigma).cpu()
            pictures[f"{i}/sigma {sigma:.3g}"] = torch.cat([clean, y, denoised], -1)[0]
    return pictures
