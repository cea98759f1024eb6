"""Inverse problems: the measurement is met, and the rest is of the model's density (images of one grey each)."""

import pytest
import torch

import mszoo
from mszoo.errors import ImageSizeError
from mszoo.inference import Blur, Inpainting, Operator, RandomProjections, Schedule, SuperResolution
from tests.inference.exact import constant_images

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
