r"""How many bits does a larger neighbourhood buy at each scale? Energies of several receptive fields, flat and chained.

Networks are stacks of as many layers for every receptive field, made as wide as about equally many parameters allow;
all are trained on the same images by dual score matching, for the same processor time or for as many steps. Bits are
those of the 8-bit convention without dequantization: :math:`8 - \log_2 p_j / d_j` per coefficient of a scale, and the
sum over scales per pixel.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from mszoo.inference import log_prob_scales
from mszoo.model import MultiScaleModel
from mszoo.objectives import DualScoreMatching
from mszoo.objectives.noise import NoiseLevels
from mszoo.randomness import Draw
from mszoo.recipe import TrainingConfig
from mszoo.training.denormals import flushed_denormals
from mszoo.training.optimization import make_average, make_optimizer, make_scheduler
from mszoo.training.step import Step

__all__ = ["FIELDS", "NeighbourhoodRow", "make", "draw", "measure", "neighbourhood", "plot"]

FIELDS = (5, 9, 13, 21)
_DEPTH = 10  # layers, enough for the largest of these fields
_PARTS = 1000  # of the time, or of the steps, by which the learning rate rises and falls
_DETAIL, _COARSE = {"psnr": (65, 0)}, {"psnr": (75, -30)}


@dataclass(frozen=True)
class NeighbourhoodRow:
    """One scale of one model, or all of it.

    Attributes:
        levels: of the Haar basis; 0: flat.
        receptive_field: of the networks, in coefficients of their scale.
        scale: 0 finest, ``levels`` the coarsest image; None: the whole image.
        parameters: of the whole model.
        steps: of training.
        seconds: of processor time for them.
        bits: per coefficient of the scale; per pixel of the whole image.
    """

    levels: int
    receptive_field: int
    scale: int | None
    parameters: int
    steps: int
    seconds: float
    bits: float


def make(channels: int, levels: int, receptive_field: int, parameters: int) -> MultiScaleModel:
    """A chain of local energies of about so many parameters altogether, by the width of its networks.

    Args:
        channels: of the images.
        levels: of the Haar basis; 0: one energy of the pixels.
        receptive_field: of every network, 5 to 21.
        parameters: about how many.
    """

    def build(width: int) -> MultiScaleModel:
        network = {"name": "bias_free_cnn", "receptive_field": receptive_field, "depth": _DEPTH, "width": width}
        network |= {"norm": "channel", "activation": "gelu", "noise_embedding": True, "zero_output": True}
        chain = {"basis": "haar", "levels": levels, "detail": {"conditioner": network, "head": "predictive"}}
        coarse = {"conditioner": network, "head": {"name": "anchored", "basis": "haar", "levels": 3 - min(levels, 2)}}
        return MultiScaleModel.from_config({"channels": channels, "coarse": coarse, **(chain if levels else {})})

    def size(width: int) -> int:
        return sum(p.numel() for p in build(width).parameters())

    low, high = 1, 256
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) <= parameters else (low, middle)
    return build(min((low, high), key=lambda width: abs(size(width) - parameters)))


def neighbourhood(
    model: MultiScaleModel,
    images: Tensor,
    seconds: float | None,
    steps: int,
    batch: int = 8,
    seed: int = 0,
    tell: Callable[[float], object] = lambda share: None,
) -> tuple[MultiScaleModel, int, float]:
    """Train a model by dual score matching.

    Args:
        model: from :func:`make`.
        images: (N, C, H, W) in [0, 1].
        seconds: of processor time; None: for ``steps``.
        steps: of training, without ``seconds``.
        batch: images in a step.
        seed: of images and noise.
        tell: called before each step with the share that is done.

    Returns:
        The model with averaged weights, in eval mode; its steps, and the seconds they took.
    """
    generator = torch.Generator().manual_seed(seed)
    for head, part in zip(model.scales, model.decompose(images[:2048]), strict=True):
        head.fit([part])
    noises = [*[_DETAIL] * model.levels, _COARSE]
    objectives = [DualScoreMatching(noise=NoiseLevels.model_validate(noise), time_weight=10.0) for noise in noises]
    step = Step(model, objectives)
    settings = TrainingConfig.model_validate(
        {"steps": _PARTS, "optimizer": {"name": "adamuon", "lr": 1e-2}, "warmup": _PARTS // 20, "ema": 0.99}
    )
    optimizer, average = make_optimizer(step, settings), make_average(step, settings)
    scheduler = make_scheduler(optimizer, settings)
    assert average is not None
    done, began, took = 0, time.process_time(), 0.0
    with flushed_denormals():
        while (share := done / steps if seconds is None else took / seconds) < 1:
            tell(share)
            scheduler.step_update(int(share * _PARTS))
            optimizer.zero_grad()
            rows = torch.randint(len(images), (batch,), generator=generator)
            step(images[rows], Draw(seed, done, rows.tolist()))[0].backward()
            torch.nn.utils.clip_grad_norm_(step.parameters(), 1.0)
            optimizer.step()
            done += 1
            average.update(step, step=done)
            took = time.process_time() - began
    return average.module.model.eval(), done, took


@torch.no_grad()
def measure(
    model: MultiScaleModel, images: Tensor, receptive_field: int, steps: int, seconds: float
) -> list[NeighbourhoodRow]:
    """Bits of every scale, and of the whole.

    Args:
        model: trained.
        images: test images (N, C, H, W).
        receptive_field: of its networks.
        steps: that it was trained for.
        seconds: that they took.
    """
    found = torch.cat([torch.stack(log_prob_scales(model, x)) for x in images.split(100)], 1).double().mean(1)
    sizes = [coefficients[0].numel() for coefficients, _ in model.decompose(images[:1])]
    parameters = sum(p.numel() for p in model.parameters())

    def row(scale: int | None, nats: float, d: int) -> NeighbourhoodRow:
        bits = 8 - nats / (d * math.log(2))
        return NeighbourhoodRow(model.levels, receptive_field, scale, parameters, steps, seconds, bits)

    parts = [row(j, nats, d) for j, (nats, d) in enumerate(zip(found.tolist(), sizes, strict=True))]
    return [row(None, found.sum().item(), sum(sizes)), *(parts if model.levels else [])]


def plot(axes: Axes, rows: Sequence[NeighbourhoodRow], whole: bool) -> Axes:
    """Draw bits against the receptive field: a line for each number of levels, and each scale.

    Args:
        axes: what is drawn into.
        rows: of all models.
        whole: whether of whole images, in bits per pixel, or of every scale, in bits per coefficient.

    Returns:
        The same axes.
    """
    for levels in sorted({row.levels for row in rows}):
        title = f"{levels} levels" if levels else "flat"
        scales = {row.scale for row in rows if row.levels == levels and (row.scale is None) == whole}
        for scale in sorted(scales, key=lambda s: -1 if s is None else s):
            line = sorted((r.receptive_field, r.bits) for r in rows if (r.levels, r.scale) == (levels, scale))
            axes.plot(*zip(*line, strict=True), marker="o", label=title if whole else f"{title}, scale {scale}")
    axes.set(
        xlabel="receptive field (coefficients)",
        ylabel="bits per pixel" if whole else "bits per coefficient",
        title="whole image" if whole else "each scale",
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return axes


def draw(rows: Sequence[NeighbourhoodRow]) -> Figure:
    """Bits per pixel against the receptive field and, where there are chains, beside it those of every scale."""
    kinds = (True, False) if any(row.levels for row in rows) else (True,)
    figure = Figure(figsize=(4.5 * len(kinds), 3.6), layout="constrained")
    for axes, whole in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        plot(axes, rows, whole)
    return figure
