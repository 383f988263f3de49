"""Checks of JSON values; policy.py says which check a key gets.

A check takes a value and its key, and returns the value that may be forwarded, or raises Refused. A value without a
check is never forwarded.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

Check = Callable[[Any, str], Any]


class Refused(Exception):
    """A request is not let through. The message says what was found, what is expected, what to do."""

    def __init__(self, reason: str, status: int = 403) -> None:
        super().__init__(reason)
        self.status = status


def wrong(key: str, value: Any, expected: str) -> Refused:
    """The refusal of one value."""
    return Refused(f"{key or 'the body'} is {shown(value)}; expected: {expected}")


def shown(value: Any, length: int = 160) -> str:
    """A value on one line, of a length fit for a message."""
    line = json.dumps(value)
    return line if len(line) <= length else line[: length - 3] + "..."


def fields(required: Mapping[str, Check] | None = None, optional: Mapping[str, Check] | None = None) -> Check:
    """An object with these keys. Any other key must be empty and is left out, as is an empty optional one."""
    needed, others = required or {}, optional or {}

    def apply(value: Any, key: str) -> Any:
        if not isinstance(value, dict):
            raise wrong(key, value, "an object")
        prefix = key + "." if key else ""
        for name, item in value.items():
            if name not in needed and name not in others and not is_empty(item):
                raise wrong(prefix + name, item, f"not set; allowed here: {', '.join([*needed, *others]) or 'nothing'}")
        given = {name: check for name, check in others.items() if not is_empty(value.get(name))}
        return {name: check(value.get(name), prefix + name) for name, check in {**needed, **given}.items()}

    return apply


def map_of(name_check: Check, value_check: Check) -> Check:
    """An object with at least one key; one check for each name, one for each value."""

    def apply(value: Any, key: str) -> Any:
        if not isinstance(value, dict) or not value:
            raise wrong(key, value, "an object that is not empty")
        return {name_check(name, f"a key of {key}"): value_check(item, f"{key}.{name}") for name, item in value.items()}

    return apply


def list_of(check: Check, least: int = 0, most: int = 1000) -> Check:
    """A list; each item passes the same check."""

    def apply(value: Any, key: str) -> Any:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise wrong(key, value, f"a list of {least} to {most} items")
        return [check(item, f"{key}[{number}]") for number, item in enumerate(value)]

    return apply


def one_of(*allowed: str | bool) -> Check:
    """One of these values, of the same type: 1 is not true."""

    def apply(value: Any, key: str) -> Any:
        if not any(type(value) is type(item) and value == item for item in allowed):
            raise wrong(key, value, " or ".join(map(shown, allowed)))
        return value

    return apply


def text(pattern: str = ".*", expected: str = "text") -> Check:
    """Text that is the pattern from end to end (a dot is any character), without NUL and half characters."""
    compiled = re.compile(pattern, re.DOTALL | re.ASCII)

    def apply(value: Any, key: str) -> Any:
        if not isinstance(value, str) or not compiled.fullmatch(value) or re.search("[\0\ud800-\udfff]", value):
            raise wrong(key, value, expected)
        return value

    return apply


def whole(least: int, most: int) -> Check:
    """A whole number; true is not one, though Python counts it as 1."""

    def apply(value: Any, key: str) -> Any:
        if type(value) is not int or not least <= value <= most:
            raise wrong(key, value, f"a whole number from {least} to {most}")
        return value

    return apply


def json_text(check: Check) -> Check:
    """JSON within text, as the engine takes filters."""
    any_text = text()

    def apply(value: Any, key: str) -> Any:
        return json.dumps(check(parse_json(any_text(value, key).encode(), key), key))

    return apply


def is_empty(value: Any) -> bool:
    """Whether a value says nothing: null, false, 0, "", or a list or object of nothing but such values."""
    if isinstance(value, dict):
        return all(map(is_empty, value.values()))
    if isinstance(value, list):
        return all(map(is_empty, value))
    return not value


def parse_json(body: bytes, what: str) -> Any:
    """Standard JSON in UTF-8; a key that appears twice is refused."""

    def refuse(constant: str) -> Any:
        raise Refused(f"{what} holds {constant}; expected: JSON", 400)

    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{what} is not JSON in UTF-8 ({error})", 400) from None


def parse_query(query: str) -> dict[str, str]:
    """The names and values of a query; a name that appears twice is refused."""
    if not query:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=16)
    except ValueError as error:
        raise Refused(
            f"the query {shown(query)} cannot be read ({error}); expected: name=value&name=value", 400
        ) from None
    return _unique(pairs)


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values under one key, some programs take the first and others the last: here both are refused."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Refused(f"the key {shown(name)} appears twice; expected: once", 400)
        found[name] = value
    return found
