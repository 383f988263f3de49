"""The head of the page: is the day good, what was not measured, and its most important figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from day import Day, breaches
from svg import number, percent, short, signed
from words import figure_name, named, plural

MOST_LINES = 20
# These figures have a value on every day with rows of two classes.
ALWAYS_MEASURED = ("roc_auc", "average_precision", "log_loss")
# Some targets are always late. The day is good if no more than this share of its predictions has none.
MOST_UNMEASURED = 0.05


# Where the page shows what a breach is about, by `what` of the breach; of a feature, its own chart if it has one.
PLACES = {
    **dict.fromkeys(("most_drop", "floors", "not_measured", "unusable_labels", "new_class"), "metrics"),
    **{"feature_psi": "drift", "missing_as_zero": "drift", "score_psi": "drift-score", "rejected": "quality"},
}


def headline(day: Day, charts: Mapping[str, str]) -> dict[str, Any]:
    """The state of the day: good if no threshold was crossed and all was measured, on almost all predictions.

    `kind` is the state in two words, which the start page of the reports shows too.

    :param charts: the place on the page of each feature's chart
    """
    evaluation = day.evaluation
    confirmed, unconfirmed = ([_breach(breach, charts) for breach in found] for found in breaches(day))
    figures, predictions = missing_figures(evaluation), predictions_without_target(evaluation)
    if confirmed:
        found = plural(len(confirmed), "threshold was", "thresholds were")
        state, sign, word, text = "bad", "◆", f"{found} crossed.", ""
    elif unconfirmed:
        state, sign, word, text = "fair", "▲", "Not confirmed.", "A threshold was crossed, without enough evidence."
    elif figures or unmeasured_share(evaluation) > MOST_UNMEASURED:
        state, sign, word, text = "fair", "▲", "Not everything was measured.", "No threshold was crossed."
    else:
        state, sign, word, text = "good", "●", "Good.", "No threshold was crossed."
    warnings = [f"{step}: {short(text, 300)}" for step, text in day.warnings]
    kind = {"bad": "crossed", "fair": "not confirmed" if unconfirmed else "partly measured", "good": "good"}[state]
    return {
        "kind": kind,
        "state": state,
        "sign": sign,
        "word": word,
        "text": text,
        "title": f"{len(confirmed)} {kind}" if confirmed else kind,
        "crossed": confirmed[:MOST_LINES],
        "unconfirmed": unconfirmed[:MOST_LINES],
        "more": {"crossed": _more(confirmed), "unconfirmed": _more(unconfirmed)},
        "not_measured": [*figures, *predictions],
        "warnings": [*warnings[:MOST_LINES], *filter(None, [_more(warnings)])],
    }


def _breach(breach: Mapping[str, Any], charts: Mapping[str, str]) -> dict[str, str]:
    """A breach as a sentence, and the place on the page that shows it; '' for a breach of an unknown kind."""
    what = breach.get("what")
    place = PLACES.get(what or "", "")
    if place == "drift":
        place = charts.get(breach.get("subject") or "", place)
    return {"text": short(breach["text"], 300), "place": place}


def _more(lines: Sequence[object]) -> str:
    """What is said of the lines that are not shown."""
    more = len(lines) - MOST_LINES
    return f"and {more} more." if more > 0 else ""


def missing_figures(evaluation: Mapping[str, Any]) -> list[str]:
    """What is not known of the day at all, a sentence each."""
    metrics, sentences = evaluation.get("metrics"), []
    if evaluation.get("trained_on_day"):
        sentences.append("How good the scores are on new rows: the model was trained on this day.")
    elif metrics is None:
        why = "no prediction has a usable target" if evaluation.get("target") else "no target has come for this day yet"
        sentences.append(f"How good the scores are: {why}.")
    else:
        without = [figure_name(key) for key in ALWAYS_MEASURED if metrics.get(key) is None]
        sentences += [f"{name}: it has no value for the rows of this day." for name in without]
    if not evaluation.get("drift"):
        sentences.append("Drift: the model has no baseline.")
    if evaluation["quality"].get("rows_in") is None:
        sentences.append("Rejected rows: the step that made the features recorded no counts.")
    return sentences


def predictions_without_target(evaluation: Mapping[str, Any]) -> list[str]:
    """How many predictions the figures are not of, as a sentence; none if they are of all predictions or of none."""
    share = unmeasured_share(evaluation)
    if evaluation.get("metrics") is None or not share:
        return []
    rows = evaluation["rows"]
    missing = rows - evaluation["metrics"]["rows"]
    waiting = min(missing, (evaluation.get("target") or {}).get("without_target") or 0)
    found = f"{missing:,} of {plural(rows, 'prediction')} ({percent(share)}) have no"
    if waiting == missing:
        return [f"{found} target yet."]
    return [f"{found} usable target{f'; {waiting:,} of them have none yet' if waiting else ''}."]


def unmeasured_share(evaluation: Mapping[str, Any]) -> float:
    """The share of the predictions that the figures are not of, from 0 to 1."""
    rows, metrics = evaluation["rows"], evaluation.get("metrics")
    return max(0.0, 1 - metrics["rows"] / rows) if metrics and rows else 0.0


def tiles(day: Day, main: Mapping[str, Any] | None, strongest: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The most important figures, each with its name, a note, and whether it is a text."""
    evaluation = day.evaluation
    model = named(day.model or evaluation["model"].get("name") or "not recorded")
    first, number_of_days = day.since
    days = f" ({number_of_days} days)" if number_of_days > 1 else ""
    since = Markup("scores since <time>{}</time>{}").format(first, days)
    # A version is shorter than the model's name, which has no room on a phone.
    version, note = (f"version {short(day.version, 20)}", model + ", " + since) if day.version else (model, since)
    shown = [
        _tile("Rows scored", number(evaluation["rows"]), _rejected(evaluation["quality"])),
        _tile("Model in production", version, note, is_text=True),
    ]
    if main and evaluation.get("metrics") is not None:
        interval = f"{main['interval']}; " if main["interval"] else ""
        name = f"{main['name']} of a training day" if evaluation.get("trained_on_day") else main["name"]
        shown.append(_tile(name, main["after"], f"{interval}{main['before']} in training"))
    else:
        shown.append(_unmeasured(evaluation.get("estimate")))
    if strongest:
        note = Markup("{}, {}").format(named(strongest["name"], 40), strongest["word"])
        shown.append(_tile("Strongest drift", strongest["psi"], note))
    if shadow := in_shadow(day):
        shown.append(_tile("In shadow", *shadow, is_text=True))
    return shown


