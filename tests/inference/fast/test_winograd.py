"""Convolutions in compiled C against PyTorch's in float64, and every kind of derivative."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import forward_ad

from mszoo.inference.fast import winograd
from mszoo.inference.fast.winograd import Stage

needs_compiler = pytest.mark.skipif(winograd._LIBRARY.functions(math.inf) is None, reason="there is no C compiler here")


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
    assert (stage.kernels is not None) == wide
    assert (stage.mixing is not None) == (layers > 0)
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


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def rectified(x: Tensor) -> tuple[Stage, list[Tensor]]:
    """A stage whose rectifiers are not at their kink anywhere in x, lest rounding decide on the derivative."""
    while True:
        weights = weights_of(x.shape[-3], 16, True, 1)
        wide = F.conv2d(x.reshape(-1, *x.shape[-3:]), weights[0], padding=1)
        if min(h.abs().min() for h in (wide, F.conv2d(wide.relu(), weights[1]))) > 1e-5:
            return Stage(weights), weights


# What can be asked of a function of one image (1, 16, 5, 6) by derivatives and transforms.
QUESTIONS = {
    "grad": lambda f, x, v: torch.func.grad(lambda x: (f(x) * v).sum())(x),
    "vjp": lambda f, x, v: torch.func.vjp(f, x)[1](v)[0],
    "jvp": lambda f, x, v: torch.stack(torch.func.jvp(f, (x,), (v,))),
    "jvp in inference mode": lambda f, x, v: in_inference_mode(lambda: torch.stack(torch.func.jvp(f, (x,), (v,)))),
    "linearize": lambda f, x, v: torch.func.linearize(f, x)[1](v),
    "dual numbers": lambda f, x, v: dual(f, x, v),
    "vmap": lambda f, x, v: torch.func.vmap(f)(torch.stack([x, v, x + v])),
    "vmap over the second": lambda f, x, v: torch.func.vmap(f, 1)(torch.stack([x, v, x + v], 1)),
    "vmap twice": lambda f, x, v: torch.func.vmap(torch.func.vmap(f))(torch.stack([x, v]).expand(2, 2, *x.shape)),
    "vmap of grad": lambda f, x, v: torch.func.vmap(torch.func.grad(lambda x: f(x).square().sum()))(
        torch.stack([x, v])
    ),
    "vmap of jvp": lambda f, x, v: torch.func.vmap(lambda v: torch.func.jvp(f, (x,), (v,))[1])(torch.stack([x, v])),
    "jacrev": lambda f, x, v: torch.func.jacrev(f)(x),
    "jacfwd": lambda f, x, v: torch.func.jacfwd(f)(x),
    "hessian": lambda f, x, v: torch.func.hessian(lambda z: (f(z * x) ** 2).sum())(torch.tensor(1.5)),
    "forward over reverse": lambda f, x, v: torch.func.jvp(torch.func.grad(lambda x: (f(x) ** 3).sum()), (x,), (v,))[1],
    # the inner derivative does not see x, the outer one must
    "forward over forward": lambda f, x, v: torch.func.jvp(
        lambda x: torch.func.jvp(lambda z: f(x) * z, (v,), (v,))[1], (x,), (v,)
    )[1],
}


def in_inference_mode(ask) -> Tensor:
    with torch.inference_mode():
        return ask()


def dual(f, x: Tensor, v: Tensor) -> Tensor:
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(f(forward_ad.make_dual(x, v))).tangent


@pytest.mark.parametrize("question", QUESTIONS)
def test_derivatives_and_transforms_are_those_of_the_convolutions(question):
    x, v = torch.randn(1, 16, 5, 6), torch.randn(1, 16, 5, 6)
    stage, weights = rectified(torch.stack([x, v, x + v, 1.5 * x]))
    ask = QUESTIONS[question]
    close(ask(stage, x, v), ask(lambda x: reference(x, weights, True), x, v))


@pytest.mark.parametrize("layers", [0, 2])
def test_backward_twice(layers):
    x, v = torch.randn(1, 16, 8, 8, requires_grad=True), torch.randn(1, 16, 8, 8)
    weights = weights_of(16, 16, True, layers)
    stage, found = Stage(weights), []
    for f in (stage, lambda x: reference(x, weights, True)):
        (first,) = torch.autograd.grad((f(x) ** 3).sum(), x, create_graph=True)
        found.append((first, torch.autograd.grad((first * v).sum(), x)[0]))
    for got, expected in zip(*found, strict=True):
        close(got, expected)


def test_weights_that_are_made_trainable_get_their_gradients():
    weights, x = weights_of(16, 16, True, 1), torch.randn(1, 16, 8, 8)
    stage = Stage(weights).requires_grad_()
    stage(x).square().sum().backward()
    expected = torch.autograd.grad(reference(x, [w.requires_grad_() for w in weights], True).square().sum(), weights)
    for got, right in zip(stage.weights, expected, strict=True):
        close(got.grad, right)


def test_many_weights_for_many_images_are_refused_by_name():
    stage, x, weights = Stage(weights_of(16, 16, True, 0)), torch.randn(1, 16, 8, 8), torch.randn(2, 16, 16, 3, 3)
    with pytest.raises(NotImplementedError, match="not over the weights"):
        torch.func.vmap(lambda w: torch.func.functional_call(stage, {"weights.0": w}, x))(weights)


def test_no_graph_is_kept_where_none_is_asked_for():
    assert not Stage(weights_of(16, 16, True, 1))(torch.randn(1, 16, 8, 8)).requires_grad


@needs_compiler
@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("size", [(2, 7, 9), (1, 1, 1), (0, 4, 4)])
def test_the_operator_keeps_pytorchs_contract(wide, size):
    stage, x = Stage(weights_of(16, 16, wide, 2)), torch.randn(size[0], 16, *size[1:])
    arguments = (x, list(stage.weights), stage.kernels, stage.mixing, True)
    torch.library.opcheck(torch.ops.mszoo.convolve, arguments)
    torch.library.opcheck(torch.ops.mszoo.convolve, (x.clone().requires_grad_(), *arguments[1:]))


def test_it_is_exported_whole():
    stage, x = Stage(weights_of(16, 16, True, 1)), torch.randn(2, 16, 7, 9)
    exported = torch.export.export(stage, (x,))
    assert any("mszoo.convolve" in str(node.target) for node in exported.graph.nodes)
    close(exported.module()(x), stage(x))
