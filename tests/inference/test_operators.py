"""Measurements are linear, with true adjoints and pseudo-inverses."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mszoo
from mszoo.inference.operators import Blur, Inpainting, Operator, RandomProjections, SuperResolution

SHAPE = (2, 16, 12)
KERNEL = torch.tensor([[0.0, 0.1, 0.0], [0.1, 0.7, 0.05], [0.0, 0.05, 0.0]], dtype=torch.float64)
OPERATORS = {
    "mask": Inpainting(torch.rand(SHAPE[1:], generator=torch.Generator().manual_seed(0)) < 0.4),
    "random pixels": Inpainting.random_pixels(SHAPE[1:], 0.3, seed=1),
    "random projections": RandomProjections(SHAPE, 0.25, seed=2),
    "all projections": RandomProjections(SHAPE, 1.0, seed=2),
    "invertible blur": Blur(KERNEL, SHAPE[1:]),
    "gaussian blur": Blur.gaussian(1.2, SHAPE[1:]),
    "super-resolution haar": SuperResolution(mszoo.create("basis", "haar"), 4),
    "super-resolution db3": SuperResolution(mszoo.create("basis", "db3"), 2),
}
ORTHONORMAL = ["mask", "random pixels", "random projections", "all projections"]
every_operator = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS.keys())


def images(seed: int, count: int = 2) -> torch.Tensor:
    return torch.randn(count, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@every_operator
@given(seed=st.integers(0, 1000))
def test_adjoint(operator: Operator, seed: int):
    x = images(seed)
    m = operator.forward(x)
    r = torch.randn(m.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 1))
    torch.testing.assert_close((m * r).sum(), (x * operator.adjoint(r)).sum())


@every_operator
def test_pseudo_inverse(operator: Operator):
    """The four Penrose conditions that images and measurements can show: M^T M M^T = M^T on measured parts, M M^T a
    projection, and symmetric."""
    x, y = images(0), images(1)

    def project(v):
        return operator.pseudo_inverse(operator.forward(v))

    torch.testing.assert_close(project(project(x)), project(x))
    torch.testing.assert_close((project(x) * y).sum(), (x * project(y)).sum())
    if operator is not OPERATORS["gaussian blur"]:  # which loses frequencies below its tolerance, as documented
        torch.testing.assert_close(operator.forward(project(x)), operator.forward(x))


@pytest.mark.parametrize("name", ORTHONORMAL)
def test_orthonormal_measurements(name):
    operator = OPERATORS[name]
    m = operator.forward(images(0))
    torch.testing.assert_close(operator.forward(operator.adjoint(m)), m)
    if name == "all projections":
        torch.testing.assert_close(operator.adjoint(m), images(0))


@every_operator
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(operator, dtype):
    m = operator.forward(images(0).to(dtype))
    assert m.dtype == dtype
    assert operator.pseudo_inverse(m).dtype == dtype
    assert operator.pseudo_inverse(m).shape == (2, *SHAPE)


def test_a_constant_image_stays_one():
    ones = torch.ones(1, *SHAPE, dtype=torch.float64)
    for name in ("gaussian blur", "super-resolution haar", "super-resolution db3"):
        m = OPERATORS[name].forward(ones)
        torch.testing.assert_close(m, torch.ones_like(m))


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1])
def test_fractions_are_checked(fraction):
    with pytest.raises(ValueError, match="fraction"):
        RandomProjections(SHAPE, fraction)


def test_the_same_seed_gives_the_same_measurement():
    x = images(0)
    assert torch.equal(RandomProjections(SHAPE, 0.2, 5).forward(x), RandomProjections(SHAPE, 0.2, 5).forward(x))
    assert not torch.equal(RandomProjections(SHAPE, 0.2, 5).forward(x), RandomProjections(SHAPE, 0.2, 6).forward(x))
