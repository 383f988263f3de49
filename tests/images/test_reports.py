"""The page of a day, made by the real stages, in a real browser, from the real service; and the service by itself."""

import json
import os
import re
import socket
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow_ml.common import AirflowMlError
from maintain.browser import open_browser
from maintain.screenshots import show
from playwright.sync_api import Browser, Page

from tests.harness import (
    PATIENCE_S,
    Data,
    docker,
    images,
    page_login,
    python,
    wait_until,
)
from tests.images.reports_lab import (
    DESKTOP,
    FIRST,
    LAST,
    NEW_MODEL,
    OLD_MODEL,
    PASSWORD,
    PHONE,
    Service,
    by_dag,
    open_page,
    report,
    start_service,
    watch,
)

# One process makes the world of both files.
# A folder of ours that pretends to be a day, each in its own way; run on the volume as the user of the stages.
HOSTILE = """
import hashlib, json, os, pathlib
root = pathlib.Path("/data/reports")
def day(ds, page=b"SECRET", marked=None, partition=None):
    folder = root / ds
    folder.mkdir(parents=True)
    (folder / "index.html").write_bytes(page)
    sha256 = hashlib.sha256(page if marked is None else marked).hexdigest()
    output = {"sha256": sha256, "size": len(page), "step": "page"}
    mark = {"version": 1, "partition": partition or f"reports/{ds}", "outputs": {"index.html": output}, "steps": {}}
    (folder / "_meta.json").write_text(json.dumps(mark))
    return folder
day("2026-01-01", marked=b"other bytes")
day("2026-01-02", partition="reports/2026-01-03")
(day("2026-01-04") / "_meta.json").unlink()
linked = day("2026-01-05", page=pathlib.Path("/etc/passwd").read_bytes())
(linked / "index.html").unlink()
(linked / "index.html").symlink_to("/etc/passwd")
(root / "2026-01-06").symlink_to(day("2026-01-07"))
piped = day("2026-01-08")
(piped / "index.html").unlink()
os.mkfifo(piped / "index.html")
unmeasured = day("2026-01-10")
kinds = {"number": 0.111, "weekday": 5, "day": 6, "month": 7, "yearday": 8}
drift = {"features": [{"name": kind, "kind": kind, "psi": psi} for kind, psi in kinds.items()], "score": {"psi": 0.05}}
model = {"name": "models/x", "version": None}
evaluation = {"rows": 7, "model": model, "metrics": None, "drift": drift, "breaches": []}
content = json.dumps(evaluation).encode()
(unmeasured / "evaluation.json").write_bytes(content)
mark = json.loads((unmeasured / "_meta.json").read_text())
mark["outputs"]["evaluation.json"] = {"sha256": hashlib.sha256(content).hexdigest()}
(unmeasured / "_meta.json").write_text(json.dumps(mark))
day("not-a-day")
(day("2026-01-09") / "_meta.json").write_text("[" * 100_000)
(root / "secret.txt").write_text("SECRET")
"""
UNPUBLISHED = {
    "2026-01-01": 503,  # torn
    "2026-01-02": 404,  # another partition's mark
    "2026-01-04": 404,  # no mark
    "2026-01-05": 404,  # the page is a link
    "2026-01-06": 404,  # the folder is a link
    "2026-01-08": 404,  # a pipe
    "2026-01-09": 404,  # a mark that is no mark
}


@pytest.fixture(scope="module")
def service(world: Data) -> Iterator[Service]:
    one = start_service(f"{world.mount}:ro")
    yield one
    docker("rm", "--force", one.container)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as one:
        yield one


