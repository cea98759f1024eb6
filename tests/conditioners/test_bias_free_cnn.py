from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import mszoo
from mszoo.conditioners import BiasFreeCNN
from mszoo.conditioners.bias_free_cnn import wide_layers
from mszoo.conditioners.layers import BatchScale, activate
from mszoo.errors import ImageSizeError, OptionsError, UnsupportedError

NORMS = ["batch", "channel", "none"]
ACTIVATIONS = ["relu", "gelu", "softplus"]
PAPER_FIELDS = [5, 9, 13, 23, 41, 43]
FIELDS = [*PAPER_FIELDS, 7, 17, 29]
ENERGY = {"norm": "channel", "activation": "gelu", "noise_embedding": True}
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}

every_norm = pytest.mark.parametrize("norm", NORMS)
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
train_and_eval = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def build(channels: int = 1, cond_channels: int = 0, **options: Any) -> BiasFreeCNN:
    """A network whose every parameter and running value matters, in float64 and eval mode."""
    network = mszoo.create("conditioner", "bias_free_cnn", channels, cond_channels, **options).double().eval()
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1 * torch.randn_like(p))
        for b in network.buffers():
            b.mul_(1 + torch.rand_like(b))
    return network


def small(channels: int = 1, cond_channels: int = 0, **options: Any) -> BiasFreeCNN:
    return build(channels, cond_channels, **{"receptive_field": 7, "width": 12, "depth": 6, **options})


def inputs(network: BiasFreeCNN, batch: int = 3, size: int = 12) -> tuple[Tensor, Tensor, Tensor | None]:
    y = torch.randn(batch, network.channels, size, size, dtype=torch.float64)
    cond = torch.randn(batch, network.cond_channels, size, size, dtype=torch.float64)
    return y, torch.linspace(0.01, 1, batch, dtype=torch.float64), cond if network.cond_channels else None


# ---- paper A's family ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "cond_channels", "receptive_field", "count"),
    [(1, 0, 5, 80_192), (1, 0, 9, 145_728), (1, 0, 13, 211_264), (3, 1, 13, 214_144), (1, 0, 41, 665_856)],
)
def test_parameter_counts_of_the_paper(channels: int, cond_channels: int, receptive_field: int, count: int) -> None:
    network = BiasFreeCNN(channels, cond_channels, receptive_field=receptive_field)
    assert sum(p.numel() for p in network.parameters()) == count
    assert not any(name.endswith("bias") for name, _ in network.named_parameters())


@pytest.mark.parametrize("field", [5, 9, 13, 23, 43])
def test_layer_positions_follow_the_papers_rule(field: int) -> None:
    spacing = 20 / (((8 if field == 9 else field) - 3) / 2)
    assert wide_layers(field, 21) == {layer for layer in range(1, 20) if layer % spacing == 0}


def test_all_layers_of_the_low_pass_model_are_wide() -> None:
    assert wide_layers(41, 20) == set(range(1, 19))


@pytest.mark.parametrize(
    ("name", "field", "channels", "cond_channels"),
    [
        ("flat_rf5", 5, 1, 0),
        ("flat_rf9", 9, 1, 0),
        ("flat_rf13", 13, 1, 0),
        ("low_40x40", 41, 1, 0),
        ("rf5_scale0", 5, 3, 1),
        ("rf9_scale1", 9, 3, 1),
        ("rf13_scale0", 13, 3, 1),
    ],
)
def test_kernels_have_the_shapes_of_the_authors(
    shared: Path, name: str, field: int, channels: int, cond_channels: int
) -> None:
    theirs = torch.load(shared / "reference" / f"{name}.pt", "cpu", weights_only=True)
    network = BiasFreeCNN(channels, cond_channels, receptive_field=field)
    layers = [network.first, *network.inner, network.last]
    shapes = [theirs[f"module.conv_layers.{i}.weight"].shape for i in range(len(layers))]
    assert [layer.weight.shape for layer in layers] == shapes
    assert sum("conv_layers" in key for key in theirs) == len(layers)


@given(st.integers(3, 30).flatmap(lambda depth: st.tuples(st.just(depth), st.integers(2, depth))))
def test_wide_layers_are_as_many_as_needed_and_evenly_spread(depth_and_half: tuple[int, int]) -> None:
    depth, half = depth_and_half
    wide = sorted(wide_layers(2 * half + 1, depth))
    assert len(wide) == half - 2
    assert set(wide) <= set(range(1, depth - 1))
    if (half, depth) != (4, 21):  # the paper's own choice for receptive field 9
        gaps = [b - a for a, b in itertools.pairwise([0, *wide, depth - 1])]
        assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(
    "options",
    [
        {"receptive_field": 12},
        {"receptive_field": 3},
        {"receptive_field": 45},
        {"receptive_field": 43, "depth": 20},
        {"receptive_field": -5},
        {"width": 0},
        {"width": -1},
        {"depth": 0},
        {"depth": 1},
        {"norm": "layer"},
        {"activation": "tanh"},
    ],
    ids=str,
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionsError, match="conditioner 'bias_free_cnn'"):
        mszoo.create("conditioner", "bias_free_cnn", 1, 0, **options)


