"""Linear inverse problems with a model as the prior (paper A, algorithm 4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from mszoo.arguments import noise_levels
from mszoo.errors import ImageSizeError, OptionsError, UnsupportedError
from mszoo.heads import EnergyHead
from mszoo.inference.arguments import check_whole, without_derivative
from mszoo.inference.noise_level import noise_level
from mszoo.inference.operators import Operator, closest, verify
from mszoo.inference.views import denoise_view, denoise_views
from mszoo.model import MultiScaleModel
from mszoo.randomness import child_generators, keyed_generator, normal
from mszoo.samplers import OnStep, Schedule, ascend

__all__ = ["SOLVE", "check_measurement", "measured_noise", "solve"]

_LEFT = 0.05  # share of the measurements that is of no image, from which noise is found
_OF_AN_IMAGE = "every such measurement is that of some image; give sigma, or None to believe it exactly"
SOLVE = Schedule(h0=0.3, beta=0.05, floor=0.01, annealed=True)


@without_derivative("measurement", "the derivative of a loss with model.denoise in it")
def solve(
    model: MultiScaleModel,
    measurement: Tensor,
    operator: Operator,
    sigma: float | Tensor | Literal["auto"] | None = None,
    *,
    mean_of: int = 1,
    generator: torch.Generator | int | None = None,
    schedule: Schedule | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Images that have the measurement and are likely under the model. It has no derivative.

    The ascent of :func:`mszoo.samplers.ascend` in the image, where the part that was measured is set and the rest
    follows the whole coarse-to-fine denoiser: d = (1 - M M^T) f(y) + M (m - M^T y), f(y) = denoise(y) - y. The noise
    is annealed (see :class:`Schedule`) and not estimated as in the paper, which comes closer on most problems. Each
    step sees the next of the image's views (:func:`denoise_view`), so that the wavelet grid leaves no trace;
    the last, which only denoises, averages over all positions of the grid (16 of them at most).

    With noise in the measurement, what was measured ends as noisy as it is. If the operator is orthonormal
    (M^T M = 1), this is white noise in the image, and the last denoising, which is released from the measurement, takes
    it away. Otherwise, as for a blur, the measurement is met in proximal steps,
    ``closest``: the more the ascent's noise exceeds the measurement's, the closer.
    A head that takes t is told the larger of both.

    Args:
        model: in eval mode. Where a head takes t it is told the noise of the schedule, which is annealed then;
            :func:`mszoo.inference.fast` makes it faster.
        measurement: (B, ...), as ``operator.forward`` gives it, in any floating-point type.
        operator: the measurement; anything with the methods of :class:`Operator`. Its adjoint and its pseudo-inverse
            are tested once on random images.
        sigma: standard deviation of the noise in the measurement's numbers, a float or (B,); None: the measurement is
            believed exactly; ``auto``: found by :func:`measured_noise`, where that can be.
        mean_of: 1 gives a sample; more gives the mean of as many, which has the smaller error.
        generator: a torch.Generator, a seed, or None: torch's global generator.
        schedule: None: ``SOLVE``; with beta = 1 no noise is added on the way: faster, and several dB worse where
            pixels are missing.
        on_step: called with the step, the images and their noise estimates.

    Returns:
        Images (B, C, H, W). Without sigma their measurement is the given one (up to the frequencies a blur loses).

    Raises:
        ImageSizeError: a measurement that is not of this operator, or not of images of this model's channels.
        OptionsError: ``mean_of`` below 1; a sigma that is no noise level; an operator whose adjoint or pseudo-inverse
            is wrong.
        UnsupportedError: a measurement that requires a gradient; something without an operator's methods; ``auto``
            where the noise cannot be found.

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
    given, known, orthonormal = check_measurement(model, measurement, operator)
    m, known = given.repeat_interleave(mean_of, 0), known.repeat_interleave(mean_of, 0)
    if isinstance(sigma, str):
        if sigma != "auto":
            raise OptionsError("solve", [(("sigma",), f"should be a number, None or 'auto', got {sigma!r}")])
        sigma = measured_noise(model, measurement, operator)
    noise = None
    if sigma is not None:
        noise = noise_levels("sigma", sigma, given, "None believes the measurement exactly").repeat_interleave(mean_of)
    last = min(4**model.levels, 16)

    def meet(x: Tensor, which: Tensor, left: Tensor) -> Tensor:
        """The measurement met, as well as images with so much noise left need to."""
        if noise is None or orthonormal:
            return x + operator.pseudo_inverse(m[which] - operator.forward(x))
        return closest(operator, x, m[which], (noise[which] / left).square().clamp_max(1))

    def direction(y: Tensor, which: Tensor, left: Tensor, step: int) -> Tensor:
        told = left if noise is None else torch.maximum(left, noise[which])
        level = None if model.blind else told
        denoised = denoise_view(model, y, level, step) if step else denoise_views(model, y, level, last)
        released = not step and noise is not None and orthonormal
        return (denoised if released else meet(denoised, which, left)) - y

    generators = child_generators(generator, len(m))
    everything = torch.arange(len(m), device=m.device)
    mean = meet(torch.full_like(known, 0.5), everything, m.new_full((len(m),), schedule.sigma_0))
    start = mean + schedule.sigma_0 * normal(mean, generators)
    images = ascend(direction, start, schedule, generators, 1.0, on_step)
    return images.unflatten(0, (len(measurement), mean_of)).mean(1).to(measurement.dtype)


def check_measurement(model: MultiScaleModel, measurement: Tensor, operator: Operator) -> tuple[Tensor, Tensor, bool]:
    """What is measured, and whether the operator is what it should be.

    Args:
        model: whose images were measured.
        measurement: (B, ...), what a user gave.
        operator: what a user gave.

    Returns:
        The measurement in the model's type; the pseudo-inverse's images (B, C, H, W); whether A A^T = 1.

    Raises:
        ImageSizeError, OptionsError, UnsupportedError: see :func:`solve`.
    """
    if not isinstance(operator, Operator):
        raise UnsupportedError(
            f"an operator has the methods forward, adjoint and pseudo_inverse; {type(operator).__name__} has not"
        )
    if not isinstance(measurement, Tensor) or not measurement.is_floating_point() or not measurement.numel():
        given = (
            f"{tuple(measurement.shape)} of {measurement.dtype}"
            if isinstance(measurement, Tensor)
            else type(measurement).__name__
        )
        raise ImageSizeError(f"a measurement is a floating-point tensor (B, ...), one for each image, got {given}")
    m = measurement.to(model.dtype)
    known = operator.pseudo_inverse(m)
    if known.ndim != 4 or known.shape[1] != model.channels:
        raise ImageSizeError(
            f"this model takes {model.channels} channel(s), the measurement is of {tuple(known.shape)}"
        )
    return m, known, verify(operator, known)


@without_derivative("measurement", "a noise level that you know")
def measured_noise(model: MultiScaleModel, measurement: Tensor, operator: Operator) -> Tensor:
    """The standard deviation of the noise in measurements, (B,), where something tells it from an image.

    - What no image measures, :math:`m - A A^+ m`, is noise alone. A blur has much of it: the frequencies that its
      pseudo-inverse gives up, where it leaves hardly anything of an image. No model is asked.
    - A measurement that is a noisy image in another basis (:math:`A^T A = A A^T = 1`): the noise level at which it is
      most likely, for a model with an energy at every scale (:func:`~mszoo.inference.noise_level`).

    Of 8 crops of photographs of 32 x 32, blurred by 1 to 2.5 pixels and with noise of 0.02, the median error was 1 to 4
    percent. Where pixels are missing or the measurement is a small image, every measurement is that of some image.

    Args:
        model: whose images were measured.
        measurement: (B, ...), as ``operator.forward`` gives it.
        operator: the measurement.

    Raises:
        UnsupportedError: neither of these, or the model has no energy where one is needed.
        ImageSizeError, OptionsError: see :func:`solve`.

    Example:
        >>> import torch, mszoo
        >>> from mszoo.inference import Blur, add_noise
        >>> blur, x = Blur.gaussian(2.0, size=(32, 32)), torch.full((1, 1, 32, 32), 0.5)
        >>> found = measured_noise(mszoo.load("photographs-haar-rf13"), add_noise(blur.forward(x), 0.1, 0, 0), blur)
        >>> bool((found - 0.1).abs() < 0.01)
        True
    """
    m, known, orthonormal = check_measurement(model, measurement, operator)
    if not orthonormal:
        probe = normal(m[:1], [keyed_generator(0)])
        left, of_probe = (v - operator.forward(operator.pseudo_inverse(v)) for v in (m, probe))
        share = of_probe.square().sum() / probe.square().sum()
        if share > _LEFT:
            return (left.flatten(1).square().mean(1) / share).sqrt().clamp_min(torch.finfo(m.dtype).tiny)
        raise UnsupportedError(f"the noise cannot be found: {_OF_AN_IMAGE}")
    probe = normal(known[:1], [keyed_generator(0)])
    gap = operator.adjoint(operator.forward(probe)) - probe
    if gap.square().sum() > 1e-6 * probe.square().sum():
        raise UnsupportedError(f"the noise cannot be found: {_OF_AN_IMAGE}")
    if not all(isinstance(head, EnergyHead) for head in model.scales):
        raise UnsupportedError("the noise is found by an energy at every scale, which this model has not: give sigma")
    return noise_level(model, known).sqrt()
