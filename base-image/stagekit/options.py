"""Options of commands as data, and the types of options that several stages use.

A type takes the text of the command line and returns the value. Errors: argparse.ArgumentTypeError with the text
that was found and what is expected, which ends the stage with exit code 2.
"""

import math
import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

Value = TypeVar("Value")
SHA256 = re.compile(r"[0-9a-f]{64}")
VERSION = re.compile(r"0{0,3}[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class Option:
    """The arguments of one `argparse` `add_argument` call, kept until a parser is built."""

    flags: tuple[str, ...]
    keywords: dict[str, Any]


def option(*flags: str, **keywords: Any) -> Option:
    """An option of a command, with the arguments that `argparse.ArgumentParser.add_argument` takes."""
    return Option(flags, keywords)


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of a whole number, `least` or more, and no more than `most`."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            limits = f"from {least} to {most}" if most is not None else f"of {least} or more"
            raise ArgumentTypeError(f"{text!r} is not a whole number {limits}")
        return number

    return parse


def number(least: float, most: float) -> Callable[[str], float]:
    """The type of a number from `least` to `most`, both included."""

    def parse(text: str) -> float:
        value = _to_float(text)
        if not least <= value <= most:
            raise ArgumentTypeError(f"{text!r} is not a number from {least:g} to {most:g}")
        return value

    return parse


def fraction(text: str) -> float:
    """The type of a share, from 0 to 1."""
    return number(0, 1)(text)


def inner_fraction(text: str) -> float:
    """The type of a share that is neither nothing nor all: between 0 and 1."""
    value = _to_float(text)
    if not 0 < value < 1:
        raise ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return value


def sha256(text: str) -> str:
    """The type of a sha256 in hexadecimal digits."""
    if not SHA256.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is not a sha256, which is 64 digits of 0-9 and a-f")
    return text


def version(text: str) -> str:
    """The type of a model version of the registry: a whole number from 1 on, as text."""
    if not VERSION.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is not a version, which is a whole number such as 3")
    return text


def text(given: str) -> str:
    """The type of a text for people, which is not empty; blanks around it are removed."""
    if not given.strip():
        raise ArgumentTypeError("it is empty; other people will read it later")
    return given.strip()


def day(text: str) -> date:
    """The type of a day, in the one form that partitions have in their names."""
    try:
        if (found := date.fromisoformat(text)).isoformat() == text:
            return found
    except ValueError:
        pass
    raise ArgumentTypeError(f"{text!r} is no date of the form YYYY-MM-DD, such as 2026-11-21")


def or_empty(kind: Callable[[str], Value]) -> Callable[[str], Value | None]:
    """The type of an option that a Dag always gives: an empty text counts as not given, None."""

    def parse(text: str) -> Value | None:
        return kind(text) if text else None

    return parse


def _to_float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
