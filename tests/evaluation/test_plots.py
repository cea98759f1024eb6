"""Plots show what they are given, whatever it is called, and are written whole or not at all."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

import mszoo
from mszoo.evaluation import ComparisonRow, plots
from mszoo.evaluation import denoisers as seconds
from mszoo.evaluation.denoisers import DenoiserRow
from mszoo.experiments import (
    denoisers,
    dimensionality,
    generalization,
    known_densities,
    neighbourhoods,
    receptive_fields,
    scale_mixture,
    transformations,
)
from mszoo.experiments.densities import DENSITIES
from mszoo.experiments.neighbourhoods import NeighbourhoodRow
from tests.factories import energy

NAMES = ["model", "_hidden", "$\\broken", "a\nb", "caf\udce9", "esc\x1b[2J"]


def row(model: str, sigma: float = 0.1) -> ComparisonRow:
    return ComparisonRow(model, 0, 5, 10, sigma, 20.0, 25.0 + sigma, 1, 0.1)


def ink(path: Path) -> int:
    """How many pixels are not white."""
    with Image.open(path) as picture:
        return sum(picture.convert("L").histogram()[:250])


@pytest.mark.parametrize("name", NAMES)
def test_models_of_any_name_are_in_the_legend(tmp_path: Path, name: str) -> None:
    for title, file in ((name, "named.png"), (" ", "nameless.png")):
        rows = [row(title), row(title, 0.4)]
        plots.save_figure(plots.figure_of(lambda axes, rows=rows: plots.noise_levels(axes, rows)), tmp_path / file)
    assert ink(tmp_path / "named.png") > ink(tmp_path / "nameless.png")


@pytest.mark.parametrize("name", NAMES)
def test_a_label_is_no_formula_and_never_hidden(name: str) -> None:
    label = plots.label(name)
    assert label.isprintable()
    assert not label.startswith("_")
    assert label.count("$") == label.count("\\$")


@pytest.mark.parametrize("others", [0, 1, 3])
def test_a_histogram_has_a_row_of_ticks_for_each_of_the_others(others: int) -> None:
    values = {f"{i}": [float(i), i + 1.0] for i in range(others + 1)}
    axes = plots.histogram(Figure().subplots(), values)
    ticks = [line for line in axes.lines if line.get_marker() == "|"]
    heights = [height for line in ticks for height in np.asarray(line.get_ydata()).tolist()]
    assert len(set(heights)) == min(others, 2)  # the third is far away
    assert len(axes.get_legend_handles_labels()[1]) == others + 1


@pytest.mark.parametrize("far", [[-1e4], [50.0, 60.0], [-300.0, 0.5, 300.0]])
def test_what_is_far_away_leaves_the_photographs_their_room(far: list[float]) -> None:
    axes = plots.histogram(Figure().subplots(), {"photographs": [0.0, 0.5, 1.0], "others": far})
    low, high = axes.get_xlim()
    assert high - low < 4
    less, more = sum(v < -1 for v in far), sum(v > 2 for v in far)
    named = axes.get_legend_handles_labels()[1][1]
    assert (f"{less} below" in named, f"{more} above" in named) == (less > 0, more > 0)


@pytest.mark.parametrize("count", [1, 3, 4, 10])
@pytest.mark.parametrize("length", [1, 3, 5, 8, 30])
def test_the_ends_of_a_list(length: int, count: int) -> None:
    ordered = list(range(length))
    rows = plots.ends(ordered, count)
    assert rows[0][0] == 0
    assert rows[-1][-1] == length - 1
    assert all(len(r) == min(length, count) for r in rows)
    assert (len(rows) == 2) == (length > count)


@pytest.mark.parametrize("shape", [(1, 4, 6), (3, 6, 4)])
def test_images_stand_in_their_rows(tmp_path: Path, shape: tuple[int, ...]) -> None:
    sizes = []
    for rows in ([1], [3], [3, 2]):
        pictures = [[("$x_", torch.zeros(shape))] * n for n in rows]
        plots.save_figure(plots.sheet(pictures), tmp_path / "sheet.png")
        with Image.open(tmp_path / "sheet.png") as sheet:
            sizes.append(sheet.size)
    assert sizes[0][0] < sizes[1][0] == sizes[2][0]
    assert sizes[1][1] < sizes[2][1]


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_a_figure_is_written_whole_or_not_at_all(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"plot{suffix}"
    plots.save_figure(Figure(), path)
    before = path.read_bytes()
    broken = Figure()
    broken.suptitle("$\\nonsense{$")  # fails in the middle of drawing
    with pytest.raises(ValueError):
        plots.save_figure(broken, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("format", ["png", "pdf", "svg"])
def test_the_same_figure_is_the_same_bytes(format: str) -> None:
    first, second = (
        plots.drawing(plots.figure_of(lambda axes: plots.noise_levels(axes, [row("a"), row("a", 0.4)])), format)
        for _ in range(2)
    )
    assert first == second
    starts = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    assert first.startswith(starts[format])


def test_a_pixel_figure_has_300_dots_an_inch(tmp_path: Path) -> None:
    plots.save_figure(Figure(figsize=(2, 1)), tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.size == (600, 300)
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)


ROWS = [row("a"), row("a", 0.4), row("b"), row("b", 0.4)]
CHANGES = [transformations.Change(kind, a, -9.0, -8.0, -10.0) for kind in ("contrast", "offset") for a in (0.5, 1)]
BITS = [NeighbourhoodRow(1, field, j, 9, 1, 1.0, 3.0) for field in (5, 9) for j in (None, 0, 1)]
TWO = {"test": (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]))}
PLOTS: dict[str, Callable[[Axes], Axes]] = {
    "noise levels": lambda axes: plots.noise_levels(axes, ROWS),
    "receptive fields": lambda axes: receptive_fields.plot(axes, ROWS),
    "histogram": lambda axes: plots.histogram(axes, {"images": [1.0, 2.0, 4.0]}),
    "seconds": lambda axes: seconds.plot(axes, [DenoiserRow("a", True, 0.1, 20, 30, 0.9, 1, None, None, 0.1, None)]),
    "denoisers": lambda axes: denoisers.plot(axes, [denoisers.Denoised("a", d, d + 1) for d in (0.0, 10.0)]),
    "dimensionality": lambda axes: dimensionality.plot(
        axes, [dimensionality.Dimensionality(0, t, 1.0, 0.1) for t in (0.1, 1.0)]
    ),
    "scale mixture": lambda axes: scale_mixture.plot(
        axes, [scale_mixture.RadialRow("dual", r, 0.1, 1.0, 1.1, 0.1) for r in (1.0, 4.0)]
    ),
    "generalization": lambda axes: generalization.plot(axes, TWO, ("one", "other")),
    "contrast": lambda axes: transformations.plot(axes, CHANGES, "contrast"),
    "offset": lambda axes: transformations.plot(axes, CHANGES, "offset"),
    "sparsity": lambda axes: transformations.plot_sparsity(axes, [0.1, 0.2], torch.tensor([1.0, 2.0])),
    "whole images": lambda axes: neighbourhoods.plot(axes, BITS, whole=True),
    "scales": lambda axes: neighbourhoods.plot(axes, BITS, whole=False),
}
UNITS = r"\((dB|dB per dimension|coefficients|no unit|factor|.*white = 1|deviations .*)\)|bits per|a megapixel"


@pytest.mark.parametrize("name", [*PLOTS, "known density"])
def test_a_plot_takes_axes_and_gives_them_back_with_units(name: str) -> None:
    axes = Figure().subplots()
    if name == "known density":
        known, density = next(iter(DENSITIES.items()))
        head = energy(head={"name": "anchored", "basis": "haar", "levels": 1}, channels=density.shape[0])
        drawn = known_densities.plot(axes, known, head)
    else:
        drawn = PLOTS[name](axes)
    assert drawn is axes
    assert axes.has_data()
    for words in (axes.get_xlabel(), axes.get_ylabel()) if name != "histogram" else (axes.get_xlabel(),):
        assert re.search(UNITS, words), words


def test_every_figure_of_the_package_is_saved_so() -> None:
    package = Path(mszoo.__file__).parent
    calls = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "savefig"
    }
    assert calls == {"evaluation/plots.py"}
