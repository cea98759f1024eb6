from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import mszoo
from mszoo import MultiScaleModel
from mszoo.bases import OrthogonalBasis
from mszoo.conditioners import BiasFreeCNN
from mszoo.errors import CheckpointError, ImageSizeError, MszooError, OptionsError, UnsupportedError
from mszoo.heads import Denoiser

BASES = ["haar", "db4", "coif1"]
ENERGIES = ["inner_product"]
HEADS = ["denoiser", *ENERGIES]
SMOOTH = {"norm": "channel", "activation": "gelu", "noise_embedding": True}

every_head = pytest.mark.parametrize("head", HEADS)
every_level = pytest.mark.parametrize("levels", [0, 1, 2, 3])
grey_and_colour = pytest.mark.parametrize("channels", [1, 3], ids=["grey", "colour"])


def configure(
    levels: int = 1, channels: int = 1, basis: str = "haar", head: str = "denoiser", **options: Any
) -> dict[str, Any]:
    network = {"name": "bias_free_cnn", "receptive_field": 5, "width": 8, "depth": 4, **options}
    if head in ENERGIES:
        network |= SMOOTH
    part = {"conditioner": network, "head": head}
    chain = {"basis": basis, "levels": levels, "detail": part} if levels else {}
    return {"channels": channels, "coarse": part, **chain}


def build(*args: Any, **options: Any) -> MultiScaleModel:
    """A small model in eval mode."""
    return MultiScaleModel.from_config(configure(*args, **options)).eval()


# ---- denoising -----------------------------------------------------------------------------------------------


@every_level
@grey_and_colour
@pytest.mark.parametrize("basis", BASES)
@every_head
def test_denoise_keeps_the_shape(levels: int, channels: int, basis: str, head: str) -> None:
    model = build(levels, channels, basis, head)
    y = torch.rand(2, channels, 16, 24)
    denoised = model.denoise(y, 0.1)
    assert denoised.shape == y.shape
    assert denoised.isfinite().all()
    assert not torch.allclose(denoised, y)
    assert model.levels == levels
    assert len(model.scales) == levels + 1
    assert torch.equal(model(y, 0.1), denoised)


@every_level
@grey_and_colour
@pytest.mark.parametrize("basis", BASES)
def test_scales_hold_the_whole_image(levels: int, channels: int, basis: str) -> None:
    model = build(levels, channels, basis)
    x = torch.rand(2, channels, 16, 32, dtype=torch.float64)
    *details, (image, nothing) = model.decompose(x)
    assert nothing is None
    energy = image.square().sum()
    for detail, low in reversed(details):
        torch.testing.assert_close(low, image)
        image = model.basis.synthesize(low, detail)
        energy += detail.square().sum()
    torch.testing.assert_close(image, x, rtol=0, atol=1e-10)
    torch.testing.assert_close(energy, x.square().sum())


@every_level
@grey_and_colour
@every_head
def test_a_network_that_sees_no_noise_changes_nothing(levels: int, channels: int, head: str) -> None:
    model = build(levels, channels, "db4", head)
    for scale in model.scales:
        torch.nn.init.zeros_(scale.conditioner.last.weight)
    y = torch.randn(2, channels, 8, 16)
    torch.testing.assert_close(model.denoise(y, 0.3), y, rtol=0, atol=1e-5)


def test_each_scale_sees_the_denoised_coarser_image() -> None:
    # Paper A, algorithm 1, written out for two levels.
    model = build(2, 3, "db4")
    y = torch.rand(2, 3, 16, 16)
    low0, detail0 = model.basis.analyze(y)
    low1, detail1 = model.basis.analyze(low0)
    fine, middle, coarse = model.scales
    low1 = coarse.denoise(low1)
    low0 = model.basis.synthesize(low1, middle.denoise(detail1, cond=low1))
    expected = model.basis.synthesize(low0, fine.denoise(detail0, cond=low0))
    torch.testing.assert_close(model.denoise(y), expected)


