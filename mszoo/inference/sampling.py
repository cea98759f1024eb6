"""Samples, coarse to fine, and super-resolution, which is the same from a given coarser image (paper A)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mszoo.bases import check_multiple
from mszoo.errors import UnsupportedError
from mszoo.heads.base import Head, per_image
from mszoo.inference.arguments import check_whole, without_derivative
from mszoo.inference.ascent import OnStep, Schedule, ascend
from mszoo.inference.operators import SuperResolution
from mszoo.model import MultiScaleModel
from mszoo.randomness import child_generators, normal

__all__ = ["COARSE", "DETAIL", "downsample", "sample", "super_resolve"]

COARSE = Schedule(h0=0.01, beta=0.1, sigma_end=0.05, floor=0.001)
DETAIL = Schedule(h0=0.01, beta=1.0, sigma_end=0.01)

OnScale = Callable[[int, int, Tensor, Tensor], None]


@torch.no_grad()
def sample(
    model: MultiScaleModel,
    count: int = 1,
    size: int | tuple[int, int] = 64,
    *,
    generator: torch.Generator | int | None = None,
    coarse: Schedule | None = None,
    detail: Schedule | None = None,
    contrast: tuple[float, float] | None = (0.0, 0.8),
    on_step: OnScale | None = None,
) -> Tensor:
    """Draw images, coarse to fine (paper A, algorithm 2).

    Args:
        model: in eval mode; :func:`mszoo.inference.fast` makes it faster.
        count: how many.
        size: side, or (height, width), in pixels; multiples of ``model.unit``.
        generator: a torch.Generator, a seed, or None: torch's global generator. Image i is the same whatever
            ``count`` is.
        coarse: how the coarsest image is drawn; None: :data:`COARSE`.
        detail: how the details of every scale are drawn, given the finished coarser image; None: :data:`DETAIL`.
        contrast: range of local means to which each generated coarsest image is stretched: models trained with random
            intensities draw images of little contrast. None: leave it. A model without a basis is never stretched.
        on_step: called with the scale, the step, that scale's coefficients and their noise levels.

    Returns:
        Images (count, C, H, W), in [0, 1] but for little overshoots, in the model's floating-point type.

    Raises:
        ImageSizeError: a size that is no multiple of ``model.unit``.
        OptionsError: ``count`` or a side below 1.
        UnsupportedError: a model that is not blind.

    Example:
        >>> import mszoo
        >>> from mszoo.inference import Schedule
        >>> model, fast_steps = mszoo.load("photographs-haar-rf13"), Schedule(h0=0.5)
        >>> sample(model, 2, size=(16, 32), generator=0, coarse=fast_steps, detail=fast_steps).shape
        torch.Size([2, 1, 16, 32])
    """
    height, width = (size, size) if isinstance(size, int) else size
    check_whole("sample", count=count, size=height)
    check_whole("sample", size=width)
    check_multiple(height, width, model.unit)
    generators = child_generators(generator, count)
    reference = next(model.parameters())
    levels, gain = model.levels, 2**model.levels
    shape = (count, model.channels, height // gain, width // gain)
    empty = torch.zeros(shape, device=reference.device, dtype=model.dtype)
    low = _draw(model.coarse, empty, None, coarse or COARSE, generators, gain, _of_scale(on_step, levels))
    if contrast is not None and levels:
        low = _stretch(low, contrast[0] * gain, contrast[1] * gain)
    return _refine(model, low, levels, detail or DETAIL, generators, on_step)


@without_derivative("low", "mszoo.inference.downsample and model.denoise, which have one")
def super_resolve(
    model: MultiScaleModel,
    low: Tensor,
    factor: int = 4,
    *,
    mean_of: int = 1,
    generator: torch.Generator | int | None = None,
    detail: Schedule | None = None,
    on_step: OnScale | None = None,
) -> Tensor:
    """Enlarge images by drawing the details of the finer scales (paper A, algorithm 3). It has no derivative.

    Args:
        model: with at least log2(factor) levels, in eval mode.
        low: images (B, C, h, w) in [0, 1], in any floating-point type, as :func:`downsample` makes them.
        factor: a power of two, 2 to 2^J.
        mean_of: 1 gives a sample, sharp; more gives the mean of as many samples, which estimates the conditional mean
            and has the smaller error.
        generator: a torch.Generator, a seed, or None: torch's global generator.
        detail: how the details are drawn; None: :data:`DETAIL`.
        on_step: see :func:`sample`.

    Returns:
        Images (B, C, factor h, factor w), whose low-pass is the given one exactly.

    Raises:
        UnsupportedError: a factor that is no power of two, or more than the model has levels for; low requires a
            gradient.
        ImageSizeError: images of other channels, or whose sides do not fit the networks.
        OptionsError: ``mean_of`` below 1.

    Example:
        >>> import torch, mszoo
        >>> from mszoo.inference import Schedule, downsample
        >>> model, low = mszoo.load("photographs-haar-rf13"), torch.full((1, 1, 8, 8), 0.5)
        >>> x = super_resolve(model, low, factor=2, generator=0, detail=Schedule(h0=0.5))
        >>> torch.allclose(downsample(model, x, 2), low, atol=1e-5)
        True
    """
    check_whole("super_resolve", mean_of=mean_of)
    if model.basis is None:
        raise UnsupportedError("this model has no basis, and so no finer scales to draw")
    levels = SuperResolution(model.basis, factor).levels
    if levels > model.levels:
        raise UnsupportedError(
            f"this model of {model.levels} levels enlarges by at most {2**model.levels}, not by {factor}"
        )
    # of the large image: what the networks of the finer scales need
    unit = math.lcm(*(2 ** (j + 1) * head.conditioner.unit for j, head in enumerate(model.scales[:levels])))
    known = model.prepare(low, unit // math.gcd(unit, factor))
    generators = child_generators(generator, len(low) * mean_of)
    start = (factor * known).repeat_interleave(mean_of, 0)
    images = _refine(model, start, levels, detail or DETAIL, generators, on_step)
    return images.unflatten(0, (len(low), mean_of)).mean(1).to(low.dtype)


def downsample(model: MultiScaleModel, x: Tensor, factor: int) -> Tensor:
    """The low-pass image of the model's basis, in [0, 1], from which :func:`super_resolve` starts.

    Its shape is (B, C, H/factor, W/factor).

    Args:
        model: with a basis.
        x: images (B, C, H, W).
        factor: a power of two, 2 or more.

    Example:
        >>> import torch, mszoo
        >>> downsample(mszoo.load("photographs-haar-rf13"), torch.full((1, 1, 16, 16), 0.5), 4).mean()
        tensor(0.5000)
    """
    if model.basis is None:
        raise UnsupportedError("this model has no basis to downsample with")
    return SuperResolution(model.basis, factor).forward(x)


def _refine(
    model: MultiScaleModel,
    low: Tensor,
    levels: int,
    schedule: Schedule,
    generators: Sequence[torch.Generator],
    on_step: OnScale | None,
) -> Tensor:
    """Draw the details of scales levels - 1 ... 0, each given the finished coarser image."""
    for j in reversed(range(levels)):
        empty = low.repeat(1, 3, 1, 1).zero_()
        detail = _draw(model.scales[j], empty, low, schedule, generators, 2 ** (j + 1), _of_scale(on_step, j))
        assert model.basis is not None
        low = model.basis.synthesize(low, detail)
    return low


def _draw(
    head: Head,
    mean: Tensor,
    cond: Tensor | None,
    schedule: Schedule,
    generators: Sequence[torch.Generator],
    gain: int,
    on_step: OnStep | None,
) -> Tensor:
    """Ascend from noise around the mean. Raises :class:`UnsupportedError` for a head that is not blind."""

    def direction(y: Tensor, which: Tensor, step: int) -> Tensor:
        given = None if cond is None else cond[which]
        return head.denoise(y, None, given) - y

    if not head.blind:
        raise UnsupportedError("sampling estimates the noise level from a blind denoiser; this head takes t")
    start = mean + gain * schedule.sigma_0 * normal(mean, generators)
    return ascend(direction, start, schedule, generators, gain, on_step)


def _of_scale(on_step: OnScale | None, j: int) -> OnStep | None:
    return None if on_step is None else lambda k, y, sigma: on_step(j, k, y, sigma)


def _stretch(x: Tensor, lowest: float, highest: float) -> Tensor:
    """Each image affinely to [lowest, highest]."""
    low, high = x.flatten(1).amin(1), x.flatten(1).amax(1)
    slope = (highest - lowest) / (high - low).clamp_min(1e-12)
    return lowest + (x - per_image(low, x)) * per_image(slope, x)
