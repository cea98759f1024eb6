"""Plots show what they are given, whatever it is called, and are written whole or not at all."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import mszoo
from mszoo.evaluation import ComparisonRow, plots

NAMES = ["model", "_hidden", "$\\broken", "a\nb", "caf\udce9", "esc\x1b[2J"]


def row(model: str, sigma: float = 0.1) -> ComparisonRow:
    return ComparisonRow(model, 0, 5, 10, sigma, 20.0, 25.0 + sigma, 1, 0.1)


def ink(path: Path) -> int:
    """How many pixels are not white."""
    with Image.open(path) as picture:
        return sum(picture.convert("L").histogram()[:250])


@pytest.mark.parametrize("name", NAMES)
def test_models_of_any_name_are_in_the_legend(tmp_path: Path, name: str) -> None:
    plots.plot_noise_levels([row(name), row(name, 0.4)], tmp_path / "named.png")
    plots.plot_noise_levels([row(" "), row(" ", 0.4)], tmp_path / "nameless.png")
    assert ink(tmp_path / "named.png") > ink(tmp_path / "nameless.png")


@pytest.mark.parametrize("name", NAMES)
def test_a_label_is_no_formula_and_never_hidden(name: str) -> None:
    label = plots.label(name)
    assert label.isprintable()
    assert not label.startswith("_")
    assert label.count("$") == label.count("\\$")


@pytest.mark.parametrize("others", [0, 1, 3])
def test_a_histogram_has_a_row_of_ticks_for_each_of_the_others(tmp_path: Path, others: int) -> None:
    values = {f"{i}": [float(i), i + 1.0] for i in range(others + 1)}
    plots.plot_histogram(values, tmp_path / "some.png")
    plots.plot_histogram({**values, "more": [0.5]}, tmp_path / "more.png")
    assert (tmp_path / "some.png").read_bytes() != (tmp_path / "more.png").read_bytes()


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
        plots.plot_images(pictures, tmp_path / "sheet.png")
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


def test_every_figure_of_the_package_is_saved_so() -> None:
    package = Path(mszoo.__file__).parent
    calls = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "savefig"
    }
    assert calls == {"evaluation/plots.py"}
