"""Optimizers step as asked, and leave timm as they found it."""

from __future__ import annotations

import pytest
import torch
from timm.optim import create_optimizer_v2, muon  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor, nn

from mszoo.recipe import NamedConfig, TrainingConfig
from mszoo.training.optimization import make_optimizer


def stepped(optimizer: torch.optim.Optimizer, layer: nn.Linear) -> Tensor:
    """How a step changes a layer, given some gradient."""
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.randn(before.shape, generator=torch.Generator().manual_seed(0))
    optimizer.step()
    return layer.weight.detach() - before


def layer() -> nn.Linear:
    made = nn.Linear(8, 8, bias=False)
    nn.init.zeros_(made.weight)
    return made


def test_muon_orthogonalizes_in_float32_on_a_cpu_and_timm_stays_as_it_was() -> None:
    timms, one, other = muon.zeropower_via_newtonschulz, layer(), layer()
    ours = stepped(
        make_optimizer(one, TrainingConfig(optimizer=NamedConfig.model_validate({"name": "muon", "lr": 1.0}))), one
    )
    assert muon.zeropower_via_newtonschulz is timms
    plain = stepped(create_optimizer_v2(other, opt="muon", lr=1.0), other)
    assert (ours - plain).norm() < 0.05 * plain.norm()
    assert not torch.equal(ours, plain)


def test_timm_stays_as_it_was_when_a_step_fails() -> None:
    timms, one = muon.zeropower_via_newtonschulz, layer()
    optimizer = make_optimizer(one, TrainingConfig(optimizer=NamedConfig(name="muon")))
    one.weight.grad = torch.ones_like(one.weight)
    optimizer.param_groups[0]["ns_steps"] = "many"
    with pytest.raises(TypeError):
        optimizer.step()
    assert muon.zeropower_via_newtonschulz is timms
