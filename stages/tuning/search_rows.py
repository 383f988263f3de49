"""The rows of a search, as LightGBM has them: a part of the training rows fits the trials, the rest validates them.

Of a window of days, the last rows validate, which are those of the last days: the model will score days that come
later. Of one day, rows validate that the seed chooses, the same fraction of each class. train.csv has no keys, so rows
of one entity may be on both sides; only rows of train.csv are, so none that the model is judged on.

Rows are copied and read as `training` does it, by LightGBM's own parser, so that the same rows give the same model.
"""

import csv
import logging
import shutil
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from stagekit import BadInput, Partition, StageError, progress
from stagekit.contract import CATEGORY, Encoder

from parameters import READING, SHARED, defaults

AGAIN = "run `preprocessing split` for this day again"
BLOCK_BYTES = 1 << 20

log = logging.getLogger("tuning")


@dataclass(frozen=True)
class Rows:
    """The rows that fit and the rows that validate; `chosen` says how the latter were chosen."""

    fit: lightgbm.Dataset
    val: lightgbm.Dataset
    chosen: str

    @property
    def counts(self) -> dict[str, int]:
        """How many rows each side has."""
        return {"fit": self.fit.num_data(), "val": self.val.num_data()}


def load_rows(processed: Partition, scratch: Path, encoder: Encoder, fraction: float, seed: int, threads: int) -> Rows:
    """Load train.csv by way of copies in the folder `scratch`, which is gone afterwards.

    Errors: BadInput if the table is not what the encoder describes, or a side would have one class.
    """
    source, label = processed / "train.csv", f"{processed.name}/train.csv"
    columns = (encoder.target, *([encoder.weight] if encoder.weight else []), *encoder.feature_names)
    codes = _read_codes(source, columns, len(encoder.classes), label)
    in_time = len(encoder.days) > 2
    validates = last_rows(len(codes), fraction) if in_time else spread_rows(codes, fraction, seed)
    for side, chosen in (("fits", ~validates), ("validates", validates)):
        if len(np.unique(codes[chosen])) < 2:
            raise BadInput(
                f"{label}: of {len(codes)} rows, the part that {side} the trials has one class",
                expected="rows of two classes or more in each part",
                do="take a day, or more days, with more rows of each class",
            )
    weights = _copy_sides(source, scratch, columns, validates, label, weighted=encoder.weight is not None)
    categories = [position for position, feature in enumerate(encoder.features) if feature.kind == CATEGORY]
    parameters = {**defaults(len(encoder.classes), threads), **SHARED, **READING}
    fit = _dataset(scratch / "fit.csv", weights[0], categories, parameters, None)
    val = _dataset(scratch / "val.csv", weights[1], categories, parameters, fit)
    shutil.rmtree(scratch)
    chosen_by = "the last rows of the window" if in_time else "rows chosen by the seed"
    log.info("read %s: %d rows fit, %d validate: %s", label, fit.num_data(), val.num_data(), chosen_by)
    return Rows(fit, val, chosen_by)


def last_rows(count: int, fraction: float) -> Any:
    """The last rows, a fraction of all: booleans of shape (count,)."""
    return np.arange(count) >= count - max(1, round(count * fraction))


def spread_rows(codes: Any, fraction: float, seed: int) -> Any:
    """A fraction of the rows of each class, to the nearest row, by the seed; of two rows or more, one on each side."""
    draw = np.random.default_rng(seed)
    validates = np.zeros(len(codes), dtype=bool)
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        number = round(len(rows) * fraction)
        validates[draw.permutation(rows)[: min(max(number, 1), len(rows) - 1)]] = True
    return validates


