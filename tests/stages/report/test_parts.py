"""The parts of drawings, for any input: texts, ticks and numbers."""

import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from svg import Scale, clean, element, number, percent, short, signed, tick

ANY_TEXT = st.text(st.characters(codec=None), max_size=40)


@given(ANY_TEXT, ANY_TEXT)
def test_any_text_is_well_formed_and_reads_back(text: str, attribute: str) -> None:
    drawn = str(element("text", text, data=attribute))
    found = ElementTree.fromstring(drawn.encode("utf-8"))
    assert (found.text or "") == clean(text)
    # A parser of XML takes every kind of white space in an attribute for a space.
    assert " ".join(found.attrib["data"].split(" ")) == clean(attribute).replace("\n", " ").replace("\t", " ")


@given(ANY_TEXT, st.integers(1, 20))
def test_cut_text_is_never_longer(text: str, length: int) -> None:
    assert len(short(text, length)) <= length


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_in_the_range_and_evenly_spaced(low: float, span: float) -> None:
    assume(span > 1e-6 * abs(low))  # below, doubles have no room for ticks
    found = Scale(low, low + span, 0, 100).ticks()
    room = 1e-6 * (abs(low) + span)
    assert all(low - room <= value <= low + span + room for value in found)
    steps = [b - a for a, b in pairwise(found)]
    assert len(found) <= 6
    assert all(step == pytest.approx(steps[0], rel=1e-3) for step in steps)


def test_ticks_of_shares_are_fifths() -> None:
    assert Scale(0, 1, 0, 100).ticks() == [0, 0.2, 0.4, 0.6, 0.8, 1]


@pytest.mark.parametrize("value", [math.nan, math.inf, 1.0])
def test_scale_without_a_span_has_one_tick(value: float) -> None:
    assert len(Scale(1.0, value, 0, 100).ticks()) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0, "0"), (1234567, "1,234,567"), (0.0, "0.0000"), (0.91931658, "0.9193"), (1.0, "1.0000"),
        (0.00001234, "1.2e−05"), (-0.5, "−0.5000"), (12.0, "12"),
    ],
)  # fmt: skip
def test_number_is_written_as_people_write_it(value: float | None, text: str) -> None:
    assert number(value) == text


def test_shares_and_differences_are_written_as_people_write_them() -> None:
    assert [percent(share) for share in (0, 0.0005, 0.0112, 1)] == ["0.0%", "<0.1%", "1.1%", "100%"]
    assert [signed(value) for value in (0.01, -0.01, 0.0)] == ["+0.0100", "−0.0100", "0.0000"]
    assert [tick(value) for value in (0.30000000000000004, 1200.0, 2e9)] == ["0.3", "1,200", "2e+09"]
