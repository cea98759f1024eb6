"""Linear inverse problems with a model as the prior (paper A, algorithm 4)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mszoo.errors import ImageSizeError
from mszoo.inference.arguments import check_whole, without_derivative
from mszoo.inference.operators import Operator
from mszoo.inference.views import denoise_view, denoise_views
from mszoo.model import MultiScaleModel
from mszoo.randomness import child_generators, normal
from mszoo.samplers import OnStep, Schedule, ascend

__all__ = ["SOLVE", "solve"]

SOLVE = Schedule(h0=0.3, beta=0.05, floor=0.01, annealed=True)


@without_derivative("measurement", "the derivative of a loss with model.denoise in it")
def solve(
    model: MultiScaleModel,
    measurement: Tensor,
    operator: Operator,
    *,
    mean_of: int = 1,
    generator: torch.Generator | int | None = None,
    schedule: Schedule | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Images that have the measurement and are likely under the model. It has no derivative.

    The ascent of :mod:`mszoo.inference.ascent` in the image, where the part that was measured is set and the rest
    follows the whole coarse-to-fine denoiser: d = (1 - M M^T) f(y) + M (m - M^T y), f(y) = denoise(y) - y. The noise
    is annealed (see :class:`Schedule`) and not estimated as in the paper, which comes closer on most problems. Each
    step sees the next of the image's views (:mod:`mszoo.inference.views`), so that the wavelet grid leaves no trace;
    the last, which only denoises, averages over all positions of the grid (16 of them at most).

    Args:
        model: in eval mode. Where a head takes t it is told the noise of the schedule, which is annealed then;
            :func:`mszoo.inference.fast` makes it faster.
        measurement: (B, ...), as ``operator.forward`` gives it, in any floating-point type.
        operator: the measurement.
        mean_of: 1 gives a sample; more gives the mean of as many, which has the smaller error.
        generator: a torch.Generator, a seed, or None: torch's global generator.
        schedule: None: :data:`SOLVE`; with beta = 1 no noise is added on the way: faster, and several dB worse where
            pixels are missing.
        on_step: called with the step, the images and their noise estimates.

    Returns:
        Images (B, C, H, W); their measurement is the given one (up to the frequencies a blur loses).

    Raises:
        ImageSizeError: a measurement that is not of this operator, or not of images of this model's channels.
        OptionsError: ``mean_of`` below 1.
        UnsupportedError: a measurement that requires a gradient.

    Example:
        >>> import torch, mszoo
        >>> from mszoo.inference import Inpainting, Schedule
        >>> operator, x = Inpainting.random_pixels((16, 16), 0.5), torch.full((1, 1, 16, 16), 0.5)
        >>> steps = Schedule(h0=0.5, beta=0.5, annealed=True)
        >>> solve(mszoo.load("photographs-haar-rf13"), operator.forward(x), operator, generator=0, schedule=steps).shape
        torch.Size([1, 1, 16, 16])
    """
    check_whole("solve", mean_of=mean_of)
    schedule = SOLVE if schedule is None else schedule
    if not model.blind:
        schedule = replace(schedule, annealed=True)
    if not isinstance(measurement, Tensor) or not measurement.is_floating_point() or not measurement.numel():
        given = (
            f"{tuple(measurement.shape)} of {measurement.dtype}"
            if isinstance(measurement, Tensor)
            else type(measurement).__name__
        )
        raise ImageSizeError(f"a measurement is a floating-point tensor (B, ...), one for each image, got {given}")
    m = measurement.to(model.dtype).repeat_interleave(mean_of, 0)
    known = operator.pseudo_inverse(m)
    if known.ndim != 4 or known.shape[1] != model.channels:
        raise ImageSizeError(
            f"this model takes {model.channels} channel(s), the measurement is of {tuple(known.shape)}"
        )
    half, last = torch.full_like(known, 0.5), min(4**model.levels, 16)

    def direction(y: Tensor, which: Tensor, left: Tensor, step: int) -> Tensor:
        sigma = None if model.blind else left
        denoised = denoise_view(model, y, sigma, step) if step else denoise_views(model, y, sigma, last)
        return denoised - y + operator.pseudo_inverse(m[which] - operator.forward(denoised))

    generators = child_generators(generator, len(m))
    mean = half - operator.pseudo_inverse(operator.forward(half)) + known
    start = mean + schedule.sigma_0 * normal(mean, generators)
    images = ascend(direction, start, schedule, generators, 1.0, on_step)
    return images.unflatten(0, (len(measurement), mean_of)).mean(1).to(measurement.dtype)
