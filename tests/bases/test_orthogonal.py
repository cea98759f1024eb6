from __future__ import annotations

import re

import numpy as np
import pytest
import pywt
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import mszoo
from mszoo.bases import Basis, check_size, pad_to_multiple
from mszoo.errors import ImageSizeError, MszooError, UnknownComponentError

FLOAT64 = {"atol": 1e-10, "rtol": 1e-10}
BASES = ["haar", "db1", "db2", "db4", "db20", "db38", "sym2", "sym5", "sym20", "coif1", "coif5", "coif17"]
LISTED = mszoo.list_components("basis")
IN_PYWAVELETS = pywt.wavelist(kind="discrete")

any_basis = st.sampled_from(LISTED).map(lambda name: mszoo.create("basis", name))
even = st.integers(1, 12).map(lambda half: 2 * half)
image_shape = st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 3]), even, even)


def split_by_pywavelets(x: Tensor, wavelet: str) -> tuple[Tensor, Tensor]:
    low, details = pywt.dwt2(x.numpy(), wavelet, mode="periodization")
    return torch.from_numpy(low), torch.from_numpy(np.concatenate(details, 1))


def matrix(basis: Basis, height: int, width: int) -> Tensor:
    """The transform of height x width images as a matrix: column k is what unit pixel k becomes."""
    units = torch.eye(height * width, dtype=torch.float64).reshape(-1, 1, height, width)
    low, detail = basis.analyze(units)
    return torch.cat([low, detail], 1).flatten(1).T


@given(any_basis, image_shape)
@example(mszoo.create("basis", "db20"), (1, 1, 2, 2))
@example(mszoo.create("basis", "coif17"), (2, 3, 2, 24))
@example(mszoo.create("basis", "db38"), (1, 3, 24, 2))
def test_equals_pywavelets(basis: Basis, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64)
    for ours, theirs in zip(basis.analyze(x), split_by_pywavelets(x, basis.part.name), strict=True):
        torch.testing.assert_close(ours, theirs, **FLOAT64)


