"""Samples, coarse to fine, and super-resolution, which is the same from a given coarser image (paper A)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mszoo.bases import check_multiple
from mszoo.errors import OptionsError, UnsupportedError
from mszoo.heads import Head
from mszoo.heads.base import per_image
from mszoo.inference.arguments import check_whole, without_derivative
from mszoo.inference.operators import SuperResolution
from mszoo.model import MultiScaleModel
from mszoo.randomness import child_generators
from mszoo.samplers import AnySampler, OnStep, Sampler, Target, make_sampler

__all__ = ["downsample", "sample", "super_resolve"]

# Noise levels that drawing begins at, in local means: what hides details, and what blind denoisers are trained with.
_DETAIL, _BLIND = 3.0, 1.0
_MOST_PIXELS = 2**30  # of all images together

OnScale = Callable[[int, int, Tensor, Tensor], None]


@torch.no_grad()
def sample(
    model: MultiScaleModel,
    count: int = 1,
    size: int | tuple[int, int] = 64,
    *,
    sampler: AnySampler | None = None,
    generator: torch.Generator | int | None = None,
    coarse: AnySampler | None = None,
    detail: AnySampler | None = None,
    contrast: tuple[float, float] | None = (0.0, 0.8),
    on_step: OnScale | None = None,
) -> Tensor:
    """Draw images, coarse to fine (paper A, algorithm 2).

    Args:
        model: in eval mode; :func:`mszoo.inference.fast` makes it faster.
        count: how many.
        size: side, or (height, width), in pixels; multiples of ``model.unit``.
        sampler: how every scale is drawn: a name (``mszoo components sampler``), a mapping with ``name`` and options, a
            :class:`~mszoo.samplers.Sampler`, or a :class:`~mszoo.samplers.Schedule` of the ascent. None: paper A's
            ``ascent`` where the head is blind, ``heun`` where it takes t.
        generator: a torch.Generator, a seed, or None: torch's global generator. Image i is the same whatever
            ``count`` is.
        coarse: how the coarsest image is drawn, in place of ``sampler``.
        detail: how the details of every scale are drawn, given the finished coarser image, in place of ``sampler``.
        contrast: range of local means to which each generated coarsest image is stretched: blind models trained with
            random intensities draw images of little contrast. None: leave it. A model without a basis, or one that is
            told the noise level, is never stretched.
        on_step: called with the scale, the step, that scale's coefficients and their noise levels.

    Returns:
        Images (count, C, H, W), in [0, 1] but for little overshoots, in the model's floating-point type.

    Raises:
        ImageSizeError: a size that is no multiple of ``model.unit``.
        OptionsError: ``count`` or a side below 1, more than 2^30 pixels in all, or an impossible sampler.
        UnsupportedError: a sampler that needs what a head lacks, such as an energy.

    Example:
        >>> import mszoo
        >>> from mszoo.inference import Schedule
        >>> model, fast_steps = mszoo.load("photographs-haar-rf13"), Schedule(h0=0.5)
        >>> sample(model, 2, size=(16, 32), generator=0, coarse=fast_steps, detail=fast_steps).shape
        torch.Size([2, 1, 16, 32])
    """
    height, width = size if isinstance(size, (tuple, list)) and len(size) == 2 else (size, size)
    check_whole("sample", count=count, size=height)
    check_whole("sample", size=width)
    check_multiple(height, width, model.unit, advice="")
    if count * height * width > _MOST_PIXELS:
        text = f"{count:,} images of {height}x{width} are drawn at once, at most {_MOST_PIXELS:,} pixels"
        raise OptionsError("sample", [(("count",), text)])
    samplers = _samplers(model.scales, sampler if detail is None else detail, sampler if coarse is None else coarse)
    generators = child_generators(generator, count)
    reference = next(model.parameters())
    gain, levels = 2**model.levels, model.levels
    shape = (count, model.channels, height // gain, width // gain)
    mean = torch.full(shape, 0.0 if model.coarse.blind else gain / 2, device=reference.device, dtype=model.dtype)
    # The mean over the image of so much noise deviates by white minus black: even the brightness is hidden.
    largest = _largest(model, levels, math.sqrt(mean[0, 0].numel()))
    target = Target(model.coarse, mean, None, gain, largest)
    low = samplers[-1].draw(target, generators, _of_scale(on_step, levels))
    if contrast is not None and levels and model.coarse.blind:
        low = _stretch(low, contrast[0] * gain, contrast[1] * gain)
    return _refine(model, low, samplers[:-1], generators, on_step)


@without_derivative("low", "mszoo.inference.downsample and model.denoise, which have one")
def super_resolve(
    model: MultiScaleModel,
    low: Tensor,
    factor: int = 4,
    *,
    mean_of: int = 1,
    sampler: AnySampler | None = None,
    generator: torch.Generator | int | None = None,
    on_step: OnScale | None = None,
) -> Tensor:
    """Enlarge images by drawing the details of the finer scales (paper A, algorithm 3). It has no derivative.

    Args:
        model: with at least log2(factor) levels, in eval mode.
        low: images (B, C, h, w) in [0, 1], in any floating-point type, as :func:`downsample` makes them.
        factor: a power of two, 2 to 2^J.
        mean_of: 1 gives a sample, sharp; more gives the mean of as many samples, which estimates the conditional mean
            and has the smaller error.
        sampler: how the details are drawn; see :func:`sample`.
        generator: a torch.Generator, a seed, or None: torch's global generator.
        on_step: see :func:`sample`.

    Returns:
        Images (B, C, factor h, factor w), whose low-pass is the given one exactly.

    Raises:
        UnsupportedError: a factor that is no power of two, or more than the model has levels for; low requires a
            gradient; a sampler that needs what a head lacks.
        ImageSizeError: images of other channels, or whose sides do not fit the networks.
        OptionsError: ``mean_of`` below 1, or an impossible sampler.

    Example:
        >>> import torch, mszoo
        >>> from mszoo.inference import Schedule, downsample
        >>> model, low = mszoo.load("photographs-haar-rf13"), torch.full((1, 1, 8, 8), 0.5)
        >>> x = super_resolve(model, low, factor=2, generator=0, sampler=Schedule(h0=0.5))
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
    samplers = _samplers(model.scales[:levels], sampler, sampler)
    generators = child_generators(generator, len(low) * mean_of)
    start = (factor * known).repeat_interleave(mean_of, 0)
    images = _refine(model, start, samplers, generators, on_step)
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