# --- the page ---


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("path", ["/", f"/{FIRST}/", f"/{LAST}/", f"/{LAST}/backtest.html"])
def test_page_is_quiet_loads_nothing_and_fits(
    service: Service, browser: Browser, tmp_path: Path, path: str, size: tuple[int, int], scheme: Any
) -> None:
    width, height = size
    with open_page(browser, viewport={"width": width, "height": height}, color_scheme=scheme) as page:
        said, asked = watch(page)
        page.goto(service.url + path)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        if pictures := os.environ.get("ML_TEST_PICTURES"):
            name = f"{path.strip('/').replace('/', '-') or 'index'}-{width}-{scheme}.png"
            page.screenshot(path=Path(pictures) / name, full_page=True)
        assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [width, width]
        assert others(page, ".bars, .bars *", FITS) == []
        assert others(page, ".scroll", FITS) == []
        assert others(page, "table:not(.matrix)", FILLS) == []
        assert said == []
        assert asked == [service.url + path]


# What is wider than its section can only be read by scrolling; what is much narrower leaves half of a card empty.
FITS = """(one => { const [inner, outer] = [one, one.closest('section')].map(e => e.getBoundingClientRect());
    return inner.left >= outer.left && inner.right <= outer.right && one.scrollWidth <= one.clientWidth + 1 })"""
FILLS = """(one => one.clientWidth > 0.95 * one.parentElement.clientWidth)"""


def others(page: Page, selector: str, rule: str) -> list[str]:
    """The names of those elements that break a rule, or their texts."""
    broken = f"[...document.querySelectorAll('{selector}')].filter(one => !{rule}(one))"
    return list(page.evaluate(f"{broken}.map(one => one.ariaLabel ?? one.textContent)"))


def test_page_on_paper_fits_and_is_dark_on_white(service: Service, browser: Browser) -> None:
    with open_page(browser, viewport={"width": 794, "height": 1123}, color_scheme="dark") as page:
        page.goto(f"{service.url}/{LAST}/")
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") == 794
        ink, paper = page.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
        assert brightness(ink) < 200 < brightness(paper)
        assert not page.locator("nav").is_visible()


def test_page_cannot_load_or_run_anything_even_if_something_got_into_it(service: Service, browser: Browser) -> None:
    with open_page(browser) as page:
        _, asked = watch(page)
        page.goto(f"{service.url}/{LAST}/")
        page.evaluate(
            """() => {
                for (const [tag, key] of [["img", "src"], ["script", "src"], ["iframe", "src"], ["link", "href"]]) {
                    const one = document.createElement(tag);
                    one.rel = "stylesheet";
                    one[key] = "http://127.0.0.1:9/stolen";
                    document.body.append(one);
                }
                const inline = document.createElement("script");
                inline.textContent = "document.title = 'owned'";
                document.body.append(inline);
            }"""
        )
        page.wait_for_timeout(300)
        assert "owned" not in page.title()
        failed = [url for url in asked if "stolen" in url]
        assert page.evaluate("performance.getEntriesByType('resource').filter(e => e.responseStatus).length") == 0
        assert len(failed) <= 4  # the browser names what its policy stopped; nothing was answered
        assert [frame.url for frame in page.frames if frame.parent_frame] in ([], ["chrome-error://chromewebdata/"])


def test_page_shows_what_the_evaluation_holds(world: Data, service: Service) -> None:
    evaluation = world.json(f"reports/{LAST}/evaluation.json")
    page = service.text(f"/{LAST}/")
    assert f"{evaluation['rows']:,}" in page
    for figures in (evaluation["metrics"], evaluation["trained"]):
        assert f"{figures['roc_auc']:.4f}" in page
    for feature in evaluation["drift"]["features"]:
        assert feature["name"] in page
        assert f"PSI <b>{feature['psi']:.4f}</b>" in page or feature["psi"] < 1e-4 or feature["psi"] >= 2
    comparison = json.loads(world.read(f"comparisons/{NEW_MODEL.removeprefix('models/')}/comparison.json"))
    assert f"{abs(comparison['difference']):.4f}" in page
    assert OLD_MODEL in page
    assert "No candidate has been compared" in service.text(f"/{FIRST}/")


