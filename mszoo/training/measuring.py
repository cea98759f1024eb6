"""Measure a model while it is trained."""

from __future__ import annotations

from accelerate.utils import gather_object

from mszoo.data import readable
from mszoo.errors import DataError
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
        found = gather_object([psnr_of(model, image, sigma, 0, i) for i, image in readable(test, share)])
        if not found:
            raise DataError("no image of data.test can be read")
        noisy, denoised = (sum(column) / len(found) for column in zip(*found, strict=True))
        log.write("evaluation", at, sigma=sigma, noisy=noisy, psnr=denoised, images=len(found))
        log.say(f"{run.recipe.name}: step {at}, sigma {sigma:.3g}: {noisy:.2f} -> {denoised:.2f} dB")
