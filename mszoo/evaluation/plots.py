"""Pictures of what was measured."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import matplotlib
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
    "figure_of",
    "histogram",
    "label",
    "maps_figure",
    "noise_levels",
    "picture",
    "sheet",
    "save_figure",
]

_T = TypeVar("_T")


_DPI = 300  # what journals ask for
_REPRODUCIBLE: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def figure_of(plot: Callable[[Axes], Axes], size: tuple[float, float] = (6, 4)) -> Figure:
    """A figure with one plot.

    Args:
        plot: draws into the axes that it is given.
        size: width and height in inches.

    Example:
        >>> figure_of(lambda axes: histogram(axes, {"images": [-9.0, -7.5, -7.0]})).axes[0].get_xlabel()
        'log p (dB per dimension)'
    """
    figure = Figure(figsize=size, layout="constrained")
    plot(figure.subplots())
    return figure


def save_figure(figure: Figure, path: Path, dpi: int = _DPI) -> None:
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


def drawing(figure: Figure, format: str = "png", dpi: int = _DPI) -> bytes:
    """A figure as the bytes of a file, the same ones each time; the letters of a PDF stay letters.

    Args:
        figure: of matplotlib.
        format: png, pdf, svg or another that matplotlib writes.
        dpi: pixels per inch, of formats that have pixels.
    """
    drawn = io.BytesIO()
    with matplotlib.rc_context({"pdf.fonttype": 42, "svg.hashsalt": "mszoo"}):
        figure.savefig(drawn, dpi=dpi, format=format, metadata=_REPRODUCIBLE.get(format))
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


def histogram(axes: Axes, values: Mapping[str, Sequence[float]]) -> Axes:
    """How often each log p in dB per dimension occurs among the first images; a tick for every one of the others.

    As many bins as the square root of the number of images. Others that are farther away than the first images reach
    are arrows at the edge, and are counted in the legend. The axes are those that were given.
    """
    (name, first), *others = values.items()
    axes.hist(first, bins="sqrt", color="C0", alpha=0.8, label=label(name))
    below = -0.03 * axes.get_ylim()[1]
    reach = max(first) - min(first) or 1.0
    low, high = min(first) - reach, max(first) + reach
    for i, (kind, numbers) in enumerate(others, 1):
        less, more = sum(value < low for value in numbers), sum(value > high for value in numbers)
        away = [f"{count} {where}" for count, where in ((less, "below"), (more, "above")) if count]
        shown = [value for value in numbers if low <= value <= high]
        title = label(kind) + (f" ({', '.join(away)})" if away else "")
        axes.plot(shown, [i * below] * len(shown), "|", color=f"C{i}", markersize=9, label=title)
        for marker, edge, count in (("<", low, less), (">", high, more)):
            axes.plot([edge] * bool(count), [i * below] * bool(count), marker, color=f"C{i}", markersize=5)
    axes.set(xlabel="log p (dB per dimension)", ylabel="number of images")
    axes.legend()
    axes.grid(alpha=0.3)
    return axes


def ends(ordered: Sequence[_T], count: int) -> list[Sequence[_T]]:
    """The first ``count`` and the last; one row of all where there are no more."""
    return [ordered[:count], ordered[-count:]] if len(ordered) > count else [ordered]


def picture(axes: Axes, title: str | Sequence[str], image: Tensor) -> Axes:
    """Draw an image with a title into axes.

    Args:
        axes: whose frame and ticks are taken away.
        title: above it, of one or more lines.
        image: (C, H, W) in [0, 1].

    Returns:
        The same axes.
    """
    axes.imshow(encode(image), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    lines = [title] if isinstance(title, str) else title
    axes.set_title("\n".join(map(label, lines)), fontsize=8 if len(lines) == 1 else 6.5)
    axes.set_axis_off()
    return axes


def sheet(rows: Sequence[Sequence[tuple[str | Sequence[str], Tensor]]], title: str = "") -> Figure:
    """Images (C, H, W) in rows, each with a title of one or more lines, such as its file and a number.

    Args:
        rows: titles and images.
        title: of the sheet.
    """
    figure = Figure(figsize=(1.5 * max(map(len, rows)), 1.85 * len(rows) + 0.3 * bool(title)), layout="constrained")
    if title:
        figure.suptitle("\n".join(textwrap.wrap(label(title), max(24, 20 * max(map(len, rows))))), fontsize=9)
    axes = figure.subplots(len(rows), max(map(len, rows)), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for line, row in zip(axes, rows, strict=True):
        for axis, (name, image) in zip(line, row, strict=False):
            picture(axis, name, image)
    return figure


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
        spread = share.detach().cpu().float().repeat_interleave(times, -2).repeat_interleave(times, -1)
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