def test_page_is_not_made_again_but_with_force_it_is_the_same(world: Data) -> None:
    before = world.read(f"reports/{LAST}/index.html")
    assert report(world, LAST)["cached"] is True
    assert "cached" not in by_dag(world, "monitor", LAST).page(LAST, "--force").line
    report(world, LAST)
    assert world.read(f"reports/{LAST}/index.html") == before


def test_lineage_reaches_from_the_page_to_the_raw_data(world: Data) -> None:
    page = world.read(f"reports/{LAST}/index.html")
    for partition in (f"raw/{LAST}", "raw/2026-11-15", "processed/2026-11-15", NEW_MODEL, f"predictions/{LAST}"):
        assert f'<th scope="row"><bdi>{partition}</bdi></th>' in page
    assert re.search(r"prediction:[0-9a-f]{12}", page)


def test_plots_are_shown_by_a_browser(world: Data, browser: Browser, tmp_path: Path) -> None:
    for name in ("roc", "precision_recall", "calibration", "importances", "training_curve"):
        file = tmp_path / f"{name}.svg"
        file.write_text(world.read(f"plots/{NEW_MODEL.removeprefix('models/')}/{name}.svg"))
        for scheme in ("light", "dark"):
            with open_page(browser, color_scheme=scheme) as page:
                said, asked = watch(page)
                page.goto(file.as_uri())
                if pictures := os.environ.get("ML_TEST_PICTURES"):
                    page.screenshot(path=Path(pictures) / f"{name}-{scheme}.png")
                assert page.evaluate("document.documentElement.tagName") == "svg"
                ink = page.evaluate("getComputedStyle(document.querySelector('text.h')).fill")
                paper = page.evaluate("getComputedStyle(document.querySelector('.paper')).fill")
                assert (brightness(ink) > brightness(paper)) == (scheme == "dark")
                assert (said, asked) == ([], [file.as_uri()])


def brightness(colour: str) -> int:
    return sum(map(int, re.findall(r"\d+", colour)))


def test_no_picture_is_taken_of_a_page_that_is_missing(service: Service, browser: Browser) -> None:
    with open_page(browser) as page, pytest.raises(AirflowMlError, match=r"/2099-01-01/ answers 404"):
        show(page, f"{service.url}/2099-01-01/")


# --- the service ---


@pytest.fixture(scope="module")
def hostile() -> Iterator[Service]:
    """The service on a folder in which nothing is as it should be."""
    volume = f"airflow-ml-test-reports-{uuid.uuid4().hex[:12]}"
    docker("volume", "create", volume)
    python(images()["base"], HOSTILE, f"--volume={volume}:/data")
    one = start_service(f"--volume={volume}:/data:ro")
    yield one
    docker("rm", "--force", one.container)
    docker("volume", "rm", "--force", volume)


def test_list_names_the_days_newest_first_with_state_and_model(world: Data, service: Service) -> None:
    page = service.text("/")
    assert re.findall(r'<li><a href="/([0-9-]+)/">', page) == [LAST, FIRST]
    assert page.index("<bdi>version 2</bdi>") < page.index("<bdi>version 1</bdi>")
    breaches = [len(world.json(f"reports/{ds}/evaluation.json")["breaches"]) for ds in (LAST, FIRST)]
    states = re.findall(r"</span> (good|\d+ crossed)</span></li>", page)
    assert states == [f"{number} crossed" if number else "good" for number in breaches]


def test_list_does_not_call_a_day_without_metrics_good(hostile: Service) -> None:
    line = re.search(r'<li><a href="/2026-01-10/">.*', hostile.text("/"))
    assert line
    assert "partly measured" in line[0]
    assert "good" not in line[0]


def test_chart_of_drift_leaves_out_the_calendar_which_always_moves(hostile: Service) -> None:
    assert "PSI of the score 0.050, number 0.111" in hostile.text("/")


