"""What a stranger wrote is one line that any terminal can show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mszoo.text import one_line, printable


@given(st.text() | st.text(st.characters(categories=("Cc", "Cf", "Cs", "Zl", "Zp"))))
def test_it_is_printable_and_stays_so(text):
    line = one_line(text)
    assert line.isprintable()
    assert one_line(line) == line
    assert printable(text).replace("\n", "").replace("\t", "").isprintable()
    line.encode()


@pytest.mark.parametrize("text", ["a  b.png", "5²4", "日本", "[bold]x[/]", ""])
def test_what_can_be_shown_is_kept(text):
    assert one_line(text) == printable(text) == text
