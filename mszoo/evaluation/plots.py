"""Pictures of what was measured."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from mszoo.data.images import encode
from mszoo.evaluation.comparison import ComparisonRow
from mszoo.files import replace_file
from mszoo.text import one_line

__all__ = [
    "drawing",
    "ends",
    "histogram",
    "label",
    "maps_figure",
    "noise_levels",
    "picture",
    "plot_histogram",
    "plot_images",
    "plot_noise_levels",
    "save_figure",
]

_T = TypeVar("_T")


def save_figure(figure: Figure, path: Path, dpi: int = 120) -> None:
    """Write a figure in the format of the suffix, whole or not at all.

    Args:
        figure: of matplotlib.
        path: the file.
        dpi: pixels per inch, of formats that have pixels.

    Raises:
        OSError: it cannot be written; a picture that was there before is still there.
    """
    drawn = drawing(figure, path.suffix[1:] or "png", dpi)  # in memory: Pillow does not notice a short write
    replace_file(path, lambda part: part.write_bytes(drawn))


def drawing(figure: Figure, format: str = "png", dpi: int = 120) -> bytes:
    """A figure as the bytes of a file.

    Args:
        figure: of matplotlib.
        format: png, pdf, svg or another that matplotlib writes.
        dpi: pixels per inch, of formats that have pixels.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=dpi, format=format)
    return drawn.getvalue()


def label(text: str) -> str:
    """A name for a legend or title: on one line, not read as mathematics, and shown also if it begins with ``_``."""
    return " " * text.startswith("_") + one_line(text).replace("$", r"\$")


def noise_levels(axes: Axes, rows: Sequence[ComparisonRow]) -> Axes:
    """PSNR of the denoised against that of the noisy images, a line for each model, into axes; the same axes."""
    noisy = sorted({row.noisy for row in rows})
    axes.plot(noisy, noisy, color="0.6", linestyle=":", label="noisy")
    for name in dict.fromkeys(row.model for row in rows):
        line = sorted((row.noisy, row.denoised) for row in rows if row.model == name)
        axes.plot(*zip(*line, strict=True), marker="o", label=label(name))
    axes.set(xlabel="PSNR of the noisy images (dB)", ylabel="PSNR of the denoised images (dB)")
    axes.legend()
    axes.grid(alpha=0.3)
    return axes


def plot_noise_levels(rows: Sequence[ComparisonRow], path: Path) -> None:
    """Write :func:`noise_levels` into a file."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    noise_levels(figure.subplots(), rows)
    save_figure(figure, path)


def histogram(axes: Axes, values: Mapping[str, Sequence[float]]) -> Axes:
    """How often each log p in dB per dimension occurs among the first images; a tick for every one of the others.

    As many bins as the square root of the number of images. The axes are those that were given.
    """
    (name, first), *others = values.items()
    axes.hist(first, bins="sqrt", color="C0", alpha=0.8, label=label(name))
    below = -0.03 * axes.get_ylim()[1]
    for i, (kind, numbers) in enumerate(others, 1):
        axes.plot(numbers, [i * below] * len(numbers), "|", color=f"C{i}", markersize=9, label=label(kind))
    axes.set(xlabel="log p (dB per dimension)", ylabel="number of images")
    axes.legend()
    axes.grid(alpha=0.3)
    return axes


def plot_histogram(values: Mapping[str, Sequence[float]], path: Path) -> None:
    """Write :func:`histogram` into a file."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    histogram(figure.subplots(), values)
    save_figure(figure, path)


def ends(ordered: Sequence[_T], count: int) -> list[Sequence[_T]]:
    """The first ``count`` and the last; one row of all where there are no more."""
    return [ordered[:count], ordered[-count:]] if len(ordered) > count else [ordered]


def picture(axes: Axes, title: str, image: Tensor) -> Axes:
    """Draw an image with a title into axes.

    Args:
        axes: whose frame and ticks are taken away.
        title: above it.
        image: (C, H, W) in [0, 1].

    Returns:
        The same axes.
    """
    axes.imshow(encode(image), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(label(title), fontsize=8)
    axes.set_axis_off()
    return axes


def plot_images(rows: Sequence[Sequence[tuple[str, Tensor]]], path: Path) -> None:
    """Images (C, H, W) in rows, each with a title."""
    figure = Figure(figsize=(1.5 * max(map(len, rows)), 1.75 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), max(map(len, rows)), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for line, row in zip(axes, rows, strict=True):
        for axis, (title, image) in zip(line, row, strict=False):
            picture(axis, title, image)
    save_figure(figure, path)


def maps_figure(title: str, image: Tensor, shares: Sequence[Tensor], columns: int | None = None) -> Figure:
    """An image (C, H, W), and where it is improbable: bits per dimension at every place, of all scales and of each.

    Args:
        title: of the image.
        image: what was measured.
        shares: of every place in its log p, for each scale, finest first: :func:`mszoo.inference.log_prob_map`'s,
            without the batch.
        columns: how many panels stand side by side; None: all.
    """
    channels, height, width = image.shape
    total = torch.zeros(height, width)
    panels: list[tuple[str, Tensor]] = []
    for j, share in enumerate(shares):
        last, times = j == len(shares) - 1, height // share.shape[-2]
        spread = share.cpu().float().repeat_interleave(times, -2).repeat_interleave(times, -1)
        total += spread / times**2
        coefficients = channels if last else 3 * channels  # at each place
        name = "coarsest image" if last else f"details of scale {j}"
        panels.append((f"{name}, {share.shape[-1]} x {share.shape[-2]}", 8 - spread / (coefficients * math.log(2))))
    if len(panels) > 1:
        panels.insert(0, ("all scales", 8 - total / (channels * math.log(2))))
    else:
        panels = [("log p", panels[0][1])]
    columns = min(columns or len(panels) + 1, len(panels) + 1)
    lines = math.ceil((len(panels) + 1) / columns)
    figure = Figure(figsize=(3.4 * columns, lines * (3.4 * height / width + 0.5)), layout="constrained")
    first, *others = figure.subplots(lines, columns, squeeze=False).flat
    picture(first, title, image)
    for axis, (name, bits) in zip(others, panels, strict=False):
        # a few places are far more improbable than all others: they would leave the rest black
        low, high = bits.flatten().quantile(torch.tensor([0.01, 0.99])).tolist() if bits.numel() < 2**24 else (0, 8)
        shown = axis.imshow(bits.numpy(), cmap="magma", vmin=low, vmax=high)
        axis.set_title(name, fontsize=9)
        figure.colorbar(shown, ax=axis, label="bits per dimension", extend="both", shrink=0.8)
    for axis in (first, *others):
        axis.set_axis_off()
    return figure
