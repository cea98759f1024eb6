"""A model whose every answer is known: independent Gaussian pixels about mid-grey."""

from __future__ import annotations

import pytest
import torch

import mszoo

VARIANCE = 0.04
MEAN = 0.5


def gaussian_model(variance: float = VARIANCE) -> mszoo.MultiScaleModel:
    conditioner = {"name": "bias_free_cnn", "receptive_field": 5, "depth": 3, "width": 4}
    conditioner |= {"norm": "none", "activation": "gelu", "noise_embedding": True}
    config = {"coarse": {"conditioner": conditioner, "head": {"name": "anchored", "levels": 0}}}
    made = mszoo.MultiScaleModel.from_config(config).eval()
    torch.nn.init.zeros_(made.coarse.conditioner.last.weight)  # type: ignore[arg-type]
    with torch.no_grad():
        made.coarse.mean.fill_(MEAN)  # type: ignore[operator]
        made.coarse.low_variance.fill_(variance)  # type: ignore[operator]
    return made


@pytest.fixture
def gaussian() -> mszoo.MultiScaleModel:
    return gaussian_model()


@pytest.fixture
def images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    shapes = [(1, 8, 8)] * 5 + [(1, 8, 16)] * 3
    return [MEAN + VARIANCE**0.5 * torch.randn(shape, generator=generator) for shape in shapes]
