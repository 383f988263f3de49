"""The first hour of a new user: the README's commands in order, what they print, and the pages that it names."""

import re
import shlex
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from maintain.browser import open_browser
from maintain.screenshots import credentials, log_in
from playwright.sync_api import Browser, Page, TimeoutError

from tests.harness import ROOT, images

from .conftest import (
    DAY,
    RUN_DAYS,
    SCORED,
    FirstRun,
    Mlflow,
    Stack,
    compose_stack,
    data,
    read_results,
    run_by_make,
    type_in,
)
from .readme import ADDRESS, Step, blocks, first_difference, pattern_of, steps

README = (ROOT / "README.md").read_text(encoding="utf-8")
STEPS = steps(README)
RUN = "make run"
# Commands of the README that do not run here, and why.
NOT_RUN = {"git clone <this repository> && cd airflow-ml": "the tests are in a clone"}
# Blocks of other languages show no commands.
WITHOUT_COMMANDS = {"mermaid"}
# The ports of the README, and the services behind them here.
SERVICES = {"8080": "airflow", "5000": "mlflow", "8081": "reports"}
ADDRESSES = sorted({match[0] for step in STEPS for line in step.shown for match in ADDRESS.finditer(line)})
# A text of each page that a person looks for.
SEEN = {"airflow": "Dags", "mlflow": "average_precision", "reports": SCORED}
# What a page reports although all is well: MLflow asks who has logged in, which needs its accounts.
HARMLESS = ("/mlflow/users/current",)
# What a browser reports of a page that changes its size while it is drawn.
RESIZED = "ResizeObserver loop completed"
# A page goes on loading behind what is shown; some never end asking.
PATIENCE_MS, SETTLES_MS = 180_000, 2_000


def run(step: Step) -> str:
    """What a command prints, here: with the volume and the locked images of the test in place of the reader's."""
    words = shlex.split(step.command)
    if words[:2] == ["docker", "run"]:
        image = next(word for word in words if word.startswith("airflow-ml-"))
        names = {image: images()[image.removeprefix("airflow-ml-")], "data:/data": f"{data.source}:/data"}
        words = [names.get(word, word) for word in words]
    return type_in(words)


def test_readme_has_no_other_blocks_than_those_that_are_run_here() -> None:
    assert {language for language, _ in blocks(README)} - WITHOUT_COMMANDS == {"console"}
    assert RUN in [step.command for step in STEPS]
    assert set(NOT_RUN) <= {step.command for step in STEPS}


@pytest.mark.parametrize("step", [step for step in STEPS if step.command not in NOT_RUN], ids=lambda step: step.command)
def test_command_prints_what_the_readme_shows(step: Step, first_run: FirstRun) -> None:
    printed = first_run.printed if step.command == RUN else run(step)
    shown = [line.replace("'data'", repr(data.source)) for line in step.shown]
    assert first_difference(shown, printed.splitlines()) is None, printed


@pytest.mark.parametrize(
    ("shown", "printed", "fits"),
    [
        ("roc_auc 0.9193", "roc_auc 1", True),
        ("roc_auc 0.9193", "roc_auc not known", False),
        ("17,618 rows", "4 rows", True),
        ("the day 2026-11-22", "the day 2026-11-23", False),
        ("at 2026-11-22T08:00:00Z by", "at 2027-01-02T09:11:12.5Z by", True),
        ("sha256 ed3d31360db9, as", "sha256 0123456789ab, as", True),
        ("a  1", "a      2", True),
        ("a (b)? ...", "a (b)? and more", True),
        ("a", "a b", False),
    ],
)  # fmt: skip
def test_lines_fit_if_only_figures_times_and_ids_differ(shown: str, printed: str, fits: bool) -> None:
    assert bool(pattern_of(shown).fullmatch(printed)) is fits


@pytest.mark.parametrize(
    ("shown", "printed", "fits"),
    [
        ("a|b", "a|b", True), ("a|b", "a|x|b", False), ("a|...|b", "a|x|y|b", True), ("...|b", "a|b", True),
        ("a", "a|b", False), ("a|...", "a|b", True), ("a|b", "a", False), ("", "a", True),
    ],
)  # fmt: skip
def test_lines_that_the_readme_leaves_out_are_those_that_it_marks(shown: str, printed: str, fits: bool) -> None:
    found = first_difference(shown.split("|") if shown else [], printed.split("|"))
    assert (found is None) is fits