def _samplers(heads: Sequence[Head], detail: AnySampler | None, coarse: AnySampler | None) -> list[Sampler]:
    """A sampler for each scale, finest first; None for one: by its head. All are checked before anything is drawn."""
    given = [*[detail] * (len(heads) - 1), coarse]
    chosen = [
        make_sampler(one if one is not None else "ascent" if head.blind else "heun")
        for head, one in zip(heads, given, strict=True)
    ]
    for head, sampler in zip(heads, chosen, strict=True):
        sampler.check(head)
    return chosen


def _largest(model: MultiScaleModel, j: int, enough: float) -> float:
    """The noise level that drawing scale j begins at: enough of it, or as much as its head was trained with."""
    gain = 2 ** min(j + 1, model.levels)
    return _BLIND if model.scales[j].blind else min(enough, math.sqrt(model.largest_t[j]) / gain)


def _refine(
    model: MultiScaleModel,
    low: Tensor,
    samplers: Sequence[Sampler],
    generators: Sequence[torch.Generator],
    on_step: OnScale | None,
) -> Tensor:
    """Draw details of as many scales as there are samplers (finest first), each given the finished coarser image."""
    for j, sampler in reversed(list(enumerate(samplers))):
        head, gain = model.scales[j], 2 ** (j + 1)
        mean = low.repeat(1, 3, 1, 1).zero_()
        target = Target(head, mean, low, gain, _largest(model, j, _DETAIL))
        detail = sampler.draw(target, generators, _of_scale(on_step, j))
        assert model.basis is not None
        low = model.basis.synthesize(low, detail)
    return low


def _of_scale(on_step: OnScale | None, j: int) -> OnStep | None:
    return None if on_step is None else lambda k, y, sigma: on_step(j, k, y, sigma)


def _stretch(x: Tensor, lowest: float, highest: float) -> Tensor:
    """Each image affinely to [lowest, highest]."""
    low, high = x.flatten(1).amin(1), x.flatten(1).amax(1)
    slope = (highest - lowest) / (high - low).clamp_min(1e-12)
    return lowest + (x - per_image(low, x)) * per_image(slope, x)
