"""The most likely image, of Gaussian densities: there it is a linear function of the measurement (Wiener's)."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

import mszoo
from mszoo.errors import OptionsError, UnsupportedError
from mszoo.heads import EnergyHead
from mszoo.inference import Blur, Inpainting, Operator, RandomProjections, SuperResolution
from tests import factories
from tests.samplers.exact import HEADS, VARIANCE, White, white

SIZE = (8, 16)
OPERATORS = {
    "half of the pixels": Inpainting.random_pixels(SIZE, 0.5),
    "projections": RandomProjections((1, *SIZE), 0.3),
    "blur": Blur.gaussian(1.0, SIZE),
    "enlargement": SuperResolution(mszoo.create("basis", "haar"), 4),
}
SIGMA = torch.tensor([0.05, 0.2])


class Follows(EnergyHead):
    """Gaussian details whose mean is a part of the coarser image."""

    normalized = True

    def energy(self, y: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        mean = 0.5 if cond is None else 0.3 * cond.repeat(1, 3, 1, 1)
        total = 0.1 + t
        squares = (y - mean).square().flatten(1).sum(1) / total
        return (squares + y[0].numel() * (2 * torch.pi * total).log()) / 2


def following(levels: int, channels: int = 1) -> mszoo.MultiScaleModel:
    detail = [Follows(White(3 * channels, channels, "score")) for _ in range(levels)]
    basis = mszoo.create("basis", "haar") if levels else None
    return mszoo.MultiScaleModel(channels, Follows(White(channels, 0, "score")), basis, detail).eval().double()


def measured(operator: Operator) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    m = operator.forward(torch.rand(2, 1, *SIZE, dtype=torch.float64, generator=generator))
    return m + 0.1 * torch.randn(m.shape, generator=generator, dtype=torch.float64)


def by_algebra(model: mszoo.MultiScaleModel, operator: Operator, m: Tensor) -> Tensor:
    """Where the gradient of the quadratic log p(x) + log p(m | x) vanishes."""
    found = []
    for i in range(len(m)):

        def f(x: Tensor, i: int = i) -> Tensor:
            image = x.reshape(1, 1, *SIZE)
            missed = (m[i : i + 1] - operator.forward(image)).square().sum()
            return model.log_prob(image)[0] - missed / (2 * SIGMA[i].double() ** 2)

        zero = torch.zeros(SIZE[0] * SIZE[1], dtype=torch.float64)
        found.append(torch.linalg.solve(torch.func.hessian(f)(zero), -torch.func.grad(f)(zero)).reshape(1, *SIZE))
    return torch.stack(found)


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS.keys())
@pytest.mark.parametrize("levels", [0, 1, 2])
def test_it_is_the_linear_estimate(operator: Operator, levels: int):
    """Through every condition: the mean of the details depends on the coarser image."""
    model, m = following(levels), measured(operator)
    found = model.map(m, operator, SIGMA, level=0)
    torch.testing.assert_close(found, by_algebra(model, operator, m), rtol=0, atol=1e-3)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("levels", [0, 1, 2])
def test_every_head_with_a_density(head: str, levels: int):
    """White pixels around 0: Wiener's factor. Others say what they lack."""
    model, m = white(head, levels), torch.randn(2, 1, *SIZE, generator=torch.Generator().manual_seed(0))
    everything = Inpainting(torch.ones(SIZE))
    if head in ("score", "denoiser") or (levels and head in ("inner_product", "squared_norm")):
        with pytest.raises(UnsupportedError, match=r"scale \d has"):
            model.map(m, everything, 0.1)
        return
    for level, t in ((0.0, 0.0), (0.3, 0.09), (None, 0.01)):
        found = model.map(m, everything, 0.1, level=level)
        torch.testing.assert_close(found, (VARIANCE + t) / (VARIANCE + t + 0.01) * m, rtol=0, atol=2e-3)


def test_it_never_falls_at_one_noise_level_and_is_the_same_alone():
    model, operator = mszoo.load("cifar10-grey-energy"), OPERATORS["half of the pixels"]
    m, told = measured(operator).float(), []
    both = model.map(m, operator, SIGMA, steps=5, on_step=lambda k, x, level, f: told.append((k, x.shape, level, f)))
    assert [k for k, *_ in told] == list(range(1, len(told) + 1))
    for (_, shape, level, f), (_, _, next_level, higher) in itertools.pairwise(told):
        assert shape == (2, 1, *SIZE)
        assert (next_level <= level).all()
        assert (higher >= f)[next_level == level].all()
    assert torch.equal(told[-1][2], SIGMA)
    assert told[-1][3].isfinite().all()
    torch.testing.assert_close(model.map(m[1:], operator, 0.2, steps=5), both[1:], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("given", "match"), [({"level": -1}, "level"), ({"level": 2.0}, "level"), ({"steps": 0}, "steps")]
)
def test_arguments_that_make_no_sense(given: dict[str, float], match: str):
    operator = OPERATORS["half of the pixels"]
    with pytest.raises(OptionsError, match=f"map: {match}"):
        factories.energy().map(measured(operator), operator, 0.1, **given)  # type: ignore[arg-type]
    with pytest.raises(OptionsError, match="sigma"):
        factories.energy().map(measured(operator), operator, 0.0)


def test_it_has_no_derivative_and_says_so():
    operator = OPERATORS["half of the pixels"]
    with pytest.raises(UnsupportedError, match="no derivative"):
        factories.energy().map(measured(operator).requires_grad_(), operator, 0.1)
