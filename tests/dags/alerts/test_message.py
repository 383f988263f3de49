"""An alert's text is bounded, and keeps what helps most."""

import pytest

from ml.alerts import message
from ml.alerts.message import Message, Severity
from tests.dags.alerts.conftest import PAGE


@pytest.mark.parametrize("length", [10, 300, 100_000])
def test_body_is_bounded_and_keeps_the_last_lines(length: int) -> None:
    lines = tuple(f"{number} " + "x" * length for number in range(15))
    facts = {"Dag": "any", "Error": "y" * length, "By hand": "docker run " + "z" * length}
    body = Message(Severity.ERROR, "title", facts, PAGE, lines).body()
    assert len(body) <= message.MAX_BODY
    assert "By hand: docker run " in body
    *_, last_log_line, empty, page = body.splitlines()
    assert last_log_line.startswith("| 14 x")
    assert (empty, page) == ("", f"Page: {PAGE}")


def test_last_line_is_the_page_however_little_a_service_takes() -> None:
    alert = Message(Severity.ERROR, "title", {"Dag": "any", "Error": "y" * 5000}, PAGE, ("line",) * 15)
    for most in (len(f"Page: {PAGE}") + 1, 160, 2000):
        body = alert.body(most)
        assert len(body) <= most
        assert body.splitlines()[-1] == f"Page: {PAGE}"