@pytest.mark.parametrize(("ds", "status"), UNPUBLISHED.items())
def test_what_was_not_published_is_not_served(hostile: Service, ds: str, status: int) -> None:
    response = hostile.ask(f"/{ds}/")
    assert response.status == status
    assert b"SECRET" not in response.content  # type: ignore[attr-defined]
    assert b"root:" not in response.content  # type: ignore[attr-defined]
    assert f'href="/{ds}/"' not in hostile.text("/") or status == 503


@pytest.mark.parametrize(
    "path",
    [
        "/secret.txt",
        "/../predictions/x",
        "/2026-01-07/../secret.txt",
        "/2026-01-07/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "//etc/passwd",
        "/2026-01-07//index.html",
        "/2026-01-07/_meta.json",
        "/2026-01-07/evaluation.json",
        "/not-a-day/",
        "/2026-02-30/",
        "/２０２６-01-07/".encode().decode("latin-1"),
        "/2026-01-07/index.html%00",
        "http://localhost/2026-01-07/",
        "/" + "x" * 4000,
    ],
)
def test_nothing_but_pages_can_be_asked_for(hostile: Service, path: str) -> None:
    login = page_login(PASSWORD)["Authorization"]
    with socket.create_connection(("127.0.0.1", hostile.port), timeout=PATIENCE_S) as connection:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {login}\r\n\r\n".encode("latin-1")
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 "))
    assert b"SECRET" not in answer


def test_page_of_a_day_is_served_as_published(hostile: Service) -> None:
    response = hostile.ask("/2026-01-07/")
    assert (response.status, response.content) == (200, b"SECRET")  # type: ignore[attr-defined]
    moved = hostile.ask("/2026-01-07")
    assert (moved.status, moved.getheader("Location")) == (308, "/2026-01-07/")
    again = hostile.ask("/2026-01-07/?from=here", If_None_Match=str(response.getheader("ETag")))
    assert (again.status, again.content) == (304, b"")  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["/", "/2026-01-07/", "/healthz", "/nothing"])
def test_every_answer_has_the_headers_that_keep_a_browser_safe(hostile: Service, path: str) -> None:
    response = hostile.ask(path)
    policy = str(response.getheader("Content-Security-Policy"))
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    assert response.getheader("X-Frame-Options") == "DENY"
    assert response.getheader("Access-Control-Allow-Origin") is None


def test_head_has_the_headers_of_get_and_no_content(hostile: Service) -> None:
    get, head = hostile.ask("/2026-01-07/"), hostile.ask("/2026-01-07/", "HEAD")
    assert head.getheaders() == get.getheaders()
    assert head.content == b""  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_methods_that_could_change_something_are_refused(hostile: Service, method: str) -> None:
    response = hostile.ask("/2026-01-07/", method, Content_Length="0")
    assert (response.status, response.getheader("Allow")) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("path", "host", "status", "words"),
    [
        ("/nothing", "localhost", 404, "There is no page of this address"),
        ("/2026-03-01/", "localhost", 404, "2026-03-01 has no report. The Dag monitor makes it."),
        ("/2026-01-01/", "localhost", 503, "reports/2026-01-01/index.html differs from its mark"),
        ("/", "evil.example", 421, "Expected: 127.0.0.1, localhost, reports."),
    ],
)
def test_error_is_a_page_with_a_link_to_the_list(
    hostile: Service, path: str, host: str, status: int, words: str
) -> None:
    response = hostile.ask(path, Host=host)
    content = response.content.decode()  # type: ignore[attr-defined]
    assert (response.status, response.getheader("Content-Type")) == (status, "text/html; charset=utf-8")
    assert words in content
    assert '<a href="/">All days</a>' in content
    assert "style-src 'sha256-" in str(response.getheader("Content-Security-Policy"))


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io:8000", "", "reports@evil"]
)
def test_request_for_another_name_is_refused(hostile: Service, host: str) -> None:
    """A page of evil.example could have its own name lead here: then the browser asks with that name."""
    response = hostile.ask("/2026-01-07/", Host=host)
    assert response.status == 421
    assert b"SECRET" not in response.content  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "path", ["/", "/2026-01-07/", "/2026-01-07", "/nothing", "/healthz/", "/2026-01-07/index.html"]
)
@pytest.mark.parametrize(
    "login", ["", "Basic bWw6", page_login("of-the-page")["Authorization"]], ids=["none", "empty", "other"]
)
def test_reader_without_the_login_is_refused(hostile: Service, path: str, login: str) -> None:
    response = hostile.ask(path, Authorization=login)
    assert (response.status, response.content) == (401, b"Log in.\n")  # type: ignore[attr-defined]
    assert str(response.getheader("WWW-Authenticate")).startswith("Basic ")
    assert response.getheader("X-Content-Type-Options") == "nosniff"


