"""Turns what was read of a day into what the page's template shows. Texts stay plain: the template escapes them."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import bins
import charts
from day import Day
from model_plots import positives
from settings import Settings
from svg import number, percent, signed

# Name in the files, name for people, and whether more of it is better.
MEASURES: Sequence[tuple[str, str, bool]] = (
    ("roc_auc", "Area under the ROC curve", True),
    ("average_precision", "Average precision", True),
    ("log_loss", "Log loss", False),
    ("brier_score", "Brier score", False),
    ("accuracy", "Accuracy", True),
    ("precision", "Precision", True),
    ("recall", "Recall", True),
    ("f1", "F1", True),
)
MOST_FEATURES, OPEN_FEATURES, MOST_REASONS, MOST_EXAMPLES, MOST_CLASSES = 50, 11, 15, 8, 12
# What moves by itself from day to day.
CALENDAR = ("weekday", "day")
SIGNS = {"stable": "●", "moderate": "▲", "strong": "◆"}


def measures(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """A row per figure: what it was, what it is, the difference, and whether that is better."""
    rows = []
    for key, name, more_is_better in MEASURES:
        a, b = (before or {}).get(key), (after or {}).get(key)
        if a is None and b is None:
            continue
        row = {
            "key": key,
            "name": name,
            "better": "more" if more_is_better else "less",
            "before": number(a),
            "after": number(b),
        }
        row.update(_difference(a, b, more_is_better))
        rows.append(row)
    return rows


def _difference(a: float | None, b: float | None, more_is_better: bool) -> dict[str, str]:
    if a is None or b is None:
        return {"difference": "–", "word": ""}
    difference = b - a
    if abs(difference) < 5e-5:
        return {"difference": number(0.0), "word": "same"}
    return {"difference": signed(difference), "word": "better" if (difference > 0) == more_is_better else "worse"}


def drift(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The features by PSI, the strongest first, each with its chart; and the score.

    Features of the calendar come last and are not judged: a single day has one weekday and one day of the month.
    """
    if not evaluation.get("drift"):
        return {"known": False, "strongest": None}
    features = sorted(
        evaluation["drift"]["features"], key=lambda one: (one["kind"] in CALENDAR, -one["psi"], one["name"])
    )
    judged = [one for one in features if one["kind"] not in CALENDAR]
    cards = [_card(one, one["name"]) for one in features[:MOST_FEATURES]]
    left = features[MOST_FEATURES:]
    # A fold for a feature or two is more trouble than room.
    opened = OPEN_FEATURES if len(cards) > OPEN_FEATURES + 3 else len(cards)
    counts = {word: sum(bins.verdict(one["psi"]) == word for one in judged) for word in SIGNS}
    return {
        "known": True,
        "calendar": len(features) - len(judged),
        "score": _card({"kind": "score", **evaluation["drift"]["score"]}, "score"),
        "open": cards[:opened],
        "folded": cards[opened:],
        "total": len(features),
        "judged": len(judged),
        "left": len(left),
        "left_most": _most(left),
        "folded_most": _most(features[opened:MOST_FEATURES]),
        "counts": counts,
        "signs": SIGNS,
        "strongest": cards[0] if judged else None,
    }


def _most(features: Sequence[Mapping[str, Any]]) -> str:
    """The greatest PSI of some features."""
    return number(float(max((one["psi"] for one in features), default=0.0)))


def _card(told: Mapping[str, Any], name: str) -> dict[str, Any]:
    word = "calendar" if told["kind"] in CALENDAR else bins.verdict(told["psi"])
    rows = list(zip(told["labels"], map(percent, told["expected"]), map(percent, told["actual"]), strict=True))
    return {
        "name": name,
        "kind": told["kind"],
        "psi": number(float(told["psi"])),
        "word": word,
        "sign": SIGNS.get(word, "○"),
        "chart": bins.distribution(told, name),
        "rows": rows[: bins.MOST_BINS],
        "more": max(0, len(rows) - bins.MOST_BINS),
    }


def quality(day: Day) -> dict[str, Any]:
    """Rows in and out, what was rejected and why, with some examples."""
    told = day.evaluation["quality"]
    reasons = sorted((told.get("reasons") or {}).items(), key=lambda one: (-one[1], one[0]))
    rejected = sum((told.get("rejected") or {}).values())
    examples: dict[str, dict[str, str]] = {}
    for row in day.rejected or []:
        examples.setdefault(row["reason"].partition(":")[0], row)
    return {
        "known": told.get("rows_in") is not None,
        "rows_in": told.get("rows_in"),
        "rows_out": told.get("rows_out"),
        "rejected": sorted((told.get("rejected") or {}).items()),
        "rejected_rows": rejected,
        "share": percent(rejected / told["rows_in"]) if told.get("rows_in") else "",
        "reasons": [(reason, count, count / (reasons[0][1] or 1)) for reason, count in reasons[:MOST_REASONS]],
        "more_reasons": max(0, len(reasons) - MOST_REASONS),
        "examples": list(examples.values())[:MOST_EXAMPLES] if day.rejected is not None else None,
    }