# ---- what the network declares -------------------------------------------------------------------------------


def gradient_support(network: BiasFreeCNN, field: int) -> tuple[Tensor, Tensor]:
    """Where y (and an unrelated image of the batch) changes the central output, and the square that is declared."""
    half, size = field // 2, field + 8
    center = size // 2
    y, t, _ = inputs(network, 2, size)
    y.requires_grad_()
    network(y, t)[0, 0, center, center].backward()
    assert y.grad is not None
    square = torch.zeros(2, size, size, dtype=torch.bool)
    square[0, center - half : center + half + 1, center - half : center + half + 1] = True
    return y.grad[:, 0] != 0, square


@pytest.mark.parametrize("field", FIELDS)
@every_norm
@train_and_eval
def test_receptive_field_is_the_support_of_the_gradient(field: int, norm: str, training: bool) -> None:
    network = build(receptive_field=field, norm=norm, width=16).train(training)
    if norm == "batch" and training:
        assert network.receptive_field is None
        return
    support, square = gradient_support(network, field)
    assert network.receptive_field == field
    assert torch.equal(support, square)


@every_activation
def test_receptive_field_of_every_activation(activation: str) -> None:
    support, square = gradient_support(
        build(receptive_field=13, activation=activation, width=16, noise_embedding=True), 13
    )
    assert torch.equal(support, square)


def test_batch_statistics_reach_the_whole_batch() -> None:
    # Why norm: batch declares no receptive field in training.
    support, _ = gradient_support(small(norm="batch").train(), 7)
    assert support.all()


@every_norm
@every_activation
@train_and_eval
def test_batch_independence_is_as_declared(norm: str, activation: str, training: bool) -> None:
    network = small(3, 1, norm=norm, activation=activation, noise_embedding=True).train(training)
    y, t, cond = inputs(network)
    together = network(y, t, cond)
    alone = torch.cat([network(y[i : i + 1], t[i : i + 1], cond[i : i + 1]) for i in range(len(y))])
    if network.batch_independent or not training:
        torch.testing.assert_close(together, alone, **FLOAT64)
    else:
        assert not torch.allclose(together, alone, rtol=1e-3)
    assert network.batch_independent == (norm != "batch")


@every_activation
def test_smoothness_is_as_declared(activation: str) -> None:
    network = small(norm="none", activation=activation)
    y, _, _ = inputs(network)
    y.requires_grad_()
    (slope,) = torch.autograd.grad(network(y).sum(), y, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.square().sum(), y)
    assert bool(curvature.abs().max() > 0) == network.smooth
    assert network.smooth == (activation != "relu")


@every_activation
def test_activations_keep_zero_and_jump_in_slope_only_if_not_smooth(activation: str) -> None:
    x = torch.tensor([-1e-7, 0.0, 1e-7], dtype=torch.float64, requires_grad=True)
    value = activate(x, activation)
    assert value[1] == 0
    value.sum().backward()
    assert x.grad is not None
    assert bool((x.grad[2] - x.grad[0]).abs() < 1e-6) == small(activation=activation).smooth


@pytest.mark.parametrize("cond_channels", [0, 1])
@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("scale", [0.0, 0.25, 3.7])
def test_paper_setting_is_homogeneous_of_degree_one(norm: str, cond_channels: int, scale: float) -> None:
    network = small(1, cond_channels, norm=norm, activation="relu")
    y, _, cond = inputs(network)
    scaled = network(scale * y, cond=None if cond is None else scale * cond)
    torch.testing.assert_close(scaled, scale * network(y, cond=cond), **FLOAT64)


@pytest.mark.parametrize("channels", [(1, 0), (3, 0), (3, 1), (9, 3)], ids=str)
@pytest.mark.parametrize("invariant", [True, False])
def test_a_constant_added_to_the_image_changes_nothing_if_so_asked(channels: tuple[int, int], invariant: bool) -> None:
    network = small(*channels, norm="batch", brightness_invariant=invariant)
    y, _, cond = inputs(network)
    constant = torch.randn(network.cond_channels or network.channels, dtype=torch.float64)[:, None, None]
    output = network(y, cond=cond)
    brighter = network(y + constant) if cond is None else network(y, cond=cond + constant)
    if invariant:
        torch.testing.assert_close(brighter, output, **FLOAT64)
    else:
        assert not torch.allclose(brighter, output, rtol=1e-3)
    if cond is not None:  # a constant in the details is a slope of the image, and seen
        assert not torch.allclose(network(y + 1, cond=cond), output, rtol=1e-3)


