"""Which rules a scored day breaks, each as a sentence with numbers. Standard library only.

A few rows break any rule by chance. So a figure breaks a rule only if its interval does, and drift or a share only if
it exceeds its limit by more than chance explains. What chance may explain, `confirm` measures on the rows of more days.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stagekit.contract import CALENDAR, HIGHER_IS_BETTER

from rules import DECIMALS, gain
from share_interval import is_above

# Why a row of target.csv cannot be used: what `label` counts, and what only `evaluate` sees. Older images counted
# contradictory rows as repeated.
CONTRADICTORY, COUNTED_BY_LABEL = "contradictory", ("malformed", "missing", "unreadable", "repeated")
COUNTED = (*COUNTED_BY_LABEL, "without_prediction")
UNUSABLE = (*COUNTED, CONTRADICTORY)
# Rows of which it says nothing: none has come yet, or a later delivery has the key. Not in every evaluation.
SET_ASIDE = ("unlabelled", "superseded")
SHOWN_CLASSES, SHOWN_CHARACTERS = 3, 200
PARTIAL = '"partial": true of the target in schema.json says that labels may come later or never'

# `what` of the breaches that `confirm` can measure on the rows of more days.
REJECTED, UNUSABLE_LABELS, MISSING_AS_ZERO = "rejected", "unusable_labels", "missing_as_zero"
SHARES = (REJECTED, UNUSABLE_LABELS, MISSING_AS_ZERO)
DRIFT, LIMITS_OF_FIGURES, NOT_MEASURED = ("feature_psi", "score_psi"), ("most_drop", "floors"), "not_measured"

Breach = dict[str, Any]
Crossed = tuple[Breach, bool]
# What a breach is about: its `what` and its `subject`.
Subject = tuple[str, str]


def find_breaches(evaluation: Mapping[str, Any], rules: Mapping[str, Any]) -> list[Breach]:
    """The breaches of a day, given the content of `evaluation.json`."""
    return [
        *(breach for breach, is_proven in find_crossed(evaluation, rules) if is_proven),
        *find_new_classes(evaluation["target"]),
    ]


def find_crossed(evaluation: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[Crossed]:
    """The limits that were crossed, each with whether by more than chance explains."""
    yield from _of_drift(evaluation["drift"], rules)
    # What a model says of rows that it has learned from says nothing about it.
    if not evaluation["trained_on_day"]:
        yield from _of_metrics(evaluation, rules)
    yield from _of_missing_figures(evaluation, rules)
    yield from _of_labels(evaluation, rules)
    yield from _of_quality(evaluation, rules)
    yield from _of_missing_values(evaluation, rules)


def bins_of(evaluation: Mapping[str, Any], subject: Subject) -> Mapping[str, Any] | None:
    """The shares of the bins that a breach of drift is about; None if the day has none."""
    drift, (what, name) = evaluation.get("drift"), subject
    if not drift or what == "score_psi":
        return drift["score"] if drift else None
    return next((feature for feature in drift["features"] if feature["name"] == name), None)


def rows_of_share(evaluation: Mapping[str, Any], what: str) -> int:
    """The rows that a share of this kind is of; 0 if the evaluation does not count them."""
    if what == MISSING_AS_ZERO:
        return int(evaluation["rows"]) if evaluation.get("missing_as_zero") is not None else 0
    if what == REJECTED:
        quality = evaluation["quality"]
        return int(quality["rows_in"] or 0) if quality["rejected"] is not None else 0
    target = evaluation.get("target")
    return _labels_that_came(target) if target and {"rows", *COUNTED} <= target.keys() else 0


def _breach(what: str, subject: str, value: float, limit: float, text: str) -> Breach:
    return {"what": what, "subject": subject, "value": value, "limit": limit, "text": text}


def _of_drift(drift: Mapping[str, Any] | None, rules: Mapping[str, Any]) -> Iterator[Crossed]:
    if not drift:
        return
    yield from _of_psi("score_psi", "score", "the score", drift["score"], rules)
    for feature in drift["features"]:
        if feature["kind"] not in CALENDAR:
            yield from _of_psi("feature_psi", feature["name"], f"the feature {feature['name']}", feature, rules)


def _of_psi(
    what: str, subject: str, name: str, found: Mapping[str, Any], rules: Mapping[str, Any]
) -> Iterator[Crossed]:
    psi, limit = found["psi"], round(rules[what] + found["by_chance"], DECIMALS)
    if psi > rules[what]:
        text = f"{name} has moved: PSI {psi:.4g}, above {rules[what]:g} and the {found['by_chance']:.2g} that chance "
        text += "explains"
        yield _breach(what, subject, psi, limit, text), psi > limit


def _of_metrics(evaluation: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[Crossed]:
    metrics, trained = evaluation["metrics"], evaluation["trained"]
    if not metrics:
        return
    metric, limit = rules["metric"], rules["most_drop"]
    before = trained[metric]
    if before is not None and (bounds := metrics["intervals"][metric]):
        now, drop = metrics[metric], -gain(metric, metrics[metric] - before)
        if drop > limit:
            text = f"{metric} {_with_bounds(now, bounds)} is {drop:.6g} worse than {before:.6g} at validation, "
            text += f"more than {limit:g}"
            is_proven = -gain(metric, _best(metric, bounds) - before) > limit
            yield _breach("most_drop", metric, drop, limit, text), is_proven
    for metric, limit in rules["floors"].items():
        bounds = metrics["intervals"][metric]
        if bounds and gain(metric, metrics[metric] - limit) < 0:
            side = "below the floor" if HIGHER_IS_BETTER[metric] else "above the highest value allowed,"
            text = f"{metric} {_with_bounds(metrics[metric], bounds)} is {side} {limit:g}"
            is_proven = gain(metric, _best(metric, bounds) - limit) < 0
            yield _breach("floors", metric, metrics[metric], limit, text), is_proven


def _best(metric: str, bounds: Sequence[float]) -> float:
    """The best value that an interval allows."""
    return bounds[1] if HIGHER_IS_BETTER[metric] else bounds[0]


def _with_bounds(value: float, bounds: Sequence[float]) -> str:
    return f"{value:.6g} ({bounds[0]:.3g} to {bounds[1]:.3g})"


def _of_missing_figures(evaluation: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[Crossed]:
    """The figures of the rules that have no value, once there are labels: a missing figure never counts as passed.

    A few rows of a rare class may all be absent by chance. Such a day is not measured, and the page says so.
    """
    target, metrics = evaluation["target"], evaluation["metrics"]
    if target is None or (target.get("unlabelled") and _labels_that_came(target) == sum(_unusable(target).values())):
        return
    for metric in dict.fromkeys([rules["metric"], *rules["floors"]]):
        if metrics is None:
            why = f"none of {evaluation['rows']} predictions has a label of a class that the model knows"
            is_proven = True
        elif metrics[metric] is None:
            why = f"it needs rows of the class and other rows, and {_rows_by_class(metrics)}"
            is_proven = _absence(metrics, evaluation["trained"]) < 1 - rules["confidence"]
        else:
            continue
        yield _breach(NOT_MEASURED, metric, 0, 0, f"{metric} was not measured: {why}"), is_proven


def _absence(metrics: Mapping[str, Any], trained: Mapping[str, Any]) -> float:
    """How probable it is that so many rows have none of the least expected absent class, by its share at validation."""
    before = trained.get("class_rows") or {}
    absent = [before.get(name, 0) for name, rows in metrics["class_rows"].items() if not rows]
    share = max(absent, default=0) / max(1, sum(before.values()))
    return float((1 - share) ** metrics["rows"]) if before else 0.0


def _rows_by_class(metrics: Mapping[str, Any]) -> str:
    present = [f"{rows} are of class {name!r}" for name, rows in metrics["class_rows"].items() if rows]
    return f"of {metrics['rows']} labelled rows {' and '.join(present[:SHOWN_CLASSES])}"


def _labels_that_came(target: Mapping[str, Any]) -> int:
    """The rows of target.csv but those without a label yet, and those that a later delivery supersedes."""
    return int(target["rows"] - sum(target.get(reason, 0) for reason in SET_ASIDE))


def _unusable(target: Mapping[str, Any]) -> dict[str, int]:
    """How many of these labels cannot be used, by reason."""
    return {reason: int(target[reason]) for reason in UNUSABLE if target.get(reason)}


def _of_share(
    subject: Subject, number: int, rows: int, rules: Mapping[str, Any], said: str, more: str = ""
) -> Iterator[Crossed]:
    """A share of rows above its limit; `said` counts these rows in words, `more` ends the sentence."""
    what, name = subject
    share, limit = round(number / rows, DECIMALS), rules[what]
    if share > limit:
        text = f"{said}: {share:.2%}, more than {limit:.2%}{more}"
        yield _breach(what, name, share, limit, text), is_above(number, rows, limit, rules["confidence"])


def _of_labels(evaluation: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[Crossed]:
    """Rows of target.csv that cannot be used: no class can be read, or no prediction has the key."""
    if not (rows := rows_of_share(evaluation, UNUSABLE_LABELS)):
        return
    target = evaluation["target"]
    unusable = _unusable(target)
    counts = ", ".join(f"{reason.replace('_', ' ')} {number}" for reason, number in unusable.items())
    number = sum(unusable.values())
    what = "labels" if target.get("unlabelled") else "rows"
    said = f"{number} of {rows} {what} of target.csv cannot be used ({counts})"
    more = f"; such as {target['examples'][0][:SHOWN_CHARACTERS]}" if target["examples"] else ""
    more += f"; {PARTIAL}" if target["missing"] and "unlabelled" not in target else ""
    yield from _of_share((UNUSABLE_LABELS, "target.csv"), number, rows, rules, said, more)


def find_new_classes(target: Mapping[str, Any] | None) -> Iterator[Breach]:
    """The classes of a day's `target` that the model does not know: each is a breach, however few rows it has."""
    for name, rows in (target or {}).get("new_classes", {}).items():
        text = f"{rows} rows are of class {name!r}, which the model does not know; they are in no metric"
        yield _breach("new_class", name, rows, 0, text)


def _of_quality(evaluation: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[Crossed]:
    if rows := rows_of_share(evaluation, REJECTED):
        for file, rejected in evaluation["quality"]["rejected"].items():
            said = f"{rejected} of {rows} rows of {file} were rejected"
            yield from _of_share((REJECTED, file), rejected, rows, rules, said)


def _of_missing_values(evaluation: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[Crossed]:
    """Features without a value that always had one in training: the model reads 0, which is a number like any other."""
    if rows := rows_of_share(evaluation, MISSING_AS_ZERO):
        for name, missing in evaluation["missing_as_zero"].items():
            said, more = f"{name} is missing in {missing} of {rows} rows", "; it never was in training, so the model "
            yield from _of_share((MISSING_AS_ZERO, name), missing, rows, rules, said, f"{more}reads 0 there")
