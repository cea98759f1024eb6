"""The kit finds what is broken in a measurement, and nothing in those that are whole."""

from functools import partial

import pytest

import mszoo
from mszoo.inference import Blur, Inpainting, RandomProjections, SuperResolution
from mszoo.testing import ContractError, check_operator
from mszoo.testing.kit import outcome
from mszoo.testing.operators import CHECKS
from tests.testing.broken_operators import BROKEN, ColumnMeans, Uninverted

SHAPE = (1, 8, 12)
WHOLE = {
    "random pixels": Inpainting.random_pixels(SHAPE[1:], 0.3),
    "random projections": RandomProjections(SHAPE, 0.25),
    "gaussian blur": Blur.gaussian(1.2, SHAPE[1:]),
    "super-resolution": SuperResolution(mszoo.create("basis", "db2"), 4),
    "column means": ColumnMeans(),
}
TWINS = [(name, broken) for name, twins in BROKEN.items() for broken in twins]


@pytest.mark.parametrize("operator", WHOLE.values(), ids=WHOLE.keys())
def test_whole_operators_pass(operator):
    check_operator(operator, SHAPE)


def test_every_check_has_its_broken_twin():
    assert set(BROKEN) == {check.__name__ for check in CHECKS}


@pytest.mark.parametrize(("name", "broken"), TWINS, ids=[f"{name}-{broken.__name__}" for name, broken in TWINS])
def test_a_broken_twin_fails_its_check(name, broken):
    (check,) = [check for check in CHECKS if check.__name__ == name]
    assert outcome(partial(check, broken(), SHAPE)) is not None
    with pytest.raises(ContractError, match=rf"{broken.__name__} breaks its contract:(.|\n)*{name}"):
        check_operator(broken(), SHAPE)


def test_all_faults_are_told_at_once():
    with pytest.raises(ContractError) as caught:
        check_operator(Uninverted(), SHAPE)
    assert "has_a_true_pseudo_inverse" in str(caught.value)
    assert "solves_start: OptionsError: operator: pseudo_inverse" in str(caught.value)
