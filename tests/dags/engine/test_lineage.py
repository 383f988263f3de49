"""What a Dag's task leaves in the commit mark: enough to name the run and its image, and to make the file again."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.providers.openlineage.plugins.listener import OpenLineageListener
from airflow.sdk.listener import get_listener_manager

from tests.dags.conftest import DAGS, ROOT, STAGES
from tests.dags.engine.conftest import Engine
from tests.dags.runs import Airflow, day
from tests.harness import PATIENCE_S
from tests.receivers import serve

DS = "2026-11-14"


def command(engine: Engine, *arguments: str) -> dict[str, Any]:
    line = [str(ROOT / "airflow-ml"), *arguments, "--format=json"]
    environment = {**os.environ, "ML_DATA": engine.name, "ML_UID": "10001", "ML_GID": "10001"}
    done = subprocess.run(line, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.usefixtures("_environment")
def test_file_of_a_dag_run_is_traced_to_it_and_made_again(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = json.loads((ROOT / "dags" / "images.lock.json").read_text())["images"]
    images = {stage: {**images[stage], "revision": "abc1234"} for stage in STAGES}
    (tmp_path / "lock.json").write_text(json.dumps({"version": 1, "images": images}))
    monkeypatch.setenv("ML_IMAGE_LOCK", str(tmp_path / "lock.json"))
    monkeypatch.setenv("ML_STAGE_MEMORY", "1g")
    airflow = Airflow(DAGS)
    run = airflow.manual("generate_data", day(DS), {"rows": 500, "seed": 3})
    assert airflow.run_task(run, "generate").ti.state == "success"

    (step,) = command(engine, "lineage", f"raw/{DS}/data.csv")["steps"].values()
    assert (step["image"]["id"], step["image"]["revision"]) == (images["generator"]["id"], "abc1234")
    assert step["run"] == {"dag_id": "generate_data", "task_id": "generate", "run_id": run.run_id, "try_number": "1"}
    assert {"ds": DS, "rows": 500, "seed": 3}.items() <= step["call"]["arguments"].items()
    assert command(engine, "rerun", f"raw/{DS}")["same_bytes"] is True


@pytest.fixture
def lineage_events(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The events that a catalog gets; they are on as docker-compose.openlineage.yml does it."""
    events: list[dict[str, Any]] = []

    class Catalog(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    catalog = HTTPServer(("127.0.0.1", 0), Catalog)
    serve(catalog)
    compose = yaml.safe_load((ROOT / "docker-compose.openlineage.yml").read_text(encoding="utf-8"))
    for name, value in compose["services"]["scheduler"]["environment"].items():
        address = f"http://127.0.0.1:{catalog.server_port}"
        monkeypatch.setenv(name, re.sub(r"\$\{ML_OPENLINEAGE_URL:[^}]*\}", address, value))
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__EXECUTE_IN_THREAD", "True")  # a copy of this process would be large
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT", str(PATIENCE_S))
    listener = OpenLineageListener()
    get_listener_manager().add_listener(listener)
    yield events
    get_listener_manager().pm.unregister(listener)
    catalog.shutdown()


@pytest.mark.parametrize(
    ("code", "state", "written"),
    [
        ("""print('{"partition": "raw/2026-11-14"}')""", "COMPLETE", {"raw": "2026-11-14"}),
        ("""print('{"partition": "models/2026-11-14"}')""", "COMPLETE", {"models": "2026-11-14", "raw": None}),
        ("""print('{"rows": 500}')""", "COMPLETE", {"raw": None}),
        ("raise SystemExit(3)", "FAIL", {}),
    ],
)
@pytest.mark.usefixtures("_environment")
def test_openlineage_gets_what_a_task_wrote(
    probes: Airflow,
    engine: Engine,
    lineage_events: list[dict[str, Any]],
    code: str,
    state: str,
    written: dict[str, str | None],
) -> None:
    run = probes.manual("probes", day("2026-11-21"), {"code": code})
    probes.run_task(run, "probe")
    started, ended = lineage_events
    assert (started["eventType"], ended["eventType"]) == ("START", state)
    assert ended["job"]["name"] == "probes.probe"
    assert {data["namespace"] for data in ended["outputs"]} <= {engine.name}
    versions = {data["name"]: data["facets"].get("version", {}).get("datasetVersion") for data in ended["outputs"]}
    assert versions == written
