"""What a Dag's task leaves in the commit mark: enough to name the run and its image, and to make the file again."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.dags.conftest import DAGS, ROOT, STAGES
from tests.dags.engine.conftest import Engine
from tests.dags.runs import Airflow, day

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
