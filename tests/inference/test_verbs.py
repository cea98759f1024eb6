"""Every verb of every head, J and number of channels: the right answer, or the refusal that the guide tells."""

from pathlib import Path

import pytest

import mszoo
from tests.inference.verbs import ROWS, VERBS, cell, table

pytestmark = pytest.mark.filterwarnings("ignore:this model is blind", "ignore:image")


def test_the_guide_has_the_table():
    page = (Path(mszoo.__file__).parent / "guides" / "verbs.md").read_text(encoding="utf-8")
    assert page == table(), "write it again: python -m tests.inference.verbs > mszoo/guides/verbs.md"
    assert "WRONG" not in page


@pytest.mark.parametrize("row", ROWS)
def test_it_is_the_same_of_other_levels_and_in_colour(row: str):
    for verb in VERBS:
        one = {levels: cell(row, verb, levels, 1) for levels in (0, 1)}
        assert cell(row, verb, 0, 3) == one[0], verb
        assert cell(row, verb, 2, 3).replace("of 2 levels", "of 1 levels") == one[1], verb