@every_level
@every_head
def test_an_image_alone_gives_what_it_gives_in_a_batch(levels: int, head: str) -> None:
    model = build(levels, 1, "db4", head)
    y, sigma = torch.rand(3, 1, 16, 16), torch.tensor([0.05, 0.2, 0.7])
    together = model.denoise(y, sigma)
    for i in range(3):
        torch.testing.assert_close(model.denoise(y[i : i + 1], sigma[i].item()), together[i : i + 1])


@every_level
@every_head
def test_score_is_what_denoising_adds_per_variance(levels: int, head: str) -> None:
    model = build(levels, 1, "db4", head).double()
    y, sigma = torch.rand(2, 1, 16, 16, dtype=torch.float64), torch.tensor([0.1, 0.5], dtype=torch.float64)
    t = sigma.square()
    torch.testing.assert_close(y + t[:, None, None, None] * model.score(y, t), model.denoise(y, sigma))


@pytest.mark.parametrize("levels", [0, 2])
def test_blind_models_need_no_noise_level(levels: int) -> None:
    blind, told = build(levels), build(levels, noise_embedding=True)
    y = torch.rand(1, 1, 16, 16)
    assert blind.blind
    assert torch.equal(blind.denoise(y), blind.denoise(y, 0.3))
    assert not told.blind
    with pytest.raises(UnsupportedError, match=r"not blind.*sigma"):
        told.denoise(y)


@every_head
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_works_without_gradients(head: str, mode: Any) -> None:
    model, y = build(1, head=head, basis="db4"), torch.rand(1, 1, 8, 8)
    expected = model.denoise(y, 0.2)
    with mode():
        torch.testing.assert_close(model.denoise(y, 0.2), expected)
    assert model.denoise(y.requires_grad_(), 0.2).requires_grad