@given(any_basis, image_shape)
def test_reconstructs_both_ways_and_keeps_energy(basis: Basis, shape: tuple[int, ...]) -> None:
    batch, channels, height, width = shape
    x = torch.randn(shape, dtype=torch.float64)
    low, detail = basis.analyze(x)
    assert low.shape == (batch, channels, height // 2, width // 2)
    assert detail.shape == (batch, 3 * channels, height // 2, width // 2)
    torch.testing.assert_close(basis.synthesize(low, detail), x, **FLOAT64)
    torch.testing.assert_close(low.square().sum() + detail.square().sum(), x.square().sum(), **FLOAT64)

    low, detail = torch.randn_like(low), torch.randn_like(detail)
    for part, again in zip((low, detail), basis.analyze(basis.synthesize(low, detail)), strict=True):
        torch.testing.assert_close(again, part, **FLOAT64)


@pytest.mark.parametrize("size", [(2, 2), (2, 8), (6, 4), (8, 8)], ids=str)
@pytest.mark.parametrize("name", BASES)
def test_is_orthonormal_so_that_white_noise_stays_white(name: str, size: tuple[int, int]) -> None:
    # The covariance of transformed white noise of variance t is t W W^T.
    w = matrix(mszoo.create("basis", name), *size)
    identity = torch.eye(len(w), dtype=torch.float64)
    torch.testing.assert_close(w @ w.T, identity, **FLOAT64)
    torch.testing.assert_close(w.T @ w, identity, **FLOAT64)


@pytest.mark.parametrize("name", BASES)
def test_derivatives(name: str) -> None:
    basis = mszoo.create("basis", name)
    x = torch.randn(1, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    low = torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    detail = torch.randn(1, 6, 2, 3, dtype=torch.float64, requires_grad=True)
    for check in (gradcheck, gradgradcheck):
        assert check(basis.analyze, x, fast_mode=True)
        assert check(basis.synthesize, (low, detail), fast_mode=True)


@pytest.mark.parametrize("name", ["haar", "db4"])
def test_derivatives_by_function_transforms(name: str) -> None:
    """The transform is linear: forward, backward, batched and of second order, its Jacobian is its matrix."""
    basis = mszoo.create("basis", name)

    def coefficients(x: Tensor) -> Tensor:
        return torch.cat([part.flatten() for part in basis.analyze(x.reshape(1, 1, 4, 6))])

    def image(c: Tensor) -> Tensor:
        return basis.synthesize(c[:6].reshape(1, 1, 2, 3), c[6:].reshape(1, 3, 2, 3)).flatten()

    matrix = torch.stack([coefficients(row) for row in torch.eye(24, dtype=torch.float64)], 1)
    x = torch.randn(24, dtype=torch.float64)
    for function, expected in ((coefficients, matrix), (image, matrix.mT)):
        for jacobian in (torch.func.jacrev, torch.func.jacfwd):
            torch.testing.assert_close(jacobian(function)(x), expected)
        torch.testing.assert_close(torch.func.vmap(function)(torch.stack([x, 2 * x]))[1], 2 * function(x))
        curvature = torch.func.hessian(lambda x, function=function: function(x).pow(3).sum())(x)
        torch.testing.assert_close(curvature, expected.mT @ torch.diag(6 * function(x)) @ expected)


@pytest.mark.parametrize("only", ["low", "detail"])
def test_the_gradient_of_one_part_alone(only: str) -> None:
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    basis = mszoo.create("basis", "db2")
    parts = dict(zip(("low", "detail"), basis.analyze(x), strict=True))
    (gradient,) = torch.autograd.grad(parts[only].sum(), x)
    ones = {name: torch.ones_like(part) if name == only else torch.zeros_like(part) for name, part in parts.items()}
    torch.testing.assert_close(gradient, basis.synthesize(ones["low"], ones["detail"]))


@given(any_basis, image_shape, st.sampled_from([torch.float32, torch.bfloat16, torch.float16]))
def test_runs_in_every_precision(basis: Basis, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.rand(shape).to(dtype)
    tolerance = {"rtol": 0, "atol": 16 * torch.finfo(dtype).eps}
    split = basis.analyze(x)
    for ours, exact in zip(split, basis.analyze(x.double()), strict=True):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.double(), exact, **tolerance)
    again = basis.synthesize(*split)
    assert again.dtype == dtype
    torch.testing.assert_close(again, x, **tolerance)


@pytest.mark.parametrize("name", ["haar", "db4"])
def test_stays_on_its_device(name: str) -> None:
    # The meta device has no values: a trip through NumPy would fail.
    basis = mszoo.create("basis", name)
    low, detail = basis.analyze(torch.empty(2, 3, 16, 8, device="meta"))
    assert {low.device.type, detail.device.type, basis.synthesize(low, detail).device.type} == {"meta"}


@pytest.mark.parametrize("name", ["haar", "db4"])
def test_differentiable_after_first_use_in_inference_mode(name: str) -> None:
    basis = mszoo.create("basis", name)
    with torch.inference_mode():
        basis.synthesize(*basis.analyze(torch.rand(1, 1, 8, 8)))
    x = torch.rand(1, 1, 8, 8, requires_grad=True)
    basis.synthesize(*basis.analyze(x)).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("name", BASES)
def test_colour_goes_channel_by_channel_and_details_are_band_major(name: str) -> None:
    basis = mszoo.create("basis", name)
    x = torch.randn(2, 3, 8, 12, dtype=torch.float64)
    low, detail = basis.analyze(x)
    for channel in range(3):
        grey_low, grey_detail = basis.analyze(x[:, channel : channel + 1])
        torch.testing.assert_close(low[:, channel : channel + 1], grey_low, **FLOAT64)
        torch.testing.assert_close(detail[:, channel::3], grey_detail, **FLOAT64)


def test_bands_are_horizontal_vertical_diagonal_details() -> None:
    basis = mszoo.create("basis", "haar")
    rows, columns = torch.arange(8) % 2, torch.arange(8)[None] % 2
    patterns = [rows[:, None].expand(8, 8), columns.expand(8, 8), (rows[:, None] + columns) % 2]
    for band, pattern in enumerate(patterns):
        _, detail = basis.analyze(pattern.float()[None, None])
        assert (detail[0].flatten(1).abs().amax(1) > 1e-5).tolist() == [b == band for b in range(3)]


@pytest.mark.parametrize("name", IN_PYWAVELETS)
def test_exactly_the_orthonormal_wavelets_are_there(name: str) -> None:
    columns = np.concatenate(pywt.dwt(np.eye(8), name, mode="periodization", axis=0))
    if np.abs(columns @ columns.T - np.eye(8)).max() < 1e-10:
        basis = mszoo.create("basis", name)
        torch.testing.assert_close(matrix(basis, 4, 4) @ matrix(basis, 4, 4).T, torch.eye(16).double(), **FLOAT64)
    else:
        assert name not in LISTED
        with pytest.raises(MszooError, match=f"'{re.escape(name)}' is not orthonormal"):
            mszoo.create("basis", name)


@pytest.mark.parametrize(("wrong", "right"), [("harr", "haar"), ("db44", "db4"), ("symm4", "sym4")])
def test_unknown_name_suggests(wrong: str, right: str) -> None:
    with pytest.raises(UnknownComponentError, match=f"unknown basis '{wrong}'; did you mean .*'{right}'"):
        mszoo.create("basis", wrong)


@given(st.sampled_from(["haar", "db4", "db20"]), st.integers(1, 30), st.integers(1, 30))
def test_odd_sizes_are_refused_with_the_nearest_that_work(name: str, height: int, width: int) -> None:
    basis = mszoo.create("basis", name)
    if height % 2 == width % 2 == 0:
        basis.analyze(torch.rand(1, 1, height, width))
        return
    with pytest.raises(ImageSizeError, match=f"{height}x{width}") as caught:
        basis.analyze(torch.rand(1, 1, height, width))
    _, *sizes = re.findall(r"(\d+)x(\d+)", str(caught.value))
    assert sizes
    for h, w in sizes:
        assert abs(int(h) - height) <= 1
        assert abs(int(w) - width) <= 1
        basis.analyze(torch.rand(1, 1, int(h), int(w)))


@given(st.integers(0, 70), st.integers(0, 70), st.integers(0, 5))
def test_check_size_accepts_what_can_be_split(height: int, width: int, levels: int) -> None:
    works = min(height, width) > 0 and height % 2**levels == width % 2**levels == 0
    if works:
        check_size(height, width, levels)
        return
    with pytest.raises(ImageSizeError, match=f"{height}x{width}") as caught:
        check_size(height, width, levels)
    for h, w in re.findall(r"(\d+)x(\d+)", str(caught.value))[1:]:
        check_size(int(h), int(w), levels)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 16))
@example(1, 1, 8)
def test_padding_mirrors_up_to_the_next_multiple(height: int, width: int, unit: int) -> None:
    x = torch.rand(2, 3, height, width)
    padded = pad_to_multiple(x, unit)
    assert torch.equal(padded[..., :height, :width], x)
    for size, before in zip(padded.shape[-2:], (height, width), strict=True):
        assert size % unit == 0
        assert size - unit < before <= size
    extra = [(0, 0), (0, 0), (0, padded.shape[-2] - height), (0, padded.shape[-1] - width)]
    assert np.array_equal(padded.numpy(), np.pad(x.numpy(), extra, mode="symmetric"))
