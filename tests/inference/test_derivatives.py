"""Derivatives of what a model answers, in both modes, by torch.func and by autograd, against finite differences."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import grad, jacfwd, jvp, vmap

import mszoo
from mszoo.inference import denoise_views, downsample

STEP = 1e-5
SMOOTH = {"norm": "channel", "activation": "gelu", "noise_embedding": True}
pytestmark = pytest.mark.filterwarnings("ignore:the constant")


def build(levels: int, head: str) -> mszoo.MultiScaleModel:
    torch.manual_seed(0)
    network = {"name": "bias_free_cnn", "receptive_field": 5, "width": 8, "depth": 4, **SMOOTH}
    part = {"conditioner": network, "head": head}
    chain = {"basis": "db2", "levels": levels, "detail": part} if levels else {}
    return mszoo.MultiScaleModel.from_config({"coarse": part, **chain}).eval().double()


@pytest.fixture
def x() -> Tensor:
    return torch.rand(3, 1, 8, 8, dtype=torch.float64)


def slope(f: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> Tensor:
    return ((f(x + STEP * v) - f(x - STEP * v)) / (2 * STEP)).detach()


@pytest.mark.parametrize(("levels", "head"), [(0, "inner_product"), (0, "anchored"), (2, "anchored")])
def test_log_prob(levels: int, head: str, x: Tensor) -> None:
    model, v = build(levels, head), torch.randn_like(x)
    expected = slope(model.log_prob, x, v)
    by_vmap = vmap(grad(lambda a: build_once.log_prob(a[None])[0]))
    build_once = build(levels, head)  # its constant is found inside vmap
    by_autograd = x.clone().requires_grad_()
    model.log_prob(by_autograd).sum().backward()
    assert by_autograd.grad is not None
    gradients = [grad(lambda a: model.log_prob(a).sum())(x), by_vmap(x), by_autograd.grad]
    for gradient in gradients:
        assert gradient.abs().max() > 0.1
        torch.testing.assert_close((gradient * v).flatten(1).sum(1), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(jvp(model.log_prob, (x,), (v,))[1], expected, rtol=1e-5, atol=1e-5)
    first = jacfwd(lambda a: model.log_prob(a[None])[0])(x[0])
    torch.testing.assert_close(first, gradients[0][0])
    if not levels:
        torch.testing.assert_close(gradients[0], model.score(x, 0.0))
    with torch.no_grad():
        assert not model.log_prob(x).requires_grad


@pytest.mark.parametrize("levels", [0, 1])
@pytest.mark.parametrize("head", ["denoiser", "anchored"])
@pytest.mark.parametrize("question", ["denoise", "denoise padded", "score", "views", "downsample"])
def test_images(levels: int, head: str, question: str, x: Tensor) -> None:
    model = build(levels, head)
    answers: dict[str, Callable[[Tensor], Tensor]] = {
        "denoise": lambda y: model.denoise(y, 0.3),
        "denoise padded": lambda y: model.denoise(y[..., :7], 0.3, pad=True),
        "score": lambda y: model.score(y, 0.1),
        "views": lambda y: denoise_views(model, y, 0.3, 2),
        "downsample": lambda y: downsample(model, y, 2) if levels else y,
    }
    f, v = answers[question], torch.randn_like(x)
    expected = slope(f, x, v)
    torch.testing.assert_close(jvp(f, (x,), (v,))[1], expected, rtol=1e-4, atol=1e-5)
    w = torch.randn_like(expected)
    gradient = grad(lambda y: (f(y) * w).sum())(x)
    torch.testing.assert_close((gradient * v).sum(), (expected * w).sum(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(vmap(lambda a: f(a[None])[0])(x), f(x))
