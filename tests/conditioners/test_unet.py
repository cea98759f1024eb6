from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mszoo
from mszoo.conditioners import UNet
from mszoo.conditioners.unet import SpatialScale
from mszoo.errors import ImageSizeError, OptionsError, UnsupportedError
from mszoo.hub.packaged import packaged_models
from mszoo.recipe import read_recipe
from mszoo.training.check import check

FLOAT64 = {"rtol": 1e-9, "atol": 1e-11}
CHANNELS = [(1, 0), (3, 0), (3, 1), (9, 3)]

every_channels = pytest.mark.parametrize("channels", CHANNELS, ids=str)
every_embedding = pytest.mark.parametrize("embedding", ["linear", "log"])


def build(channels: int = 1, cond_channels: int = 0, **options: Any) -> UNet:
    """A small network in float64, none of whose gains is one."""
    options = {"width": 4, "halvings": 2, **options}
    network = mszoo.create("conditioner", "unet", channels, cond_channels, **options).double()
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return network


def inputs(network: UNet, size: tuple[int, int] = (8, 12), batch: int = 3) -> tuple[Tensor, Tensor, Tensor | None]:
    y = torch.randn(batch, network.channels, *size, dtype=torch.float64)
    cond = torch.randn(batch, network.cond_channels, *size, dtype=torch.float64)
    t = torch.logspace(-6, 1, batch, dtype=torch.float64)
    return y, t, cond if network.cond_channels else None


@pytest.mark.parametrize(
    ("channels", "options", "count"),
    [(3, {}, 8_649_856), (3, {"width": 8}, 321_424)],
    ids=str,
)
def test_parameter_counts_of_the_authors(channels: int, options: dict[str, int], count: int) -> None:
    assert sum(p.numel() for p in UNet(channels, **options).parameters()) == count


@every_channels
@pytest.mark.parametrize("halvings", [1, 2, 4])
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_shape_and_a_gradient_for_every_parameter(channels: tuple[int, int], halvings: int, depth: int) -> None:
    network = build(*channels, halvings=halvings, depth=depth)
    y, t, cond = inputs(network, (16, 32))
    output = network(y, t, cond)
    assert output.shape == y.shape
    output.square().sum().backward()
    for name, p in network.named_parameters():
        assert p.grad is not None, name
        assert p.grad.any(), name


@every_channels
def test_the_condition_matters(channels: tuple[int, int]) -> None:
    network = build(*channels)
    y, t, cond = inputs(network)
    if cond is not None:
        assert not torch.allclose(network(y, t, cond), network(y, t, cond + torch.randn_like(cond)))


@every_channels
def test_an_image_does_not_depend_on_its_neighbours_in_the_batch(channels: tuple[int, int]) -> None:
    network = build(*channels)
    y, t, cond = inputs(network)
    alone = [network(y[i, None], t[i, None], None if cond is None else cond[i, None]) for i in range(len(y))]
    torch.testing.assert_close(network(y, t, cond), torch.cat(alone), **FLOAT64)
    assert network.batch_independent
    assert network.smooth
    assert network.receptive_field is None


def test_sees_the_whole_image() -> None:
    network = build(halvings=1)
    y, t, _ = inputs(network, (32, 32), 1)
    y.requires_grad_()
    network(y, t)[0, 0, 0, 0].backward()
    assert y.grad is not None
    assert y.grad.all()


def test_homogeneous_in_the_limit_of_large_inputs_only() -> None:
    # Without its GELU's threshold it would be everywhere, and an energy quadratic along every ray.
    network = build()
    y, t, _ = inputs(network)
    gaps = []
    for scale in (1.0, 1e3, 1e6):
        output = network(scale * y, t)
        gaps.append(((network(2 * scale * y, t) - 2 * output).norm() / output.norm()).item())
    assert gaps[0] > 1e-2
    assert gaps[2] < 1e-3 * gaps[0]


@every_embedding
@pytest.mark.parametrize("t", [0.0, 1e-12, 1e-9, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 1e3])
def test_finite_everywhere_with_both_derivatives(embedding: str, t: float, scale: float) -> None:
    network = UNet(1, width=4, halvings=2, embedding=embedding)  # type: ignore[arg-type]
    y = (scale * torch.randn(2, 1, 8, 8)).requires_grad_()
    times = torch.full((2,), t, requires_grad=True)
    slopes = torch.autograd.grad((y * network(y, times)).sum(), (y, times), create_graph=True)
    sum(s.square().sum() for s in slopes).backward()  # type: ignore[union-attr]
    for value in (*slopes, *(p.grad for p in network.parameters() if p.grad is not None)):
        assert value.isfinite().all()


