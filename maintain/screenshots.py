"""Takes the pictures of docs/pictures/ from the running stack, in headless Chromium, for a day that `make run` made.

The overview shows as many days as the stack has: `./airflow-ml backfill` makes them.

Exit codes: 0 taken; 1 a page is missing; 2 wrong usage.
"""

import argparse
import json
import sys
import urllib.parse
import urllib.request
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_ml import machine
from airflow_ml.airflow_api import Airflow
from airflow_ml.common import ROOT, AirflowMlError, day, settings
from airflow_ml.stack import PEOPLE, mlflow_page, page_login, pages
from maintain.browser import open_browser
from playwright.sync_api import Browser, Error, HttpCredentials, Page, ViewportSize

PATIENCE_MS = 60_000
WIDE: ViewportSize = {"width": 1280, "height": 800}
# What MLflow opens at a first visit, over the page.
NO_ASSISTANT = """
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
"""
LIST: ViewportSize = {"width": 1280, "height": 850}
GRAPH: ViewportSize = {"width": 1280, "height": 420}
OVERVIEW: ViewportSize = {"width": 1280, "height": 980}
BACKTEST: ViewportSize = {"width": 1280, "height": 1150}
PHONE: ViewportSize = {"width": 390, "height": 844}


def show(page: Page, url: str) -> None:
    """Open a page. Errors: AirflowMlError if the server has no such page."""
    answer = page.goto(url)
    if answer is not None and not answer.ok:  # none: only the part after # is another
        raise AirflowMlError(
            f"{url} answers {answer.status}", expected="a page", do="make run with this DS, then again"
        )


def log_in(page: Page, url: str, password: str) -> None:
    """Log in to Airflow as a person would."""
    show(page, url)
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", password)
    page.click("[type=submit]")
    page.wait_for_url(lambda found: "/login" not in found)


def show_graph(page: Page) -> None:
    """Turn a Dag's page to its graph, over the whole width."""
    page.get_by_label("Show Grid").first.wait_for()
    page.wait_for_timeout(2000)  # Airflow remembers what was chosen for the page before
    for button in ("Show Graph", "Collapse Details Panel"):
        if page.get_by_label(button).first.is_visible():
            page.get_by_label(button).first.click()
    page.locator(".react-flow__node").first.wait_for()
    page.get_by_label("Fit View").first.click()
    page.add_style_tag(content=".react-flow__minimap { display: none }")
    page.wait_for_timeout(1000)  # it moves there


def latest_run(airflow: Airflow, dag: str) -> str:
    """The id of a Dag's latest run."""
    runs = airflow.request("GET", f"/dags/{dag}/dagRuns?limit=1&order_by=-run_after")["dag_runs"]
    if not runs:
        raise AirflowMlError(f"{dag} has not run yet", do="make run")
    return str(runs[0]["dag_run_id"])


def take_airflow(browser: Browser, airflow: Airflow, password: str, folder: Path) -> None:
    """The list of the Dags, and the graph of the latest training."""
    page = browser.new_page(viewport=LIST)
    page.set_default_timeout(PATIENCE_MS)
    log_in(page, airflow.url, password)
    show(page, f"{airflow.url}/dags")
    page.get_by_role("link", name="train_model", exact=True).wait_for()
    page.get_by_label("Show table view").or_(page.locator("button[aria-label*='table' i]")).first.click()
    page.wait_for_timeout(2000)  # charts of the latest runs
    page.screenshot(path=folder / "dags.png")
    page.set_viewport_size(GRAPH)
    show(page, f"{airflow.url}/dags/train_model/runs/{latest_run(airflow, 'train_model')}")
    show_graph(page)
    page.screenshot(path=folder / "train_model.png", clip={"x": 64, "y": 0, "width": 1216, "height": 420})
    page.close()


def ask(address: str) -> Any:
    """MLflow's answer."""
    with urllib.request.urlopen(urllib.request.Request(address, headers=page_login())) as answer:
        return json.load(answer)


def credentials() -> HttpCredentials:
    """The login of people at MLflow and the reports, for a browser."""
    return {"username": PEOPLE, "password": settings()["ML_PAGES_PASSWORD"]}


def take_mlflow(browser: Browser, url: str, model: str, folder: Path) -> None:
    """The page of the run that made the model in production."""
    query = urllib.parse.urlencode({"name": model, "alias": "champion"})
    run = ask(f"{url}/api/2.0/mlflow/registered-models/alias?{query}")["model_version"]["run_id"]
    experiment = ask(f"{url}/api/2.0/mlflow/runs/get?run_id={run}")["run"]["info"]["experiment_id"]
    page = browser.new_page(viewport=WIDE, http_credentials=credentials())
    page.set_default_timeout(PATIENCE_MS)
    page.add_init_script(NO_ASSISTANT)
    show(page, mlflow_page(url, f"experiments/{experiment}/runs/{run}"))
    page.get_by_text("Artifacts").first.wait_for()
    page.wait_for_timeout(3000)  # tables
    page.screenshot(path=folder / "mlflow.png")
    page.close()


def take_report(browser: Browser, url: str, ds: str, folder: Path) -> None:
    """The charts of all days; the day's report on a desk, and on a phone in the dark."""
    login = credentials()
    overview = browser.new_page(viewport=OVERVIEW, http_credentials=login)
    show(overview, url)
    overview.screenshot(path=folder / "overview.png")
    overview.close()
    desk = browser.new_page(viewport=WIDE, http_credentials=login)
    phone = browser.new_page(viewport=PHONE, color_scheme="dark", http_credentials=login)
    for name, page in (("report", desk), ("report_phone", phone)):
        show(page, f"{url}/{ds}/")
        page.screenshot(path=folder / f"{name}.png")
        page.close()


def take_backtest(browser: Browser, url: str, folder: Path) -> None:
    """The page of the newest backtest that the overview links; none if there is none."""
    page = browser.new_page(viewport=BACKTEST, http_credentials=credentials())
    show(page, url)
    link = page.locator("a[href$='backtest.html']").first
    if link.count():
        link.click()
        page.screenshot(path=folder / "backtest.png")
    else:
        print("no picture of a backtest: the stack has none; do: trigger the Dag backtest", file=sys.stderr)
    page.close()


def take_all(folder: Path, ds: str, config: dict[str, str]) -> None:
    """Take every picture."""
    folder.mkdir(parents=True, exist_ok=True)
    urls, password = pages(), config["ML_ADMIN_PASSWORD"]
    with open_browser() as found:
        take_airflow(found, Airflow(urls["airflow"], password), password, folder)
        take_mlflow(found, urls["mlflow"], config["ML_MODEL_NAME"], folder)
        take_report(found, urls["reports"], ds, folder)
        take_backtest(found, urls["reports"], folder)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    today = datetime.now(timezone.utc).date().isoformat()
    parser.add_argument("--ds", type=day, default=today, metavar="YYYY-MM-DD", help="the day (default: today, UTC)")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "pictures", help="(default: docs/pictures)")


def run(arguments: argparse.Namespace) -> int:
    """Take the pictures."""
    machine.ensure("browser")
    try:
        take_all(arguments.folder, arguments.ds, settings())
    except Error as error:
        raise AirflowMlError(
            f"a page is missing: {error.message.strip()}", do="./airflow-ml doctor, then again"
        ) from None
    print(f"took {len(list(arguments.folder.glob('*.png')))} pictures in {arguments.folder}", file=sys.stderr)
    return 0
