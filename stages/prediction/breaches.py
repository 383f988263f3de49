"""Which rules a scored day breaks, each as a sentence with numbers. Standard library only."""

from collections.abc import Iterator, Mapping
from typing import Any

from stagekit.contract import DAY, HIGHER_IS_BETTER, WEEKDAY

from rules import DECIMALS, gain

# Features of these kinds always move: a day has one weekday and one day of the month.
CALENDAR = (WEEKDAY, DAY)
# Why a row of target.csv cannot be used; see labels.py.
UNUSABLE = ("malformed", "missing", "unreadable", "repeated", "without_prediction")
SHOWN_CLASSES, SHOWN_CHARACTERS = 3, 200

Breach = dict[str, Any]


def find_breaches(evaluation: Mapping[str, Any], rules: Mapping[str, Any]) -> list[Breach]:
    """The breaches of a day, given the content of `evaluation.json`."""
    return [
        *_of_drift(evaluation["drift"], rules),
        *_of_metrics(evaluation["metrics"], evaluation["trained"], rules),
        *_of_missing_figures(evaluation, rules),
        *_of_labels(evaluation["target"], rules),
        *_of_classes(evaluation["target"]),
        *_of_quality(evaluation["quality"], rules),
    ]


def _breach(what: str, subject: str, value: float, limit: float, text: str) -> Breach:
    return {"what": what, "subject": subject, "value": value, "limit": limit, "text": text}


def _of_drift(drift: Mapping[str, Any] | None, rules: Mapping[str, Any]) -> Iterator[Breach]:
    if not drift:
        return
    limit = rules["score_psi"]
    if (psi := drift["score"]["psi"]) > limit:
        yield _breach("score_psi", "score", psi, limit, f"the score has moved: PSI {psi:.4g}, above {limit:g}")
    limit = rules["feature_psi"]
    for feature in drift["features"]:
        name, psi = feature["name"], feature["psi"]
        if psi > limit and feature["kind"] not in CALENDAR:
            text = f"the feature {name} has moved: PSI {psi:.4g}, above {limit:g}"
            yield _breach("feature_psi", name, psi, limit, text)


def _of_metrics(
    metrics: Mapping[str, Any] | None, trained: Mapping[str, Any], rules: Mapping[str, Any]
) -> Iterator[Breach]:
    if not metrics:
        return
    metric, limit = rules["metric"], rules["most_drop"]
    now, before = metrics[metric], trained[metric]
    if now is not None and (drop := -gain(metric, now - before)) > limit:
        text = f"{metric} {now:.6g} is {drop:.6g} worse than {before:.6g} at validation, more than {limit:g}"
        yield _breach("most_drop", metric, drop, limit, text)
    for metric, limit in rules["floors"].items():
        now = metrics[metric]
        if now is not None and gain(metric, now - limit) < 0:
            side = "below the floor" if HIGHER_IS_BETTER[metric] else "above the highest value allowed,"
            yield _breach("floors", metric, now, limit, f"{metric} {now:.6g} is {side} {limit:g}")


def _of_missing_figures(evaluation: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[Breach]:
    """The figures of the rules that have no value, once there are labels: a missing figure never counts as passed."""
    if evaluation["target"] is None:
        return
    metrics = evaluation["metrics"]
    for metric in dict.fromkeys([rules["metric"], *rules["floors"]]):
        if metrics is None:
            why = f"none of {evaluation['rows']} predictions has a label of a class that the model knows"
        elif metrics[metric] is None:
            why = f"it needs rows of the class and other rows, and {_rows_by_class(metrics)}"
        else:
            continue
        yield _breach("not_measured", metric, 0, 0, f"{metric} was not measured: {why}")


def _rows_by_class(metrics: Mapping[str, Any]) -> str:
    present = [f"{rows} are of class {name!r}" for name, rows in metrics["class_rows"].items() if rows]
    return f"of {metrics['rows']} labelled rows {' and '.join(present[:SHOWN_CLASSES])}"


def _of_labels(target: Mapping[str, Any] | None, rules: Mapping[str, Any]) -> Iterator[Breach]:
    """Rows of target.csv that cannot be used: no class can be read, or no prediction has the key."""
    if not target or not target["rows"]:
        return
    unusable = {reason: target[reason] for reason in UNUSABLE if target[reason]}
    rows, limit = target["rows"], rules["unusable_labels"]
    if (share := round(sum(unusable.values()) / rows, DECIMALS)) > limit:
        counts = ", ".join(f"{reason.replace('_', ' ')} {number}" for reason, number in unusable.items())
        text = f"{sum(unusable.values())} of {rows} rows of target.csv cannot be used ({counts}): {share:.2%}, "
        text += f"more than {limit:.2%}"
        if target["examples"]:
            text += f"; such as {target['examples'][0][:SHOWN_CHARACTERS]}"
        yield _breach("unusable_labels", "target.csv", share, limit, text)


def _of_classes(target: Mapping[str, Any] | None) -> Iterator[Breach]:
    for name, rows in (target or {}).get("new_classes", {}).items():
        text = f"{rows} rows are of class {name!r}, which the model does not know; they are in no metric"
        yield _breach("new_class", name, rows, 0, text)


def _of_quality(quality: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[Breach]:
    rows, limit = quality["rows_in"], rules["rejected"]
    for file, rejected in (quality["rejected"] or {}).items():
        if rows and (share := round(rejected / rows, DECIMALS)) > limit:
            text = f"{rejected} of {rows} rows of {file} were rejected: {share:.2%}, more than {limit:.2%}"
            yield _breach("rejected", file, share, limit, text)