@every_embedding
def test_what_the_embedding_tells_apart(embedding: str) -> None:
    features = UNet(1, width=1, halvings=1, embedding=embedding).embedding  # type: ignore[arg-type]
    t = torch.tensor([1e-7, 1e-5, 1e-3])
    gaps = features(t).diff(dim=0).norm(dim=1)
    assert bool((gaps > 0.05).all()) == (embedding == "log")  # linear in t: all small t look alike
    assert torch.equal(features(torch.zeros(1)), features(torch.full((1,), 1e-10))) or embedding == "linear"


def frequencies() -> torch.Tensor:
    return UNet(1, width=1, halvings=1).embedding.waves.frequency


def test_the_linear_embeddings_frequencies_are_the_papers() -> None:
    frequency = frequencies()
    ratios = frequency[1:] / frequency[:-1]
    torch.testing.assert_close(ratios, ratios[:1].expand(31))
    torch.testing.assert_close(frequency[[0, -1]], torch.tensor([1.0, 0.01]))


def test_the_norm_equalizes_the_channels_and_keeps_the_scale() -> None:
    norm = SpatialScale(4).double()
    torch.nn.init.zeros_(norm.modulation.weight)
    torch.nn.init.zeros_(norm.modulation.bias)
    x = torch.randn(3, 4, 32, 32, dtype=torch.float64) * torch.tensor([1.0, 2, 5, 10])[:, None, None] + 3
    for scale in (1.0, 7.0):
        output = norm(scale * x, torch.zeros(3, 256, dtype=torch.float64))
        mean_variance = (scale * x).var((2, 3), correction=0).mean(1, keepdim=True).expand(3, 4)
        torch.testing.assert_close(output.var((2, 3), correction=0), mean_variance, rtol=1e-3, atol=0)
        torch.testing.assert_close(output.mean((2, 3)), torch.zeros(3, 4).double(), rtol=0, atol=1e-9)


def test_zero_output_starts_from_zero() -> None:
    y, t = torch.rand(2, 1, 8, 8), torch.rand(2)
    assert not UNet(1, width=4, halvings=1, zero_output=True)(y, t).any()
    assert UNet(1, width=4, halvings=1)(y, t).any()


@pytest.mark.parametrize("size", [(6, 8), (8, 9), (2, 8)], ids=str)
def test_a_size_it_cannot_halve_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageSizeError, match="nearest sizes"):
        build()(torch.rand(1, 1, *size).double(), torch.rand(1).double())


def test_recipes_and_checkpoints_with_the_former_name_of_halvings(tmp_path: Path) -> None:
    folder = shutil.copytree(packaged_models()["cifar10-grey-energy"], tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["model"]["coarse"]["conditioner"]["scales"] = 3
    (folder / "config.json").write_text(json.dumps(config))
    former, today = mszoo.load(folder), mszoo.load("cifar10-grey-energy")
    x = torch.rand(2, 1, 16, 16)
    assert torch.equal(former.log_prob(x), today.log_prob(x))
    assert former.config()["coarse"]["conditioner"]["halvings"] == 3

    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: old\nmodel: {coarse: {conditioner: {name: unet, width: 2, scales: 2}, head: score}}\n")
    assert check(read_recipe(recipe))[1].unit == 4


def test_the_former_name_of_halvings_is_for_no_new_mistakes() -> None:
    assert mszoo.create("conditioner", "unet", 1, 0, width=2, scales=2).part.config()["halvings"] == 2
    with pytest.raises(OptionsError, match="scales: unknown key"):
        mszoo.create("conditioner", "unet", 1, 0, scales=2, halvings=2)
    with pytest.raises(OptionsError, match=r"scales: .* greater than or equal to 1, got 0"):
        mszoo.create("conditioner", "unet", 1, 0, scales=0)


def test_it_is_not_blind() -> None:
    with pytest.raises(UnsupportedError, match="noise level"):
        build()(torch.rand(1, 1, 8, 8).double())


@pytest.mark.parametrize("options", [{"width": 0}, {"halvings": 0}, {"depth": 1}, {"embedding": "sqrt"}], ids=str)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionsError, match="conditioner 'unet'"):
        mszoo.create("conditioner", "unet", 1, 0, **options)


@every_embedding
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_without_noise_is_finite(dtype: torch.dtype, embedding: str) -> None:
    network = build(embedding=embedding)
    y, _, _ = inputs(network)
    t = torch.tensor([0.0, 0.1, 0.0])
    output = network.to(dtype)(y.to(dtype), t.to(dtype))
    assert output.dtype == dtype
    assert output.isfinite().all()


def test_frequencies_do_not_depend_on_the_default_precision() -> None:
    usual = frequencies()
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(frequencies(), usual)
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_condition_of_another_size_is_refused() -> None:
    network = build(3, 1)
    y, t, cond = inputs(network)
    assert cond is not None
    with pytest.raises(ImageSizeError, match="one size, got 8x12 and 4x6"):
        network(y, t, cond[..., :4, :6])
