"""Inverse problems: the measurement is met, and the rest is of the model's density (images of one grey each)."""

import pytest
import torch

import mszoo
from mszoo.errors import ImageSizeError, OptionsError, UnsupportedError
from mszoo.inference import (
    Blur,
    Inpainting,
    Operator,
    RandomProjections,
    Schedule,
    SuperResolution,
    measured_noise,
)
from mszoo.inference.operators import closest
from tests import factories
from tests.inference.exact import constant_images
from tests.samplers.exact import VARIANCE, white
from tests.testing.broken_operators import ColumnMeans, Empty, Oblique, Uninverted, Untransposed

SIZE = (16, 24)
OPERATORS = {
    "random pixels": Inpainting.random_pixels(SIZE, 0.1),
    "random projections": RandomProjections((1, *SIZE), 0.1),
    "gaussian blur": Blur.gaussian(1.5, SIZE),
    "super-resolution": SuperResolution(mszoo.create("basis", "haar"), 4),
}
QUICK = Schedule(h0=0.2, beta=1.0, floor=1e-4, sigma_end=1e-3)


def levels_of_grey() -> torch.Tensor:
    return torch.tensor([0.2, 0.7])[:, None, None, None].expand(2, 1, *SIZE).contiguous()


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS.keys())
@pytest.mark.parametrize("mean_of", [1, 3])
@pytest.mark.parametrize("levels", [0, 2])
def test_a_likely_image_is_recovered(operator: Operator, mean_of: int, levels: int):
    x = levels_of_grey()
    m = operator.forward(x)
    found = constant_images(levels).solve(m, operator, mean_of=mean_of, generator=0, schedule=QUICK)
    torch.testing.assert_close(found, x, rtol=0, atol=5e-3)
    torch.testing.assert_close(operator.forward(found), m, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["random pixels", "random projections", "super-resolution"])
def test_the_measurement_is_met_whatever_it_is(name: str):
    operator = OPERATORS[name]
    m = operator.forward(torch.rand(2, 1, *SIZE, generator=torch.Generator().manual_seed(0)))
    found = constant_images().solve(m, operator, generator=0, schedule=QUICK)
    torch.testing.assert_close(operator.forward(found), m, rtol=0, atol=1e-4)


def test_a_solution_is_the_same_alone_and_in_a_batch():
    operator, noisy = OPERATORS["random pixels"], Schedule(h0=0.2, beta=0.3, floor=1e-3)
    m = operator.forward(levels_of_grey())
    both = constant_images().solve(m, operator, generator=4, schedule=noisy)
    first = constant_images().solve(m[:1], operator, generator=4, schedule=noisy)
    torch.testing.assert_close(first, both[:1], rtol=0, atol=1e-5)


def test_a_measurement_of_another_image():
    with pytest.raises(ImageSizeError, match="channel"):
        constant_images(channels=3).solve(torch.rand(1, 1, *SIZE), OPERATORS["random pixels"])


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS.keys())
def test_the_proximal_step_is_the_least_squares(operator: Operator):
    """The gradient vanishes, for each image with its own ratio; at a small one the pseudo-inverse's image is near."""
    generator = torch.Generator().manual_seed(0)
    x, truth = torch.rand(2, 2, 1, *SIZE, dtype=torch.float64, generator=generator)
    m, ratio = operator.forward(truth), torch.tensor([0.1, 4.0], dtype=torch.float64)
    z = closest(operator, x, m, ratio)
    gradient = operator.adjoint(operator.forward(z) - m) + ratio[:, None, None, None] * (z - x)
    start = operator.adjoint(operator.forward(x) - m)
    assert (gradient.flatten(1).norm(dim=1) <= 2e-3 * start.flatten(1).norm(dim=1)).all()
    torch.testing.assert_close(closest(operator, x[1:], m[1:], ratio[1:]), z[1:])
    met = x + operator.pseudo_inverse(m - operator.forward(x))
    near = closest(operator, x, m, torch.full_like(ratio, 1e-6))
    assert (near - truth).norm() <= (met - truth).norm() + 0.05 * truth.norm()


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS.keys())
@pytest.mark.parametrize("levels", [0, 2])
def test_noise_in_the_measurement_is_not_believed(operator: Operator, levels: int):
    """Images of one grey each: their measurements' noise averages out, unless it is believed."""
    x, generator = levels_of_grey(), torch.Generator().manual_seed(1)
    m = operator.forward(x)
    noisy = m + 0.1 * torch.randn(m.shape, generator=generator)
    known, believed = (
        (constant_images(levels).solve(noisy, operator, sigma, generator=0, schedule=QUICK) - x).square().mean()
        for sigma in (torch.tensor([0.1, 0.1]), None)
    )
    assert known < believed / 4


