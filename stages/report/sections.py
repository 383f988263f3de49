"""What each section of the page shows. All decisions and sentences are made here; the template only places them.

A text of the data is passed on as it is: the template, or `named` in a sentence, escapes it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from stagekit.contract import CALENDAR, HIGHER_IS_BETTER

import charts
import distribution
from changes import changes
from day import Day
from differences import Bounds, bounds_of, difference_bounds, verdict
from headline import headline, tiles
from options import PageOptions
from reasons_section import reasons_section
from rejects import quality
from svg import number, percent, short, signed
from timeline import Bar, bars, runs
from words import figure_name, named, plural

MOST_FEATURES, OPEN_FEATURES, MOST_CLASSES, MOST_LINES = 50, 11, 12, 20
WEIGHTED = "Each row counts by its weight in the figures, once in the numbers of rows."
WEIGHTED_BEFORE = (
    "In training each row counted by its weight. On this day each counts once, because rows lack their weight: do not "
    "compare the two."
)
SIGNS = {"stable": "●", "moderate": "▲", "strong": "◆"}


def all_sections(day: Day, options: PageOptions) -> dict[str, Any]:
    """The variables of the template."""
    drifts, figures = drift(day.evaluation), outcome(day)
    return {
        "ds": day.ds,
        "title": options.model_name,
        "changes": changes(day),
        "headline": headline(day, drifts["places"]),
        "tiles": tiles(day, figures["main"], drifts["strongest"]),
        "quality": quality(day),
        "drift": drifts,
        "outcome": figures,
        "comparison": comparison(day.comparison),
        "importances": importances(day.importances or []),
        "reasons": reasons_section(day.reasons),
        "model": day.model or "of this day",
        "lineage": lineage(day),
        "runs": run_charts(day, options),
        "images": images(options),
        "links": links(day, options),
    }


def measures(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, tested: Mapping[str, Bounds] | None = None
) -> list[dict[str, Any]]:
    """A row for each figure: its value before and after, the difference, and whether that is better.

    :param tested: the interval of the difference of a figure, where it was measured on the same rows
    """
    rows = []
    for key, more_is_better in HIGHER_IS_BETTER.items():
        a, b = (before or {}).get(key), (after or {}).get(key)
        if a is None and b is None:
            continue
        better = "more is better" if more_is_better else "less is better"
        row = {"key": key, "name": figure_name(key), "better": better, "before": number(a), "after": number(b)}
        own = bounds_of(after, key)
        row |= {"interval": _interval(own), "difference": "–", "word": "", "kind": ""}
        if a is not None and b is not None:
            bounds = (tested or {}).get(key) or difference_bounds(a, bounds_of(before, key), b, own)
            word = verdict(round(b - a, 4), bounds, more_is_better)
            row |= {"difference": _signed(b - a), "word": word, "kind": word if word in ("better", "worse") else "note"}
        rows.append(row)
    return rows


def _signed(difference: float) -> str:
    return signed(difference) if round(difference, 4) else number(0.0)


def _interval(bounds: Bounds) -> str:
    return f"{number(bounds[0])} to {number(bounds[1])}" if bounds else ""


def drift(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The features by PSI, the strongest first, each with its chart; and the score.

    Features of the calendar come last and are not judged: a day has one weekday and one day of the month.
    """
    if not evaluation.get("drift"):
        return {"known": False, "strongest": None, "places": {}}
    features = sorted(
        evaluation["drift"]["features"], key=lambda one: (one["kind"] in CALENDAR, -one["psi"], one["name"])
    )
    judged = [one for one in features if one["kind"] not in CALENDAR]
    cards = [_card(one, one["name"], f"drift-{place}") for place, one in enumerate(features[:MOST_FEATURES])]
    # To unfold three features or less is not worth a click.
    opened = OPEN_FEATURES if len(cards) > OPEN_FEATURES + 3 else len(cards)
    return {
        "known": True,
        "summary": _drift_summary(judged, len(features) - len(judged)),
        "open": [_card({"kind": "score", **evaluation["drift"]["score"]}, "The score", "drift-score"), *cards[:opened]],
        "folded": cards[opened:],
        "folded_summary": f"{len(cards) - opened} more features, with a PSI of "
        f"{_most_psi(features[opened:MOST_FEATURES])} or less",
        "left": _left_out(features[MOST_FEATURES:]),
        "strongest": cards[0] if judged else None,
        "places": {card["name"]: card["id"] for card in cards},
    }


