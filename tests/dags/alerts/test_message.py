"""An alert's text is bounded, and keeps what helps most."""

import pytest

from ml.alerts import message
from ml.alerts.message import Message, Severity


@pytest.mark.parametrize("length", [10, 300, 100_000])
def test_body_is_bounded_and_keeps_the_last_lines(length: int) -> None:
    lines = tuple(f"{number} " + "x" * length for number in range(15))
    facts = {"Dag": "any", "Error": "y" * length, "By hand": "docker run " + "z" * length}
    body = Message(Severity.ERROR, "title", facts, lines).body
    assert len(body) <= message.MAX_BODY
    assert "By hand: docker run " in body
    assert body.splitlines()[-1].startswith("| 14 x")
