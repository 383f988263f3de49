"""What changed since the day before: a row for each figure, with both values and what can be said of them."""

from collections.abc import Mapping
from typing import Any

from stagekit.contract import CALENDAR, HIGHER_IS_BETTER

import distribution
from day import Day, day_before
from differences import bounds_of, difference_bounds, verdict
from svg import number, percent, short, signed
from words import figure_name, plural

MOST_NAMED = 3
NOT_MEASURED = "not measured"


def changes(day: Day) -> dict[str, Any] | None:
    """The day before, and the rows; None if that day has no evaluation."""
    before = day.before
    if before is None:
        return None
    draw = (_metric, _volume, _rejected, _drift, _champion)
    return {"since": day_before(day.ds), "rows": [_row(*one(before, day.evaluation)) for one in draw]}


def _row(name: str, before: str, now: str, said: str, word: str = "") -> dict[str, str]:
    return {"name": name, "before": before, "now": now, "said": said, "word": word}


def _metric(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    key = str((now.get("rules") or {}).get("metric") or "roc_auc")
    a, b = _live(before, key), _live(now, key)
    shown = figure_name(key), number(a) if a is not None else NOT_MEASURED, number(b) if b is not None else NOT_MEASURED
    if a is None or b is None:
        return *shown, "not comparable"
    bounds = difference_bounds(a, bounds_of(before["metrics"], key), b, bounds_of(now["metrics"], key))
    word = verdict(b - a, bounds, HIGHER_IS_BETTER.get(key, True))
    return *shown, f"{signed(b - a)} {word}".strip(), word if word in ("better", "worse") else ""


def _live(evaluation: Mapping[str, Any], key: str) -> float | None:
    """A figure of the day; None if it was not measured, or the model was trained on the day."""
    value = None if evaluation.get("trained_on_day") else (evaluation.get("metrics") or {}).get(key)
    return None if value is None else float(value)


def _volume(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    a, b = before["rows"], now["rows"]
    change = f"{100 * (b - a) / a:+.1f}%".replace("-", "−") if a else ""
    return "Rows scored", number(a), number(b), "about the same" if change in ("+0.0%", "−0.0%") else change


def _rejected(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    a, b = _rejected_share(before["quality"]), _rejected_share(now["quality"])
    shown = ["not counted" if share is None else percent(share) for share in (a, b)]
    if a is None or b is None:
        return "Rows rejected", *shown, "not comparable"
    points = f"{100 * (b - a):+.2f}".replace("-", "−")
    return "Rows rejected", *shown, f"{points} points"


def _rejected_share(quality: Mapping[str, Any]) -> float | None:
    rows = quality.get("rows_in")
    return sum((quality.get("rejected") or {}).values()) / rows if rows else None


def _drift(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    a, b = _drifts(before), _drifts(now)
    shown = "Strongest drift", _strongest(a), _strongest(b)
    if a is None or b is None:
        return *shown, "not comparable"
    words = {name: (distribution.verdict(a[name]), distribution.verdict(b[name])) for name in b if name in a}
    moved = [f"{short(name, 40)} {was} → {word}" for name, (was, word) in words.items() if was != word]
    more = [f"and {plural(len(moved) - MOST_NAMED, 'more feature')}"] if len(moved) > MOST_NAMED else []
    return *shown, ", ".join([*moved[:MOST_NAMED], *more]) or "each feature as stable as before"


def _drifts(evaluation: Mapping[str, Any]) -> dict[str, Mapping[str, Any]] | None:
    """The features by name, without those of the calendar; None if drift was not measured."""
    features = (evaluation.get("drift") or {}).get("features")
    return None if features is None else {one["name"]: one for one in features if one["kind"] not in CALENDAR}


def _strongest(drifts: Mapping[str, Mapping[str, Any]] | None) -> str:
    if not drifts:
        return NOT_MEASURED
    name = max(drifts, key=lambda name: float(drifts[name]["psi"]))
    return f"{short(name, 40)} {number(float(drifts[name]['psi']))}"


def _champion(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    a, b = (_model(one["model"]) for one in (before, now))
    said = "not comparable" if "not recorded" in (a, b) else "the same" if a == b else "another model"
    return "Model", a, b, said


def _model(model: Mapping[str, Any]) -> str:
    version, name = model.get("version"), model.get("name")
    return f"version {short(version, 20)}" if version else short(name, 80) if name else "not recorded"
