"""The page of all days: a small chart for metric, drift, volume and model, then the days by month."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby, pairwise

from charts import Chart, Scale, axis_of, bars, dots, line, spans, steps
from days import Summary
from pages import page, plain

# The months of the list that are open at first.
OPEN_MONTHS = 2
# The rules of each chart: a day that breaks one has a red dot.
METRIC_RULES, DRIFT_RULES = {"most_drop", "floors"}, {"feature_psi", "score_psi"}


def index(days: Sequence[Summary]) -> bytes:
    """The dashboard. `days` are the newest first."""
    if not days:
        return page("Reports", '<p class="empty">No day has a report yet. The Dag monitor makes them.</p>')
    ordered = list(reversed(days))
    charts = "".join(draw(ordered) for draw in (_metric, _drift, _volume, _model))
    return page("Reports", f'{_summary(days)}<div class="charts">\n{charts}</div>\n{_months(days)}')


def _summary(days: Sequence[Summary]) -> str:
    newest, oldest = days[0].ds, days[-1].ds
    missing = (date.fromisoformat(newest) - date.fromisoformat(oldest)).days + 1 - len(days)
    gaps = f"; {_count(missing, 'day')} in between without" if missing else ""
    crossed = sum(1 for day in days if day.breaches)
    limits = f" {_count(crossed, 'day')} crossed a limit." if crossed else " No day crossed a limit."
    newest_link = f'<a href="/{newest}/">the newest is {newest}</a>'
    return f'<p class="note">{_count(len(days), "day")} with a report, {newest_link}{gaps}.{limits}</p>\n'


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


# --- the charts ---


def _metric(days: Sequence[Summary]) -> str:
    name = next((day.metric for day in reversed(days) if day.metric), "")
    mine = [day for day in days if day.metric == name]
    live, trained = _values(mine, "live"), _values(mine, "trained")
    axis = axis_of([day.ds for day in days])
    scale = _scale([*live.values(), *trained.values()])
    crossed = _chosen(live, days, METRIC_RULES)
    missing = {day.ds: scale.low for day in days if day.ds not in live}
    shapes = steps("limit", axis, trained, scale) + line("line", axis, live, scale) + dots("dot", axis, live, scale)
    shapes += dots("crossed", axis, crossed, scale) + dots("none", axis, missing, scale)
    titles = {day.ds: _metric_title(day) for day in days}
    chart = Chart(axis, f"{name or 'Metric'} of each day", titles).draw(shapes, labels=scale.labels("{:.3f}".format))
    legend = {"blue": "of the day", "thin": "dashed: at training"}
    return _card(name or "Metric", _latest(live, "{:.4f}", "No day has a figure yet"), chart, legend, days)


def _metric_title(day: Summary) -> str:
    live = f"{day.metric} {day.live:.4f}" if day.live is not None else "not measured"
    return live + (f", at training {day.trained:.4f}" if day.trained is not None else "")


def _drift(days: Sequence[Summary]) -> str:
    features, score, limit = (_values(days, name) for name in ("drift", "score_drift", "drift_limit"))
    axis = axis_of([day.ds for day in days])
    scale = Scale(0, max([*features.values(), *score.values(), *limit.values()], default=1))
    crossed = _chosen(features, days, DRIFT_RULES)
    missing = {day.ds: 0.0 for day in days if day.ds not in features}
    shapes = steps("limit", axis, limit, scale) + line("second", axis, score, scale)
    shapes += line("line", axis, features, scale) + dots("dot", axis, features, scale)
    shapes += dots("crossed", axis, crossed, scale) + dots("none", axis, missing, scale)
    titles = {day.ds: _drift_title(day) for day in days}
    chart = Chart(axis, "Drift of each day, as PSI", titles).draw(shapes, labels=scale.labels("{:.2f}".format))
    legend = {"blue": "the feature that moved most", "thin": "the score; dashed: the limit"}
    return _card("Drift (PSI)", _latest(features, "{:.3f}", "No day has a figure yet"), chart, legend, days)


def _drift_title(day: Summary) -> str:
    features = f"most of a feature {day.drift:.3f}" if day.drift is not None else "not measured"
    return features + (f", score {day.score_drift:.3f}" if day.score_drift is not None else "")


def _volume(days: Sequence[Summary]) -> str:
    rows = {day.ds: (0.0, float(day.rows)) for day in days if day.rows is not None}
    rejected = {ds: (top, top + (_rejected(days).get(ds) or 0)) for ds, (_, top) in rows.items()}
    axis = axis_of([day.ds for day in days])
    scale = Scale(0, max((top for _, top in rejected.values()), default=1))
    shapes = bars("bar", axis, rows, scale) + bars("rejected", axis, rejected, scale)
    titles = {day.ds: _volume_title(day) for day in days}
    chart = Chart(axis, "Rows of each day", titles).draw(shapes, labels=scale.labels("{:,.0f}".format))
    latest = _latest({ds: top for ds, (_, top) in rows.items()}, "{:,.0f}", "No day has a figure yet")
    return _card("Rows", latest, chart, {"blue": "scored", "red": "rejected"}, days)


def _rejected(days: Sequence[Summary]) -> Mapping[str, int]:
    return {day.ds: day.rejected for day in days if day.rejected is not None}


def _volume_title(day: Summary) -> str:
    scored = f"{day.rows:,} rows scored" if day.rows is not None else "not known"
    return scored + (f", {day.rejected:,} rejected" if day.rejected is not None else "")


def _model(days: Sequence[Summary]) -> str:
    names = {day.ds: _model_name(day) for day in days if _model_name(day)}
    axis = axis_of([day.ds for day in days])
    shapes, texts = spans(axis, {ds: re.sub("^(version |models/....-)", "", name) for ds, name in names.items()})
    titles = {day.ds: _model_name(day) or "not known" for day in days}
    chart = Chart(axis, "The model that scored each day", titles).draw(shapes, texts)
    latest = f"<b><bdi>{plain(list(names.values())[-1])}</bdi></b> scored {list(names)[-1]}" if names else "Not known"
    return _card("Champion", latest, chart, {"blue": "the shade changes with the model"}, days)


def _model_name(day: Summary) -> str:
    return f"version {day.version}" if day.version else day.model


def _card(title: str, latest: str, chart: str, legend: Mapping[str, str], days: Sequence[Summary]) -> str:
    gaps = {"grey": "no report"} if _gaps(days) else {}
    keys = (f'<span><i class="{kind}"></i>{meaning}</span>' for kind, meaning in {**legend, **gaps}.items())
    head = f'<h2>{plain(title)}</h2>\n<p class="latest">{latest}</p>'
    return f'<section>\n{head}\n{chart}\n<p class="note legend">{" ".join(keys)}</p>\n</section>\n'


def _latest(values: Mapping[str, float], form: str, nothing: str) -> str:
    """The newest value and its day, which need not be the newest day."""
    if not values:
        return nothing
    ds, value = list(values.items())[-1]
    return f"<b>{form.format(value)}</b> on {ds}"


def _values(days: Sequence[Summary], name: str) -> dict[str, float]:
    """A figure of the days that have it."""
    found = {day.ds: getattr(day, name) for day in days}
    return {ds: value for ds, value in found.items() if value is not None}


def _chosen(values: Mapping[str, float], days: Sequence[Summary], rules: set[str]) -> dict[str, float]:
    """The values of the days that break one of these rules."""
    broken = {day.ds for day in days if day.crossed & rules}
    return {ds: value for ds, value in values.items() if ds in broken}


def _scale(values: Sequence[float]) -> Scale:
    """A scale over the values; it is not so fine that noise looks like a change."""
    low, high = min(values, default=0), max(values, default=1)
    spread = max(high - low, 0.02)
    middle = (low + high) / 2
    return Scale(middle - spread / 2, middle + spread / 2)


# --- the list ---


def _months(days: Sequence[Summary]) -> str:
    """The days, the newest first, by month; the days without a report between them."""
    gaps = _gaps(list(reversed(days)))
    months = [(month, list(found)) for month, found in groupby(days, lambda day: day.ds[:7])]
    return "".join(_month(month, found, gaps, number < OPEN_MONTHS) for number, (month, found) in enumerate(months))


def _month(month: str, days: Sequence[Summary], gaps: Mapping[str, str], is_open: bool) -> str:
    crossed = sum(1 for day in days if day.breaches)
    facts = _count(len(days), "day") + (f", {crossed} crossed" if crossed else "")
    lines = "".join(f"{_line(day)}\n{gaps.get(day.ds, '')}" for day in days)
    title = date.fromisoformat(f"{month}-01").strftime("%B %Y")
    head = f'<summary><b>{title}</b><span class="note">{facts}</span></summary>'
    return f"<details{' open' if is_open else ''}>\n{head}\n<ol>\n{lines}</ol>\n</details>\n"


def _gaps(days: Sequence[Summary]) -> dict[str, str]:
    """The line for the days without a report before a day, by that day. `days` are the oldest first."""
    lines = {}
    for before, after in pairwise(date.fromisoformat(day.ds) for day in days):
        first, last = before + timedelta(days=1), after - timedelta(days=1)
        if first <= last:
            span = f"{first} to {last}" if first < last else f"{first}"
            lines[after.isoformat()] = f'<li class="missing">{span}: no report</li>\n'
    return lines


def _line(day: Summary) -> str:
    link = f'<a href="/{day.ds}/">{day.ds}</a>'
    facts = [
        f"{day.rows:,} rows" if day.rows is not None else "",
        f"{plain(day.metric)} {day.live:.4f}" if day.live is not None else "",
        f"<bdi>{plain(day.model)}</bdi>" if day.model else "",
        f"version <bdi>{plain(day.version)}</bdi>" if day.version else "",
    ]
    return f'<li>{link} <span class="note">{", ".join(filter(None, facts))}</span> {_state(day)}</li>'


def _state(day: Summary) -> str:
    """The state of a day. It is good only if metrics and drift were measured and no threshold was crossed."""
    if day.breaches is None:
        return '<span class="state note">not known</span>'
    if day.breaches:
        return f'<span class="state bad"><span aria-hidden="true">◆</span> {day.breaches} crossed</span>'
    if not day.is_measured:
        return '<span class="state fair"><span aria-hidden="true">▲</span> partly measured</span>'
    return '<span class="state good"><span aria-hidden="true">●</span> good</span>'
