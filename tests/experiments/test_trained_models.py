"""The experiments on trained models, tried on one whose answers are formulas."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import mszoo
from mszoo.errors import UnsupportedError
from mszoo.evaluation.plots import figure_of, save_figure
from mszoo.evaluation.plots import histogram as histogram_plot
from mszoo.experiments import denoisers, dimensionality, generalization, histogram, transformations
from mszoo.experiments.images import batches, decibels, dual_loss, evenly
from tests.factories import gaussian as known

from .conftest import MEAN, VARIANCE

DB = 10 / math.log(10)


def exact(x: torch.Tensor, variance: float = VARIANCE) -> float:
    """log p in dB per dimension."""
    square = (x - MEAN).square().mean().item()
    return -DB * (square / variance + math.log(2 * math.pi * variance)) / 2


def test_batches_keep_the_order(images: list[torch.Tensor]) -> None:
    together = list(batches(images))
    assert [len(x) for x in together] == [5, 3]
    assert all(torch.equal(a, b) for a, b in zip(images, (row for x in together for row in x), strict=True))


def test_log_p_is_the_models(gaussian: mszoo.MultiScaleModel, images: list[torch.Tensor]) -> None:
    assert decibels(gaussian, images).tolist() == pytest.approx([exact(x) for x in images], abs=1e-4)


@pytest.mark.parametrize("t", [1e-12, 1e-6, 0.01, 1.0, 1e3])
def test_effective_dimensionality(gaussian: mszoo.MultiScaleModel, images: list[torch.Tensor], t: float) -> None:
    rows = dimensionality.dimensionality(gaussian, images[:2], [t], draws=200)
    for row, x in zip(rows, images, strict=False):
        shrink, d = VARIANCE / (VARIANCE + t), x.numel()
        expected = ((1 - shrink) ** 2 * (x.double() - MEAN).square().sum().item() + shrink**2 * t * d) / t
        assert row.dimension == pytest.approx(expected, rel=0.05)
        assert row.fraction == pytest.approx(row.dimension / d)


def test_contrast_and_offset(gaussian: mszoo.MultiScaleModel, images: list[torch.Tensor]) -> None:
    rows = transformations.changes(gaussian, images, contrasts=(0.0, 0.5, 1.0), offsets=(-0.1, 0.2))
    changed = {("contrast", a): [a * (x - 0.5) + 0.5 for x in images] for a in (0.0, 0.5, 1.0)}
    changed |= {("offset", b): [x + b for x in images] for b in (-0.1, 0.2)}
    assert len(rows) == 5
    for row in rows:
        values = torch.tensor([exact(x) for x in changed[row.transformation, row.amount]])
        assert row.mean == pytest.approx(values.mean().item(), abs=1e-3)
        assert values.min() - 1e-3 <= row.low <= row.high <= values.max() + 1e-3


def test_sparsity_is_that_of_haar_details() -> None:
    haar, zero = mszoo.create("basis", "haar"), torch.zeros(1, 1, 4, 4)
    one, even = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.3)
    one[0, 1, 2, 2] = 5.0
    assert transformations.sparsity(haar.synthesize(zero, one)[0], levels=1) == pytest.approx(1 / 48)
    assert transformations.sparsity(haar.synthesize(zero, even)[0], levels=1) == pytest.approx(1)
    assert transformations.sparsity(torch.full((1, 8, 8), 0.4)) == 1
    image = torch.rand(1, 16, 16)
    assert transformations.sparsity(3 * image) == pytest.approx(transformations.sparsity(image), rel=1e-4)


def test_agreement_is_nothing_but_the_difference(
    gaussian: mszoo.MultiScaleModel, images: list[torch.Tensor], tmp_path: Path
) -> None:
    other = known(variance=0.09)
    rows, values = generalization.agreement(gaussian, other, {"a": images, "b": images[:3]})
    gaps = torch.tensor([exact(x) - exact(x, 0.09) for x in images])
    assert [row.count for row in rows] == [8, 3]
    assert rows[0].absolute == pytest.approx(gaps.abs().mean().item(), abs=1e-3)
    assert rows[0].rms == pytest.approx(gaps.square().mean().sqrt().item(), abs=1e-3)
    assert rows[0].correlation == pytest.approx(1, abs=1e-3)
    same, _ = generalization.agreement(gaussian, gaussian, {"a": images})
    assert same[0].rms == 0
    figure = figure_of(lambda axes: generalization.plot(axes, values, ("one", "other")))
    save_figure(figure, tmp_path / "plot.png")
    assert min(Image.open(tmp_path / "plot.png").size) > 200


def test_loss_is_that_of_the_exact_derivatives(gaussian: mszoo.MultiScaleModel) -> None:
    generator = torch.Generator().manual_seed(2)
    many = [MEAN + VARIANCE**0.5 * torch.randn(1, 16, 16, generator=generator) for _ in range(2400)]
    # What no model can avoid: in space v / (v + t) per pixel, in time half the square of t / (v + t) in d dimensions.
    log_t = torch.linspace(math.log(1e-9), math.log(1e3), 2000, dtype=torch.float64)
    kept = VARIANCE / (VARIANCE + log_t.exp())
    expected = (kept + (1 - (1 - kept) ** 2) / (2 * 256)).mean().item()
    assert dual_loss(gaussian, many) == pytest.approx(expected, abs=0.03)  # 0.01 by the draw of noise levels
    assert dual_loss(known(variance=0.4), many) > dual_loss(gaussian, many) + 0.02


def test_denoisers_are_held_against_the_best(gaussian: mszoo.MultiScaleModel) -> None:
    generator = torch.Generator().manual_seed(1)
    many = [MEAN + VARIANCE**0.5 * torch.randn(1, 32, 32, generator=generator) for _ in range(16)]
    rows = denoisers.denoised({"best": gaussian, "wrong": known(variance=0.4)}, many, inputs=(60, 15, -15))
    for row in rows:
        t = 10 ** (-row.input / 10)
        best = -10 * math.log10(VARIANCE * t / (VARIANCE + t))
        assert row.output == pytest.approx(best, abs=0.2) or (row.model == "wrong" and row.output < best)


def test_histogram_tells_images_from_others(
    gaussian: mszoo.MultiScaleModel, images: list[torch.Tensor], tmp_path: Path
) -> None:
    measured = histogram.measure(gaussian, {"images": images, **histogram.strangers(images)})
    found = {row.images: row for row in histogram.summary(measured)}
    assert found["images"].count == 8
    assert found["images"].mean == pytest.approx(sum(map(exact, images)) / 8, abs=1e-3)
    assert found["constant"].greatest > found["images"].greatest  # the mode
    assert found["uniform noise"].mean < found["images"].mean
    assert found["shuffled pixels"].mean == pytest.approx(sum(map(exact, images[:5])) / 5, abs=1e-3)
    values = {name: [value for value, _ in kind] for name, kind in measured.items()}
    save_figure(figure_of(lambda axes: histogram_plot(axes, values)), tmp_path / "plot.png")
    assert min(Image.open(tmp_path / "plot.png").size) > 200


@pytest.mark.parametrize("count", [1, 3, 8, 20])
def test_pictures_bear_their_own_numbers(
    gaussian: mszoo.MultiScaleModel, images: list[torch.Tensor], count: int
) -> None:
    rows = histogram.sheet(histogram.measure(gaussian, {"images": images, **histogram.strangers(images)}), count)
    for row in rows:
        assert 0 < len(row) <= max(count, 8)
        assert [float(number.split()[0]) for (_, number), _ in row] == pytest.approx(
            [exact(x) for _, x in row], abs=6e-3
        )
    kinds = [kind for row in rows for (kind, _), _ in row[:1]]
    assert kinds == ["images"] * (2 if count < 8 else 1) + ["constant", "uniform noise", "shuffled pixels"]
    ordered = sorted(images, key=exact)
    assert torch.equal(rows[0][0][1], ordered[0])
    assert torch.equal(rows[kinds.index("constant") - 1][-1][1], ordered[-1])


def test_images_without_a_finite_log_p_are_counted_and_left_out(
    gaussian: mszoo.MultiScaleModel, images: list[torch.Tensor]
) -> None:
    nothing = torch.full((1, 8, 8), math.nan)
    with pytest.warns(UserWarning, match="images: 2 of 10 have no finite log p"):
        measured = histogram.measure(gaussian, {"images": [nothing, *images, nothing], "constant": images})
    assert histogram.summary(measured)[0] == replace(histogram.summary(measured)[1], images="images")
    with pytest.warns(UserWarning, match="none: 1 of 1"):
        assert list(histogram.measure(gaussian, {"none": [nothing], "some": images})) == ["some"]
    with pytest.warns(UserWarning, match="1 of 1"), pytest.raises(UnsupportedError, match="no image a finite log p"):
        histogram.measure(gaussian, {"images": [nothing]})


@pytest.mark.parametrize("count", [1, 3, 7, 50])
def test_chosen_images_are_large_enough(gaussian: mszoo.MultiScaleModel, tmp_path: Path, count: int) -> None:
    gaussian.coarse.conditioner.unit = 4  # type: ignore[assignment]
    for i in range(14):
        Image.new("L", (5, 3) if i % 2 else (9, 4 + i), color=10 * i).save(tmp_path / f"{i}.png")
    with pytest.warns(UserWarning, match="needs 4x4") as caught:
        chosen = evenly(mszoo.create("dataset", "image_folder", 1, path=str(tmp_path)), count, gaussian)
    assert {Path(str(w.message).split(" is ")[0]).name for w in caught} == {f"{i}.png" for i in range(1, 14, 2)}
    kept = [2 * (i * 7 // min(count, 7)) for i in range(min(count, 7))]
    assert [round(x[0, 0, 0].item() * 25.5) for x in chosen] == kept
    assert [x.shape for x in chosen] == [(1, (4 + i) // 4 * 4, 8) for i in kept]
