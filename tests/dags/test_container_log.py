"""A container's output as lines with the level that the stage gave them."""

import logging

import pytest

from ml.container_log import MAX_LINE_BYTES, Line, lines_of

TIME = "2026-11-21T21:34:26Z"


def of_stderr(*lines: str) -> list[tuple[int, str]]:
    output = [(None, "\n".join(lines).encode())]
    return [(line.level, line.text) for line in lines_of(output)]


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        (f"{TIME} INFO generator generate: making 5 payments", logging.INFO, "making 5 payments"),
        (f"{TIME} WARNING preprocessing prepare: rejected line 15: bad", logging.WARNING, "rejected line 15: bad"),
        (f"{TIME} ERROR registry promote: there is no version 7", logging.ERROR, "there is no version 7"),
        (f"{TIME} CRITICAL registry promote: x", logging.CRITICAL, "x"),
        ("airflow-ml-preprocessing prepare: error: unknown: --x", logging.ERROR, "unknown: --x"),
        ("[LightGBM] [Warning] no further splits", logging.INFO, "[LightGBM] [Warning] no further splits"),
        ("Traceback (most recent call last):", logging.INFO, "Traceback (most recent call last):"),
        (f"{TIME} LOUD generator: x", logging.INFO, f"{TIME} LOUD generator: x"),
    ],
)  # fmt: skip
def test_line_has_the_level_of_the_stage_and_one_time_stamp(line: str, level: int, text: str) -> None:
    """Airflow's log has a time of its own; warnings and errors were INFO there."""
    assert of_stderr(line) == [(level, text)]


def test_line_of_stdout_is_not_changed() -> None:
    """The last one is the result."""
    text = f"{TIME} ERROR registry promote: x"
    assert list(lines_of([(text.encode(), None)])) == [Line(0, logging.INFO, text)]


def test_lines_of_both_streams_are_put_together_from_pieces() -> None:
    output = [(b"on", b"a"), (b"e\ntwo", b"b\n"), (b"", b"\n\nc")]
    assert [(line.stream, line.text) for line in lines_of(output)] == [(0, "one"), (1, "ab"), (0, "two"), (1, "c")]


def test_line_without_an_end_is_cut() -> None:
    chunk = b"x" * MAX_LINE_BYTES
    assert [len(line.text) for line in lines_of([(chunk + b"x", None), (b"yy", None)])] == [MAX_LINE_BYTES + 1, 2]
