"""The table of versions."""

from list_ import table


def test_table_is_aligned_and_cuts_what_is_too_wide() -> None:
    lines = table(["version", "why"], [["3", "x" * 100], ["12", "short"]])
    assert lines[0] == "version  why"
    assert lines[1] == f"3        {'x' * 59}…"
    assert lines[2] == "12       short"


def test_table_has_one_line_a_row_whatever_is_in_a_cell() -> None:
    assert table(["why"], [["one\ntwo\x1b[2J"]]) == ["why", "one two [2J"]
