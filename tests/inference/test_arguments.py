"""Arguments that make no sense are refused by name, and random numbers mean the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import mszoo
from mszoo.errors import ImageSizeError, MszooError, OptionsError, UnsupportedError
from mszoo.inference import (
    Blur,
    Inpainting,
    Operator,
    RandomProjections,
    Schedule,
    SuperResolution,
    add_noise,
    denoise_image,
    sample,
    solve,
    super_resolve,
)
from tests.inference.exact import constant_images

SIZE = (16, 12)
OPERATORS = {
    "mask": Inpainting.random_pixels(SIZE, 0.3),
    "projections": RandomProjections((1, *SIZE), 0.25),
    "blur": Blur.gaussian(1.2, SIZE),
    "super-resolution": SuperResolution(mszoo.create("basis", "haar"), 4),
}
QUICK = Schedule(h0=0.2, beta=0.5, floor=1e-2)
X = torch.rand(2, 1, *SIZE)
MODEL = constant_images()
REFUSED: dict[str, tuple[Callable[[], Any], type[MszooError], str]] = {
    "count=0": (lambda: sample(MODEL, 0), OptionsError, "sample: count: .* 1 or more, got 0"),
    "count=1.5": (lambda: sample(MODEL, 1.5), OptionsError, "sample: count: .*got 1.5"),  # type: ignore[arg-type]
    "size=-4": (lambda: sample(MODEL, 1, -4), OptionsError, "sample: size"),
    "size=(8, 0)": (lambda: sample(MODEL, 1, (8, 0)), OptionsError, "sample: size: .*got 0"),
    "size=8.0": (lambda: sample(MODEL, 1, (8.0, 8)), OptionsError, "sample: size: .*got 8.0"),  # type: ignore[arg-type]
    "size=8.": (lambda: sample(MODEL, 1, 8.0), OptionsError, "sample: size: .*got 8.0"),  # type: ignore[arg-type]
    "size=x": (lambda: sample(MODEL, 1, "x"), OptionsError, "sample: size: .*got 'x'"),  # type: ignore[arg-type]
    "size=(8,)": (lambda: sample(MODEL, 1, (8,)), OptionsError, "sample: size"),  # type: ignore[arg-type]
    "size=10**9": (lambda: sample(MODEL, 1, 10**9), OptionsError, "pixels"),
    "count=10**12": (lambda: sample(MODEL, 10**12, 8), OptionsError, "count: .*pixels"),
    "log p of an array": (lambda: MODEL.log_prob(X.numpy()), ImageSizeError, "from_numpy"),  # type: ignore[arg-type]
    "nll of a list": (lambda: MODEL.nll([1.0]), ImageSizeError, "a torch.Tensor, got list"),  # type: ignore[arg-type]
    "sparse": (lambda: MODEL.denoise(X.to_sparse()), ImageSizeError, "to_dense"),
    "t=1j": (lambda: MODEL.score(X, 1j), OptionsError, "t: should be one number"),  # type: ignore[arg-type]
    "noise of nan": (lambda: add_noise(X, float("nan"), 0, 0), OptionsError, "sigma"),
    "noise of None": (lambda: add_noise(X, None, 0, 0), OptionsError, "sigma"),  # type: ignore[arg-type]
    "sigma=x": (lambda: solve(MODEL, X, OPERATORS["mask"], "x"), OptionsError, "sigma"),  # type: ignore[arg-type]
    "mask=x": (lambda: Inpainting("x"), ImageSizeError, "a mask is a tensor"),  # type: ignore[arg-type]
    "width=x": (lambda: Blur.gaussian("x", SIZE), OptionsError, "width"),  # type: ignore[arg-type]
    "blur size=16": (lambda: Blur.gaussian(1.0, 16), OptionsError, "size"),  # type: ignore[arg-type]
    "blur size=(0, 0)": (lambda: Blur.gaussian(1.0, (0, 0)), OptionsError, "size"),
    "fraction=x": (lambda: RandomProjections((1, 8, 8), "x"), OptionsError, "fraction"),  # type: ignore[arg-type]
    "mean_of=0": (lambda: super_resolve(MODEL, X, mean_of=0), OptionsError, "super_resolve: mean_of"),
    "solve mean_of=0": (lambda: solve(MODEL, X, OPERATORS["mask"], mean_of=0), OptionsError, "solve: mean_of"),
    "factor=2.0": (lambda: super_resolve(MODEL, X, 2.0), UnsupportedError, "whole number.*got 2.0"),  # type: ignore[arg-type]
    "views=0": (lambda: denoise_image(MODEL, X, views=0), OptionsError, "denoise_image: views"),
    "tile=0": (lambda: denoise_image(MODEL, X, tile=0), OptionsError, "denoise_image: tile"),
    "no images": (lambda: denoise_image(MODEL, X[:0]), ImageSizeError, "empty batch"),
    "one image": (lambda: denoise_image(MODEL, X[0]), ImageSizeError, r"x\[None\]"),
    "no images to enlarge": (lambda: super_resolve(MODEL, X[:0]), ImageSizeError, "empty batch"),
    "no measurements": (lambda: solve(MODEL, X[:0], OPERATORS["mask"]), ImageSizeError, "a measurement is"),
    "width=0": (lambda: Blur.gaussian(0, SIZE), OptionsError, "width: should be more than 0"),
    "width=-1": (lambda: Blur.gaussian(-1, SIZE), OptionsError, "width: should be more than 0"),
    "width=nan": (lambda: Blur.gaussian(float("nan"), SIZE), OptionsError, "width"),
    "kernel=0": (lambda: Blur(torch.zeros(3, 3), SIZE), OptionsError, "kernel"),
    "fraction=2": (lambda: RandomProjections((1, 8, 8), 2.0), OptionsError, "fraction"),
    "h0=nan": (lambda: Schedule(h0=float("nan")), OptionsError, "h0"),
    "floor=-1": (lambda: Schedule(floor=-1), OptionsError, "floor"),
    "a large seed": (lambda: sample(MODEL, 1, 8, generator=2**70), OptionsError, "generator: .*64 bits"),
    "no seed": (lambda: sample(MODEL, 1, 8, generator="a"), OptionsError, "generator"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_by_name(case: str) -> None:
    act, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        act()


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS.keys())
def test_operators_refuse_images_and_measurements_of_other_sizes(operator: Operator) -> None:
    m = operator.forward(X)
    for wrong in (torch.rand(2, 1, 10, 10), torch.rand(1, 1), torch.rand(2, 1, 1, 1)):
        with pytest.raises(ImageSizeError):
            operator.forward(wrong)
    if not isinstance(operator, SuperResolution):  # which has no size of its own
        for question in (operator.adjoint, operator.pseudo_inverse):
            with pytest.raises(ImageSizeError):
                question(m[..., :-1])


def test_a_low_image_that_does_not_fit_the_networks_is_told_so() -> None:
    part = {"conditioner": {"name": "unet", "width": 4, "depth": 2, "halvings": 2}, "head": "denoiser"}
    blind = {"conditioner": {"name": "bias_free_cnn", "receptive_field": 5, "depth": 4, "width": 4}, "head": "denoiser"}
    model = mszoo.MultiScaleModel.from_config({"basis": "haar", "levels": 1, "detail": part, "coarse": blind})
    with pytest.raises(ImageSizeError, match="multiples of 4"):
        super_resolve(model.eval(), torch.rand(1, 1, 6, 8), 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_answers_have_the_type_of_what_was_given(dtype: torch.dtype) -> None:
    low = torch.rand(1, 1, 8, 8).to(dtype)
    assert super_resolve(MODEL, low, 2, sampler=QUICK, generator=0).dtype == dtype
    assert solve(MODEL, X.to(dtype), OPERATORS["mask"], schedule=QUICK, generator=0).dtype == dtype


# ---- random numbers ------------------------------------------------------------------------------------------


def drawn(generator: torch.Generator | int | None) -> list[torch.Tensor]:
    """Everything that draws."""
    energy = {"conditioner": {"name": "unet", "width": 4, "depth": 2, "halvings": 1}, "head": "anchored"}
    torch_state = torch.get_rng_state()
    torch.manual_seed(0)  # of the fresh weights
    model = mszoo.MultiScaleModel.from_config({"coarse": energy}).eval()
    torch.set_rng_state(torch_state)
    return [
        sample(MODEL, 2, 8, generator=generator, coarse=QUICK, detail=QUICK, contrast=None),
        super_resolve(MODEL, X[..., :8, :8], 2, generator=generator, sampler=QUICK),
        solve(MODEL, X, OPERATORS["mask"], generator=generator, schedule=QUICK),
        model.nll(X, dequantize=True, generator=generator),
    ]


def test_none_is_torchs_global_generator() -> None:
    torch.manual_seed(5)
    first, after = drawn(None), torch.rand(1)
    torch.manual_seed(5)
    again = drawn(None)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert torch.equal(after, torch.rand(1))
    assert not torch.equal(drawn(None)[0], first[0])


def test_a_seed_is_a_generator_with_that_seed_and_leaves_the_global_state_alone() -> None:
    before = torch.get_rng_state()
    by_seed, parent = drawn(3), torch.Generator().manual_seed(3)
    first = sample(MODEL, 2, 8, generator=parent, coarse=QUICK, detail=QUICK, contrast=None)
    assert torch.equal(first, by_seed[0])
    assert torch.equal(before, torch.get_rng_state())


# ---- derivatives ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["autograd", "torch.func"])
@pytest.mark.parametrize(
    "question",
    [
        lambda x: denoise_image(MODEL, x),
        lambda x: super_resolve(MODEL, x, 2, sampler=QUICK),
        lambda x: solve(MODEL, x, OPERATORS["mask"], schedule=QUICK),
    ],
    ids=["denoise_image", "super_resolve", "solve"],
)
def test_what_has_no_derivative_says_so(question: Callable[[torch.Tensor], torch.Tensor], way: str) -> None:
    moving = X.clone().requires_grad_()
    derivative = torch.func.grad(lambda x: question(x).sum())
    with pytest.raises(UnsupportedError, match=r"has no derivative in .*detach"):
        question(moving) if way == "autograd" else derivative(X)
    with torch.no_grad():
        question(moving)
