"""Days as one: what `confirm` measures where a day alone has too few rows. Needs no table, only evaluations.

Counts of rows are added, and labelled rows are put together. So each share, each figure, its interval and what chance
explains is that of one day with the rows of all.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from breaches import (
    DRIFT,
    MISSING_AS_ZERO,
    REJECTED,
    SET_ASIDE,
    SHARES,
    UNUSABLE,
    UNUSABLE_LABELS,
    Subject,
    bins_of,
)
from drift import psi, psi_by_chance
from intervals import intervals
from metrics import FIGURES, LabelledRows, rounded

# Of a day with more probabilities than these, `evaluation.json` has no labelled rows, so that it stays small. A few
# rows of a class give a figure a wide interval, however many others there are, so with a rare class more are kept.
MOST_PROBABILITIES, MOST_OF_A_RARE_CLASS = 4000, 40_000
# A class with fewer rows than these is rare on the day.
FEW_ROWS = 100

Evaluation = Mapping[str, Any]


def describe_labelled(rows: LabelledRows) -> dict[str, Any] | None:
    """`labelled` of evaluation.json: the labelled rows by column, without their keys; None of many rows."""
    rarest = np.bincount(rows.codes, minlength=len(rows.classes)).min()
    if rows.probabilities.size > (MOST_OF_A_RARE_CLASS if rarest < FEW_ROWS else MOST_PROBABILITIES):
        return None
    return {
        "codes": rows.codes.tolist(),
        "predicted": rows.predicted.tolist(),
        "probabilities": [[rounded(value) for value in column] for column in rows.probabilities.T],
        **({} if rows.weights is None else {"weights": rows.weights.tolist()}),
    }


def pool(newest: Evaluation, days: Mapping[Subject, Sequence[Evaluation]], rules: Mapping[str, Any]) -> dict[str, Any]:
    """The evaluation of the newest day, with each subject of `days` measured on its days together.

    What else it has is of the newest day alone. Errors: ValueError, OverflowError if the numbers of a day cannot be.
    """
    found = dict(newest)
    if drift := {subject: of for subject, of in days.items() if subject[0] in DRIFT}:
        found["drift"] = _drift(newest, drift, rules)
    if figures := next((of for subject, of in days.items() if subject[0] not in (*DRIFT, *SHARES)), None):
        found["metrics"] = _metrics(figures, rules)
    return found | _counts_of_shares(newest, {what: of for (what, _), of in days.items()})


def _counts_of_shares(newest: Evaluation, days: Mapping[str, Sequence[Evaluation]]) -> dict[str, Any]:
    """The counts that each kind of share is of. The files or features of one kind have the same days."""
    found: dict[str, Any] = {}
    if of := days.get(UNUSABLE_LABELS):
        found["target"] = newest["target"] | _sums(
            {key: day["target"][key] for key in ("rows", *SET_ASIDE, *UNUSABLE) if key in day["target"]} for day in of
        )
    if of := days.get(REJECTED):
        rows = sum(day["quality"]["rows_in"] for day in of)
        found["quality"] = {"rows_in": rows, "rejected": _sums(day["quality"]["rejected"] for day in of)}
    if of := days.get(MISSING_AS_ZERO):
        found["rows"] = sum(day["rows"] for day in of)
        found["missing_as_zero"] = _sums(day["missing_as_zero"] for day in of)
    return found


def _sums(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of each count over days."""
    total: Counter[str] = Counter()
    for of_day in counts:
        total.update(of_day)
    return dict(total)


def _drift(
    newest: Evaluation, days: Mapping[Subject, Sequence[Evaluation]], rules: Mapping[str, Any]
) -> dict[str, Any]:
    baseline = newest["trained"]["rows"]
    found = {}
    for subject, of_days in days.items():
        parts = [(bins, day["rows"]) for day in of_days if (bins := bins_of(day, subject))]
        found[subject] = {**parts[0][0], **_shares(parts, baseline, rules[subject[0]], rules["confidence"])}
    score = found.pop(("score_psi", "score"), newest["drift"]["score"])
    return {"features": list(found.values()), "score": score}


def _shares(
    parts: Sequence[tuple[Mapping[str, Any], int]], baseline: int, limit: float, confidence: float
) -> dict[str, Any]:
    """PSI of the rows of all days, and what of it chance explains.

    What chance explains takes most of the time, and matters only above the limit.
    """
    expected = _counts(parts[0][0]["expected"], baseline)
    actual = np.sum([_counts(part["actual"], rows) for part, rows in parts], axis=0)
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
    rows = _labelled([day["labelled"] for day in days], days[0]["trained"]["classes"])
    counts = np.bincount(rows.codes, minlength=len(rows.classes)).tolist()
    values = {name: FIGURES[name](rows) for name in {rules["metric"]: None, **rules["floors"]}}
    return {
        "rows": len(rows.codes),
        "class_rows": dict(zip(rows.classes, counts, strict=True)),
        **{name: None if value is None else rounded(value) for name, value in values.items()},
        "intervals": intervals(rows, rules["confidence"], values),
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
