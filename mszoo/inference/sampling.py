"""Samples, coarse to fine, and super-resolution, which is the same from a given coarser image (paper A)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mszoo.bases import check_size
from mszoo.errors import ImageSizeError, UnsupportedError
from mszoo.heads.base import Head, per_image
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
    coarse: Schedule = COARSE,
    detail: Schedule = DETAIL,
    contrast: tuple[float, float] | None = (0.0, 0.8),
    on_step: OnScale | None = None,
) -> Tensor:
    """Draw images, coarse to fine (paper A, algorithm 2).

    Args:
        model: in eval mode; :func:`mszoo.inference.fast` makes it faster.
        count: how many.
        size: side, or (height, width), in pixels; multiples of 2^J.
        generator: a torch.Generator or a seed. Image i is the same whatever ``count`` is.
        coarse: how the coarsest image is drawn.
        detail: how the details of every scale are drawn, given the finished coarser image.
        contrast: range of local means to which each generated coarsest image is stretched: models trained with random
            intensities draw images of little contrast. None: leave it. A model without a basis is never stretched.
        on_step: called with the scale, the step, that scale's coefficients and their noise levels.

    Returns:
        Images (count, C, H, W), in [0, 1] but for little overshoots.

    Raises:
        ImageSizeError: a size that cannot be split J times.
    """
    height, width = (size, size) if isinstance(size, int) else size
    check_size(height, width, model.levels)
    generators = child_generators(generator, count)
    reference = next(model.parameters())
    unit, levels = 2**model.levels, model.levels
    shape = (count, model.channels, height // unit, width // unit)
    empty = torch.zeros(shape, device=reference.device)
    low = _draw(model.coarse, empty, None, coarse, generators, unit, _of_scale(on_step, levels))
    if contrast is not None and levels:
        low = _stretch(low, contrast[0] * unit, contrast[1] * unit)
    return _refine(model, low, levels, detail, generators, on_step)


@torch.no_grad()
def super_resolve(
    model: MultiScaleModel,
    low: Tensor,
    factor: int = 4,
    *,
    mean_of: int = 1,
    generator: torch.Generator | int | None = None,
    detail: Schedule = DETAIL,
    on_step: OnScale | None = None,
) -> Tensor:
    """Enlarge images by drawing the details of the finer scales (paper A, algorithm 3).

    Args:
        model: with at least log2(factor) levels, in eval mode.
        low: images (B, C, h, w) in [0, 1], as :func:`downsample` makes them.
        factor: a power of two, 2 to 2^J.
        mean_of: 1 gives a sample, sharp; more gives the mean of as many samples, which estimates the conditional mean
            and has the smaller error.
        generator: a torch.Generator or a seed.
        detail: how the details are drawn.
        on_step: see :func:`sample`.

    Returns:
        Images (B, C, factor h, factor w), whose low-pass is the given one exactly.

    Raises:
        UnsupportedError: a factor that is no power of two, or more than the model has levels for.
    """
    if model.basis is None:
        raise UnsupportedError("this model has no basis, and so no finer scales to draw")
    levels = SuperResolution(model.basis, factor).levels
    if levels > model.levels:
        raise UnsupportedError(
            f"this model of {model.levels} levels enlarges by at most {2**model.levels}, not by {factor}"
        )
    if low.ndim != 4 or low.shape[1] != model.channels:
        raise ImageSizeError(f"this model takes images (B, {model.channels}, h, w), got {tuple(low.shape)}")
    generators = child_generators(generator, len(low) * mean_of)
    start = (factor * low).repeat_interleave(mean_of, 0)
    images = _refine(model, start, levels, detail, generators, on_step)
    return images.unflatten(0, (len(low), mean_of)).mean(1)


def downsample(model: MultiScaleModel, x: Tensor, factor: int) -> Tensor:
    """The low-pass image of the model's basis, in [0, 1]: what :func:`super_resolve` starts from.

    (B, C, H, W) to (B, C, H/factor, W/factor), the factor a power of two.
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
    unit: int,
    on_step: OnStep | None,
) -> Tensor:
    """Ascend from noise around the mean. Raises :class:`UnsupportedError` for a head that is not blind."""

    def direction(y: Tensor, which: Tensor, step: int) -> Tensor:
        given = None if cond is None else cond[which]
        return head.denoise(y, None, given) - y

    if not head.blind:
        raise UnsupportedError("sampling estimates the noise level from a blind denoiser; this head takes t")
    start = mean + unit * schedule.sigma_0 * normal(mean, generators)
    return ascend(direction, start, schedule, generators, unit, on_step)


def _of_scale(on_step: OnScale | None, j: int) -> OnStep | None:
    return None if on_step is None else lambda k, y, sigma: on_step(j, k, y, sigma)


def _stretch(x: Tensor, lowest: float, highest: float) -> Tensor:
    """Each image affinely to [lowest, highest]."""
    low, high = x.flatten(1).amin(1), x.flatten(1).amax(1)
    slope = (highest - lowest) / (high - low).clamp_min(1e-12)
    return lowest + (x - per_image(low, x)) * per_image(slope, x)
