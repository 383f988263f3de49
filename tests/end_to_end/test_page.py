"""A person opens Airflow's page, logs in, and sees the Dags, green, with their documentation and form."""

from collections.abc import Iterator

import pytest
from maintain.browser import open_browser
from maintain.screenshots import log_in
from playwright.sync_api import Page, expect

from .conftest import ALL_DAGS, Stack

PATIENCE_MS = 180_000


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
