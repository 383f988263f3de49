"""The page of all days, the life of the model: its figures day by day as small charts, then the days by month."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby, pairwise

from charts import Chart, Scale, axis_of, bars, cells, dashes, dots, line, marks, row_names, steps, whiskers
from days import BACKTEST, MOST_TEXT, Drift, Summary
from pages import page, plain

# The months of the list that are open at first.
OPEN_MONTHS = 2
# The dash of a day in shadow is above that of a day without a figure.
ABOVE_MISSING = 9
# The features of the heat map, and those that the text over a day names.
MOST_ROWS, MOST_NAMED = 12, 3
# The rules of the metric: a day that breaks one has a red dot.
METRIC_RULES = {"most_drop", "floors"}
NO_FIGURE = "No day has a figure yet"
# The states of a day by level: class, sign and words.
STATES = (
    ("note", "–", "not known"),
    ("good", "●", "good"),
    ("fair", "▲", "partly measured"),
    ("bad", "◆", "crossed"),
    ("fair", "▲", "not confirmed"),
    ("note", "○", "measured"),
)
CROSSED = 3
# The states that a page can name, beside the crossed limits, which are counted.
NAMED = {"good": 1, "partly measured": 2, "not confirmed": 4}


def index(days: Sequence[Summary], backtests: Sequence[str] = ()) -> bytes:
    """The dashboard. `days`, and the days of `backtests`, are the newest first."""
    links = _backtests(backtests)
    if not days:
        return page("Reports", f'<p class="empty">No day has a report yet. The Dag monitor makes them.</p>\n{links}')
    ordered = list(reversed(days))
    charts = "".join(draw(ordered) for draw in (_metric, _drift, _states, _volume, _rejects))
    wait = '<p class="note">The charts begin with the second day.</p>\n' if len(days) == 1 else ""
    return page("Reports", f'{_tiles(ordered)}{links}{wait}<div class="charts">\n{charts}</div>\n{_months(days)}')


def _backtests(days: Sequence[str]) -> str:
    """Links to backtests; '' if there is none."""
    links = ", ".join(f'<a href="/{ds}/{BACKTEST}">until {ds}</a>' for ds in days)
    return f"<p>How models would have done, backtest: {links}</p>\n" if links else ""


def _tiles(days: Sequence[Summary]) -> str:
    """What a reader asks first: the newest day, who is champion, which days are missing, which crossed a limit."""
    newest = days[-1]
    missing = (date.fromisoformat(newest.ds) - date.fromisoformat(days[0].ds)).days + 1 - len(days)
    levels = [_level(day) for day in days]
    others = [(level, words) for level, (_, _, words) in enumerate(STATES) if level != CROSSED and level in levels]
    tiles = [
        ("Newest day", f'<a href="/{newest.ds}/">{newest.ds}</a>', _state(newest)),
        ("Champion", plain(_model_name(newest)) or "not known", _champion_note(days)),
        ("Days with a report", f"{len(days):,}", f"{missing:,} missing in between" if missing else "no gaps"),
        (
            "Days that crossed a limit",
            f"{levels.count(CROSSED):,}",
            "; ".join(f"{levels.count(level):,} {words}" for level, words in others),
        ),
    ]
    if newest.shadow:
        version, figures = (plain(text, MOST_TEXT) for text in newest.shadow)
        tiles.append(("In shadow", version, figures))
    parts = (f'<div><dt>{name}</dt><dd>{value}</dd><dd class="note">{note}</dd></div>\n' for name, value, note in tiles)
    return f'<dl class="tiles">\n{"".join(parts)}</dl>\n'


def _champion_note(days: Sequence[Summary]) -> str:
    """Since when the champion of the newest day scores without a change, and its name."""
    newest, since = days[-1], days[-1].ds
    for day in reversed(days):
        if _model_name(day) != _model_name(newest):
            break
        since = day.ds
    name = f"<bdi>{plain(newest.model)}</bdi>, " if newest.model and newest.version else ""
    return f"{name}scores since <time>{since}</time>" if _model_name(newest) else "The report does not name it"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


# --- the charts ---


def _metric(days: Sequence[Summary]) -> str:
    name = next((day.metric for day in reversed(days) if day.metric), "")
    mine = [day for day in days if day.metric == name]
    live, estimated, trained = (_values(mine, kind) for kind in ("live", "estimate", "trained"))
    intervals = {day.ds: day.interval for day in mine if day.interval}
    axis = axis_of([day.ds for day in days])
    scale = _scale(
        [
            *live.values(),
            *estimated.values(),
            *trained.values(),
            *(bound for bounds in intervals.values() for bound in bounds),
        ]
    )
    broken = {day.ds for day in days if day.crossed & METRIC_RULES}
    crossed = {ds: value for ds, value in live.items() if ds in broken}
    missing = [day.ds for day in days if day.ds not in live and day.ds not in estimated]
    changes, names = marks(axis, {day.ds: _short_name(day) for day in days if _short_name(day)})
    shapes = changes + whiskers(axis, intervals, scale) + steps("limit", axis, trained, scale)
    shapes += line("line", axis, live, scale) + dots("dot", axis, live, scale)
    shapes += dots("estimate", axis, estimated, scale) + dots("crossed", axis, crossed, scale) + dashes(axis, missing)
    beside = [day.ds for day in days if day.shadow]
    shapes += dashes(axis, beside, "shadow", ABOVE_MISSING)
    titles = {day.ds: _metric_title(day) for day in days}
    chart = Chart(axis, f"{name or 'Metric'} of each day", titles).draw(shapes, names, scale.labels("{:.3f}".format))
    legend = {"blue": "of the day", "pale": "its interval"} if intervals else {"blue": "of the day"}
    legend |= {"estimate": "estimated from the scores, not measured"} if estimated else {}
    legend |= {"thin": "dashed: at training"}
    legend |= {"upright": "the champion changed"} if changes else {}
    legend |= {"shadow": "a challenger in shadow"} if beside else {}
    legend |= {"red": "a limit crossed"} if crossed else {}
    legend |= {"dash": "not measured"} if missing else {}
    with_figure = next((day for day in reversed(mine) if day.live is not None), None)
    latest = _latest(live, "{:.4f}") + (_interval(with_figure) if with_figure else "")
    return _card(name or "Metric", latest, chart, legend, days, kind="wide")


def _figure(day: Summary) -> str:
    """The metric of the day, or what the scores let expect of it."""
    if day.live is not None:
        return f"{day.metric} {day.live:.4f}{_interval(day)}"
    if day.estimate is not None:
        return f"{day.metric} not measured, estimated {day.estimate:.4f}{_interval(day)}"
    return "not measured"


def _metric_title(day: Summary) -> str:
    trained = f", at training {day.trained:.4f}" if day.trained is not None else ""
    beside = f"; in shadow {', '.join(day.shadow)}" if day.shadow else ""
    return _figure(day) + trained + (f", {_model_name(day)}" if _model_name(day) else "") + beside


def _interval(day: Summary) -> str:
    return f" ({day.interval[0]:.4f} to {day.interval[1]:.4f})" if day.interval else ""


def _drift(days: Sequence[Summary]) -> str:
    """A heat map of the score and of the features that moved most on any day."""
    most: dict[str, float] = {}
    for day in days:
        for name, drift in day.drifts.items():
            most[name] = max(most.get(name, 0.0), drift.psi)
    names = sorted(most, key=lambda name: (-most[name], name))[:MOST_ROWS]
    rows = [("drift", {day.ds: _drift_level(day.score_drift) for day in days})]
    rows += [("drift", {day.ds: _drift_level(day.drifts.get(name)) for day in days}) for name in names]
    axis = axis_of([day.ds for day in days])
    titles = {day.ds: _drift_title(day) for day in days}
    labels = row_names(["the score", *(plain(name) for name in names)])
    chart = Chart(axis, "Drift of each feature on each day", titles, len(rows)).draw(cells(axis, rows), labels=labels)
    legend = {"drift1": "at most 0.4 of the limit", "drift2": "up to the limit", "drift3": "above the limit"}
    left = f"{_count(len(most) - len(names), 'more feature')} moved less" if len(most) > len(names) else ""
    unmeasured = any(0 in levels.values() for _, levels in rows)
    legend |= {"dash": "not measured, or without a limit"} if unmeasured else {}
    return _card("Drift", _latest_drift(days), chart, legend, days, left, "wide")


def _drift_level(drift: Drift | None) -> int:
    """From 1 to 3 by what chance does not explain; 0 without a figure or without a limit."""
    if drift is None or drift.of_limit is None:
        return 0
    return 1 if drift.of_limit <= 0.4 else 2 if drift.of_limit <= 1 else 3


def _drift_title(day: Summary) -> str:
    strongest = sorted(day.drifts, key=lambda name: -day.drifts[name].psi)[:MOST_NAMED]
    found = [f"{name[:40]} {day.drifts[name].psi:.3f}" for name in strongest]
    score = [f"the score {day.score_drift.psi:.3f}"] if day.score_drift else []
    return f"PSI of {', '.join([*score, *found])}" if score or found else "not measured"


def _latest_drift(days: Sequence[Summary]) -> str:
    """The feature that moved most on the newest day that has figures."""
    day = next((day for day in reversed(days) if day.drifts), None)
    if day is None:
        return NO_FIGURE
    name = max(day.drifts, key=lambda name: day.drifts[name].psi)
    return f"<b>{day.drifts[name].psi:.3f}</b> PSI of <bdi>{plain(name)}</bdi> on <time>{day.ds}</time>"


def _states(days: Sequence[Summary]) -> str:
    axis = axis_of([day.ds for day in days])
    shapes = cells(axis, [("state", {day.ds: _level(day) for day in days})])
    titles = {day.ds: f"{day.breaches} crossed" if day.breaches else STATES[_level(day)][2] for day in days}
    chart = Chart(axis, "The state of each day", titles, 1).draw(shapes)
    met = {_level(day) for day in days}
    legend = {f"state{level}": words for level, (_, _, words) in enumerate(STATES) if level and level in met}
    crossed = {day.ds: float(day.breaches) for day in days if day.breaches}
    legend |= {"dash": "not known"} if any(day.breaches is None for day in days) else {}
    latest = _latest(crossed, "{:,.0f} crossed") if crossed else "No day crossed a limit"
    return _card("Limits", latest, chart, legend, days)


def _volume(days: Sequence[Summary]) -> str:
    rows = _values(days, "rows")
    axis = axis_of([day.ds for day in days])
    scale = Scale(0, max(rows.values(), default=1))
    missing = [day.ds for day in days if day.ds not in rows]
    shapes = bars("bar", axis, {ds: (0.0, top) for ds, top in rows.items()}, scale) + dashes(axis, missing)
    titles = {day.ds: f"{day.rows:,} rows scored" if day.rows is not None else "not known" for day in days}
    legend = {"dash": "not known"} if missing else {}
    chart = Chart(axis, "Rows scored on each day", titles).draw(shapes, labels=scale.labels("{:,.0f}".format))
    return _card("Rows scored", _latest(rows, "{:,.0f}"), chart, legend, days)


def _rejects(days: Sequence[Summary]) -> str:
    shares = {day.ds: 100 * _rejected_share(day) for day in days if day.rejected is not None}
    axis = axis_of([day.ds for day in days])
    scale = Scale(0, max([0.1, *shares.values()]))
    missing = [day.ds for day in days if day.ds not in shares]
    crossed = {day.ds: shares[day.ds] for day in days if day.ds in shares and "rejected" in day.crossed}
    shapes = line("line", axis, shares, scale) + dots("dot", axis, shares, scale)
    shapes += dots("crossed", axis, crossed, scale) + dashes(axis, missing)
    titles = {
        day.ds: f"{day.rejected:,} rows rejected, {shares[day.ds]:.2f}%" if day.ds in shares else "not counted"
        for day in days
    }
    chart = Chart(axis, "Rejected rows of each day, in percent", titles).draw(
        shapes, labels=scale.labels("{:.1f}%".format)
    )
    legend = ({"red": "above the limit"} if crossed else {}) | ({"dash": "not counted"} if missing else {})
    return _card("Rows rejected", _latest(shares, "{:.2f}%"), chart, legend, days)


def _rejected_share(day: Summary) -> float:
    """The share of the data's rows that were rejected; 0 of no rows."""
    return (day.rejected or 0) / (((day.rows or 0) + (day.rejected or 0)) or 1)


