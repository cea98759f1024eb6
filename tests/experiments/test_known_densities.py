"""Known densities are learned: the cross-entropy falls towards the entropy, and never below it."""

from __future__ import annotations

import pytest
import torch

from mszoo.errors import ImageSizeError, UnsupportedError
from mszoo.experiments.dense import Dense
from mszoo.experiments.densities import CorrelatedGaussian, Density, GaussianMixture
from mszoo.experiments.known_densities import DENSITIES, SETTINGS, Setting, compare, train

SMALL: dict[str, Density] = {
    "gaussian-mixture": GaussianMixture((1, 2, 2), components=3),
    "correlated-gaussian": CorrelatedGaussian((1, 16, 16), reach=2.0),
}

# In one random direction a step: it takes more of them, and in many dimensions too many.
CONTRASTIVE = ("gaussian-mixture", "contrastive", 400)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "objective", "steps"), [*((name, "dual_score_matching", 150) for name in SMALL), CONTRASTIVE]
)
def test_training_closes_most_of_the_gap_to_the_entropy(
    name: str, objective: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    density = SMALL[name]
    setting = Setting(SETTINGS[name].network, 0, SETTINGS[name].training)
    monkeypatch.setitem(DENSITIES, name, density)
    gaps = []
    for count in (1, steps):
        rows = compare(name, train(density, setting, count, objective=objective), times=(0.0, 0.1))
        assert [row.t for row in rows] == [0.0, 0.1]
        assert rows[0].learned - rows[0].exact == pytest.approx(rows[0].difference)
        gaps.append(rows[0].difference)
    untrained, trained = gaps
    assert untrained > 0.1
    assert -0.02 < trained < untrained / 2


def test_dense_starts_from_zero_and_names_what_it_cannot_take() -> None:
    network = Dense((2, 3, 4), width=8, depth=2)
    y, t = torch.rand(5, 2, 3, 4), torch.full((5,), 0.1)
    assert network(y, t).shape == y.shape
    assert not network(y, t).any()
    with pytest.raises(ImageSizeError, match=r"\(2, 3, 4\) alone, not \(2, 4, 3\)"):
        network(y.mT, t)
    with pytest.raises(UnsupportedError, match="noise level"):
        network(y)
