"""Days as one: what `confirm` measures where a day alone has too few rows. Needs no table, only evaluations.

Rows in bins are added, and labelled rows are put together. So each figure, its interval and what chance explains is
that of one day with the rows of all.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from drift import psi, psi_by_chance
from intervals import intervals
from metrics import FIGURES, LabelledRows, rounded

# Of a day with more probabilities than these, `evaluation.json` has no labelled rows: they are enough by themselves.
MOST_PROBABILITIES = 4000

Evaluation = Mapping[str, Any]


def describe_labelled(rows: LabelledRows) -> dict[str, Any] | None:
    """`labelled` of evaluation.json: the labelled rows by column, without their keys; None of many rows."""
    if rows.probabilities.size > MOST_PROBABILITIES:
        return None
    return {
        "codes": rows.codes.tolist(),
        "predicted": rows.predicted.tolist(),
        "probabilities": [[rounded(value) for value in column] for column in rows.probabilities.T],
        **({} if rows.weights is None else {"weights": rows.weights.tolist()}),
    }


def pool(days: Sequence[Evaluation], subjects: Collection[tuple[str, str]], rules: Mapping[str, Any]) -> dict[str, Any]:
    """The evaluation of the days together, the newest first, as far as the rules look at it for these subjects.

    Errors: ValueError, OverflowError if the numbers of a day cannot be.
    """
    newest = days[0]
    return {
        **newest,
        "rows": sum(day["rows"] for day in days),
        "drift": _drift(days, subjects, rules) if newest["drift"] else None,
        "metrics": _metrics(days, rules) if newest.get("labelled") else newest["metrics"],
    }


def _drift(
    days: Sequence[Evaluation], subjects: Collection[tuple[str, str]], rules: Mapping[str, Any]
) -> dict[str, Any]:
    parts = {("score_psi", "score"): [(day["drift"]["score"], day["rows"]) for day in days if day["drift"]]}
    for day in days:
        for one in day["drift"]["features"] if day["drift"] else ():
            parts.setdefault(("feature_psi", one["name"]), []).append((one, day["rows"]))
    baseline = days[0]["trained"]["rows"]
    found = {
        about: {**of_days[0][0], **_shares(of_days, baseline, rules[about[0]], rules["confidence"])}
        for about, of_days in parts.items()
        if about in subjects
    }
    score = found.pop(("score_psi", "score"), days[0]["drift"]["score"])
    return {"features": list(found.values()), "score": score}


def _shares(
    parts: Sequence[tuple[Mapping[str, Any], int]], baseline: int, limit: float, confidence: float
) -> dict[str, Any]:
    """PSI of the rows of all days whose bins are those of the newest day, and what of it chance explains.

    What chance explains takes most of the time, and matters only above the limit.
    """
    newest, _ = parts[0]
    counts = [
        _counts(part["actual"], rows)
        for part, rows in parts
        if (part["labels"], part["expected"]) == (newest["labels"], newest["expected"])
    ]
    expected, actual = _counts(newest["expected"], baseline), np.sum(counts, axis=0)
    if expected.min(initial=0) < 0 or actual.min(initial=0) < 0:
        raise ValueError(f"{min(expected.min(), actual.min())} rows in a bin")
    found = rounded(psi(expected / max(1, expected.sum()), actual / max(1, actual.sum())))
    by_chance = psi_by_chance(expected.tolist(), actual.tolist(), confidence) if found > limit else 0.0
    return {"psi": found, "by_chance": rounded(by_chance)}


def _counts(shares: Sequence[float], rows: int) -> np.ndarray:
    """The rows in each bin; shares have ten decimals, which is exact for less than five thousand million rows."""
    return np.rint(np.array(shares) * rows).astype(np.int64)


def _metrics(days: Sequence[Evaluation], rules: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of the rules, of the labelled rows of all days."""
    rows = _labelled([day["labelled"] for day in days if day.get("labelled")], days[0]["trained"]["classes"])
    counts = np.bincount(rows.codes, minlength=len(rows.classes)).tolist()
    values = {name: FIGURES[name](rows) for name in (rules["metric"], *rules["floors"])}
    return {
        "rows": len(rows.codes),
        "class_rows": dict(zip(rows.classes, counts, strict=True)),
        **{name: None if value is None else rounded(value) for name, value in values.items()},
        "intervals": intervals(rows, rules["confidence"]),
    }


def _labelled(parts: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> LabelledRows:
    codes, predicted = (np.concatenate([part[key] for part in parts]).astype(np.intp) for key in ("codes", "predicted"))
    probabilities = np.concatenate([np.array(part["probabilities"]).T for part in parts])
    known = range(len(classes))
    if probabilities.shape != (len(codes), len(classes)) or not {*codes.tolist(), *predicted.tolist()} <= {*known}:
        raise ValueError(f"labelled rows of {len(classes)} classes do not fit together")
    weights = [part.get("weights") for part in parts]
    of_rows = None if any(one is None for one in weights) else np.concatenate(weights)
    return LabelledRows(codes, probabilities, predicted, tuple(classes), len(classes), of_rows)
