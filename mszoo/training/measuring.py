"""Measure a model while it is trained."""

from __future__ import annotations

from accelerate.utils import gather_object

from mszoo.evaluation import psnr_of
from mszoo.model import MultiScaleModel
from mszoo.training.batches import choose
from mszoo.training.log import Log
from mszoo.training.start import Run

__all__ = ["evaluate"]


def evaluate(run: Run, model: MultiScaleModel, at: int, log: Log) -> None:
    """PSNR on the test images, which the processes share, into the log.

    Args:
        run: its recipe says which images, and which noise levels.
        model: in eval mode.
        at: after how many steps.
        log: where the numbers go.
    """
    config, test, accelerator = run.recipe.data.test, run.test, run.accelerator
    assert config is not None
    assert test is not None
    chosen = choose(range(len(test)), config)
    for sigma in run.recipe.evaluation.sigmas:
        share = chosen[accelerator.process_index :: accelerator.num_processes]
        mine = [psnr_of(model, test[i], sigma, 0, i) for i in share]
        noisy, denoised = (sum(column) / len(chosen) for column in zip(*gather_object(mine), strict=True))
        log.write("evaluation", at, sigma=sigma, noisy=noisy, psnr=denoised, images=len(chosen))
        log.say(f"{run.recipe.name}: step {at}, sigma {sigma:.3g}: {noisy:.2f} -> {denoised:.2f} dB")