@pytest.mark.parametrize("levels", [0, 1])
@pytest.mark.parametrize("head", ["score", "denoiser", "anchored", "inner_product", "squared_norm"])
def test_every_head_solves(head: str, levels: int):
    name = {"name": head, "levels": 0} if head == "anchored" else head
    config = factories.chain(levels, factories.network(**factories.SMOOTH), name)
    torch.manual_seed(0)
    model = mszoo.MultiScaleModel.from_config(config).eval()
    operator, steps = OPERATORS["random pixels"], Schedule(h0=0.5, beta=0.5, floor=0.1, annealed=True, give_up=1e6)
    m = operator.forward(levels_of_grey())
    for sigma in (None, 0.05):
        found = model.solve(m, operator, sigma, generator=0, schedule=steps)
        assert found.shape == (2, 1, *SIZE)
        assert found.isfinite().all()


def test_a_known_density_is_restored_as_well_as_it_can_be():
    """White pixels of variance v with noise of variance s^2: the mean of what they were is known."""
    v, s = 0.04, 0.2
    generator = torch.Generator().manual_seed(0)
    x = 0.5 + v**0.5 * torch.randn(4, 1, *SIZE, generator=generator)
    m = x + s * torch.randn(x.shape, generator=generator)
    everything = Inpainting(torch.ones(SIZE))
    found = factories.gaussian(variance=v).solve(m, everything, s, generator=0)
    best = 0.5 + v / (v + s**2) * (m - 0.5)
    assert (found - x).square().mean() < 1.1 * (best - x).square().mean()


@pytest.mark.parametrize("sigma", [0.02, 0.2])
@pytest.mark.parametrize("levels", [0, 2])
def test_the_noise_of_a_measurement_is_found(sigma: float, levels: int):
    """In what no image measures, of any model; and where all was measured, by its density."""
    generator = torch.Generator().manual_seed(0)
    x = 0.5 + 0.2 * torch.randn(2, 1, *SIZE, generator=generator)
    blur = Blur.gaussian(2.0, SIZE)
    m = blur.forward(x)
    m = m + torch.tensor([sigma, 2 * sigma])[:, None, None, None] * torch.randn(m.shape, generator=generator)
    found = measured_noise(constant_images(levels), m, blur)
    torch.testing.assert_close(found, torch.tensor([sigma, 2 * sigma]), rtol=0.15, atol=0)
    steps = {"generator": 0, "schedule": QUICK}
    automatic, known = (constant_images(levels).solve(m, blur, s, **steps) for s in ("auto", found))
    assert torch.equal(automatic, known)


@pytest.mark.parametrize("levels", [0, 1])
def test_the_noise_of_a_whole_image_is_found_by_its_density(levels: int):
    turned, model = RandomProjections((1, *SIZE), 1.0), white("anchored", levels)
    x = VARIANCE**0.5 * torch.randn(4, 1, *SIZE, generator=torch.Generator().manual_seed(0))
    m = turned.forward(x)
    m = m + 0.3 * torch.randn(m.shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(measured_noise(model, m, turned), torch.full((4,), 0.3), rtol=0.15, atol=0)
    with pytest.raises(UnsupportedError, match="has not: give sigma"):
        measured_noise(constant_images(levels), m, turned)


@pytest.mark.parametrize("name", ["random pixels", "random projections", "super-resolution"])
def test_where_the_noise_cannot_be_found_it_is_asked_for(name: str):
    operator = OPERATORS[name]
    with pytest.raises(UnsupportedError, match=r"cannot be found.*give sigma"):
        white("anchored").solve(operator.forward(levels_of_grey()), operator, "auto")


def test_an_operator_needs_no_base_class():
    x = levels_of_grey()[..., :8, :]
    found = constant_images().solve(ColumnMeans().forward(x), ColumnMeans(), generator=0, schedule=QUICK)
    torch.testing.assert_close(found, x, rtol=0, atol=5e-3)


@pytest.mark.parametrize(
    ("operator", "fault"),
    [
        (Untransposed(), "operator: adjoint: is not the transpose"),
        (Uninverted(), "operator: pseudo_inverse: returns an image that has another measurement"),
        (Oblique(), "operator: pseudo_inverse: is not the smallest image"),
        (Empty(), "operator: pseudo_inverse"),
    ],
)
@pytest.mark.parametrize("sigma", [None, 0.05])
def test_a_wrong_operator_is_refused(operator: ColumnMeans, fault: str, sigma: float | None):
    m = torch.rand(1, 1, 1, 24)
    state = torch.get_rng_state()
    with pytest.raises(OptionsError, match=fault):
        constant_images().solve(m, operator, sigma)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("sigma", [0, -0.1, float("nan"), float("inf"), torch.tensor([0.1, 0.2, 0.3]), "much", "auto "])
def test_sigmas_that_are_none_are_refused(sigma: object):
    operator = OPERATORS["random pixels"]
    with pytest.raises(OptionsError, match="sigma: "):
        constant_images().solve(operator.forward(levels_of_grey()), operator, sigma)  # type: ignore[arg-type]


def test_what_is_no_operator_is_refused():
    with pytest.raises(UnsupportedError, match="forward, adjoint and pseudo_inverse; function"):
        constant_images().solve(torch.rand(1, 1, *SIZE), lambda x: x)  # type: ignore[arg-type]
