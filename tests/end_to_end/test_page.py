"""A person opens Airflow's page, logs in, and sees the Dags, green, with their documentation.

The forms are enough to train, to promote and to roll back.
"""

from collections.abc import Callable, Iterator
from urllib.parse import unquote

import pytest
from maintain.browser import open_browser
from maintain.screenshots import log_in
from playwright.sync_api import Locator, Page, expect

from .conftest import ALL_DAGS, RUN_TIMEOUT_S, SMALL, Mlflow, Stack, compose_stack, data

PATIENCE_MS = 180_000
# A day of its own, so that no other test's model changes.
CLICKED = "2026-10-25"


@pytest.fixture(scope="module")
def page(stack: Stack) -> Iterator[Page]:
    """Airflow's page, logged in as a person would."""
    with open_browser() as chromium:
        page = chromium.new_page()
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        log_in(page, stack.url, stack.password)
        yield page


@pytest.mark.usefixtures("day")
def test_page_shows_the_green_dags(stack: Stack, page: Page) -> None:
    page.goto(f"{stack.url}/dags")
    for dag in ALL_DAGS:
        expect(page.get_by_role("link", name=dag, exact=True)).to_be_visible()
    assert page.get_by_text("import error").count() == 0


def test_page_shows_the_form_with_its_day(stack: Stack, page: Page) -> None:
    page.goto(f"{stack.url}/dags/generate_data")
    page.get_by_role("button", name="Trigger").first.click()
    expect(page.get_by_text("The day whose data the run works on.")).to_be_visible()


@pytest.mark.parametrize(
    ("path", "button", "words"),
    [
        ("predict", "Dag Docs", "Scores the day's data with the model in production."),
        ("predict/tasks/features", "Documentation", "docker run --rm --volume data:/data"),
    ],
)
def test_page_shows_the_documentation(stack: Stack, page: Page, path: str, button: str, words: str) -> None:
    page.goto(f"{stack.url}/dags/{path}")
    page.get_by_role("button", name=button).click()
    expect(page.get_by_text(words).first).to_be_visible()


def submit(page: Page, stack: Stack, dag: str, fill_in: Callable[[Locator], None]) -> str:
    """Open a Dag's form, fill it in, send it, and wait for the run to succeed; returns the run's id."""
    page.goto(f"{stack.url}/dags/{dag}")
    page.get_by_role("button", name="Trigger").first.click()
    fill_in(page.get_by_role("dialog"))
    page.get_by_test_id("trigger-dag-submit").click()
    page.wait_for_url(f"**/dags/{dag}/runs/*")
    run = unquote(page.url.rpartition("/")[2])
    assert stack.airflow.wait(dag, run, RUN_TIMEOUT_S) == "success", stack.explain(dag, run)
    return run


@pytest.mark.usefixtures("day")
def test_analyst_who_only_clicks_trains_promotes_and_rolls_back(stack: Stack, page: Page) -> None:
    mlflow = Mlflow(compose_stack.pages()["mlflow"])
    before = mlflow.champion()
    data.generate(CLICKED, f"--rows={SMALL['rows']}")

    def train(form: Locator) -> None:
        form.locator("[name=element_ds]").fill(CLICKED)
        form.get_by_role("combobox").first.click()
        page.get_by_role("option", name="manual").click()
        form.locator(".monaco-editor .view-lines").first.click()
        page.keyboard.press("ControlOrMeta+A")
        page.keyboard.insert_text('{"num_boost_round": 20}')
        page.keyboard.press("ControlOrMeta+Shift+End")  # what the field adds by itself behind a bracket
        page.keyboard.press("Delete")

    trained = stack.results("train_model", submit(page, stack, "train_model", train))["registry", "register"]
    params = {param["key"]: param["value"] for param in mlflow.run(trained["run_id"])["data"]["params"]}
    assert params["num_iterations"] == "20"
    assert mlflow.alias("challenger") == trained["version"] != before
    assert mlflow.champion() == before

    stack.field("promote_model", "version", f"version {trained['version']}.")  # Airflow reads the Dag again

    def promote(form: Locator) -> None:
        expect(form.get_by_text(f"Empty: the challenger, version {trained['version']}.")).to_be_visible()
        form.locator("[name=element_reason]").fill("it looks better")

    submit(page, stack, "promote_model", promote)
    assert mlflow.champion() == trained["version"]
    submit(page, stack, "roll_back_model", lambda form: form.locator("[name=element_reason]").fill("it is not"))
    assert mlflow.champion() == before
    events = [(event["kind"], event["by"], event["reason"]) for event in mlflow.events()[-2:]]
    assert events == [("promote", "admin", "it looks better"), ("rollback", "admin", "it is not")]
