"""Tables for LightGBM: each published table is checked, then copied into a form that LightGBM's parser reads exactly.

LightGBM cannot read the published table itself. It reads an empty last field of a line as 0.0 and other empty fields
as missing. It reads numbers to some 16 digits unless `precise_float_parser` is set, which in turn takes no empty
fields. It refuses header names with `,:[]{}"`, and a `train.csv.weight` beside `train.csv` weights the rows unasked. So
the copy has plain names, lies in a folder of its own, and has `nan` in every empty field.

The table is a file, and not an array in memory, because LightGBM then holds one byte per value instead of eight.
"""

import csv
import math
import re
from collections.abc import Sequence, Set
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from stagekit import BadInput, progress

# How LightGBM reads the copies. two_round reads the file twice instead of holding its text in memory.
READING = {"header": True, "label_column": 0, "precise_float_parser": True, "two_round": True}

AGAIN = "run `preprocessing split` for this day again"
BLOCK_BYTES = 1 << 20
# What is in a table of numbers, and a number as LightGBM and NumPy both read it.
OTHER_CHARACTER = re.compile(rb"[^0-9eE.,+\n-]")
NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def native_names(features: Sequence[str]) -> list[str]:
    """The features' names as LightGBM takes them: no white space, none of `",:[]{}`, no name twice.

    Most names stay as they are; the position, not the name, says which feature a column is.
    """
    names: dict[str, None] = {}
    for feature in features:
        name = re.sub(r"[\s\x00-\x1f\",:\[\]{}]", "_", feature)
        while name in names:
            name += "_"
        names[name] = None
    return list(names)


def copy_table(
    source: Path, copy: Path, columns: Sequence[str], label: str, *, weighted: bool, turn: tuple[int, int] = (0, 1)
) -> Any:
    """Check the CSV file `source`, write it to `copy` as LightGBM's parser needs it; returns the weights of the rows.

    `columns` are the names that the header must have, the target first, then the weight if the table is `weighted`. A
    row is the target's code and its weight, never empty, then one finite decimal number or an empty field per feature.
    The copy is without the weights, which LightGBM would take for a feature: they are returned, doubles above 0 of
    shape (rows,), or None without weights. With the `turn` (r, n) only the rows r, r + n, r + 2n, ... are checked and
    copied. Errors: BadInput naming `label`, line and column.
    """
    (first, step), rows, kept, size, weights = turn, 0, 0, source.stat().st_size, []
    with source.open("rb") as table, copy.open("wb") as out, progress(f"copying {label}", size, "bytes") as advance:
        _check_header(table.readline(), columns, label)
        out.write(",".join(["label", *native_names(columns[2 if weighted else 1 :])]).encode() + b"\n")
        while lines := table.readlines(BLOCK_BYTES):
            skipped = (first - rows) % step
            if own := lines[skipped::step]:
                block = _name_missing(b"".join(own))
                if not _is_table(block, own, len(columns)):
                    _check_lines(own, range(rows + skipped + 2, rows + len(lines) + 2, step), columns, label)
                if weighted:
                    block, found = _without_weights(block)
                    weights.append(found)
                out.write(block)
            rows += len(lines)
            kept += len(own)
            advance(sum(map(len, lines)))
    if not kept:
        found, do = (f"{rows} rows for {step} ranks", "take fewer ranks") if rows else ("a header but no rows", AGAIN)
        raise BadInput(f"{label} has {found}", expected="one row or more", do=do)
    return _checked_weights(np.concatenate(weights), label, turn) if weighted else None


def check_codes(codes: Any, classes: Sequence[str], label: str, turn: tuple[int, int] = (0, 1)) -> set[int]:
    """Check that the target's codes (a float array) are positions in `classes`; returns those that occur."""
    wrong = ~np.isin(codes, np.arange(len(classes)))
    if wrong.any():
        row = int(wrong.argmax())
        raise BadInput(
            f"{label} line {_line_of(row, turn)} has the target {codes[row]:g}",
            expected=f"a whole number from 0 to {len(classes) - 1}, the position of a class in encoder.json",
            do=AGAIN,
        )
    return {int(code) for code in np.unique(codes)}


def require_two_classes(present: Set[int], rows: int, classes: Sequence[str], label: str) -> None:
    """Errors: BadInput if only one class occurs in a table; `present` are the codes that do."""
    if len(present) < 2:
        raise BadInput(
            f"all {rows} rows of {label} are of one class, {classes[min(present)]!r}",
            expected="rows of two classes or more",
            do="take a day, or more rows, in which each class occurs",
        )


