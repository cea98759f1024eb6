"""Denoisers side by side, models and those that learn nothing, on the same noisy images: what they give and cost.

Each is measured in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mszoo.checkpoint.folder import title_of
from mszoo.data import ImageDataset
from mszoo.errors import MszooError
from mszoo.evaluation.denoising import psnr
from mszoo.evaluation.evaluation import open_images
from mszoo.inference import add_noise, denoise_image, fast
from mszoo.model import MultiScaleModel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Compared", "DenoiserRow", "compare", "draw", "markdown", "measure", "plot", "ssim"]

_SHOWN = 128  # side in pixels of what the picture shows of the first image
_WINDOW = 11  # side of SSIM's window


@dataclass(frozen=True)
class DenoiserRow:
    """One denoiser at one noise level.

    Attributes:
        denoiser: its name.
        told_sigma: whether it was told the noise level; if not, it is blind.
        sigma: standard deviation of the noise, for images in [0, 1].
        noisy, denoised: PSNR in dB, the mean of per-image values, not clipped.
        ssim: of the denoised images, the mean; not a number where a side is below 11 pixels.
        images: how many.
        parameters: how many it has; None: it learned nothing.
        multiply_adds: a pixel, of its convolutions and matrix products; None: not counted.
        seconds: wall-clock time for a megapixel.
        memory: the most that was held beyond the loaded program, in MB; None: the system does not tell.
    """

    denoiser: str
    told_sigma: bool
    sigma: float
    noisy: float
    denoised: float
    ssim: float
    images: int
    parameters: int | None
    multiply_adds: float | None
    seconds: float
    memory: float | None


@dataclass(frozen=True)
class Compared:
    """What was measured of one denoiser.

    Attributes:
        rows: one for each noise level.
        clean, noisy, denoised: the middle of the first image at the last noise level, (C, H, W).
    """

    rows: list[DenoiserRow]
    clean: Tensor
    noisy: Tensor
    denoised: Tensor


def ssim(estimate: Tensor, clean: Tensor) -> float:
    """Structural similarity of two images (1, C, H, W) in [0, 1], as defined by Wang et al. (IEEE TIP 2004).

    Example:
        >>> x = torch.rand(1, 1, 32, 32)
        >>> ssim(x, x)
        1.0
    """
    if min(clean.shape[-2:]) < _WINDOW:
        return float("nan")
    from skimage.metrics import structural_similarity

    first, second = (image[0].double().numpy() for image in (estimate, clean))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    found: Any = structural_similarity(first, second, data_range=1.0, channel_axis=0, **options)
    return float(found)


def compare(
    names: Sequence[str],
    data: str | Path | None = None,
    *,
    sigmas: Sequence[float],
    channels: int = 1,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[str], object] | None = None,
) -> list[Compared]:
    """Measure denoisers on the same noisy images.

    Args:
        names: of models, as :func:`mszoo.load` takes them, and of baselines (:mod:`mszoo.evaluation.baselines`).
        data: a folder, zip file, glob or file of images; None: the photograph that comes for tests.
        sigmas: noise levels, standard deviations for images in [0, 1].
        channels: 1, the images in grey; 3, in colour.
        seed: the noise of image i depends on (seed, i) alone, and is scaled by sigma.
        device: where models compute; baselines do on the CPU.
        progress: called with each name before it is measured.

    Raises:
        UnsupportedError: a baseline whose package is not installed.
        MszooError: a model or an image that cannot be used, or a process that the system ended.

    Example:
        >>> [tv] = compare(["tv"], sigmas=[0.1])  # doctest: +SKIP
        >>> tv.rows[0].denoised > 28  # doctest: +SKIP
        True
    """
    from mszoo.evaluation.baselines import BASELINES, check_installed

    for name in names:
        if name in BASELINES:
            check_installed(name)
    found = []
    for name in names:
        if progress is not None:
            progress(name)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
            try:
                result = alone.submit(_measured, name, data, tuple(sigmas), channels, seed, device).result()
            except BrokenProcessPool:
                raise MszooError(f"{name}: its process was ended by the system; is there enough memory?") from None
        if isinstance(result, str):
            raise MszooError(f"{name}: {result}")
        found.append(result)
    return found


def _measured(
    name: str, data: str | Path | None, sigmas: Sequence[float], channels: int, seed: int, device: str
) -> Compared | str:
    """In a process of its own: what was measured, or a user's error, which not every process can unpack."""
    try:
        return measure(name, open_images(data, channels), sigmas, seed, device)
    except MszooError as error:
        return str(error)


