"""Ascents of log p, on a density whose only mode is known: grey."""

from __future__ import annotations

import math

import pytest
import torch

import mszoo
from mszoo.experiments.modes import climb, modes, starts

from .conftest import MEAN, VARIANCE


@pytest.mark.parametrize("t", [0.0, 1e-3])
def test_an_ascent_ends_at_the_mode(gaussian: mszoo.MultiScaleModel, t: float) -> None:
    x = torch.rand(2, 1, 8, 8)
    found = climb(gaussian, x, t, steps=300)
    assert (found - MEAN).abs().max() < (0.02 if t == 0 else 0.1)
    assert not torch.equal(found, x)


def test_rows_hold_what_was_found(gaussian: mszoo.MultiScaleModel) -> None:
    photographs = torch.rand(3, 1, 8, 8)
    rows, found = modes(gaussian, photographs, noises=(0.0,), steps=20)
    assert [row.start for row in rows] == list(starts(photographs)) == ["photograph", "noise", "constant"]
    best = 8 + math.log2(2 * math.pi * VARIANCE) / 2
    for row in rows:
        assert best - 1e-3 <= row.after <= row.before + 1e-3
        assert row.saved == pytest.approx(row.after, abs=0.05)
        # Noise of variance t adds t / (2 v) nats to the energy of a Gaussian's pixel.
        price = (4 / 255) ** 2 / (2 * VARIANCE * math.log(2))
        assert row.noisy_after == pytest.approx(row.after + price, abs=0.02)
        assert row.noisy_before == pytest.approx(row.before + price, abs=0.1)
        assert found[row.start, 0.0].shape == (1, 8, 8)
