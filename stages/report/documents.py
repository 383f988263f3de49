"""Reads the JSON and CSV files that a report is made of, and refuses what is not of the agreed form."""

import csv
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagekit import BadInput

NAMES = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


@dataclass(frozen=True)
class Or:
    """null, or what is told; `missing` says whether the key itself may be absent."""

    shape: Any
    missing: bool = True


@dataclass(frozen=True)
class Each:
    """An object with any keys, whose values all have one shape."""

    shape: Any


METRICS: dict[str, Any] = {
    "rows": int,
    "classes": [str],
    "class_rows": Or(Each(int)),
    **{name: Or(float) for name in ("roc_auc", "average_precision", "log_loss", "brier_score", "accuracy")},
    **{name: Or(float) for name in ("precision", "recall", "f1", "threshold")},
    "confusion_matrix": Or([[int]]),
    "calibration": Or([{"rows": int, "mean_predicted": float, "observed": float}]),
}
CURVES = [
    {
        "class": str,
        "roc": {"fpr": [float], "tpr": [float]},
        "precision_recall": {"recall": [float], "precision": [float]},
    }
]
SHARES = {"labels": [str], "expected": [float], "actual": [float], "psi": float}
QUALITY = {"rows_in": Or(int), "rows_out": Or(int), "rejected": Or(Each(int)), "reasons": Or(Each(int))}
EVALUATION = {
    "version": int,
    "ds": str,
    "model": {"name": Or(str), "version": Or((str, int)), "run_id": Or(str)},
    "rows": int,
    "metrics": Or(METRICS),
    "trained": Or(METRICS),
    "curves": Or(CURVES),
    "target": Or({"matched": Or(int), "without_target": Or(int), "new_classes": Or(Each(int))}),
    "drift": Or({"features": [{"name": str, "kind": str, **SHARES}], "score": SHARES}),
    "quality": QUALITY,
    "rules": Or({"metric": Or(str)}),
    "breaches": [{"text": str}],
}
COMPARISON = {
    "version": int,
    "ds": str,
    "candidate": {"model": str, "metrics": METRICS},
    "champion": Or({"model": str, "version": Or((str, int)), "metrics": METRICS}),
    "incomparable": Or({"model": str, "why": str}),
    "rows": int,
    "metric": str,
    "difference": Or(float),
    "interval": Or([float]),
    "confidence": Or(float),
    "resamples": Or(int),
    "rule": Or({"tolerance": Or(float), "floors": Or(Each(float))}),
    "passed": bool,
    "reasons": [str],
    "curves": Or({"candidate": Or(CURVES), "champion": Or(CURVES)}),
}
MODEL_CURVES = {"version": int, "classes": [str], "curves": CURVES}
PARAMS = {"best_iteration": Or(int), "curve": Or(Each([float])), "rows": Or(Each(int))}


def read_json(file: Path, name: str, shape: Any) -> Any:
    """A JSON file of an agreed form. Errors: BadInput, which names the place in the file that is not as agreed."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name} is no JSON ({error})", expected="what its step wrote", do=_again(name)) from None
    check(value, shape, name, "")
    return value


def check(value: Any, shape: Any, name: str, place: str) -> None:
    """Errors: BadInput where a value, or one inside it, is not of the shape."""
    if isinstance(shape, Or):
        if value is not None:
            check(value, shape.shape, name, place)
    elif isinstance(shape, Each):
        check(value, dict, name, place)
        for key, one in value.items():
            check(one, shape.shape, name, f"{place}.{key}")
    elif isinstance(shape, dict):
        check(value, dict, name, place)
        _check_members(value, shape, name, place)
    elif isinstance(shape, list):
        check(value, list, name, place)
        for index, one in enumerate(value):
            check(one, shape[0], name, f"{place}[{index}]")
    elif not _is(value, shape):
        kinds = shape if isinstance(shape, tuple) else (shape,)
        found = "null" if value is None else NAMES.get(type(value), type(value).__name__)
        raise BadInput(
            f"{name}: {place.lstrip('.')[:200] or 'the whole file'} is {found}",
            expected=" or ".join(NAMES[kind] for kind in kinds),
            do=_again(name),
        )


def _check_members(value: Mapping[str, Any], shape: Mapping[str, Any], name: str, place: str) -> None:
    for key, inner in shape.items():
        if key in value:
            check(value[key], inner, name, f"{place}.{key}")
        elif not (isinstance(inner, Or) and inner.missing):
            raise BadInput(f"{name}: {place.lstrip('.')[:200]} has no {key}", expected=f"{key}", do=_again(name))


def _is(value: Any, shape: Any) -> bool:
    if shape is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if shape is int and isinstance(value, bool):
        return False
    return isinstance(value, shape)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _again(name: str) -> str:
    return f"run the step that writes {name} again, with the images in use"


def require_same_length(name: str, what: str, *lists: Sequence[Any]) -> None:
    """Errors: BadInput where lists that belong together differ in length."""
    if len({len(one) for one in lists}) > 1:
        raise BadInput(
            f"{name}: {what} has lists of {', '.join(str(len(one)) for one in lists)} entries",
            expected="equally many in each",
            do=_again(name),
        )


def read_rows(file: Path, name: str, columns: Sequence[str], most: int | None = None) -> list[dict[str, str]]:
    """The rows of a CSV file, or the first of them. Errors: BadInput where it is no CSV or has no such column."""
    csv.field_size_limit(1 << 30)
    with file.open(newline="", encoding="utf-8", errors="replace") as lines:
        reader = csv.DictReader(lines)
        try:
            missing = [column for column in columns if column not in (reader.fieldnames or [])]
            if missing:
                raise BadInput(f"{name} has no column {missing[0]}", expected=", ".join(columns), do=_again(name))
            return [{c: row[c] or "" for c in columns} for row in itertools.islice(reader, most)]
        except csv.Error as error:
            raise BadInput(f"{name} line {reader.line_num}: {error}", expected="CSV", do=_again(name)) from None


def to_numbers(name: str, *texts: str) -> list[float]:
    """The fields of a CSV row as finite numbers. Errors: BadInput where one is none."""
    try:
        values = [float(text) for text in texts]
    except ValueError:
        values = [math.nan]
    if all(math.isfinite(value) for value in values):
        return values
    raise BadInput(f"{name} holds {', '.join(texts)[:80]!r}", expected="finite numbers", do=_again(name))
