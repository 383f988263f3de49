"""The command `backtest-page`: writes the page of a backtest, one file that lets a browser load nothing."""

import logging
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from stagekit import Publication, publish, read_partition
from stagekit.contract import read_document

from rendering import render_template

BACKTEST, PAGE = "backtest.json", "backtest.html"
SIZE = (540.0, 260.0)
# Days that are written at the axis of a chart.
MOST_TICKS = 5
# What became of a promotion: words for people, in the order of a table.
OUTCOMES = {"paid": "paid", "unclear": "no clear difference", "regretted": "regretted"}

log = logging.getLogger("report")


def backtest_page(args: Namespace) -> Mapping[str, Any]:
    """Read backtests/{ds}, publish reports/{ds}/backtest.html. Returns its size."""
    backtest = read_partition(args.data_dir, f"backtests/{args.ds}", [BACKTEST])
    content = read_document(backtest, BACKTEST)

    def work(publication: Publication) -> Mapping[str, Any]:
        page = render(content).encode()
        publication.path(PAGE).write_bytes(page)
        log.info("wrote %s/%s: %d bytes", publication.name, PAGE, len(page))
        return {"page": PAGE, "bytes": len(page)}

    return publish(args, f"reports/{args.ds}", "backtest-page", work, inputs=[backtest])


def render(content: Mapping[str, Any]) -> str:
    """The text of the page."""
    scored = [day["ds"] for day in content["scored"]]
    strategies = [_strategy(one, scored, content["metric"]) for one in content["strategies"]]
    return render_template(
        "backtest.html",
        ds=content["ds"],
        metric=content["metric"],
        first=scored[0] if scored else "",
        last=scored[-1] if scored else "",
        scored=len(scored),
        models=len(content["models"]),
        learned=content["days"][0] if content["days"] else "",
        left_out=content["left_out"],
        strategies=strategies,
        best=_best(content["strategies"]),
    )


def _strategy(one: Mapping[str, Any], scored: Sequence[str], metric: str) -> dict[str, Any]:
    counts = Counter(promotion["outcome"] for promotion in one["promotions"])
    name = f"{window_words(one['window'])}, {every_words(one['every'])}"
    return {
        "name": name,
        "mean": _figure(one["mean"]),
        "gain": _figure(_over_all_days(one["gain"], one["mean"]), signed=True),
        "outcomes": ", ".join(f"{counts[name]} {words}" for name, words in OUTCOMES.items() if counts[name]),
        "chart": _chart(one["days"], scored, metric),
        "days": [{**day, "figure": _figure(day)} for day in one["days"]],
        "promotions": [
            {
                "trained": promotion["trained"],
                "gain": _figure(promotion["gain"], signed=True),
                "outcome": OUTCOMES.get(promotion["outcome"], promotion["outcome"]),
                "kind": {"paid": "better", "regretted": "worse"}.get(promotion["outcome"], ""),
            }
            for promotion in one["promotions"]
        ],
        "untrained": one["untrained"],
    }


def _over_all_days(gain: Mapping[str, Any] | None, mean: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The gain as a mean over all days, so that it is the difference of two means of the table.

    The file has it over the days that another model than the first scored; on the others it is exactly 0.
    """
    if not gain or not mean:
        return None
    share = gain["days"] / mean["days"]
    return {"value": share * gain["value"], "interval": [share * bound for bound in gain["interval"]]}


def window_words(days: int) -> str:
    """A window in words."""
    return f"{days} day" if days == 1 else f"{days} days"


def every_words(days: int) -> str:
    """A number of days between trainings in words."""
    return {0: "trained once", 1: "trained each day"}.get(days, f"trained every {days} days")


def _figure(found: Mapping[str, Any] | None, signed: bool = False) -> dict[str, str]:
    from svg import number
    from svg import signed as with_sign

    if found is None:
        return {"value": "–", "interval": ""}
    form = with_sign if signed else number
    low, high = found["interval"]
    return {"value": form(found["value"]), "interval": f"{form(low)} to {form(high)}"}


def _chart(days: Sequence[Mapping[str, Any]], scored: Sequence[str], metric: str) -> Any:
    """The metric of each day, its interval as thin lines."""
    from charts import Frame, Series, lines
    from svg import padded

    first, last = (date.fromisoformat(scored[end]) for end in (0, -1)) if scored else (date.min, date.min)
    place = {ds: float((date.fromisoformat(ds) - first).days) for ds in scored}
    bounds = [bound for day in days for bound in day["interval"]]
    frame = Frame(
        f"{metric} of each day, and its interval",
        "day",
        metric,
        (0.0, float(max(1, (last - first).days))),
        padded(bounds) if bounds else (0.0, 1.0),
        x_texts=_ticks(first, (last - first).days) if scored else (),
    )
    of_bound = [[(place[day["ds"]], float(day["interval"][side])) for day in days] for side in (0, 1)]
    values = [(place[day["ds"]], float(day["value"])) for day in days]
    return lines(frame, [Series("", values, 0), *(Series("", points, 0, thin=True) for points in of_bound)], SIZE)


def _ticks(first: date, length: int) -> list[tuple[float, str]]:
    """Days at about equal distances, the first and the last with their year."""
    number = min(MOST_TICKS - 1, length) or 1
    places = sorted({round(length * tick / number) for tick in range(number + 1)})
    texts = ((place, (first + timedelta(days=place)).isoformat()) for place in places)
    return [(float(place), text if place in (0, length) else text[5:]) for place, text in texts]


def _best(strategies: Sequence[Mapping[str, Any]]) -> str:
    """A sentence on the strategy with the highest mean; which are as good as it, the intervals say."""
    known = [one for one in strategies if one["mean"]]
    if not known:
        return "No strategy scored a day."
    best = max(known, key=lambda one: one["mean"]["value"])
    words = f"{window_words(best['window'])}, {every_words(best['every'])}"
    return f"The highest mean: {words}, {_figure(best['mean'])['value']}."
