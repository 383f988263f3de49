"""Keeps results short enough for one line of a log, and hands the line over where stdout is not enough.

Container engines cut lines of 16 KiB in two, and marks, which hold results too, are read by everybody. So the members
of a result that are long are cut, the longest first, and `shortened` says how much is left out.
"""

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

MOST_BYTES = 12 << 10
# How many entries of a list or an object, and characters of a text, are kept: the first of these that is enough.
STEPS = ((100, 1000), (20, 300), (5, 100), (0, 0))
SHORTENED = "shortened"
# Kubernetes keeps so much of a container's termination message.
MOST_BYTES_OF_FILE = 4096


def bounded(result: Mapping[str, Any], apart: Collection[str] = ()) -> dict[str, Any]:
    """The result; if it is longer than MOST_BYTES as JSON, with long members cut.

    `shortened` then has, by member, what is left out: "and 1,990 more". Members `apart` stay whole, and do not count.
    """
    if kept := {name: result[name] for name in apart if name in result}:
        return bounded({name: value for name, value in result.items() if name not in kept}) | kept
    short, left_out = dict(result), dict(result.get(SHORTENED, {}))
    for entries, characters in STEPS:
        for name in sorted(result, key=lambda name: -_size(result[name])):
            if _size(short) <= MOST_BYTES:
                break
            if (cut := _cut(result[name], entries, characters)) != result[name]:
                left_out[name] = _left_out(result[name], cut)
                short |= {name: cut, SHORTENED: left_out}
    return short


def hand_over(line: str) -> None:
    """Write the result line to the file that ML_RESULT_FILE names, if it is set: Kubernetes mixes stdout and stderr.

    A longer line than the file may have is replaced by {"sha256": ...} of it: the log holds the line itself.
    """
    if name := os.environ.get("ML_RESULT_FILE"):
        content = line.encode()
        if len(content) > MOST_BYTES_OF_FILE:
            content = json.dumps({"sha256": hashlib.sha256(content).hexdigest()}).encode()
        Path(name).write_bytes(content)


def _size(value: Any) -> int:
    return len(json.dumps(value))


def _cut(value: Any, entries: int, characters: int) -> Any:
    """The value with at most so many entries in each list and object, at most so many characters in each text."""
    if isinstance(value, str):
        return value[:characters]
    if isinstance(value, Mapping):
        first = list(value.items())[:entries]
        return {name[:characters]: _cut(member, entries, characters) for name, member in first}
    if isinstance(value, list | tuple):
        return [_cut(entry, entries, characters) for entry in value[:entries]]
    return value


def _left_out(value: Any, cut: Any) -> str:
    more = len(value) - len(cut)
    return f"and {more:,} more" if more else "parts of its entries"
