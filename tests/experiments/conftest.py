"""A model whose every answer is known: independent Gaussian pixels about mid-grey."""

from __future__ import annotations

import pytest
import torch

import mszoo
from tests.factories import gaussian

VARIANCE = 0.04
MEAN = 0.5


@pytest.fixture(name="gaussian")
def gaussian_fixture() -> mszoo.MultiScaleModel:
    return gaussian(mean=MEAN, variance=VARIANCE)


@pytest.fixture
def images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    shapes = [(1, 8, 8)] * 5 + [(1, 8, 16)] * 3
    return [MEAN + VARIANCE**0.5 * torch.randn(shape, generator=generator) for shape in shapes]