def in_shadow(day: Day) -> tuple[str, str] | None:
    """The version in shadow and how many days it has, and its figure beside the champion's; None if there is none."""
    if not day.shadow:
        return None
    version, compared = day.shadow
    place = f"version {short(version, 20)}"
    champion, progress = (compared or {}).get("champion"), (compared or {}).get("shadow")
    if not compared or not champion or not progress:
        return place, "no day with labels has been compared yet"
    metric = compared["metric"]
    ours, theirs = (number(side["metrics"].get(metric)) for side in (compared["candidate"], champion))
    bounds = compared.get("interval") or []
    interval = f"; it differs by {signed(bounds[0])} to {signed(bounds[1])}" if len(bounds) == 2 else ""
    figures = f"{figure_name(metric)} {ours}, the champion's {theirs}{interval}"
    return f"{place}, day {len(progress['days'])} of {progress['of']}", figures


def _unmeasured(estimate: Mapping[str, Any] | None) -> dict[str, Any]:
    """The tile of a day without figures, with the estimate if there is one."""
    if not estimate:
        return _tile("Quality of the scores", "not measured", "no target has come", is_text=True)
    bounds = " to ".join(number(bound) for bound in estimate["intervals"]["roc_auc"])
    name = f"{figure_name('roc_auc')}, estimated"
    return _tile(name, number(estimate["roc_auc"]), f"{bounds}; not measured, no target has come")


def _tile(name: str, value: Markup | str, note: Markup | str, *, is_text: bool = False) -> dict[str, Any]:
    return {"name": name, "value": value, "note": note, "kind": "text" if is_text else "figure"}


def _rejected(quality: Mapping[str, Any]) -> str:
    if not quality.get("rows_in"):
        return "rejects not counted"
    return f"{percent(sum((quality.get('rejected') or {}).values()) / quality['rows_in'])} rejected"
