"""Backbones that fit an energy keep the contract; the others are refused with the reason."""

from __future__ import annotations

import math

import pytest
import torch

import mszoo
import mszoo.testing
from mszoo.randomness import Draw


@mszoo.testing.parametrize_with_checks(
    ("conditioner", "timm/backbone"),
    ("head", "timm/pooled_energy"),
    ("conditioner", "timm/backbone", {"model": "vit_tiny_patch16_224", "image_size": 32, "options": {"depth": 2}}),
)
def test_contract(check):
    check()


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("resnet10t", {}, "depend on the others of its batch"),
        ("mobilenetv4_conv_small_035", {}, "depend on the others of its batch"),
        ("convnext_atto", {"drop_path_rate": 0.1}, "at random"),
        ("vit_tiny_patch16_224", {"act_layer": "relu"}, "has kinks"),
        ("no_such_model", {}, "no_such_model"),
        ("convnext_atto", {"colour": 1}, "colour"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(model, options, reason):
    with pytest.raises(mszoo.MszooError, match=reason):
        mszoo.create("conditioner", "timm/backbone", 1, model=model, options=options)


def test_an_energy_of_attention_is_trained_by_dual_score_matching():
    torch.manual_seed(0)
    options = {"depth": 1, "embed_dim": 48, "num_heads": 3}
    conditioner = {"name": "timm/backbone", "model": "vit_tiny_patch16_224", "image_size": 16, "options": options}
    model = mszoo.MultiScaleModel.from_config({"coarse": {"conditioner": conditioner, "head": "timm/pooled_energy"}})
    head = model.coarse
    # a mixture of two constants: what a white Gaussian misses, pooled features see
    generator = torch.Generator().manual_seed(0)
    level = torch.randint(2, (256, 1, 1, 1), generator=generator)
    x = 0.25 + 0.5 * level + 0.05 * torch.randn(256, 1, 16, 16, generator=generator)
    head.fit([(x, None)])
    objective = mszoo.create("objective", "dual_score_matching", noise={"psnr": [30, -10]})
    optimizer = torch.optim.Adam(head.parameters(), 2e-3)
    for step in range(150):
        rows = torch.randint(256, (32,), generator=generator)
        draw = Draw(0, step, rows.tolist())
        loss, _ = objective.loss(head, x[rows], *objective.corrupt(x[rows], draw), None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        bits = model.eval().nll(x[:64]).mean().item()
    white = 8 + 0.5 * math.log2(2 * math.pi * math.e * x.var().item())
    assert bits < white - 0.3