def test_health_needs_no_login_and_the_service_a_password(hostile: Service) -> None:
    assert hostile.ask("/healthz", Authorization="").status == 200
    done = docker("run", "--rm", images()["reports"], "serve", check=False)
    assert (done.returncode, "/run/secrets/pages_password has 0 characters" in done.stderr) == (2, True)


@pytest.mark.parametrize("host", ["localhost:8081", "127.0.0.1", "reports:8000", "LOCALHOST"])
def test_request_for_its_own_names_is_answered(hostile: Service, host: str) -> None:
    assert hostile.ask("/healthz", Host=host).status == 200


def test_slow_clients_are_cut_off_and_nobody_waits_for_them(hostile: Service) -> None:
    crowd = [socket.create_connection(("127.0.0.1", hostile.port), timeout=PATIENCE_S) for _ in range(40)]
    try:
        for one in crowd[:20]:
            one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        answers = Counter(one.recv(12) for one in crowd)
    finally:
        for one in crowd:
            one.close()
    # Those beyond the limit are refused immediately, the others when their time is over. The service of a busy machine
    # may not have seen the end of the connection before.
    assert answers in ({b"HTTP/1.1 503": more, b"HTTP/1.1 408": 40 - more} for more in (8, 9))
    # A place is free when the service has seen the end of its connection.
    wait_until(lambda: hostile.ask("/healthz").status == 200, "others are answered")


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n"]
)
def test_what_is_no_request_gets_a_400(hostile: Service, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", hostile.port), timeout=PATIENCE_S) as connection:
        connection.sendall(sent)
        assert connection.recv(12) == b"HTTP/1.1 400"


def test_service_logs_one_line_a_request(hostile: Service) -> None:
    for path in ("/2026-01-07/?once", "/%0a%0dforged?twice", "/healthz", "/?last"):
        hostile.ask(path)
    # A line is written after the answer, and the engine takes a moment to keep it.
    wait_until(lambda: "GET /?last" in hostile.log(), "the log has the last request")
    lines = hostile.log().splitlines()
    assert len([line for line in lines if "200 GET /2026-01-07/?once from=" in line]) == 1
    assert len([line for line in lines if "404 GET /%0a%0dforged?twice" in line]) == 1
    assert not [line for line in lines if "/healthz" in line and " 200 " in line]


def test_service_without_a_day_says_so() -> None:
    one = start_service()
    try:
        assert "No day has a report yet" in one.text("/")
        health = docker("exec", one.container, "python", "/opt/service/reports.py", "healthcheck")
        assert health.stdout == "200 ok\n"
    finally:
        docker("rm", "--force", one.container)


def test_service_ends_on_sigterm_though_a_client_waits() -> None:
    one = start_service()
    try:
        with socket.create_connection(("127.0.0.1", one.port)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n")
            docker("stop", "--time", "8", one.container)
        state = json.loads(docker("inspect", one.container).stdout)[0]
        assert state["State"]["ExitCode"] == 0
        assert state["Config"]["User"] == "10001:10001"
    finally:
        docker("rm", "--force", one.container)