def _drift_summary(judged: Sequence[Mapping[str, Any]], calendar: int) -> str:
    words = [distribution.verdict(one) for one in judged]
    counts = [f"{words.count(word):,} {'is' if words.count(word) == 1 else 'are'} {word}" for word in SIGNS]
    stable, moderate, strong = SIGNS.values()
    scale = f"Below 0.1 is {stable} stable, up to 0.25 {moderate} moderate, above {strong} strong, "
    scale += "each plus what chance explains in so few rows."
    not_judged = (
        f" {calendar:,} of the calendar {'is' if calendar == 1 else 'are'} not judged: "
        "a day has one weekday and one day of the month."
    )
    return f"{scale} Of {len(judged):,} features, {', '.join(counts)}.{not_judged if calendar else ''}"


def _left_out(features: Sequence[Mapping[str, Any]]) -> str:
    if not features:
        return ""
    return (
        f"{len(features):,} more features are not drawn; their PSI is {_most_psi(features)} or less. "
        "All are in evaluation.json."
    )


def _most_psi(features: Sequence[Mapping[str, Any]]) -> str:
    return number(float(max((one["psi"] for one in features), default=0.0)))


def _card(shares: Mapping[str, Any], name: str, place: str) -> dict[str, Any]:
    word = "calendar" if shares["kind"] in CALENDAR else distribution.verdict(shares)
    bins = list(zip(shares["labels"], map(percent, shares["expected"]), map(percent, shares["actual"]), strict=True))
    more = len(bins) - distribution.MOST_BINS
    return {
        "id": place,
        "name": name,
        "kind": shares["kind"],
        "psi": number(float(shares["psi"])),
        "by_chance": number(float(shares["by_chance"])) if shares.get("by_chance") is not None else "",
        "word": word,
        "sign": SIGNS.get(word, "○"),
        "chart": distribution.distribution(shares, name),
        "bins": bins[: distribution.MOST_BINS],
        "more": f"and {more} more bins." if more > 0 else "",
    }


def outcome(day: Day) -> dict[str, Any]:
    """The figures of the day beside those of training, and the curves of both."""
    evaluation = day.evaluation
    metrics, trained = evaluation.get("metrics"), evaluation.get("trained")
    own = "training day" if evaluation.get("trained_on_day") else "this day"
    sets = _named_sets({own: evaluation.get("curves"), "in training": day.trained_curves})
    both = {own: metrics, "in training": trained}
    bins = _named_sets({name: (one or {}).get("calibration") for name, one in both.items()})
    after = _named_sets({name: ((one or {}).get("calibrated") or {}).get("calibration") for name, one in both.items()})
    table = measures(trained, metrics)
    watched = (evaluation.get("rules") or {}).get("metric")
    return {
        "known": metrics is not None,
        "own": own,
        "main": next((row for row in table if row["key"] == watched), table[0] if table else None),
        "notes": list(_target_notes(evaluation)),
        "estimate": estimate_sentence(evaluation),
        "calibration": calibration_table(evaluation, own),
        "table": table,
        "charts": _curves(sets, bins, charts.share_of_positives(metrics), after) if metrics else [],
        "confusion": confusion(metrics),
        "segments": segments(evaluation.get("segments")),
        "threshold": decision_sentence(trained or {}, metrics or {}),
    }


def estimate_sentence(evaluation: Mapping[str, Any]) -> str:
    """The estimated figures with their intervals, and what an estimate cannot see; why there is none, if it lacks."""
    found = evaluation.get("estimate")
    if not found:
        why = evaluation.get("no_estimate")
        return f"There is no estimate: {why}." if why and evaluation.get("metrics") is None else ""
    figures = [
        f"{figure_name(key)} {number(found[key])} ({number(low)} to {number(high)})"
        for key, (low, high) in found["intervals"].items()
    ]
    return (
        f"Estimated from the scores of {plural(found['rows'], 'row')}, not measured: {', '.join(figures)}. An estimate "
        "takes for granted that equal scores mean the same risk as in validation. So it cannot see concept drift, and "
        "no threshold is about it."
    )


