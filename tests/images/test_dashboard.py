"""The start page of the reports, from the real service in a real browser: few and many days, gaps, missing figures."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from maintain.browser import open_browser
from playwright.sync_api import Browser

from tests.harness import Data, copy_of, docker
from tests.images import reports_lab
from tests.images.reports_lab import DESKTOP, PHONE, Service, open_page, start_service, watch

# One process makes the world of both files.
LAST = "2026-11-22"
# Days before LAST that get a copy of its report with other figures; {number: changes}. A number that is left out has
# no report.
SHADOW = {"version": "version 7, day 2 of 3", "figures": "Area under the ROC curve 0.91, the champion's 0.90 <b>"}
FIRST_SHADOW = {"version": "version 7, day 1 of 3", "figures": "no day with labels has been compared yet"}
FEW: dict[int, dict[str, Any]] = {
    0: {"shadow": SHADOW},
    2: {"version": "1", "shadow": FIRST_SHADOW},
    9: {"version": "1"},
}
MANY: dict[int, dict[str, Any]] = {
    number: {
        "version": str(60 - number // 7),
        "metric": 0.6 if number == 50 else 0.9 + number % 5 / 100,
        "breaches": [{"what": "floors", "text": "roc_auc 0.6 is below the floor 0.7"}] if number == 50 else [],
        "is_unmeasured": number == 20,
        "trained_on_day": number == 399,
        "shadow": SHADOW if 10 <= number < 17 else None,
    }
    for number in range(400)
    if not 100 <= number < 115
}
COPY = """
import hashlib, json, pathlib, sys
root = pathlib.Path("/data/reports")
source, days = sys.argv[1], json.loads(sys.argv[2])
page, mark = (root / source / "index.html").read_text(), json.loads((root / source / "_meta.json").read_text())
evaluation = json.loads((root / source / "evaluation.json").read_text())
for ds, changes in days.items():
    mine = json.loads(json.dumps(evaluation))
    mine |= {"ds": ds, "trained_on_day": changes.get("trained_on_day", False)}
    mine["breaches"] = changes.get("breaches", mine["breaches"])
    mine["model"]["version"] = changes.get("version", mine["model"]["version"])
    if "metric" in changes:
        mine["metrics"]["roc_auc"] = changes["metric"]
    mine["drift"] = changes.get("drift", mine["drift"])
    mine["estimate"] = changes.get("estimate")
    if changes.get("is_unmeasured"):
        mine["metrics"] = None
    files = {"evaluation.json": json.dumps(mine), "index.html": page.replace(source, ds)}
    marked = json.loads(json.dumps(mark).replace(source, ds))
    marked["outputs"] = {name: marked["outputs"][name] for name in files}
    marked["steps"][marked["outputs"]["index.html"]["step"]]["result"].update(
        {"shadow": changes.get("shadow"), "state": changes.get("state")}
    )
    folder = root / ds
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
        marked["outputs"][name]["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "_meta.json").write_text(json.dumps(marked))
"""


@pytest.fixture(scope="module")
def scored(world: Data) -> Iterator[Data]:
    """The newest report that the real stages made, as the report of LAST."""
    with copy_of(world, "dashboard") as data:
        make_copies(data, reports_lab.LAST, {LAST: {}})
        for ds in (reports_lab.FIRST, reports_lab.LAST):
            data.remove(f"reports/{ds}")
        yield data


def make_copies(data: Data, source: str, days: dict[str, dict[str, Any]]) -> None:
    """Give days a copy of a day's report, each with its changes."""
    data.python(f"import sys; sys.argv[1:] = {[source, json.dumps(days)]!r}\n{COPY}")


@contextmanager
def served(scored: Data, days: dict[int, dict[str, Any]]) -> Iterator[Service]:
    """The service on the days before LAST, by number."""
    dated = {(date.fromisoformat(LAST) - timedelta(days=number)).isoformat(): one for number, one in days.items()}
    with copy_of(scored, "dashboard-days") as data:
        make_copies(data, LAST, dated)
        one = start_service(f"{data.mount}:ro")
        try:
            yield one
        finally:
            docker("rm", "--force", one.container)


@pytest.fixture(scope="module")
def services(scored: Data) -> Iterator[dict[str, Service]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(served(scored, days)) for name, days in {"few": FEW, "many": MANY}.items()}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as one:
        yield one


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("days", ["few", "many"])
def test_dashboard_fits_is_quiet_and_shows_each_day_in_each_chart(
    services: dict[str, Service], browser: Browser, days: str, size: tuple[int, int], scheme: Any
) -> None:
    width, height = size
    with open_page(browser, viewport={"width": width, "height": height}, color_scheme=scheme) as page:
        said, asked = watch(page)
        page.goto(services[days].url)
        if pictures := os.environ.get("ML_TEST_PICTURES"):
            page.screenshot(path=Path(pictures) / f"dashboard-{days}-{width}-{scheme}.png")
        assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [width, width]
        assert (said, asked) == ([], [f"{services[days].url}/"])
        charts = page.locator("svg.chart")
        expected = {"few": FEW, "many": MANY}[days]
        assert [charts.nth(at).locator("a").count() for at in range(charts.count())] == [len(expected)] * 5
        assert page.evaluate("[...document.querySelectorAll('svg.chart')].every(e => e.clientWidth > 200)")
        assert page.evaluate("[...document.querySelectorAll('svg.chart text')].every(within)".replace("within", WITHIN))


# A text that is outside of its card would be cut or lie over another.
WITHIN = """text => { const [inner, outer] = [text, text.closest('section')].map(e => e.getBoundingClientRect());
    return inner.left >= outer.left && inner.right <= outer.right }"""


def test_click_on_a_day_of_a_chart_opens_its_page(services: dict[str, Service], browser: Browser) -> None:
    with open_page(browser) as page:
        page.goto(services["few"].url)
        page.locator("svg.chart a").first.click()
        page.wait_for_url(f"{services['few'].url}/2026-11-13/")


def test_gaps_and_missing_figures_are_visible(services: dict[str, Service]) -> None:
    page = services["few"].text("/")
    assert re.findall(r'<rect class="gap" x="(\d+)" y="0" width="(\d+)"', page) == [("1", "6"), ("8", "1")] * 5
    assert re.findall(r'<li class="missing">(.*?)</li>', page) == [
        "2026-11-21: no report",
        "2026-11-14 to 2026-11-19: no report",
    ]
    shadow = "Area under the ROC curve 0.91, the champion&#x27;s 0.90 &lt;b&gt;"
    assert f'<dt>In shadow</dt><dd>version 7, day 2 of 3</dd><dd class="note">{shadow}</dd>' in page
    # Each day in shadow has a mark, its words in the text over the chart, and in the list.
    assert re.findall(r'<path class="shadow" d="([^"]*)"', page) == ["M7.1 91h0.8M9.1 91h0.8"]
    titles = dict(re.findall(r"<title>([0-9-]+): (.*?)</title>", page.partition("<h2>Drift")[0]))
    assert titles["2026-11-20"].endswith(f"; in shadow version 7, day 1 of 3, {FIRST_SHADOW['figures']}")
    assert "shadow" not in titles["2026-11-13"]
    assert page.partition("<ol>")[2].count("in shadow version 7, day") == 2
    many = services["many"].text("/")
    assert "In shadow" not in many
    assert [path.count("M") for path in re.findall(r'<path class="shadow" d="([^"]*)"', many)] == [7]
    assert '<dt>Days with a report</dt><dd>3</dd><dd class="note">7 missing in between</dd>' in page


def test_one_day_is_shown_in_figures_without_charts(scored: Data, browser: Browser) -> None:
    with served(scored, {0: {}}) as one, open_page(browser) as page:
        page.goto(one.url)
        assert page.locator("svg").count() == 0
        assert page.locator(".charts section b").count() >= 4
        assert page.locator(".tiles a").get_attribute("href") == f"/{LAST}/"


def test_heat_map_tells_unmeasured_drift_from_none_and_the_champion_change_is_marked(scored: Data) -> None:
    moved = {"features": [{"name": "amount", "kind": "number", "psi": 0.4, "by_chance": 0.01}], "score": {"psi": 0.2}}
    days: dict[int, dict[str, Any]] = {
        0: {"version": "2", "drift": moved},
        1: {"version": "1", "drift": None},
        2: {"version": "1"},
    }
    with served(scored, days) as one:
        page = one.text("/")
    cells = {kind: path.count("M") for kind, path in re.findall(r'<path class="cell (drift\d)" d="([^"]*)"', page)}
    titles = dict(re.findall(r"<title>([0-9-]+): (.*?)</title>", page.partition("<h2>Drift")[2].partition("<h2>")[0]))
    # The score and the feature on the newest day; on the day before, the score and each feature have a dash.
    assert cells["drift3"] == 1
    assert cells["drift2"] == 1
    assert cells["drift0"] > 2
    assert titles["2026-11-22"] == "PSI of the score 0.200, amount 0.400"
    assert titles["2026-11-21"] == "not measured"
    assert re.findall(r'<path class="mark" d="([^"]*)"', page) == ["M2 0V100"]


def test_day_without_labels_has_its_estimate_as_a_dot_that_no_line_reaches(scored: Data) -> None:
    estimate = {"rows": 1900, "roc_auc": 0.87, "average_precision": 0.4, "intervals": {"roc_auc": [0.82, 0.91]}}
    days = {0: {"is_unmeasured": True, "estimate": estimate}, 1: {"estimate": estimate}, 2: {}}
    with served(scored, days) as one:
        page = one.text("/")
    titles = dict(re.findall(r"<title>([0-9-]+): (.*?)</title>", page.partition("<h2>Drift")[0]))
    assert titles[LAST].startswith("roc_auc not measured, estimated 0.8700 (0.8200 to 0.9100), at training 0.")
    assert "estimated" not in titles["2026-11-21"]
    assert [path.count("M") for path in re.findall(r'<path class="estimate" d="([^"]*)"', page)] == [1]
    line = re.search(r'<path class="line" d="([^"]*)"', page)
    assert line
    assert re.findall(r"[ML]([\d.]+)", line[1])[-1] == "1.5"
    assert "roc_auc not measured, estimated 0.8700" in page.partition("<ol>")[2]


def test_figures_that_do_not_count_are_not_drawn(services: dict[str, Service]) -> None:
    page = services["many"].text("/")
    titles = dict(re.findall(r"<title>([0-9-]+): (.*?)</title>", page.partition("<h2>Drift")[0]))
    unmeasured, trained_on = ("2026-11-02", "2025-10-19")
    assert titles[unmeasured].startswith("not measured")
    assert titles[trained_on].startswith("not measured")
    assert re.match(r"roc_auc 0.6000 \(0\.\d+ to \d\.\d+\), at training 0.\d+, version", titles["2026-10-03"])
    line = re.search(r'<path class="line" d="([^"]*)"', page)
    assert line
    # Upright lines over the whole height would hide so many days.
    assert {end.split("M")[0] for end in re.findall(r'<path class="mark" d="([^"]*)"', page)[0].split("V")[1:]} == {"5"}
    # The day before the oldest gap, the gap of 15 days, the day without figures: each breaks the line.
    assert line[1].count("M") == 3
    crossed = re.findall(r'<path class="crossed small" d="([^"]*)"', page.partition("<h2>Drift")[0])
    assert [dots.count("M") for dots in crossed] == [1]


def test_state_of_a_day_is_that_of_its_page(scored: Data) -> None:
    """A mark of before has none; such a day may lack labels, so the start page does not call it good."""
    quiet = {"breaches": []}
    broken = {"breaches": [{"what": "floors", "text": "roc_auc 0.6 is below the floor 0.7"}], "state": "crossed"}
    days: dict[int, dict[str, Any]] = {
        0: quiet | {"state": "good"},
        1: quiet | {"state": "partly measured", "trained_on_day": True},
        2: quiet | {"state": "not confirmed"},
        3: broken,
        4: quiet,
        5: quiet | {"is_unmeasured": True},
        6: quiet | {"state": "a word of later"},
    }
    with served(scored, days) as one:
        page = one.text("/")
    states = ["good", "partly measured", "not confirmed", "1 crossed", "measured", "partly measured", "measured"]
    assert re.findall(r"</span> ([^<]*)</span></li>", page) == states
    limits = dict(re.findall(r"<title>([0-9-]+): (.*?)</title>", page.partition("<h2>Limits")[2].partition("<h2>")[0]))
    assert [*reversed(limits.values())] == states
    assert re.findall(r'<i class="state(\d)"></i>([^<]*)<', page) == [
        ("1", "good"), ("2", "partly measured"), ("3", "crossed"), ("4", "not confirmed"), ("5", "measured"),
    ]  # fmt: skip
    note = "1 good; 2 partly measured; 1 not confirmed; 2 measured"
    assert f'<dt>Days that crossed a limit</dt><dd>1</dd><dd class="note">{note}</dd>' in page


def test_months_of_many_days_are_closed_but_for_the_newest(services: dict[str, Service], browser: Browser) -> None:
    with open_page(browser) as page:
        page.goto(services["many"].url)
        assert page.locator("summary").count() == 14
        assert page.locator("details[open]").count() == 2
        assert page.locator("summary").first.inner_text().split("\n")[0].startswith("November 2026")


@pytest.mark.parametrize(
    ("path", "links"),
    [
        ("/2026-11-22/", ["/2026-11-20/", "/"]),
        ("/2026-11-20/", ["/2026-11-13/", "/", "/2026-11-22/"]),
        ("/2026-11-13/", ["/", "/2026-11-20/"]),
        ("/2026-11-16/", ["/2026-11-13/", "/", "/2026-11-20/"]),
        ("/2027-01-01/", ["/2026-11-22/", "/"]),
    ],
)
def test_day_links_to_the_nearest_days_that_have_a_report(
    services: dict[str, Service], path: str, links: list[str]
) -> None:
    page = services["few"].ask(path).content.decode()  # type: ignore[attr-defined]
    days = re.search(r'<div class="days">.*?</div>', page, re.DOTALL)
    assert days
    assert re.findall(r'href="([^"]*)"', days[0]) == links


def test_page_with_links_is_sent_again_once_a_new_day_has_come(scored: Data) -> None:
    with copy_of(scored, "dashboard-new-day") as data:
        one = start_service(f"{data.mount}:ro")
        try:
            known = str(one.ask(f"/{LAST}/").getheader("ETag"))
            assert one.ask(f"/{LAST}/", If_None_Match=known).status == 304
            make_copies(data, LAST, {"2026-11-23": {}})
            response = one.ask(f"/{LAST}/", If_None_Match=known)
            assert response.status == 200
            assert b'href="/2026-11-23/"' in response.content  # type: ignore[attr-defined]
        finally:
            docker("rm", "--force", one.container)