@pytest.mark.parametrize("noise_embedding", [True, False])
def test_takes_t_as_declared(noise_embedding: bool) -> None:
    network = small(noise_embedding=noise_embedding)
    y, t, _ = inputs(network)
    assert network.takes_t == noise_embedding
    if noise_embedding:
        assert not torch.allclose(network(y, t), network(y, 2 * t))
        with pytest.raises(UnsupportedError, match="noise level"):
            network(y)
    else:
        assert torch.equal(network(y, t), network(y))


@pytest.mark.parametrize(
    ("takes", "cond"),
    [((3, 1), None), ((3, 1), 2), ((3, 0), 1), ((1, 1), 1)],
    ids=["none", "wide", "extra", "y"],
)
def test_wrong_channels_are_refused(takes: tuple[int, int], cond: int | None) -> None:
    network = small(*takes)
    with pytest.raises(ImageSizeError, match=f"takes {takes[0]} channels of coefficients and {takes[1]} of condition"):
        network(torch.rand(1, 3, 8, 8).double(), cond=None if cond is None else torch.rand(1, cond, 8, 8).double())


@every_norm
@every_activation
@pytest.mark.parametrize("channels", [(1, 0), (3, 1), (9, 3)], ids=str)
def test_shape_and_a_gradient_for_every_parameter(norm: str, activation: str, channels: tuple[int, int]) -> None:
    network = small(*channels, norm=norm, activation=activation, noise_embedding=True).train()
    y, t, cond = inputs(network)
    output = network(y, t, cond)
    assert output.shape == y.shape
    output.square().sum().backward()
    for name, p in network.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
        assert p.grad.any(), name


@pytest.mark.parametrize("activation", ["gelu", "softplus"])
@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("t", [0.0, 1e-12, 1.0, 1e6])
def test_energy_setting_is_finite_everywhere(activation: str, scale: float, t: float) -> None:
    # At full depth in float32, with the derivative of the derivative that training takes.
    network = BiasFreeCNN(1, receptive_field=13, **{**ENERGY, "activation": activation})
    y = (scale * torch.randn(2, 1, 16, 16)).requires_grad_()
    times = torch.full((2,), t, requires_grad=True)
    output = network(y, times)
    slopes = torch.autograd.grad((y * output).sum(), (y, times), create_graph=True)
    (1 + slopes[0]).square().sum().backward()
    for value in (output, *slopes, *(p.grad for p in network.parameters() if p.grad is not None)):
        assert value.isfinite().all()


# ---- paper A's norm ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batch_scale_gives_every_channel_the_deviation_gain(dtype: torch.dtype) -> None:
    norm = BatchScale(4).to(dtype)
    nn.init.uniform_(norm.gain, 0.5, 2)
    x = 5 * torch.rand(3, 4, 16, 16, dtype=dtype) * torch.arange(1, 5)[:, None, None] + 7
    output = norm(x)
    variance = x.var((0, 2, 3), unbiased=False)
    tolerance = {"rtol": 1e-4, "atol": 0} if dtype == torch.float32 else {"rtol": 1e-10, "atol": 0}
    expected = norm.gain * torch.sqrt(variance / (variance + norm.eps))
    torch.testing.assert_close(output.std((0, 2, 3), unbiased=False), expected, **tolerance)
    ratio = (output / x)[:, 0]  # only divided: the mean enters through the deviation alone
    torch.testing.assert_close(ratio, ratio[0, 0, 0].expand_as(ratio))


def test_batch_scale_keeps_a_running_deviation_of_momentum_one_tenth() -> None:
    norm, x = BatchScale(2), 3 * torch.randn(4, 2, 32, 32) + 1
    std = torch.sqrt(x.var((0, 2, 3), unbiased=False) + norm.eps)
    expected = torch.ones(2)
    for _ in range(3):
        norm(x)
        expected = 0.9 * expected + 0.1 * std
        torch.testing.assert_close(norm.running_std, expected)
    norm.eval()
    torch.testing.assert_close(norm(x), x * (norm.gain / expected)[:, None, None])
    torch.testing.assert_close(norm.running_std, expected)  # eval changes nothing


def test_batch_scale_without_momentum_averages_since_the_reset() -> None:
    norm = BatchScale(2)
    norm(torch.randn(2, 2, 8, 8))
    norm.reset_running_stats()
    norm.momentum = None
    batches = [scale * torch.randn(2, 2, 8, 8) for scale in (1, 5, 20)]
    for x in batches:
        norm(x)
    deviations = [torch.sqrt(x.var((0, 2, 3), unbiased=False) + norm.eps) for x in batches]
    torch.testing.assert_close(norm.running_std, torch.stack(deviations).mean(0))


def test_eval_folds_to_the_training_output_once_the_statistics_match() -> None:
    network = small(norm="batch").train()
    for module in network.modules():
        if isinstance(module, BatchScale):
            module.momentum = 1.0
    y, _, _ = inputs(network)
    trained = network(y)
    torch.testing.assert_close(network.eval()(y), trained, rtol=1e-5, atol=1e-6)