def _read_codes(source: Path, columns: Sequence[str], classes: int, label: str) -> Any:
    """Check the whole table; returns the target's code of each row. Errors: BadInput naming line and column."""
    with source.open("rb") as table, progress(f"checking {label}", source.stat().st_size, "bytes") as advance:
        found = next(csv.reader([table.readline().decode("utf-8", "replace").rstrip("\n")]), [])
        if found != list(columns):
            raise BadInput(
                f"{label} has the columns {', '.join(found)[:200] or '(none)'}",
                expected=f"those of encoder.json: {', '.join(columns)[:200]}",
                do=AGAIN,
            )
        codes, line = [], 2
        for lines in _blocks(table):
            numbers = _numbers(lines, line, columns, label)
            wrong = ~np.isin(numbers[:, 0], np.arange(classes))
            if wrong.any():
                row = int(wrong.argmax())
                raise BadInput(
                    f"{label} line {line + row} has the target {numbers[row, 0]:g}",
                    expected=f"a whole number from 0 to {classes - 1}, the position of a class in encoder.json",
                    do=AGAIN,
                )
            codes.append(numbers[:, 0].astype(np.int64))
            line += len(lines)
            advance(sum(map(len, lines)))
    if not codes:
        raise BadInput(f"{label} has a header but no rows", expected="one row or more", do=AGAIN)
    return np.concatenate(codes)


def _copy_sides(
    source: Path, scratch: Path, columns: Sequence[str], validates: Any, label: str, *, weighted: bool
) -> tuple[Any, Any]:
    """Write fit.csv and val.csv as LightGBM reads them: `nan` for a missing value, no weights, names by position.

    Returns the weights of the rows of each, or None twice. Errors: BadInput if a weight is not above 0.
    """
    header = ",".join(["label", *(f"f{position}" for position in range(len(columns) - 1 - weighted))]).encode() + b"\n"
    weights = (array("d"), array("d"))
    row = 0
    with source.open("rb") as table, (scratch / "fit.csv").open("wb") as fit, (scratch / "val.csv").open("wb") as val:
        table.readline()
        files = (fit, val)
        for file in files:
            file.write(header)
        for lines in _blocks(table):
            for line in lines:
                fields, side = line.rstrip(b"\n").split(b","), int(validates[row])
                if weighted:
                    weights[side].append(_weight(fields.pop(1), row + 2, label))
                files[side].write(b",".join(field or b"nan" for field in fields) + b"\n")
                row += 1
    return (np.frombuffer(weights[0]), np.frombuffer(weights[1])) if weighted else (None, None)


def _weight(text: bytes, line: int, label: str) -> float:
    weight = float(text or b"nan")
    with np.errstate(over="ignore"):
        single = np.float32(weight)
    if not (single > 0 and np.isfinite(single)):
        raise BadInput(
            f"{label} line {line} has the weight {weight:g}", expected="a number above 0, in single precision", do=AGAIN
        )
    return weight


def _dataset(
    file: Path, weights: Any, categories: Sequence[int], parameters: dict[str, Any], reference: lightgbm.Dataset | None
) -> lightgbm.Dataset:
    dataset = lightgbm.Dataset(
        str(file), reference=reference, weight=weights, params=parameters, categorical_feature=list(categories)
    )
    try:
        return dataset.construct()
    except lightgbm.basic.LightGBMError as error:
        raise StageError(f"LightGBM cannot read the rows: {error}") from None


def _blocks(table: Any) -> Iterator[list[bytes]]:
    while lines := table.readlines(BLOCK_BYTES):
        yield lines


def _numbers(lines: Sequence[bytes], first_line: int, columns: Sequence[str], label: str) -> Any:
    """The numbers of whole lines, NaN for an empty field. Errors: BadInput naming line and column."""
    rows = []
    for number, line in enumerate(lines, first_line):
        fields = line.rstrip(b"\n").split(b",")
        if len(fields) != len(columns):
            raise BadInput(f"{label} line {number} has {len(fields)} fields", expected=f"{len(columns)}", do=AGAIN)
        rows.append([_number(field, number, column, label) for field, column in zip(fields, columns, strict=True)])
    return np.array(rows)


def _number(field: bytes, line: int, column: str, label: str) -> float:
    try:
        value = float(field) if field else np.nan
    except ValueError:
        value = np.inf
    if np.isinf(value) or (field and np.isnan(value)):
        raise BadInput(
            f"{label} line {line}, column {column!r} has {field[:40].decode('utf-8', 'backslashreplace')!r}",
            expected="a finite decimal number or nothing",
            do=AGAIN,
        )
    return float(value)
