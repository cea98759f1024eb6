r"""Spurious modes: what is more probable than any photograph, and no image?

Score matching sees noisy photographs, and nothing else: what an energy says of a texture that none of them was near is
extrapolation. Ascending :math:`\log p` from photographs, noise and constants finds such places, if there are any. With
a remedy, the objective is the mean of :math:`\log p` over a little ball of noise of variance t,

.. math:: f(y) = \frac1K \sum_k \log p(y + \sqrt t\, z_k),

which narrow modes do not survive; :math:`t = (1/255)^2 / 12` is the rounding to 8 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from mszoo.evaluation.plots import picture
from mszoo.model import MultiScaleModel
from mszoo.randomness import child_generators, normal

__all__ = ["NOISES", "Mode", "climb", "modes", "draw", "starts"]

NOISES = (0.0, (1 / 255) ** 2 / 12, (4 / 255) ** 2)
"""Noise variances of the remedy: none, that of rounding to 8 bits, four grey levels."""
_DRAWS = 4  # of the noise, for each step
_RATE = 0.01  # of Adam, about the change of a pixel in a step


@dataclass(frozen=True)
class Mode:
    """What an ascent found, in bits per dimension of the 8-bit convention: smaller is more probable.

    Attributes:
        start: ``photograph``, ``noise`` or ``constant``.
        t: noise variance of the remedy.
        before: of the start.
        after: where the ascent ended.
        saved: of the same, saved in 8 bits.
        distance: root mean square change of a pixel.
        noisy_before: of the start with noise of four grey levels, mean over draws.
        noisy_after: of where the ascent ended, likewise.
    """

    start: str
    t: float
    before: float
    after: float
    saved: float
    distance: float
    noisy_before: float
    noisy_after: float


def starts(photographs: Tensor) -> dict[str, Tensor]:
    """Where to begin: photographs (B, C, H, W), noise of the same mean and deviation, and their means."""
    mean = photographs.mean((1, 2, 3), keepdim=True)
    noise = normal(photographs, child_generators(0, len(photographs)))
    deviation = photographs.std((1, 2, 3), keepdim=True)
    return {
        "photograph": photographs,
        "noise": (mean + deviation * noise).clamp(0, 1),
        "constant": mean.expand_as(photographs).clone(),
    }


def climb(model: MultiScaleModel, x: Tensor, t: float, steps: int, tell: Callable[[], object] | None = None) -> Tensor:
    """Images that are more probable than x, by so many steps of Adam on f; see the module. Not clipped to [0, 1].

    Args:
        model: with a density, in eval mode.
        x: images (B, C, H, W).
        t: noise variance in f; 0: log p itself.
        steps: of the ascent.
        tell: called after each.
    """
    y = x.clone().requires_grad_()
    optimizer = torch.optim.Adam([y], lr=_RATE)
    generators = child_generators(1, len(x))
    for _ in range(steps):
        optimizer.zero_grad()
        for _ in range(_DRAWS if t else 1):
            seen = y + math.sqrt(t) * normal(y.detach(), generators) if t else y
            (-model.log_prob(seen).sum() / (x[0].numel() * (_DRAWS if t else 1))).backward()
        optimizer.step()
        if tell is not None:
            tell()
    return y.detach()


def modes(
    model: MultiScaleModel,
    photographs: Tensor,
    noises: Sequence[float] = NOISES,
    steps: int = 100,
    tell: Callable[[], object] | None = None,
) -> tuple[list[Mode], dict[tuple[str, float], Tensor]]:
    """Ascend from each start at each noise variance.

    Args:
        model: with a density, in eval mode.
        photographs: (B, C, H, W).
        noises: noise variances of the remedy.
        steps: of each ascent.
        tell: called after each step of each ascent.

    Returns:
        A row for each start and noise variance, means over the images; and the first image that each found.
    """

    def bits(y: Tensor) -> float:
        with torch.no_grad():
            return model.nll(y).mean().item()

    def noisy(y: Tensor) -> float:
        generators = child_generators(2, len(y))
        return sum(bits(y + math.sqrt(NOISES[-1]) * normal(y, generators)) for _ in range(_DRAWS)) / _DRAWS

    rows, found = [], {}
    for start, x in starts(photographs).items():
        for t in noises:
            y = climb(model, x, t, steps, tell)
            saved = (y.clamp(0, 1) * 255).round() / 255
            distance = (y - x).square().mean().sqrt().item()
            rows.append(Mode(start, t, bits(x), bits(y), bits(saved), distance, noisy(x), noisy(y)))
            found[start, t] = y[0]
    return rows, found


def draw(found: dict[tuple[str, float], Tensor], rows: Sequence[Mode]) -> Figure:
    """The first image that each ascent found, with the bits of its kind.

    Args:
        found: from :func:`modes`.
        rows: from :func:`modes`.
    """
    kinds, noises = list(dict.fromkeys(row.start for row in rows)), list(dict.fromkeys(row.t for row in rows))
    figure = Figure(figsize=(2.2 * len(noises), 2.4 * len(kinds)), layout="constrained")
    axes = figure.subplots(len(kinds), len(noises), squeeze=False)
    after = {(row.start, row.t): row.after for row in rows}
    for line, kind in zip(axes, kinds, strict=True):
        for axis, t in zip(line, noises, strict=True):
            title = f"from {kind}, t = {t:.2g}", f"{after[kind, t]:.2f} bits/dim"
            picture(axis, title, found[kind, t].clamp(0, 1))
    return figure
