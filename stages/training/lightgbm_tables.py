"""Tables as LightGBM must get them: checked to the last byte, then copied into a form that its parser reads exactly.

LightGBM's own CSV parser cannot be given the published table. An empty last field of a line is read as 0.0, other
empty fields as missing; numbers are read to some 16 digits unless `precise_float_parser` is set, which in turn takes
no empty fields; header names with `,:[]{}"` are refused; a `train.csv.weight` that lies beside `train.csv` weights
the rows unasked; `1e999` and `inf` are taken as numbers, and a malformed number may abort the process. So each table
is checked and copied in chunks, with `nan` for every empty field, and the copy is read precisely.
"""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from stagekit import BadInput

# How LightGBM reads the copies. two_round reads the file twice instead of holding its text in memory.
READING = {"header": True, "label_column": 0, "precise_float_parser": True, "two_round": True}

AGAIN = "run `preprocessing split` for this day again"
_CHUNK = 1 << 17  # bytes, few enough for the CPU's cache
_LONGEST = 300  # characters; a double without an exponent has at most 309 digits before its point
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_HUGE = re.compile(rb"[eE]\+?\d{3}")

# What the fast test sees of a table: one of these numbers for each byte.
_END, _COMMA, _POINT, _EXPONENT, _DIGIT, _SIGN, _OTHER = range(7)
_KINDS = {b"\n": _END, b",": _COMMA, b".": _POINT, b"eE": _EXPONENT, b"0123456789": _DIGIT, b"+-": _SIGN}
_KIND_OF_BYTE = bytes(next((k for known, k in _KINDS.items() if byte in known), _OTHER) for byte in range(256))
# Which kind may follow which: fields are empty or like -12.5e-3, a line never begins with an empty one.
_FOLLOWERS = {
    _END: (_DIGIT, _SIGN),
    _COMMA: (_DIGIT, _SIGN, _COMMA, _END),
    _POINT: (_DIGIT,),
    _EXPONENT: (_DIGIT, _SIGN),
    _DIGIT: (_DIGIT, _POINT, _EXPONENT, _COMMA, _END),
    _SIGN: (_DIGIT,),
}
_GOOD_PAIRS = bytes(first << 3 | second for first, seconds in _FOLLOWERS.items() for second in seconds)
# And what may not be in one field, whatever digits are between.
_BAD_MARKS = [bytes(pair) for pair in ((_POINT, _POINT), (_EXPONENT, _POINT), (_EXPONENT, _EXPONENT))]


def native_names(features: Sequence[str]) -> list[str]:
    """The features' names as LightGBM takes them: no white space, none of `",:[]{}`, each once.

    Most names stay as they are; the position, not the name, says which feature a column is.
    """
    names: dict[str, None] = {}
    for feature in features:
        name = re.sub(r"[\s\x00-\x1f\",:\[\]{}]", "_", feature)
        while name in names:
            name += "_"
        names[name] = None
    return list(names)


def copy_table(source: Path, copy: Path, columns: Sequence[str], label: str) -> int:
    """Check the CSV file `source`, write it to `copy` as LightGBM's parser needs it; returns the number of rows.

    `columns` are the names that the header must have, the target first. A row is the target's code, never empty,
    then one finite decimal number or an empty field per feature. Errors: BadInput naming `label`, line and column.
    """
    rows = 0
    with source.open("rb") as table, copy.open("wb") as out:
        _check_header(table.readline(), columns, label)
        out.write(",".join(["label", *native_names(columns[1:])]).encode() + b"\n")
        for chunk in _chunks(table):
            kinds = np.frombuffer(bytes([_END]) + chunk.translate(_KIND_OF_BYTE), np.uint8)
            marks = np.flatnonzero(kinds <= _EXPONENT)
            ends = marks[kinds[marks] <= _COMMA]
            if not _is_regular(kinds, marks, ends, len(columns)) or _may_overflow(chunk, ends):
                _check_lines(chunk, rows + 2, columns, label)
            out.write(_name_missing(chunk, ends))
            rows += chunk.count(b"\n")
    if not rows:
        raise BadInput(f"{label} has a header but no rows", expected="one row or more", do=AGAIN)
    return rows


def check_classes(codes: Any, classes: Sequence[str], label: str) -> None:
    """Check that the target's codes (a float array) are positions in `classes`, and that at least two occur."""
    wrong = ~np.isin(codes, np.arange(len(classes)))
    if wrong.any():
        row = int(wrong.argmax())
        raise BadInput(
            f"{label} line {row + 2} has the target {codes[row]:g}",
            expected=f"a whole number from 0 to {len(classes) - 1}, the position of a class in encoder.json",
            do=AGAIN,
        )
    present = [classes[int(code)] for code in np.unique(codes)]
    if len(present) < 2:
        raise BadInput(
            f"all {len(codes)} rows of {label} are of one class, {present[0]!r}",
            expected="rows of two classes or more",
            do="take a day, or more rows, in which each class occurs",
        )


