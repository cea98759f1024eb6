"""Optimizer, learning rate and average do what a recipe says, or say what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mszoo.errors import OptionsError
from mszoo.recipe import TrainingConfig
from mszoo.training.optimization import make_average, make_optimizer, make_scheduler


def settings(**options: Any) -> TrainingConfig:
    return TrainingConfig.model_validate({"warmup": 0, **options})


def rates(steps: int = 20, lr: float = 0.1, **options: Any) -> list[float]:
    """The learning rate of each step."""
    chosen = settings(steps=steps, optimizer={"name": "sgd", "lr": lr}, **options)
    optimizer = make_optimizer(nn.Linear(1, 1), chosen)
    scheduler, found = make_scheduler(optimizer, chosen), []
    for k in range(steps):
        scheduler.step_update(k)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def quadratic(module: nn.Linear) -> Tensor:
    return (module.weight - 1).square().sum()


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "lamb", "muon"])
def test_optimizers_go_downhill(name: str) -> None:
    module = nn.Linear(4, 4, bias=False)
    optimizer = make_optimizer(module, settings(optimizer={"name": name, "lr": 0.02}))
    before = quadratic(module).item()
    for _ in range(20):
        optimizer.zero_grad()
        quadratic(module).backward()
        optimizer.step()
    assert quadratic(module).item() < before


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ({"name": "adamm"}, "training.optimizer: timm has no optimizer 'adamm'; did you mean 'adam"),
        ({"name": "adam", "lr": -1}, r"training.optimizer.lr: should be a number, 0 or more, got -1"),
        ({"name": "adam", "lr": True}, "training.optimizer.lr: should be a number"),
        ({"name": "adam", "lr": "fast"}, "training.optimizer.lr: should be a number"),
        ({"name": "adam", "momentums": 1}, "training.optimizer: adam does not take these options"),
    ],
)
def test_what_is_wrong_with_an_optimizer(optimizer: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        make_optimizer(nn.Linear(1, 1), settings(optimizer=optimizer))


@pytest.mark.parametrize("scheduler", ["cosine", "tanh", "poly", None])
@pytest.mark.parametrize("warmup", [0, 5])
def test_a_rate_warms_up_and_then_never_grows(scheduler: str | None, warmup: int) -> None:
    found = rates(scheduler=scheduler, warmup=warmup)
    assert found[: warmup + 1] == sorted(found[: warmup + 1])
    assert found[warmup:] == sorted(found[warmup:], reverse=True)
    assert max(found) == pytest.approx(0.1, rel=0.2)
    assert all(rate > 0 for rate in found)
    if scheduler is None:
        assert found[warmup:] == pytest.approx([0.1] * (20 - warmup))


def test_a_rate_is_a_function_of_the_step_alone() -> None:
    chosen = settings(steps=20, warmup=3, scheduler="cosine", optimizer={"name": "sgd", "lr": 0.1})
    optimizer = make_optimizer(nn.Linear(1, 1), chosen)
    scheduler, whole = make_scheduler(optimizer, chosen), rates(scheduler="cosine", warmup=3)
    for k in (13, 2, 19, 0):
        scheduler.step_update(k)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(whole[k])


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        ("cosin", "did you mean 'cosine'"),
        ({"name": "cosine", "wrong": 1}, "cosine does not take"),
    ],
)
def test_what_is_wrong_with_a_scheduler(scheduler: Any, message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        rates(scheduler=scheduler)


def test_the_average_follows_the_weights_and_lags_behind() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = make_average(module, settings(ema=0.9))
    assert average is not None
    for step in range(20):
        average.update(module, step)
    nn.init.ones_(module.weight)
    found = []
    for step in range(20, 200):
        average.update(module, step)
        found.append(average.module.weight.item())
    assert found == sorted(found)
    assert found[0] < 1
    assert found[-1] == pytest.approx(1, abs=0.01)
    assert make_average(module, settings(ema=None)) is None
    assert torch.equal(module.weight, torch.ones(1, 1))