# --- pages ---


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@contextmanager
def visit(chromium: Browser, address: str, words: str, password: str = "") -> Iterator[tuple[Page, list[str]]]:
    """A page that shows the words, and what its console reports as an error; logs in first if it is Airflow's."""
    with closing(chromium.new_page(http_credentials=credentials())) as page:
        page.set_default_timeout(PATIENCE_MS)
        if address == compose_stack.pages()["airflow"]:
            # What Airflow loads for nobody is cut off by its own way to the log-in, which its console may report.
            log_in(page, address, password)
            wait_for(page, words)
        errors: list[str] = []
        listen(page, errors)
        page.goto(address)
        try:
            wait_for(page, words)
        except TimeoutError as error:
            raise AssertionError(f"{words!r} is not on {address}; its console: {errors}") from error
        yield page, [error for error in errors if not error.endswith(HARMLESS) and RESIZED not in error]


def listen(page: Page, errors: list[str]) -> None:
    """Have the page's errors added to the list."""
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda one: errors.append(f"{one.text} {one.location['url']}") if one.type == "error" else None)


def wait_for(page: Page, words: str) -> None:
    page.get_by_text(words).locator("visible=true").first.wait_for()
    page.wait_for_timeout(SETTLES_MS)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.usefixtures("first_run")
def test_page_that_the_readme_names_opens_without_errors(address: str, stack: Stack, chromium: Browser) -> None:
    match = ADDRESS.fullmatch(address)
    assert match
    service = SERVICES[match[1]]
    here = address.replace(f"http://localhost:{match[1]}", compose_stack.pages()[service])
    with visit(chromium, here, SEEN[service], stack.password) as (_, errors):
        assert errors == []


@pytest.mark.parametrize("name", ["MLflow run", "MLflow version"])
def test_link_of_a_task_opens_the_page_of_the_training_with_its_metrics(
    name: str, stack: Stack, first_run: FirstRun, chromium: Browser
) -> None:
    """MLflow shows a page among those of generative AI unless its address says otherwise."""
    address = stack.links("monitor", stack.last_run("monitor", SCORED), "log_evaluation")[name]
    assert address
    metric = f"roc_auc {first_run.of_day['prediction', 'validate']['roc_auc']:.4f}"
    with visit(chromium, address, metric) as (page, _):
        links = page.get_by_role("link").all_inner_texts()
    assert "Model registry" in links
    assert "Prompts" not in links


# --- what the first run leaves, and a second one ---


def test_run_scores_a_day_that_the_model_has_not_seen(stack: Stack, first_run: FirstRun) -> None:
    """A model that scored the day it was trained on looked better than it was, and then seemed to get worse."""
    results = first_run.results
    assert results["training", "train"]["model"] == f"models/{DAY}"
    evaluated = results["prediction", "evaluate"]
    assert (evaluated["ds"], evaluated["trained_on_day"]) == (SCORED, False)
    assert evaluated["metrics"]["rows"] > 10_000
    history = Mlflow(compose_stack.pages()["mlflow"]).history(results["registry", "resolve"]["run_id"], "live.roc_auc")
    assert [point["value"] for point in history] == [pytest.approx(evaluated["metrics"]["roc_auc"])]
    assert "flattering" not in first_run.printed
    page = stack.page(f"{compose_stack.pages()['reports']}/{SCORED}/")
    assert "the model was trained on this day" not in page


def test_summary_and_page_count_the_same_rows(stack: Stack, first_run: FirstRun) -> None:
    """Three places once counted the rejected rows in three ways."""
    lines = re.findall(r"^  (generated|predicted|not predicted) +([0-9,]+) rows", first_run.printed, re.MULTILINE)
    counts = {name: int(count.replace(",", "")) for name, count in lines}
    assert counts["generated"] - counts["not predicted"] == counts["predicted"] > 10_000
    page = stack.page(f"{compose_stack.pages()['reports']}/{SCORED}/")
    came, scored, rejected = (f"{counts[name]:,}" for name in ("generated", "predicted", "not predicted"))
    assert f"{came} rows came in, {scored} were scored, {rejected} were rejected" in page


def test_second_run_compares_with_the_champion_and_makes_nothing_else_again(stack: Stack, first_run: FirstRun) -> None:
    """The first model had none to be compared with. The page shows the comparison."""
    printed = run_by_make(SCORED)
    assert "version 1: stays champion" in printed
    results = read_results(stack, RUN_DAYS)
    made = [result for key, result in results.items() if key[0] != "registry"]
    assert len(made) > 10
    again = {result["command"] for result in made if not result.get("cached")}
    assert again <= {"encode-validation", "compare", "page"}