def read_rows(source: Path, count: int) -> Any:
    """The features of the first `count` rows, as the serving side reads them: an empty field is NaN.

    Returns an array of doubles, one row per line, one column per feature. It does not use LightGBM's parser, so that
    what LightGBM says of these rows can be compared with what others say of them.
    """
    with source.open(encoding="utf-8", newline="") as table:
        lines = islice(csv.reader(table), 1, count + 1)
        return np.array([[float(field or "nan") for field in line[1:]] for line in lines])


def _check_header(line: bytes, columns: Sequence[str], label: str) -> None:
    if not line:
        raise BadInput(f"{label} is empty", expected="a header and rows", do=AGAIN)
    try:
        found = next(csv.reader([line.decode("utf-8").rstrip("\n")]))
    except UnicodeDecodeError as error:
        raise BadInput(f"{label} line 1 is not UTF-8 ({error})", expected="the header in UTF-8", do=AGAIN) from None
    except csv.Error as error:
        raise BadInput(f"{label} line 1 is no header ({error})", expected="the names of columns", do=AGAIN) from None
    if found == list(columns):
        return
    raise BadInput(
        f"{label} has {len(found)} columns, its encoder.json {len(columns)}; {_first_difference(found, columns)}",
        expected="the target, then the features of encoder.json in their order",
        do=AGAIN,
    )


def _first_difference(found: Sequence[str], expected: Sequence[str]) -> str:
    for position, name in enumerate(expected):
        if position >= len(found):
            return f"column {position + 1}, {name!r}, is not there"
        if found[position] != name:
            return f"column {position + 1} is {found[position]!r} in place of {name!r}"
    return f"column {len(expected) + 1}, {found[len(expected)]!r}, is not in encoder.json"


def _chunks(table: Any) -> Iterator[bytes]:
    """The rest of a binary file in chunks of whole lines, the last line ended too."""
    while chunk := table.read(_CHUNK):
        chunk += table.readline()
        yield chunk if chunk.endswith(b"\n") else chunk + b"\n"


def _is_regular(kinds: Any, marks: Any, ends: Any, columns: int) -> bool:
    """A fast and strict test of whole lines; lines that fail it are looked at one by one.

    `kinds` holds an end of line and then the kind of each byte; `marks` are the positions of what is neither digit
    nor sign, `ends` those of the ends of fields.
    """
    line = bytes([_COMMA] * (columns - 1) + [_END])
    if kinds[ends[1:]].tobytes() != line * (len(ends) // columns):
        return False
    if (kinds[:-1] << 3 | kinds[1:]).tobytes().translate(None, _GOOD_PAIRS):
        return False
    sequence = kinds[marks].tobytes()
    return not any(pair in sequence for pair in _BAD_MARKS)


def _may_overflow(chunk: bytes, ends: Any) -> bool:
    """Whether a number in the chunk has so many digits, or so large an exponent, that it may be infinite."""
    has_exponent = b"e" in chunk or b"E" in chunk
    return bool(np.diff(ends).max() > _LONGEST) or (has_exponent and _HUGE.search(chunk) is not None)


def _check_lines(chunk: bytes, first_line: int, columns: Sequence[str], label: str) -> None:
    for number, line in enumerate(chunk.split(b"\n")[:-1], first_line):
        fields = line.split(b",")
        if len(fields) != len(columns):
            raise BadInput(f"{label} line {number} has {len(fields)} fields", expected=f"{len(columns)}", do=AGAIN)
        for position, field in enumerate(fields):
            if position and not field:
                continue
            if not _NUMBER.fullmatch(field) or math.isinf(float(field)):
                shown = repr(field[:40].decode("utf-8", "backslashreplace")) + ("…" if len(field) > 40 else "")
                raise BadInput(
                    f"{label} line {number}, column {columns[position]!r} has {shown}",
                    expected="a finite decimal number" + (" or nothing" if position else ""),
                    do=AGAIN,
                )


def _name_missing(chunk: bytes, ends: Any) -> bytes:
    """The chunk with `nan` in every empty field."""
    empty = ends[1:][np.diff(ends) == 1] - 1
    return b"nan".join(chunk[start:end] for start, end in pairwise([0, *empty.tolist(), len(chunk)]))