def _without_weights(block: bytes) -> tuple[bytes, Any]:
    """Whole lines without their second field, and that field of each as a double."""
    fields = [line.split(b",", 2) for line in block.splitlines()]
    rest = b"".join(b"%b,%b\n" % (code, features) for code, _, features in fields)
    return rest, np.array([float(weight) for _, weight, _ in fields])


def _line_of(row: int, turn: tuple[int, int]) -> int:
    """The line of a table, counted from 1, that a row of its copy is from."""
    first, step = turn
    return first + row * step + 2


def _checked_weights(weights: Any, label: str, turn: tuple[int, int]) -> Any:
    """The same weights. Errors: BadInput if one is not above 0 in LightGBM's single precision."""
    with np.errstate(over="ignore"):
        single = weights.astype(np.float32)
    wrong = ~((single > 0) & np.isfinite(single))  # so that NaN, an empty field, is wrong as well
    if wrong.any():
        row = int(wrong.argmax())
        raise BadInput(
            f"{label} line {_line_of(row, turn)} has the weight {weights[row]:g}",
            expected="a number above 0, in single precision",
            do=AGAIN,
        )
    return weights


def read_rows(source: Path, count: int, features: int) -> Any:
    """The last `features` fields of the first `count` rows, as the serving side reads them: an empty field is NaN.

    Returns an array of doubles, one row per line, one column per feature. It does not use LightGBM's parser, so that
    LightGBM's scores of these rows can be compared with the scores of others.
    """
    with source.open("rb") as table:
        lines = list(islice(table, 1, count + 1))
    return _to_numbers(_name_missing(b"".join(lines)))[:, -features:]


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
        expected="the target, the weight if there is one, then the features of encoder.json in their order",
        do=AGAIN,
    )


def _first_difference(found: Sequence[str], expected: Sequence[str]) -> str:
    for position, name in enumerate(expected):
        if position >= len(found):
            return f"column {position + 1}, {name!r}, is not there"
        if found[position] != name:
            return f"column {position + 1} is {found[position]!r} in place of {name!r}"
    return f"column {len(expected) + 1}, {found[len(expected)]!r}, is not in encoder.json"


def _name_missing(lines: bytes) -> bytes:
    """Whole lines with `nan` in every empty field but the first, and the last line ended too."""
    ended = lines if lines.endswith(b"\n") else lines + b"\n"
    # Twice: of three commas in a row, the first replacement sees the middle one as part of one pair only.
    return ended.replace(b",,", b",nan,").replace(b",,", b",nan,").replace(b",\n", b",nan\n")


def _to_numbers(block: bytes) -> Any:
    """The numbers of whole lines, of shape (rows, columns). Errors: ValueError."""
    return np.loadtxt(block.decode("ascii").split("\n"), delimiter=",", comments=None, ndmin=2)


def _is_table(block: bytes, lines: Sequence[bytes], columns: int) -> bool:
    """Whether lines hold finite numbers or nothing in so many columns, and the target in the first one."""
    if any(OTHER_CHARACTER.search(line) for line in lines):
        return False
    try:
        numbers = _to_numbers(block)
    except ValueError:
        return False
    return numbers.shape == (len(lines), columns) and not np.isinf(numbers).any()


def _check_lines(lines: Sequence[bytes], numbers: Sequence[int], columns: Sequence[str], label: str) -> None:
    """Find the field that makes some lines no table. Errors: BadInput naming line and column."""
    for number, line in zip(numbers, lines, strict=True):
        fields = line.removesuffix(b"\n").split(b",")
        if len(fields) != len(columns):
            raise BadInput(f"{label} line {number} has {len(fields)} fields", expected=f"{len(columns)}", do=AGAIN)
        for position, field in enumerate(fields):
            if position and not field:
                continue
            if not NUMBER.fullmatch(field) or math.isinf(float(field)):
                shown = repr(field[:40].decode("utf-8", "backslashreplace")) + ("…" if len(field) > 40 else "")
                raise BadInput(
                    f"{label} line {number}, column {columns[position]!r} has {shown}",
                    expected="a finite decimal number" + (" or nothing" if position else ""),
                    do=AGAIN,
                )