def _model_name(day: Summary) -> str:
    return f"version {day.version}" if day.version else day.model


def _short_name(day: Summary) -> str:
    return f"v{day.version[:10]}" if day.version else re.sub("^models/....-", "", day.model)[:10]


def _card(
    title: str,
    latest: str,
    chart: str,
    legend: Mapping[str, str],
    days: Sequence[Summary],
    left: str = "",
    kind: str = "",
) -> str:
    """A chart with its title, its newest value and the meaning of its signs. One day alone needs no chart."""
    head = f'<section class="{kind}">\n<h2>{plain(title)}</h2>\n<p class="latest">{latest}</p>\n'
    if len(days) == 1:
        return f"{head}</section>\n"
    gaps = {"grey": "no report"} if _gaps(days) else {}
    keys = [f'<span><i class="{kind}"></i>{meaning}</span>' for kind, meaning in {**legend, **gaps}.items()]
    keys += [f"<span>{left}</span>"] if left else []
    return f'{head}{chart}\n<p class="note legend">{" ".join(keys)}</p>\n</section>\n'


def _latest(values: Mapping[str, float], form: str) -> str:
    """The newest value and its day, which need not be the newest day."""
    if not values:
        return NO_FIGURE
    ds, value = list(values.items())[-1]
    return f"<b>{form.format(value)}</b> on <time>{ds}</time>"


