from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import mszoo
from mszoo.conditioners import BiasFreeUNet
from mszoo.errors import ImageSizeError, OptionsError

FLOAT64 = {"rtol": 1e-9, "atol": 1e-11}
CHANNELS = [(1, 0), (3, 0), (3, 1), (9, 3)]

every_channels = pytest.mark.parametrize("channels", CHANNELS, ids=str)


every_basis = pytest.mark.parametrize("basis", [None, "haar"], ids=str)


def build(channels: int = 1, cond_channels: int = 0, **options: Any) -> BiasFreeUNet:
    """A small network in float64 and eval mode, of whose blocks none is the identity any more."""
    options = {"widths": [6, 8, 10], **options}
    network = mszoo.create("conditioner", "bias_free_unet", channels, cond_channels, **options).double().eval()
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return network


def inputs(network: BiasFreeUNet, height: int = 12, width: int = 12, batch: int = 3) -> tuple[Tensor, Tensor | None]:
    y = torch.randn(batch, network.channels, height, width, dtype=torch.float64)
    cond = torch.randn(batch, network.cond_channels, height, width, dtype=torch.float64)
    return y, cond if network.cond_channels else None


@given(
    st.integers(1, 21), st.integers(1, 21), st.integers(1, 4), st.sampled_from(CHANNELS), st.sampled_from([None, "db2"])
)
@settings(max_examples=30)
def test_every_size_keeps_its_shape(
    height: int, width: int, resolutions: int, channels: tuple[int, int], basis: str | None
) -> None:
    network = build(*channels, widths=[4] * resolutions, basis=basis)
    y, cond = inputs(network, height, width)
    assert network(y, cond=cond).shape == y.shape


@every_channels
@every_basis
@pytest.mark.parametrize("scale", [0.0, 0.25, 3.7])
def test_homogeneous_of_degree_one(channels: tuple[int, int], basis: str | None, scale: float) -> None:
    network = build(*channels, basis=basis)
    y, cond = inputs(network)
    scaled = network(scale * y, cond=None if cond is None else scale * cond)
    torch.testing.assert_close(scaled, scale * network(y, cond=cond), **FLOAT64)


@every_channels
@every_basis
@pytest.mark.parametrize("size", [(12, 12), (7, 13)], ids=str)
def test_a_constant_added_to_the_image_changes_nothing(
    channels: tuple[int, int], basis: str | None, size: tuple[int, int]
) -> None:
    network = build(*channels, basis=basis)
    y, cond = inputs(network, *size)
    constant = torch.randn(network.cond_channels or network.channels, dtype=torch.float64)[:, None, None]
    brighter = network(y + constant) if cond is None else network(y, cond=cond + constant)
    torch.testing.assert_close(brighter, network(y, cond=cond), **FLOAT64)


def test_details_do_matter_by_their_mean() -> None:
    # Only the image's brightness is invisible: a constant in the details is a slope of the image.
    network = build(3, 1)
    y, cond = inputs(network)
    assert not torch.allclose(network(y + 1, cond=cond), network(y, cond=cond), atol=0.01)


@every_channels
@every_basis
def test_an_image_does_not_depend_on_its_neighbours_in_the_batch(channels: tuple[int, int], basis: str | None) -> None:
    network = build(*channels, basis=basis).train()
    y, cond = inputs(network)
    alone = [network(y[i : i + 1], cond=None if cond is None else cond[i : i + 1]) for i in range(len(y))]
    torch.testing.assert_close(network(y, cond=cond), torch.cat(alone), **FLOAT64)
    assert network.batch_independent


@every_basis
@pytest.mark.parametrize(
    "options",
    [
        {"widths": [3]},
        {"widths": [3, 4], "blocks": 2},
        {"widths": [2, 2, 2]},
        {"widths": [2, 3, 2], "blocks": [3, 1, 2]},
    ],
    ids=str,
)
def test_sees_and_moves_as_declared(basis: str | None, options: dict[str, Any]) -> None:
    network = build(basis=basis, **options)
    field, stride = network.receptive_field, network.stride
    assert field is not None
    middle = -(-(field // 2 + 1) // stride) * stride
    y = torch.randn(1, 1, 2 * middle + stride, 2 * middle + stride, dtype=torch.float64, requires_grad=True)
    seen = []
    for k in range(stride):
        (slope,) = torch.autograd.grad(network(y)[0, 0, middle + k, middle + k], y)
        rows, columns = (slope[0, 0].any(dim).nonzero().flatten() - middle - k for dim in (1, 0))
        seen.append(max(rows.abs().max().item(), columns.abs().max().item()))
    assert field // 2 - stride < max(seen) <= field // 2, (
        "it is the smallest that is enough, but for the grid's position"
    )
    with torch.no_grad():
        inside = slice(field // 2 + stride, -(field // 2 + stride))
        wide = torch.randn(1, 1, 8, 2 * field + 8 * stride, dtype=torch.float64)
        moved = network(wide[..., stride:])
        torch.testing.assert_close(moved[..., inside], network(wide)[..., stride:][..., inside], **FLOAT64)


def test_a_basis_that_wraps_around_has_no_bounded_field() -> None:
    assert build(basis="db2").receptive_field is None


@every_channels
def test_every_parameter_has_a_gradient(channels: tuple[int, int]) -> None:
    network = build(*channels, blocks=2)
    y, cond = inputs(network)
    network(y, cond=cond).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())
    assert not any(name.endswith("bias") for name, _ in network.named_parameters())


@pytest.mark.parametrize("activation", ["relu", "gelu", "softplus"])
def test_smoothness_is_as_declared(activation: str) -> None:
    network = build(activation=activation)
    y, _ = inputs(network)
    y.requires_grad_()
    (slope,) = torch.autograd.grad(network(y).sum(), y, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.square().sum(), y)
    assert bool(curvature.abs().max() > 0) == network.smooth


@pytest.mark.parametrize("widths", [[64], [32, 64, 96, 128]], ids=str)
def test_activity_neither_explodes_nor_dies_at_the_start(widths: list[int]) -> None:
    h = BiasFreeUNet(1, widths=widths)(torch.randn(2, 1, 64, 64))
    assert 0.1 < h.std() < 30


def test_sees_far_at_the_price_of_a_small_network() -> None:
    network = build(widths=[4, 4, 4, 4])
    y = torch.randn(1, 1, 64, 64, dtype=torch.float64, requires_grad=True)
    network(y)[0, 0, 32, 32].backward()
    assert y.grad is not None
    columns = y.grad[0, 0].any(0).nonzero()
    assert columns.max() - columns.min() > 50


def test_wrong_channels_are_refused() -> None:
    with pytest.raises(ImageSizeError, match="takes 3 channels of coefficients and 1 of condition"):
        build(3, 1)(torch.rand(1, 3, 8, 8).double())


@pytest.mark.parametrize(
    "options",
    [{"widths": []}, {"widths": [0]}, {"widths": 64}, {"blocks": 0}, {"blocks": [1, 2]}, {"blocks": []}, {"depth": 3}],
    ids=str,
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionsError, match="conditioner 'bias_free_unet'"):
        mszoo.create("conditioner", "bias_free_unet", 1, 0, **options)
