"""The verdict on the memory of a service under load."""

import pytest

from tests.chaos.load import Use


@pytest.mark.parametrize(
    ("use", "verdict"),
    [
        (Use(1000, [300, 400, 390, 410, 380, 400]), "well"),
        (Use(1000, [300, 400, 430, 460, 490, 520]), "leaks"),
        (Use(1000, [300, 310, 305, 940, 310, 300]), "near its limit"),
        (Use(1000, [300, 310, 305, 305, 310, 300], restarts=1), "restarted"),
    ],
)
def test_service_that_grows_or_ends_is_named(use: Use, verdict: str) -> None:
    assert use.verdict == verdict