def _values(days: Sequence[Summary], name: str) -> dict[str, float]:
    """A figure of the days that have it."""
    found = {day.ds: getattr(day, name) for day in days}
    return {ds: value for ds, value in found.items() if value is not None}


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
    drift = max((drift.psi for drift in day.drifts.values()), default=None)
    facts = [
        plain(_figure(day)) if day.live is not None or day.estimate is not None else "metric not measured",
        f"drift {drift:.3f}" if drift is not None else "drift not measured",
        f"{day.rows:,} rows" if day.rows is not None else "",
        f"{day.rejected:,} rejected" if day.rejected is not None else "rejects not counted",
        f"<bdi>{plain(_model_name(day))}</bdi>" if _model_name(day) else "",
        f"in shadow {plain(day.shadow[0], MOST_TEXT)}" if day.shadow else "",
    ]
    facts = facts if day.breaches is not None else []
    return f'<li>{link} <span class="note">{", ".join(filter(None, facts))}</span> {_state(day)}</li>'


def _level(day: Summary) -> int:
    """The number of the day's state in STATES: what its own page says, so that no day is good here alone.

    A mark of before has no state. Such a day may be partly measured, and is not called good.
    """
    if day.breaches is None:
        return 0
    if day.breaches:
        return CROSSED
    return NAMED.get(day.state, 5 if day.is_measured else 2)


def _state(day: Summary) -> str:
    kind, sign, words = STATES[_level(day)]
    number = f"{day.breaches} " if day.breaches else ""
    return f'<span class="state {kind}"><span aria-hidden="true">{sign}</span> {number}{words}</span>'
