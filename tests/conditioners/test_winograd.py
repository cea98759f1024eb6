"""Convolutions in compiled C against PyTorch's in float64."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mszoo.conditioners import winograd
from mszoo.conditioners.winograd import Stage

needs_compiler = pytest.mark.skipif(winograd._library() is None, reason="there is no C compiler here")


def weights_of(inputs: int, outputs: int, wide: bool, layers: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    shapes = [(outputs, inputs, 3, 3)] * wide + [(outputs, outputs, 1, 1)] * layers
    return [torch.randn(shape, dtype=dtype) / (shape[1] * shape[2] * shape[3]) ** 0.5 for shape in shapes]


def reference(h: Tensor, weights: list[Tensor], rectify: bool) -> Tensor:
    for weight in weights:
        h = F.conv2d(h, weight.to(h.dtype), padding=weight.shape[-1] // 2)
        h = h.relu() if rectify else h
    return h


@needs_compiler
@given(
    size=st.tuples(st.integers(0, 5), st.integers(1, 30), st.integers(1, 30)),
    channels=st.tuples(st.sampled_from([8, 16, 24, 40]), st.sampled_from([16, 32, 96])),
    layers=st.integers(0, 3),
    wide=st.booleans(),
    rectify=st.booleans(),
    channels_last=st.booleans(),
)
@settings(max_examples=80)
def test_equals_the_convolutions(size, channels, layers, wide, rectify, channels_last):
    (batch, height, width), (inputs, outputs) = size, channels
    wide = wide or layers == 0
    inputs = inputs if wide else outputs
    weights, x = weights_of(inputs, outputs, wide, layers), torch.randn(batch, inputs, height, width)
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    stage, before = Stage(weights, rectify), x.clone()
    assert stage._compiled
    got, expected = stage(x), reference(x.double(), weights, rectify)
    assert got.dtype == torch.float32
    torch.testing.assert_close(
        got.double(), expected, rtol=0, atol=2e-5 * (expected.abs().max().item() if batch else 1)
    )
    assert torch.equal(x, before)


@needs_compiler
@pytest.mark.parametrize("wide", [True, False])
def test_an_image_is_the_same_alone_in_a_batch_and_with_any_number_of_threads(wide):
    stage, x = Stage(weights_of(32, 32, wide, 2)), torch.randn(5, 32, 21, 19)
    together, threads = stage(x), torch.get_num_threads()
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            assert torch.equal(torch.cat([stage(image) for image in x.split(1)]), together)
    finally:
        torch.set_num_threads(threads)


@needs_compiler
def test_what_is_not_finite_stays_so():
    stage, x = Stage(weights_of(16, 16, True, 1)), torch.randn(1, 16, 16, 16)
    x[0, 3, 5, 6] = float("nan")
    assert stage(x)[..., 4:7, 5:8].isnan().all()
    assert stage(x)[..., 12:, 12:].isfinite().all()


@needs_compiler
def test_a_module_that_is_told_to_have_its_channels_last_computes_the_same():
    stage, x = Stage(weights_of(16, 32, True, 2)), torch.randn(2, 16, 9, 9)
    expected = stage(x)
    assert torch.equal(stage.to(memory_format=torch.channels_last)(x), expected)


@pytest.mark.parametrize(
    ("inputs", "outputs", "dtype"), [(12, 16, torch.float32), (16, 20, torch.float32), (16, 16, torch.float64)]
)
def test_other_channels_and_dtypes_work_too(inputs, outputs, dtype):
    weights, x = weights_of(inputs, outputs, True, 1, dtype), torch.randn(2, inputs, 7, 9, dtype=dtype)
    torch.testing.assert_close(Stage(weights)(x), reference(x, weights, True))


@needs_compiler
def test_double_precision_after_the_fact():
    weights, x = weights_of(16, 16, True, 1), torch.randn(2, 16, 7, 9).double()
    torch.testing.assert_close(Stage(weights).double()(x), reference(x, weights, True))


@pytest.mark.parametrize("layers", [0, 2])
def test_derivatives(layers):
    weights, x = weights_of(16, 16, True, layers), torch.randn(1, 16, 8, 8)
    stage, direction = Stage(weights), torch.randn(1, 16, 8, 8)
    (expected,) = torch.autograd.grad(reference(x.requires_grad_(), weights, True), x, direction)
    torch.testing.assert_close(torch.autograd.grad(stage(x), x, direction)[0], expected)
    torch.testing.assert_close(torch.func.vjp(stage, x.detach())[1](direction)[0], expected)


@needs_compiler
@pytest.mark.parametrize("wide", [True, False])
def test_the_operator_keeps_pytorchs_contract(wide):
    stage = Stage(weights_of(16, 16, wide, 2))
    torch.library.opcheck(winograd._convolve, (torch.randn(2, 16, 7, 9), stage.kernels, stage.mixing, True))


@pytest.mark.parametrize(("compiler", "warned"), [("no-such-compiler", False), ("", False), ("false", True)])
def test_without_a_compiler_that_works(monkeypatch, compiler, warned):
    monkeypatch.setenv("CC", compiler)
    winograd._library.cache_clear()
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            weights, x = weights_of(16, 16, True, 1), torch.randn(1, 16, 8, 8)
            stage = Stage(weights)
        assert not stage._compiled
        assert any("false cannot compile" in str(w.message) for w in seen) == warned
        torch.testing.assert_close(stage(x), reference(x, weights, True))
    finally:
        winograd._library.cache_clear()