@torch.no_grad()
def measure(name: str, images: ImageDataset, sigmas: Sequence[float], seed: int, device: str) -> Compared:
    """One denoiser, in this process; see :func:`compare`.

    Args:
        name: of a model or a baseline.
        images: at least one, in grey or in colour.
        sigmas: noise levels.
        seed: of the noise.
        device: where a model computes.
    """
    denoise, told, parameters, products = _denoiser(name, images.channels, device)
    held = _held()
    denoise(add_noise(images[0][None], sigmas[0], seed, 0), sigmas[0])  # what is done once is not timed
    rows, shown = [], ()
    for sigma in sigmas:
        values, seconds, pixels = [], 0.0, 0
        for i in range(len(images)):
            clean = images[i][None]
            y = add_noise(clean, sigma, seed, i)
            began = time.perf_counter()
            x = denoise(y, sigma)
            seconds += time.perf_counter() - began
            pixels += clean.shape[-2] * clean.shape[-1]
            values.append((psnr(y, clean).item(), psnr(x, clean).item(), ssim(x, clean)))
            shown = shown if i else tuple(_middle(image[0]) for image in (clean, y, x))
        noisy, denoised, similar = (fmean(column) for column in zip(*values, strict=True))
        memory = None if held is None else (_held() or 0) - held
        rows.append(
            DenoiserRow(
                title_of(name), told, sigma, noisy, denoised, similar, len(values), parameters, products,
                seconds=1e6 * seconds / pixels, memory=memory,
            )
        )  # fmt: skip
    return Compared(rows, *shown)


def _denoiser(
    name: str, channels: int, device: str
) -> tuple[Callable[[Tensor, float], Tensor], bool, int | None, float | None]:
    """Denoises (1, C, H, W) given sigma; whether it is told it; its parameters; its multiply-adds a pixel."""
    from mszoo.evaluation.baselines import BASELINES, denoise_by

    if name in BASELINES:
        return lambda y, sigma: denoise_by(name, y, sigma), True, None, None
    from mszoo.evaluation.cost import multiply_adds

    model = MultiScaleModel.from_pretrained(name, device=device)
    quick, planes = fast(model), channels // model.channels or 1
    count = sum(p.numel() for p in model.parameters())

    def denoise(y: Tensor, sigma: float) -> Tensor:
        taken = y.expand(-1, model.channels, -1, -1) if y.shape[1] == 1 else y
        x = denoise_image(quick, taken.to(model.device), None if model.blind else sigma).cpu()
        return x.mean(1, keepdim=True) if x.shape[1] > y.shape[1] else x

    return denoise, not model.blind, count, planes * multiply_adds(model)


def _held() -> float | None:
    """The most memory that this process has held so far, in MB; None: the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def _middle(image: Tensor) -> Tensor:
    top, left = (max(0, (side - _SHOWN) // 2) for side in image.shape[-2:])
    return image[:, top : top + _SHOWN, left : left + _SHOWN].clone()


def markdown(compared: Sequence[Compared]) -> str:
    """A table, a row for each denoiser: PSNR in dB and SSIM at each noise level, and what it costs."""
    levels = [f"{row.sigma * 255:.4g}/255" for row in compared[0].rows]
    head = ["denoiser", *levels, "parameters", "multiply-adds a pixel", "s a megapixel", "MB"]
    lines = [head, ["---"] * len(head)]
    for one in compared:
        row = one.rows[-1]
        quality = [f"{r.denoised:.2f}, {r.ssim:.3f}" for r in one.rows]
        counts = ["" if n is None else f"{n / 1000:,.0f} k" for n in (row.parameters, row.multiply_adds)]
        seconds = f"{fmean(r.seconds for r in one.rows):.2f}"
        memory = "" if row.memory is None else f"{row.memory:.0f}"
        name = row.denoiser.replace("|", r"\|") + ", told sigma" * row.told_sigma
        lines.append([name, *quality, *counts, seconds, memory])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plot(axes: Axes, rows: Sequence[DenoiserRow]) -> Axes:
    """PSNR against seconds a megapixel at one noise level, a point for each denoiser, into axes; the same axes."""
    from mszoo.evaluation.plots import label

    for row in rows:
        axes.semilogx(row.seconds, row.denoised, "o")
        axes.annotate(label(row.denoiser), (row.seconds, row.denoised), (4, 4), textcoords="offset points", fontsize=8)
    axes.set(xlabel="seconds a megapixel", ylabel="PSNR (dB)", title=f"sigma {rows[0].sigma:.3g}")
    axes.margins(0.25)
    axes.grid(alpha=0.3)
    return axes


def draw(compared: Sequence[Compared]) -> Figure:
    """:func:`plot` at each noise level and, below, the middle of the first image by each.

    Of one denoiser the images alone: one point is no plot.
    """
    from matplotlib.figure import Figure

    from mszoo.evaluation.plots import picture

    levels, count = len(compared[0].rows), len(compared) + 2
    several = len(compared) > 1  # one point is no plot
    ratios = (1.4, 1) if several else (1,)
    figure = Figure(figsize=(max(4 * levels * several, 1.9 * count), 6 if several else 2.5), layout="constrained")
    halves: Any = figure.subfigures(1 + several, 1, squeeze=False, height_ratios=ratios)
    if several:
        for k, axes in enumerate(halves[0, 0].subplots(1, levels, squeeze=False)[0]):
            plot(axes, [one.rows[k] for one in compared])
    first = compared[0]
    pictures = [("clean", first.clean), ("noisy", first.noisy)]
    pictures += [(one.rows[-1].denoiser, one.denoised) for one in compared]
    for axes, (name, image) in zip(halves[-1, 0].subplots(1, count, squeeze=False)[0], pictures, strict=True):
        picture(axes, name, image)
    return figure
