"""Several models on the same noisy images: PSNR against noise level and against receptive field (paper A, figure 4)."""

from __future__ import annotations

from dataclasses import dataclass

from mszoo.evaluation.evaluation import Evaluation
from mszoo.model import MultiScaleModel

__all__ = ["ComparisonRow", "comparison"]


@dataclass(frozen=True)
class ComparisonRow:
    """One model at one noise level.

    Attributes:
        model: its name.
        levels: J; 0 for a model of the pixels.
        receptive_field: side of the neighbourhood that the finest scale's network sees, in its coefficients; None:
            everything.
        parameters: how many it has.
        sigma: standard deviation of the noise, for images in [0, 1].
        noisy, denoised: PSNR in dB, the mean of per-image values, not clipped.
        images: how many images.
        seconds: wall-clock time for an image, the mean.
    """

    model: str
    levels: int
    receptive_field: int | None
    parameters: int
    sigma: float
    noisy: float
    denoised: float
    images: int
    seconds: float


def comparison(title: str, model: MultiScaleModel, found: Evaluation) -> list[ComparisonRow]:
    """A model's rows in a table of several: its PSNR at each noise level, beside what it is made of.

    Args:
        title: what to call the model.
        model: that was measured.
        found: what :func:`mszoo.evaluation.evaluate` gave; of one data set, the same for all models of the table.

    Example:
        >>> import mszoo
        >>> from mszoo.evaluation import Evaluation, PsnrRow, Result
        >>> found = Evaluation(Result("set12", 0, [PsnrRow(0.1, 20.0, 29.5, 12)]), None, [0.3])
        >>> [row] = comparison("mine", mszoo.load("photographs-haar-rf13"), found)
        >>> row.levels, row.receptive_field, row.denoised
        (2, 13, 29.5)
    """
    field = model.scales[0].receptive_field
    parameters = sum(p.numel() for p in model.parameters())
    return [
        ComparisonRow(title, model.levels, field, parameters, row.sigma, row.noisy, row.denoised, row.images, seconds)
        for row, seconds in zip(found.psnr.rows, found.seconds, strict=True)
    ]
