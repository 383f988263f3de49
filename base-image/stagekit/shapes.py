"""Reads JSON files that somebody may have damaged, and compares them with the shape that was agreed for them.

A shape is written as data:
  int, float, str, bool   a value of this kind; float takes every finite number
  dict, list              any object, any list
  (str, int)              one of these kinds
  [shape]                 a list whose entries have this shape
  {"key": shape}          an object that has these keys; it may have more
  Maybe, Values, Exactly, Passes, EqualLengths   see below
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# How much of a place in a file, or of a text, a message shows.
SHOWN = 200
KINDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


@dataclass(frozen=True)
class Maybe:
    """The shape, or null; the key may also be missing."""

    shape: Any


@dataclass(frozen=True)
class Values:
    """An object with any keys, whose values all have one shape."""

    shape: Any


@dataclass(frozen=True)
class Exactly:
    """This very value."""

    value: Any


@dataclass(frozen=True)
class Passes:
    """A shape whose values also pass a test; `expected` describes what passes."""

    shape: Any
    test: Callable[[Any], bool]
    expected: str


@dataclass(frozen=True)
class EqualLengths:
    """An object whose lists of these keys have equally many entries."""

    shape: dict[str, Any]
    keys: tuple[str, ...]


# A whole number that every program can hold, and compute with: those of Python and of JSON have no limit.
COUNT = Passes(int, lambda number: abs(number) < 1 << 63, "a whole number of at most 63 bits")


class ShapeError(ValueError):
    """A file is not as agreed. `found` names the place, `expected` what should be there."""

    def __init__(self, found: str, expected: str) -> None:
        self.found, self.expected = found, expected
        super().__init__(f"{found}; expected: {expected}")


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Errors: ShapeError where the file is damaged in any way; OSError."""
    return parse_object(path.read_bytes())


def parse_object(content: bytes, *, strict: bool = True) -> dict[str, Any]:
    """The JSON object in UTF-8 bytes. Errors: ShapeError where it is none, or has a key twice.

    `strict` also refuses what Python writes and others cannot read: NaN, Infinity, half characters such as "\\ud800".
    """
    faults: list[tuple[Any, str]] = []
    expected = "a JSON object in UTF-8"
    try:
        text = content.decode("utf-8")
        value = json.loads(
            text,
            parse_constant=(lambda name: _note(faults, object(), f"is {name}, which is no number of JSON"))
            if strict
            else None,
            object_pairs_hook=lambda pairs: _to_object(pairs, faults),
        )
        if faults:
            raise ShapeError(_describe_first(value, faults), expected)
        if strict and "\\ud" in text.lower():
            _refuse_half_characters(value, expected)
    except ShapeError:
        raise
    except RecursionError:
        raise ShapeError("it is nested too deeply", expected) from None
    except ValueError as error:
        raise ShapeError(f"it is no JSON ({error})", expected) from None
    check(value, dict)
    return dict(value)


def check(value: Any, shape: Any, place: str = "") -> None:
    """Compare a value, and all that is inside of it, with a shape. Errors: ShapeError, for the first difference."""
    match shape:
        case Maybe():
            if value is not None:
                check(value, shape.shape, place)
        case Values():
            check(value, dict, place)
            for key, member in value.items():
                check(member, shape.shape, f"{place}.{key}")
        case Exactly():
            if type(value) is not type(shape.value) or value != shape.value:
                raise ShapeError(f"{_name(place)} is {_shown(value)}", f"{shape.value!r}")
        case Passes():
            check(value, shape.shape, place)
            if not shape.test(value):
                raise ShapeError(f"{_name(place)} is {_shown(value)}", shape.expected)
        case EqualLengths():
            _check_members(value, shape.shape, place)
            _check_lengths(value, shape.keys, place)
        case dict():
            _check_members(value, shape, place)
        case list():
            check(value, list, place)
            for position, entry in enumerate(value):
                check(entry, shape[0], f"{place}[{position}]")
        case _:
            _check_kind(value, shape if isinstance(shape, tuple) else (shape,), place)


def _check_members(value: Any, shape: dict[str, Any], place: str) -> None:
    check(value, dict, place)
    for key, member in shape.items():
        if key in value:
            check(value[key], member, f"{place}.{key}")
        elif not isinstance(member, Maybe):
            raise ShapeError(f"{_name(place)} has no {key}", f"the key {key}")


def _check_lengths(value: dict[str, Any], keys: tuple[str, ...], place: str) -> None:
    lengths = {key: len(value[key]) for key in keys if value.get(key) is not None}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{length} {key}" for key, length in lengths.items())
        raise ShapeError(f"{_name(place)} has {found}", "equally many of each")


def _check_kind(value: Any, kinds: tuple[type, ...], place: str) -> None:
    if any(_is(value, kind) for kind in kinds):
        return
    found = KINDS.get(type(value), type(value).__name__)
    if float in kinds and isinstance(value, int | float) and not isinstance(value, bool):
        found = "no finite number"
    raise ShapeError(f"{_name(place)} is {found}", " or ".join(KINDS[kind] for kind in kinds))


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind is float:
        return isinstance(value, int | float) and _is_finite(value)
    return isinstance(value, list | tuple if kind is list else kind)


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number beyond every double
        return False


def _name(place: str) -> str:
    text = place.lstrip(".")
    return (text if len(text) <= SHOWN else f"{text[:SHOWN]}…") or "the whole file"


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return KINDS[type(value)]
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _note(faults: list[tuple[Any, str]], value: Any, text: str) -> Any:
    faults.append((value, text))
    return value


def _to_object(pairs: list[tuple[str, Any]], faults: list[tuple[Any, str]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        _note(faults, members, f"has the key {_shown(twice)} twice")
    return members


def _describe_first(value: Any, faults: list[tuple[Any, str]]) -> str:
    """The first fault that is in the value still; one may be in a member whose key came again later."""
    texts = {id(faulty): text for faulty, text in faults}
    for place, inner in _walk(value):
        if id(inner) in texts:
            return f"{_name(place)} {texts[id(inner)]}"
    return f"a value {faults[0][1]}"


def _refuse_half_characters(value: Any, expected: str) -> None:
    for place, inner in _walk(value):
        for text in [inner] if isinstance(inner, str) else list(inner) if isinstance(inner, dict) else []:
            try:
                text.encode()
            except UnicodeEncodeError:
                where = _name(ascii(place)[1:-1])
                raise ShapeError(f"{where} has half a character, {ascii(text)[:SHOWN]}", expected) from None


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    """A value and everything inside of it, each with its place, in the order of the file."""
    left = [("", value)]
    while left:
        place, inner = left.pop()
        yield place, inner
        if isinstance(inner, dict):
            left += [(f"{place}.{key}", member) for key, member in reversed(inner.items())]
        elif isinstance(inner, list):
            left += [(f"{place}[{number}]", entry) for number, entry in reversed(list(enumerate(inner)))]
