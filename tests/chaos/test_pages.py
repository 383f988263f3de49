"""The table of docs/faults.md: a row is a measurement, and stays until its fault is measured again."""

from maintain.image_report import fill, part

from tests.chaos.__main__ import FAULTS, HEADER, Try, merged, table
from tests.chaos.__main__ import row as row_of
from tests.chaos.scene import Reading

NAMES = ("none", *FAULTS)


def row(name: str, figure: str) -> list[str]:
    return [name, *[figure] * (len(HEADER) - 1)]


def page(*rows: list[str]) -> str:
    empty = "Before.\n\n<!-- generated: faults -->\n<!-- end: faults -->\n\nAfter.\n"
    return fill(empty, {"faults": table(rows)})


def test_rows_that_are_measured_again_replace_theirs_and_the_others_stay() -> None:
    before = page(row(NAMES[0], "1"), row(NAMES[1], "1"), row(NAMES[4], "1"))
    rows = merged(before, [row(NAMES[0], "2"), row(NAMES[3], "2")])
    assert rows == [row(NAMES[0], "2"), row(NAMES[1], "1"), row(NAMES[3], "2"), row(NAMES[4], "1")]


def test_row_of_a_fault_that_the_command_does_not_know_goes() -> None:
    assert merged(page(row("the moon falls", "1"), row(NAMES[2], "1")), []) == [row(NAMES[2], "1")]


def test_part_is_what_fill_has_written() -> None:
    assert part(page(row(NAMES[1], "1")), "faults") == table([row(NAMES[1], "1")])


def test_seconds_to_heal_are_those_of_the_tries_in_which_a_task_was_struck() -> None:
    """A fault that struck all day long once had the seconds of the task that worked first."""
    healed = (None, 31.2, 12.0)
    tries = [Try(1, True, False, (), Reading(5, 0, ""), 0, 0, one, 60) for one in healed]
    assert row_of("any", tries)[-1] == "31, 31"
    assert row_of("any", tries[:1])[-1] == "–"
