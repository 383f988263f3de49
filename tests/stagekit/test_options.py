"""Types of options: each takes what it names, and refuses the rest with a message."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

import pytest
from stagekit import options

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (options.whole_number(1, 5), "5", 5),
        (options.whole_number(0), "12", 12),
        (options.number(0, 1), "1e-3", 0.001),
        (options.fraction, "0", 0.0),
        (options.fraction, "1", 1.0),
        (options.inner_fraction, "0.5", 0.5),
        (options.sha256, HEX, HEX),
        (options.version, "12", "12"),
        (options.or_empty(options.version), "", None),
        (options.or_empty(options.sha256), HEX, HEX),
    ],
)
def test_text_becomes_a_value(kind: Callable[[str], Any], text: str, value: object) -> None:
    assert kind(text) == value
    assert type(kind(text)) is type(value)


@pytest.mark.parametrize(
    ("kind", "texts", "expected"),
    [
        (options.whole_number(1, 5), ["0", "6", "1.0", "", "x"], "is not a whole number from 1 to 5"),
        (options.whole_number(0), ["-1", "nan"], "is not a whole number of 0 or more"),
        (options.number(0, 2.5), ["-0.1", "2.6", "nan", "inf", "x", ""], "is not a number from 0 to 2.5"),
        (options.fraction, ["1.01", "nan", ""], "is not a number from 0 to 1"),
        (options.inner_fraction, ["0", "1", "nan", "x"], "is not a number between 0 and 1"),
        (options.sha256, ["", HEX[1:], HEX.upper(), f"{HEX}\n"], "is not a sha256, which is 64 digits"),
        (
            options.version,
            ["", "0", "-1", "v1", "٣", "1.0", "9" * 5000],
            "is not a version, which is a whole number such as 3",
        ),
        (options.or_empty(options.version), ["x"], "is not a version"),
    ],
)
def test_other_text_is_refused(kind: Callable[[str], Any], texts: list[str], expected: str) -> None:
    for text in texts:
        with pytest.raises(ArgumentTypeError) as caught:
            kind(text)
        assert f"{text!r} {expected}" in str(caught.value)
