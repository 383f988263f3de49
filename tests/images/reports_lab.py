"""Reports that the real stages made, the real service of them in a container, and a browser to look at its pages."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPResponse
from typing import Any

from playwright.sync_api import Browser, HttpCredentials, Page

from tests.harness import PATIENCE_S, ROOT, Data, docker, image_lock, images, mount_secrets, page_login, wait_until

PASSWORD = "of-the-pages-and-longer"
LOGIN: HttpCredentials = {"username": "ml", "password": PASSWORD}
PHONE, DESKTOP = (360, 800), (1280, 900)
FIRST, LAST = "2026-11-09", "2026-11-16"
OLD_MODEL, NEW_MODEL = "models/2026-11-08", "models/2026-11-15"
ROWS = 3_000
RULES = json.loads((ROOT / "dags/rules.json").read_text())
# A backtest as `training` publishes it, with names that are as long as they get.
BACKTEST = f"""
import json, pathlib, stagekit
days = [f"2026-11-{{day:02d}}" for day in range(1, 17)]
figure = {{"value": 0.9123456789, "interval": [0.9012345678, 0.9234567891]}}
gain = {{"days": 7, "value": -0.0012345678, "interval": [-0.0112345678, 0.0087654321]}}
strategies = [
    {{"window": window, "every": every, "mean": {{"days": 9, **figure}}, "gain": gain if every else None,
     "days": [{{"ds": day, "trained": days[6], **figure}} for day in days[7:]],
     "untrained": {{days[9]: "no label " * 9}},
     "promotions": [{{"trained": days[6], "until": days[-1], "gain": gain, "outcome": "unclear"}}] * (every > 0)}}
    for window in (1, 7, 28) for every in (0, 1, 28)
]
content = {{
    "version": 1, "ds": "{LAST}", "metric": "roc_auc", "days": days, "left_out": {{"2026-10-31": "missing " * 30}},
    "scored": [{{"ds": day, "rows": 9, "positives": 1}} for day in days[7:]], "strategies": strategies,
    "models": [{{"window": 1, "trained": days[6]}}],
}}
with stagekit.Publication(pathlib.Path("/data"), "backtests/{LAST}", "backtest") as publication:
    publication.path("backtest.json").write_text(json.dumps(content))
"""


@dataclass
class Service:
    """The service in a container of its own, confined as compose confines it."""

    container: str
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET", **headers: str) -> HTTPResponse:
        """The answer to a request; its content was read and is `response.content`."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
            connection.putrequest(method, path, skip_host=True)
            for name, value in {"Host": f"localhost:{self.port}", **page_login(PASSWORD), **headers}.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            response.content = response.read()  # type: ignore[attr-defined]
            return response

    def text(self, path: str) -> str:
        response = self.ask(path)
        assert response.status == 200
        return str(response.content.decode())  # type: ignore[attr-defined]

    def answers(self) -> bool:
        try:
            return self.ask("/healthz").status == 200
        except OSError:
            return False

    def log(self) -> str:
        return docker("logs", self.container).stderr


def start_service(*options: str) -> Service:
    confined = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=64m", "--pids-limit=64"]
    secrets = mount_secrets(pages_password=PASSWORD)
    container = docker(
        "run", "--detach", *confined, "--publish=127.0.0.1::8000", *secrets, *options, images()["reports"], "serve"
    ).stdout.strip()
    port = int(docker("port", container, "8000").stdout.splitlines()[0].rpartition(":")[2])
    service = Service(container, port)
    wait_until(service.answers, "the service answers", container)
    return service


@contextmanager
def open_page(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page for somebody who has logged in; the options are those of a context of the browser."""
    with closing(browser.new_context(http_credentials=LOGIN, **options)) as context:
        context.set_default_timeout(PATIENCE_S * 1000)
        yield context.new_page()


def watch(page: Page) -> tuple[list[str], list[str]]:
    """What the page's console says, and what it asks for, from now on."""
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    return said, asked


# --- the world ---


def by_dag(data: Data, dag: str, ds: str) -> Data:
    """The same data; what a stage publishes there is recorded as the work of a scheduled run of a Dag."""
    return replace(data, options=(f"--env=ML_DAG_ID={dag}", f"--env=ML_RUN_ID=scheduled__{ds}"))


def score(data: Data, ds: str, model: str, version: str) -> None:
    by_dag(data, "generate_data", ds).generate(ds, f"--rows={ROWS}")
    by_dag(data, "predict", ds).score(ds, model, f"--model-version={version}")
    by_dag(data, "monitor", ds).evaluate(ds, RULES["monitoring"])


def report(data: Data, ds: str) -> dict[str, Any]:
    """Write the page of a day; returns the result line."""
    sizes = json.dumps({name: round(entry["size"] / 1e6) for name, entry in image_lock().items()})
    pages = ["--airflow-page", "http://localhost:8080", "--mlflow-page", "http://localhost:5000"]
    return by_dag(data, "monitor", ds).page(ds, "--images-json", sizes, *pages).line


def make_world(data: Data) -> None:
    """Two models of two weeks, a comparison of them, and a day that each of them scored."""
    old, new = (model.removeprefix("models/") for model in (OLD_MODEL, NEW_MODEL))
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda ds: by_dag(data, "train_model", ds).make_model(ds, rows=ROWS), [old, new]))
    score(data, FIRST, OLD_MODEL, "1")
    by_dag(data, "train_model", new).compare(new, RULES["gate"], OLD_MODEL, "1")
    score(data, LAST, NEW_MODEL, "2")
    for ds in (FIRST, LAST):
        report(data, ds)
    data.python(BACKTEST)
    data.stage("report", "backtest-page", f"--ds={LAST}")