@pytest.mark.parametrize("basis", BASES)
@every_level
@given(size=st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_pad_takes_any_size(basis: str, levels: int, size: tuple[int, int]) -> None:
    model, y = build(levels, basis=basis), torch.rand(1, 1, *size)
    denoised = model.denoise(y, pad=True)
    assert denoised.shape == y.shape
    assert denoised.isfinite().all()
    if not any(s % 2**levels for s in size):
        assert torch.equal(denoised, model.denoise(y))


@every_head
@pytest.mark.parametrize(("levels", "basis"), [(0, "haar"), (1, "haar"), (1, "db4"), (2, "db2")])
def test_nothing_beyond_reach_matters(head: str, levels: int, basis: str) -> None:
    model = build(levels, 1, basis, head, receptive_field=9).double()
    assert model.reach is not None
    unit = 2**model.levels
    size = -(-(2 * model.reach + 8) // unit) * unit
    y = torch.rand(1, 1, size, size, dtype=torch.float64)
    for at in range(size // 2, size // 2 + unit):  # every position relative to the grids of the scales
        moving = y.clone().requires_grad_()
        model.denoise(moving, 0.5)[0, 0, at, at].backward()
        assert moving.grad is not None
        seen = moving.grad[0, 0].nonzero()
        assert len(seen) > 1
        assert (seen - at).abs().max() <= model.reach


def test_reach_is_the_whole_image_in_training_with_batch_statistics() -> None:
    assert build(1).train().reach is None
    assert build(1, norm="none").train().reach is not None


# ---- energies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ENERGIES)
@grey_and_colour
def test_energy_of_a_single_scale(head: str, channels: int) -> None:
    model = build(0, channels, head=head).double()
    y, t, h = torch.rand(2, channels, 8, 8, dtype=torch.float64), torch.tensor([0.1, 0.4]).double(), 1e-5
    assert model.energy(y).shape == model.energy(y, 0.1).shape == (2,)
    v = torch.randn_like(y)
    slope = (model.energy(y + h * v, t) - model.energy(y - h * v, t)) / (2 * h)
    torch.testing.assert_close((model.score(y, t) * v).flatten(1).sum(1), -slope, rtol=1e-6, atol=1e-7)
    slope = (model.energy(y, t + h) - model.energy(y, t - h)) / (2 * h)
    torch.testing.assert_close(model.time_score(y, t), -slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("question", ["energy", "time_score"])
@pytest.mark.parametrize(
    ("levels", "head", "reason"), [(0, "denoiser", "Denoiser has no energy"), (2, "inner_product", r"scales\[j\]")]
)
def test_a_model_without_energy_says_why(question: str, levels: int, head: str, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        getattr(build(levels, head=head), question)(torch.rand(1, 1, 8, 8), 0.1)


# ---- wrong input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize(
    ("y", "message"),
    [
        (torch.rand(1, 3, 8, 8), r"images \(B, 1, H, W\), got \(1, 3, 8, 8\).*channel by channel"),
        (torch.rand(1, 8, 8), r"images \(B, 1, H, W\), got \(1, 8, 8\).*x\[None\]"),
        (torch.rand(8, 8), r"images \(B, 1, H, W\), got \(8, 8\).*x\[None, None\]"),
        (torch.rand(8, 8, 1), r"got \(8, 8, 1\).*movedim\(-1, -3\)\[None\]"),
        (np.zeros((1, 1, 8, 8), np.float32), r"a torch.Tensor, got ndarray; torch.from_numpy\(x\)"),
        (torch.rand(0, 1, 8, 8), "empty batch"),
        (torch.randint(0, 256, (1, 1, 8, 8), dtype=torch.uint8), "floating-point.*uint8; divide by 255"),
        (torch.rand(1, 1, 0, 8), "empty"),
    ],
    ids=["colour", "3d", "2d", "channels last", "numpy", "no images", "uint8", "empty"],
)
@pytest.mark.parametrize("levels", [0, 2])
def test_what_is_no_image_for_this_model_is_refused(levels: int, y: Tensor, message: str, pad: bool) -> None:
    for sigma in (None, 0.1):
        with pytest.raises(ImageSizeError, match=message):
            build(levels).denoise(y, sigma, pad=pad)
    if not pad:
        with pytest.raises(ImageSizeError, match=message):
            build(levels).score(y, 0.1)


@pytest.mark.parametrize(
    ("height", "width", "nearest"), [(15, 16, "12x16 or 16x16"), (1, 1, "4x4"), (6, 9, "4x8 or 8x12")]
)
def test_sizes_that_cannot_be_split_are_refused(height: int, width: int, nearest: str) -> None:
    with pytest.raises(ImageSizeError, match=f"{height}x{width}.*{nearest}.*pad=True"):
        build(2).denoise(torch.rand(1, 1, height, width))


@pytest.mark.parametrize(
    ("sigma", "fault"),
    [
        (-0.1, "must not be negative, got -0.1"),
        (torch.tensor([0.1, -1.0]), "must not be negative, got -1"),
        (float("nan"), r"is not a number \(nan\)"),
        (float("inf"), "must be at most .* got inf"),
        (1e30, "must be at most 1.84e\\+19, got 1e\\+30"),
        (10**400, "should be one number"),
        ("25", "should be one number, or one for each image, got '25'"),
    ],
    ids=str,
)
@pytest.mark.parametrize("blind", [True, False])
def test_what_is_no_noise_level_is_refused(sigma: float | Tensor, fault: str, blind: bool) -> None:
    model = build(1, noise_embedding=not blind)
    with pytest.raises(OptionsError, match=f"sigma: {fault}"):
        model.denoise(torch.rand(2, 1, 8, 8), sigma)


@pytest.mark.parametrize("t", [-0.1, float("nan"), 1e39, torch.tensor([0.1, -1.0])], ids=str)
@pytest.mark.parametrize("question", ["score", "energy", "time_score"])
def test_what_is_no_variance_is_refused(question: str, t: float | Tensor) -> None:
    with pytest.raises(OptionsError, match="t: "):
        getattr(build(0, head="inner_product"), question)(torch.rand(2, 1, 8, 8), t)


@pytest.mark.parametrize(("levels", "head"), [(0, "denoiser"), (2, "denoiser"), (2, "inner_product")])
def test_a_score_that_divides_by_the_variance_needs_one(levels: int, head: str) -> None:
    model, y = build(levels, head=head), torch.rand(1, 1, 8, 8)
    assert model.score(y, 1e-4).isfinite().all()
    with pytest.raises(OptionsError, match="t: must be positive here, got 0"):
        model.score(y, 0.0)
    assert build(0, head="inner_product").score(y, 0.0).isfinite().all()


# ---- sizes that fit ------------------------------------------------------------------------------------------


def with_unets(levels: int, head: str = "anchored") -> MultiScaleModel:
    """U-Nets of two halvings at every scale: the image's sides are multiples of 4 times 2^J."""
    part = {"conditioner": {"name": "unet", "width": 4, "depth": 2, "halvings": 2}, "head": head}
    chain = {"basis": "haar", "levels": levels, "detail": part} if levels else {}
    return MultiScaleModel.from_config({"channels": 1, "coarse": part, **chain}).eval()


@pytest.mark.parametrize("levels", [0, 1, 2])
@pytest.mark.parametrize("size", [(30, 30), (1, 1), (17, 40)])
def test_networks_that_halve_their_input_are_padded_for(levels: int, size: tuple[int, int]) -> None:
    model, y = with_unets(levels), torch.rand(1, 1, *size)
    assert model.unit == 4 * 2**levels
    denoised = model.denoise(y, 0.1, pad=True)
    assert denoised.shape == y.shape
    assert denoised.isfinite().all()
    torch.testing.assert_close(mszoo.inference.denoise_image(model, y, 0.1), denoised)
    assert mszoo.inference.denoise_image(model, y, 0.1, views=3).shape == y.shape


@pytest.mark.parametrize("levels", [0, 1])
def test_a_size_that_does_not_fit_is_told_with_the_multiple(levels: int) -> None:
    model, y, unit = with_unets(levels), torch.rand(1, 1, 30, 30), 4 * 2**levels
    advice = rf"multiples of {unit}; .*pad_to_multiple\(x, {unit}\)"
    with pytest.raises(ImageSizeError, match=advice):
        model.denoise(y, 0.1)
    with pytest.raises(ImageSizeError, match=advice):
        model.score(y, 0.1)
    with pytest.raises(ImageSizeError, match=advice):
        model.log_prob(y)
    with pytest.raises(ImageSizeError, match=rf"multiples of {unit}; the nearest sizes") as refused:
        model.sample(1, 30)
    assert "pad" not in str(refused.value)  # there is nothing yet to pad


def test_the_packaged_energy_denoises_any_size() -> None:
    model, y = mszoo.load("cifar10-grey-energy"), torch.rand(1, 1, 30, 30)
    assert model.denoise(y, 0.1, pad=True).shape == y.shape


# ---- floating-point types ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@every_head
@pytest.mark.parametrize("levels", [0, 1])
def test_images_of_any_floating_point_type(dtype: torch.dtype, head: str, levels: int) -> None:
    model, y = build(levels, head=head), torch.rand(2, 1, 8, 8).to(dtype)
    expected = model.denoise(y.float(), 0.1)
    for found in (model.denoise(y, 0.1), mszoo.inference.denoise_image(model, y, 0.1), model.denoise(y, 0.1, pad=True)):
        assert found.dtype == dtype
        torch.testing.assert_close(found, expected.to(dtype))
    wide = torch.promote_types(dtype, torch.float32)
    assert model.score(y, 0.01).dtype == wide
    assert model.score(y, 1e-6).isfinite().all()
    if head in ENERGIES and not levels:
        assert model.energy(y).dtype == model.log_prob(y).dtype == model.nll(y).dtype == wide
    assert model.double().denoise(y, 0.1).dtype == dtype


def test_a_default_dtype_of_the_caller(tmp_path: Path) -> None:
    model, y = build(1), torch.rand(1, 1, 8, 8)
    model.save_pretrained(tmp_path)
    expected, drawn = model.denoise(y), model.sample(1, 8, generator=0)
    torch.set_default_dtype(torch.float64)
    try:
        loaded = mszoo.load(tmp_path)
        assert loaded.dtype == torch.float32
        torch.testing.assert_close(loaded.denoise(y), expected)
        torch.testing.assert_close(loaded.sample(1, 8, generator=0), drawn)
        assert loaded.denoise(torch.rand(1, 1, 8, 8)).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_fast_copy_in_half_precision_leaves_images_alone() -> None:
    quick = mszoo.inference.fast(build(1), torch.bfloat16)
    assert quick.dtype == torch.float32


# ---- doubtful noise levels -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("sigma", "said"), [(25.0, "it is 25/255"), (0.0004, "below a quarter of a grey level")])
def test_a_noise_level_of_grey_levels_is_doubted(sigma: float, said: str) -> None:
    model, y = build(0, noise_embedding=True), torch.rand(2, 1, 8, 8)
    with pytest.warns(UserWarning, match=said):
        model.denoise(y, sigma)


@pytest.mark.parametrize("sigma", [0.0, 0.001, 0.1, 2.0])
def test_usual_noise_levels_are_not(sigma: float, recwarn: pytest.WarningsRecorder) -> None:
    build(0, noise_embedding=True).denoise(torch.rand(2, 1, 8, 8), sigma)
    assert not recwarn.list


def test_so_much_noise_as_the_image_shows_is_not_doubted(recwarn: pytest.WarningsRecorder) -> None:
    build(0, noise_embedding=True).denoise(20 * torch.randn(2, 1, 8, 8), 20.0)
    assert not recwarn.list


def test_a_blind_model_says_once_that_sigma_changes_nothing() -> None:
    model, y = build(1), torch.rand(1, 1, 8, 8)
    with pytest.warns(UserWarning, match="blind: the sigma that it is given changes nothing") as caught:
        [model.denoise(y, 0.1) for _ in range(3)]
    assert len(caught) == 1


# ---- delegates -----------------------------------------------------------------------------------------------


def test_the_models_methods_take_what_the_functions_take() -> None:
    from mszoo.hub.pushing import push_model

    functions = {
        name: getattr(mszoo.inference, name) for name in ("log_prob", "nll", "sample", "super_resolve", "solve")
    }
    for name, function in {**functions, "push_to_hub": push_model, "from_pretrained": mszoo.load}.items():
        taken = list(inspect.signature(getattr(MultiScaleModel, name)).parameters.values())
        expected = list(inspect.signature(function).parameters.values())
        if name == "from_pretrained":  # bound to its class already
            expected = [None, *expected]
            taken = [None, *taken]
        assert [(p.name, p.kind, p.default, p.annotation) for p in taken[1:]] == [
            (p.name, p.kind, p.default, p.annotation) for p in expected[1:]
        ], name


@pytest.mark.parametrize("name", ["cifar10-grey-energy", "folder"])
def test_from_pretrained_takes_what_load_takes(name: str, tmp_path: Path) -> None:
    build(1).save_pretrained(tmp_path / "folder")
    name = str(tmp_path / name) if name == "folder" else name
    assert MultiScaleModel.from_pretrained(name).config() == mszoo.load(name).config()


@pytest.mark.parametrize("name", ["runs/mine", Path("runs/mine"), Path("cifar10-grey-energy")], ids=repr)
def test_a_lost_folder_is_called_a_lost_folder(
    name: str | Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine2").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=f"^there is no folder '{name}'") as caught:
        mszoo.load(name)
    if "runs" in str(name):
        assert "did you mean 'runs/mine2'" in str(caught.value)


@pytest.mark.parametrize("count", [0, 3])
def test_wrong_number_of_sigmas_is_refused(count: int) -> None:
    with pytest.raises(MszooError, match=rf"sigma: should be one number, or one for each image \(2\), got {count}"):
        build().denoise(torch.rand(2, 1, 8, 8), torch.full((count,), 0.1))


# ---- building, saving, loading -------------------------------------------------------------------------------


@every_level
@every_head
@grey_and_colour
def test_config_builds_the_same_model_again(levels: int, head: str, channels: int) -> None:
    model = build(levels, channels, "db4", head)
    config = json.loads(json.dumps(model.config()))
    again = MultiScaleModel.from_config(config)
    assert again.config() == config
    again.load_state_dict(model.state_dict())
    y = torch.rand(1, channels, 8, 8)
    assert torch.equal(again.eval().denoise(y, 0.1), model.denoise(y, 0.1))


@every_level
@every_head
def test_saved_and_loaded_answers_are_bitwise_the_same(levels: int, head: str, tmp_path: Path) -> None:
    model = build(levels, 1, "db4", head).train()
    model.denoise(torch.rand(4, 1, 8, 8), 0.1)  # moves running statistics, where there are any
    model.eval().save_pretrained(tmp_path / "model", beside={"recipe.yaml": "name: x\n"})
    loaded = mszoo.load(tmp_path / "model")
    assert not loaded.training
    assert loaded.config() == model.config()
    y = torch.rand(2, 1, 16, 8)
    assert torch.equal(loaded.denoise(y, 0.2), model.denoise(y, 0.2))
    written = sorted(p.name for p in (tmp_path / "model").iterdir())
    assert written == ["config.json", "model.safetensors", "recipe.yaml"]


def test_load_puts_the_model_where_asked(tmp_path: Path) -> None:
    build(1, 3, "db4").save_pretrained(tmp_path)
    y = torch.empty(2, 3, 16, 8, device="meta")
    assert mszoo.load(str(tmp_path), device="meta").denoise(y).shape == y.shape


def test_scales_may_differ() -> None:
    config = configure(2)
    part = config["detail"]
    detail = [{**part, "conditioner": {**part["conditioner"], "width": width}} for width in (4, 6)]
    model = MultiScaleModel.from_config({**config, "detail": detail})
    networks = [scale.conditioner for scale in model.scales]
    assert [n.first.out_channels for n in networks] == [4, 6, 8]
    assert [(n.channels, n.cond_channels) for n in networks] == [(3, 1), (3, 1), (1, 0)]


def test_every_fault_of_a_config_is_named_with_its_place() -> None:
    config = configure(2, receptive_feild=5)
    config |= {"basis": "dmey", "coarse": {"conditioner": "bias_free_cnn", "head": "inner_product"}}
    config["detail"] = {**config["detail"], "head": "denoisr"}
    with pytest.raises(OptionsError) as caught:
        MultiScaleModel.from_config(config)
    faults = [
        f"model: {place}"
        for place in (
            "basis: wavelet 'dmey' is not orthonormal",
            "detail[0].conditioner.receptive_feild: unknown key; did you mean 'receptive_field'",
            "detail[0].head: unknown head 'denoisr'; did you mean 'denoiser'",
            "detail[1].conditioner.receptive_feild",
            "detail[1].head",
            "coarse.head: InnerProductEnergy does not fit this BiasFreeCNN",
        )
    ]
    for fault in faults:
        assert fault in str(caught.value)
    assert len(caught.value.rows) == len(faults)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"basis": None}, "levels: 2 needs a basis"),
        ({"levels": 0, "detail": []}, "basis: haar needs levels"),
        ({"levels": -1}, "levels"),
        ({"levels": 3, "detail": []}, "got 0"),
        ({"channels": 0}, "channels"),
        ({"coarse": None}, "coarse"),
        ({"colour": True}, "colour"),
        ({"basis": {"name": "haar", "kind": "db4"}}, "basis.*kind"),
        ({"basis": {"name": "haar", "wavelet": "db4"}}, "basis.*wavelet"),
    ],
    ids=str,
)
def test_configs_that_make_no_model_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        MultiScaleModel.from_config({**configure(2), **changes})


def test_parts_built_directly_run_but_cannot_be_saved(tmp_path: Path) -> None:
    def head(channels: int, cond: int = 0) -> Denoiser:
        return Denoiser(BiasFreeCNN(channels, cond, receptive_field=5, width=4, depth=3))

    model = MultiScaleModel(1, head(1), OrthogonalBasis("db2"), [head(3, 1)]).eval()
    assert model.denoise(torch.rand(1, 1, 8, 8)).shape == (1, 1, 8, 8)
    with pytest.raises(UnsupportedError, match=r"mszoo\.create"):
        model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()
    with pytest.raises(MszooError, match="basis"):
        MultiScaleModel(1, head(1), OrthogonalBasis("db2"))


def test_an_unknown_model_is_a_clear_error() -> None:
    with pytest.raises(CheckpointError, match="no packaged model and no folder 'no-such-model'"):
        mszoo.load("no-such-model")
