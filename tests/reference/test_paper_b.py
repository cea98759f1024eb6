"""The authors' own network, energy, derivatives, losses and gradients (their code, CPU, float64)."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from mszoo.conditioners import UNet
from mszoo.heads import InnerProductEnergy
from mszoo.importers.paper_b import rename
from mszoo.objectives import DualScoreMatching
from mszoo.objectives.score_matching import space_loss, time_loss

TOLERANCE = 1e-6  # relative


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(shared / "reference" / "paper_b_small.safetensors")


def theirs(reference: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {rename(k.removeprefix(prefix), 3, 3): v for k, v in reference.items() if k.startswith(prefix)}


@pytest.fixture(scope="module")
def head(reference: dict[str, Tensor]) -> InnerProductEnergy:
    network = UNet(3, width=8).double()
    network.load_state_dict(theirs(reference, "params."))
    return InnerProductEnergy(network)


def assert_equal(ours: Tensor, expected: Tensor) -> None:
    assert ours.shape == expected.shape
    assert (ours - expected).norm() <= TOLERANCE * expected.norm()


def test_parameter_count(head: InnerProductEnergy) -> None:
    assert sum(p.numel() for p in head.parameters()) == 321_424
    assert sum(p.numel() for p in UNet(3).parameters()) == 8_649_856


def test_network_energy_and_both_derivatives(head: InnerProductEnergy, reference: dict[str, Tensor]) -> None:
    y, t = reference["y"], reference["t"]
    assert_equal(head.conditioner(y, t), reference["f"])
    assert_equal(head.energy(y, t), reference["energy"])
    score, time_score = head.derivatives(y, t)
    assert_equal(-score, reference["grad_y"])
    assert_equal(-time_score, reference["grad_t"])
    for i in range(len(y)):  # each noise level on its own: t goes from 1e-9 to 1e3
        assert_equal(-score[i], reference["grad_y"][i])
        assert_equal(-time_score[i], reference["grad_t"][i])


def test_both_losses_and_every_gradient(head: InnerProductEnergy, reference: dict[str, Tensor]) -> None:
    x, y, t = reference["x"], reference["y"], reference["t"]
    score, time_score = head.derivatives(y, t)
    assert_equal(space_loss(score, x, y, t), reference["loss_space"])
    assert_equal(time_loss(time_score, x, y, t), reference["loss_time"])
    loss, _ = DualScoreMatching().loss(head, x, y, t, None)
    assert_equal(loss.reshape(1), reference["loss"])
    names, parameters = zip(*head.conditioner.named_parameters(), strict=True)
    expected = theirs(reference, "grads.")
    assert set(expected) == set(names)
    for name, gradient in zip(names, torch.autograd.grad(loss, parameters), strict=True):
        assert_equal(gradient, expected[name])
