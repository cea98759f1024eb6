"""Numbers below the smallest normal one are zero while training, and what the caller had is restored."""

from __future__ import annotations

import pytest
import torch

from mszoo.training.denormals import flushed_denormals

pytestmark = pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor cannot")


def tenth() -> float:
    return (torch.tensor([2e-38]) / 10).item()


@pytest.mark.parametrize("before", [False, True])
def test_the_callers_rule_comes_back(before: bool) -> None:
    torch.set_flush_denormal(before)
    try:
        for _ in range(2):
            with flushed_denormals():
                assert tenth() == 0
            assert (tenth() == 0) == before
    finally:
        torch.set_flush_denormal(False)


def test_momentum_dies_away_to_zero() -> None:
    weight = torch.nn.Parameter(torch.ones(4, 4))
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=0.5)
    with flushed_denormals():
        for step in range(200):
            weight.grad = torch.full_like(weight, float(step == 0))
            optimizer.step()
    momentum = optimizer.state[weight]["momentum_buffer"]
    assert bool((momentum == 0).all())