def calibration_table(evaluation: Mapping[str, Any], own: str) -> list[tuple[str, str, str, str]]:
    """Each figure, where it was measured, its value before and after calibration; empty if none is known."""
    sides = {"in training": evaluation.get("trained"), own: evaluation.get("metrics")}
    known = {name: side for name, side in sides.items() if side and side.get("calibrated")}
    return [
        (figure_name(key), name, number(side.get(key)), number(side["calibrated"][key]))
        for key in ("log_loss", "brier_score")
        for name, side in known.items()
    ]


def decision_sentence(trained: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """From which score on the second class is predicted, by what this was chosen, and what it costs."""
    if not (threshold := trained.get("threshold")):
        return ""
    decision, otherwise = trained.get("decision") or {}, "the threshold of the greatest F1"
    sentences = [f"The second class is predicted from a score of {number(threshold)} on."]
    if capacity := decision.get("capacity"):
        most = f"at most {capacity:,} rows a day, those with the highest scores"
        sentences = [f"The second class is predicted for {most}."]
        sentences.append(
            f"Their scores are {number(threshold)} or more{'' if decision.get('costs') else ' in training'}."
        )
        otherwise += " and no capacity"
    for when, figures in (("In training", trained), ("On this day", metrics)):
        cost, default = figures.get("cost"), figures.get("default_cost")
        if cost is not None and default is not None:
            sentences.append(f"{when} a row costs {number(cost)}; with {otherwise}, {number(default)}.")
    return " ".join(sentences)


def _target_notes(evaluation: Mapping[str, Any]) -> Iterable[Markup | str]:
    """Sentences on the rows that the figures are of."""
    target, metrics, trained = evaluation.get("target") or {}, evaluation.get("metrics"), evaluation.get("trained")
    if unlabelled := target.get("unlabelled"):
        yield f"{unlabelled:,} of {target['rows']:,} rows of target.csv have no label."
    if superseded := target.get("superseded"):
        yield f"{superseded:,} rows of target.csv are superseded: a later delivery has their key."
    for name, rows in sorted((target.get("new_classes") or {}).items())[:MOST_CLASSES]:
        yield Markup("{:,} rows are of class {}, which the model does not know.").format(rows, named(name))
    if metrics is None:
        return
    if (trained or {}).get("weighted"):
        yield WEIGHTED if metrics.get("weighted") else WEIGHTED_BEFORE
    rows = f"{trained['rows']:,}" if trained else "an unknown number of"
    yield f"Measured on {metrics['rows']:,} rows whose target has come; in training, on {rows} validation rows."
    if evaluation.get("trained_on_day"):
        yield (
            "The model was trained on this very day. It has learned from most of these rows, so the figures "
            "flatter it. Those in training are of rows that it had not seen."
        )


def _named_sets(sets: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The sets that have something in them, with their names in the legend."""
    return [(name, one) for name, one in sets.items() if one]


def _curves(
    sets: list[tuple[str, Any]],
    bins: list[tuple[str, Any]],
    level: float | None,
    calibrated: Sequence[tuple[str, Any]] = (),
) -> list[Markup]:
    drawn = [charts.roc("ROC", sets), charts.precision_recall("Precision and recall", sets, level)] if sets else []
    of_scores = {"Calibration": bins, "Calibration of calibrated scores": calibrated}
    return [*drawn, *(charts.calibration(title, one) for title, one in of_scores.items() if one)]


def segments(content: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The rules' figure for each value of some fields, the weak ones first; None if it was not measured."""
    if not content or not content["parts"]:
        return None
    # An evaluation of before `trained` called weak what was worse than all rows, which says little.
    judged = [one for one in content["parts"] if one["figure"] is not None and one.get("trained")]
    weak = [one for one in judged if one["weak"]]
    rows = [_segment(one, one in weak) for one in [*weak, *(one for one in content["parts"] if one not in weak)]]
    metric = figure_name(content["metric"])
    if not judged:
        summary = f"{metric} by segment: no segment has a figure in training, so none is judged."
    elif weak:
        summary = (
            f"{plural(len(weak), 'segment is', 'segments are')} weak, of {len(judged)} that are judged by {metric}."
        )
    else:
        summary = f"No segment is weak, of {len(judged)} that are judged by {metric}."
    return {
        "summary": summary,
        "note": "Weak is a segment whose whole interval is worse than its interval in training. The intervals are wide "
        "enough for so many looks. A segment of fewer than 100 rows has no figure.",
        "rows": rows,
    }


def _segment(one: Mapping[str, Any], weak: bool) -> dict[str, str]:
    trained = one.get("trained") or {}
    return {
        "field": one["field"],
        "value": one["value"],
        "rows": f"{one['rows']:,}",
        "trained": number(trained.get("figure")),
        "trained_interval": _interval(trained.get("interval")),
        "figure": number(one["figure"]),
        "interval": _interval(one["interval"]),
        "word": f"{SIGNS['strong']} weak" if weak else "",
    }


def confusion(metrics: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The confusion matrix: a row for each true class, a column for each predicted class; None if there is none."""
    matrix = (metrics or {}).get("confusion_matrix")
    if not metrics or not matrix or len(matrix) > MOST_CLASSES or any(len(row) != len(matrix) for row in matrix):
        return None
    rows = []
    for own, (name, counts) in enumerate(zip(metrics["classes"], matrix, strict=False)):
        cells = [(f"{count:,}", "n hit" if column == own else "n") for column, count in enumerate(counts)]
        rows.append((name, cells))
    return {"classes": metrics["classes"], "rows": rows}


def comparison(content: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The last candidate beside the champion of that time; None if there was no comparison."""
    if content is None:
        return None
    candidate, champion = content["candidate"], content.get("champion")
    curves, metrics = content.get("curves") or {}, {"candidate": candidate["metrics"]}
    if champion:
        metrics["champion"] = champion["metrics"]
    bins = _named_sets({name: figures.get("calibration") for name, figures in metrics.items()})
    sets = _named_sets({name: curves.get(name) for name in ("candidate", "champion")})
    measured = (
        champion is not None and content.get("difference") is not None and len(content.get("interval") or []) == 2
    )
    return {
        "intro": _compared(content),
        **_verdict(content),
        "difference": _compared_difference(content) if measured else "",
        "reasons": content["reasons"][:MOST_LINES],
        "table": measures(
            metrics.get("champion"),
            candidate["metrics"],
            {content["metric"]: content["interval"]} if measured else None,
        ),
        "metric": figure_name(content["metric"]),
        "segments": compared_segments(content),
        "charts": _curves(sets, bins, charts.share_of_positives(candidate["metrics"])),
        "interval_chart": charts.interval(content) if measured else None,
    }


def compared_segments(content: Mapping[str, Any]) -> list[dict[str, str]]:
    """The segments that a rule of the gate is about, with the figure of both models."""
    words = {"passed": f"{SIGNS['stable']} passed", "failed": f"{SIGNS['strong']} did not pass"}
    words["undecided"] = f"{SIGNS['moderate']} cannot be distinguished"
    return [
        {
            "field": one["field"],
            "value": one["value"],
            "rows": f"{one['rows']:,}",
            "champion": number(one.get("champion")),
            "candidate": number(one.get("candidate")),
            "interval": " to ".join(map(signed, one.get("interval") or [])),
            "word": words.get(one.get("outcome") or "", "not judged"),
        }
        for one in (content.get("segments") or [])[:MOST_FEATURES]
    ]


def _verdict(content: Mapping[str, Any]) -> dict[str, str]:
    """What the gate said, with a state and a sign. Older comparisons have no third outcome."""
    if content.get("outcome") == "undecided":
        kept = "The newer one is taken." if content["passed"] else "The champion is kept."
        return {"state": "fair", "sign": SIGNS["moderate"], "verdict": f"Cannot be distinguished. {kept}"}
    if content["passed"]:
        return {"state": "good", "sign": SIGNS["stable"], "verdict": "Passed."}
    return {"state": "bad", "sign": SIGNS["strong"], "verdict": "Did not pass."}


def _compared(content: Mapping[str, Any]) -> Markup:
    """The sentence on what was compared with what."""
    champion, other = content.get("champion"), content.get("incomparable")
    head = Markup("On {}, on {:,} validation rows: candidate {}").format(
        content["ds"], content["rows"], named(content["candidate"]["model"])
    )
    if champion:
        version = f", version {short(champion['version'], 20)}" if champion.get("version") is not None else ""
        return head + Markup(" against champion {}{}.").format(named(champion["model"]), version)
    if other:
        return head + Markup(". The champion of that time, {}, could not be measured on these rows: {}.").format(
            named(other["model"]), short(other["why"], 300)
        )
    return head + Markup("; there was no champion yet, so only the floors counted.")


def _compared_difference(content: Mapping[str, Any]) -> Markup:
    """The sentence on the difference and its interval."""
    low, high = map(signed, content["interval"])
    confidence = content.get("confidence")
    sure = f" with {100 * confidence:.10g}% confidence" if confidence is not None else ""
    draws = f" ({content['resamples']:,} resamples)" if content.get("resamples") else ""
    return Markup("{} differs by <b>{}</b>, between {} and {}{}{}.").format(
        named(content["metric"], 40), signed(content["difference"]), low, high, sure, draws
    )


def lineage(day: Day) -> dict[str, Any]:
    """The steps behind the page, from the raw data on, and what is known to be missing or changed."""
    steps = [
        {
            "partition": step.partition,
            "step": step.name,
            "files": ", ".join(sorted(path.rpartition("/")[2] for path in step.outputs)),
            "image": str(step.image["name"] or "not recorded").removeprefix("airflow-ml-"),
            "reads": [read for read in step.reads if read != step.partition],
        }
        for step in day.lineage.in_order()
    ]
    unreadable = [
        Markup("{}: {}, so the steps before it are not known.").format(named(partition), problem.text)
        for partition, problem in sorted(day.lineage.unreadable.items())
    ]
    changed = [
        Markup("{} {}.").format(named(path), problem.text)
        for path, problem in day.lineage.problems
        if problem.kind == "published again"
    ]
    tuned = {
        read: Markup("The parameters of the model come from the search {}.").format(named(read))
        for step in day.lineage.in_order()
        if step.name == "train"
        for read in step.reads
        if read.startswith("tuning/")
    }
    return {"steps": steps, "notes": [*tuned.values(), *changed[:MOST_LINES], *unreadable[:MOST_LINES]]}


def run_charts(day: Day, options: PageOptions) -> list[dict[str, Any]]:
    """A timeline for each Dag run behind the page."""
    shown = []
    for run in runs(day.lineage.in_order()):
        address = f"{options.airflow}/dags/{quote(run.dag, safe='')}/runs/{quote(run.run, safe='')}"
        shown.append(
            {
                "name": run.dag or "by hand",
                "link": address if options.airflow and run.dag and run.run else "",
                "start": run.start.strftime("%Y-%m-%d %H:%M:%S UTC"),
                "run": run.run,
                "whole": f"{plural(len(run.steps), 'step')} in {run.seconds:g} s",
                "bars": bars(run),
            }
        )
    return shown


def importances(rows: Sequence[tuple[str, float, float]]) -> dict[str, Any]:
    """The features with the greatest gain: the share of the total gain, with the number of splits."""
    total = sum(gain for _, gain, _ in rows) or 1.0
    most = max((gain for _, gain, _ in rows), default=0.0) or 1.0
    shown = rows[: charts.MOST_IMPORTANCES]
    left = len(rows) - len(shown)
    notes = [f"{percent(gain / total)}, {split:,.0f} splits" for _, gain, split in shown]
    return {
        "bars": [Bar(name, gain / most, note) for (name, gain, _), note in zip(shown, notes, strict=True)],
        "left": f"and {plural(left, 'more feature')}." if left else "",
    }


def images(options: PageOptions) -> list[tuple[str, str, float]]:
    """Each image with its size in MB and that as a share of the largest; the largest first."""
    sizes = sorted(options.images.items(), key=lambda one: (-one[1], one[0]))
    most = max((size for _, size in sizes), default=0.0) or 1.0
    return [(name, f"{size:,.0f}", size / most) for name, size in sizes]


def links(day: Day, options: PageOptions) -> dict[str, str]:
    """Addresses in Airflow and MLflow; empty if their pages are not given."""
    version = day.version or str(day.evaluation["model"].get("version") or "")
    model = f"{options.mlflow}/#/models/{quote(options.model_name, safe='')}"
    place = f"{model}/versions/{quote(version, safe='')}" if version else model
    return {
        # Without the query, MLflow shows the page among those of generative AI.
        "mlflow": f"{place}?workflowType=machine_learning" if options.mlflow else "",
        "airflow": f"{options.airflow}/dags" if options.airflow else "",
        "version": f", version {short(day.version, 20)}" if day.version else "",
    }