def outcome(day: Day) -> dict[str, Any]:
    """The figures of the day beside those of training, and the curves of both."""
    evaluation = day.evaluation
    metrics, trained = evaluation.get("metrics"), evaluation.get("trained")
    sets = [
        (name, curves)
        for name, curves in (("this day", evaluation.get("curves")), ("in training", day.trained_curves))
        if curves
    ]
    bins_of = [
        (name, told["calibration"])
        for name, told in (("this day", metrics), ("in training", trained))
        if told and told.get("calibration")
    ]
    level = positives(metrics) if metrics else None
    table = measures(trained, metrics)
    watched = (evaluation.get("rules") or {}).get("metric")
    return {
        "main": next((row for row in table if row["key"] == watched), table[0] if table else None),
        "known": metrics is not None,
        "flatters": evaluation.get("trained_on_day") is True,
        "rows": (metrics or {}).get("rows"),
        "trained_rows": (trained or {}).get("rows"),
        "table": table,
        "charts": _curves(sets, bins_of, level) if metrics else [],
        "confusion": confusion(metrics),
        "waiting": (evaluation.get("target") or {}).get("without_target") or 0,
        "new_classes": sorted(((evaluation.get("target") or {}).get("new_classes") or {}).items())[:MOST_CLASSES],
        "threshold": number((trained or {}).get("threshold")) if (trained or {}).get("threshold") is not None else "",
    }


def _curves(sets: list[tuple[str, Any]], calibrated: list[tuple[str, Any]], level: float | None) -> list[Any]:
    drawn = []
    if sets:
        drawn += [charts.roc("ROC", sets), charts.precision_recall("Precision and recall", sets, level)]
    return drawn + ([charts.calibration("Calibration", calibrated)] if calibrated else [])


def confusion(metrics: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The confusion matrix: a row per true class, a column per predicted one; None where there is none to show."""
    matrix = (metrics or {}).get("confusion_matrix")
    if not metrics or not matrix or len(matrix) > MOST_CLASSES or any(len(row) != len(matrix) for row in matrix):
        return None
    return {"classes": metrics["classes"], "rows": list(zip(metrics["classes"], matrix, strict=False))}


def comparison(day: Day) -> dict[str, Any] | None:
    """The last candidate beside the champion of that time; None where there was no comparison."""
    told = day.comparison
    if told is None:
        return None
    candidate, champion = told["candidate"], told.get("champion")
    curves = told.get("curves") or {}
    sets = [(name, curves.get(name)) for name in ("candidate", "champion") if curves.get(name)]
    models = (("candidate", candidate), ("champion", champion))
    calibrated = [
        (name, model["metrics"]["calibration"])
        for name, model in models
        if model and model["metrics"].get("calibration")
    ]
    measured = champion is not None and told.get("difference") is not None and len(told.get("interval") or []) == 2
    return {
        "incomparable": None,
        "resamples": None,
        **told,
        "champion": champion,
        "table": measures(champion["metrics"] if champion else None, candidate["metrics"]),
        "charts": _curves(sets, calibrated, positives(candidate["metrics"])),
        "interval_chart": bins.interval(told) if measured else None,
        "told_difference": signed(told["difference"]) if measured else "",
        "told_interval": [signed(value) for value in told["interval"]] if measured else [],
        "told_confidence": f"{100 * told['confidence']:g}%" if told.get("confidence") is not None else "",
    }


def links(day: Day, settings: Settings) -> dict[str, Any]:
    """Addresses in Airflow and MLflow of what the page tells."""
    version = day.version or str(day.evaluation["model"].get("version") or "")
    model = f"{settings.mlflow}/#/models/{quote(settings.model_name, safe='')}"
    runs = {}
    for step in day.history.steps:
        if settings.airflow and step.dag and step.run:
            runs[step.dag, step.run] = (
                f"{settings.airflow}/dags/{quote(step.dag, safe='')}/runs/{quote(step.run, safe='')}"
            )
    return {
        "mlflow": (f"{model}/versions/{quote(version, safe='')}" if version else model) if settings.mlflow else "",
        "runs": runs,
    }
