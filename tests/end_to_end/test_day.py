"""A day in the life, through a real scheduler: the Dags, the files they leave, and the same bytes again."""

import csv
import io
import json
import subprocess
import time

import pytest
from airflow_api import AirflowError

from .conftest import DATA, Stack, compose_stack, data_files, image, run_python

DS = "2026-11-21"
DAGS = ("generate_data", "train_model", "predict")
FILES = {
    "raw": {"data.csv", "target.csv", "schema.json"},
    "processed": {"train_data.csv", "rejected.csv", "train.csv", "val.csv", "encoder.json"},
    "models": {
        "model.txt", "encoder.json", "params.json", "feature_importance.csv", "reference_scores.csv", "metrics.json",
    },
    "features": {"features.csv", "rejected.csv"},
    "predictions": {"predictions.csv"},
}  # fmt: skip

READ = """
import json, pathlib, stagekit
root = pathlib.Path('/data')
for name, files in json.loads('''{files}''').items():
    stagekit.read_partition(root, name + '/{ds}', files)
print('verified')
"""


@pytest.fixture(scope="module")
def day(stack: Stack) -> dict[tuple[str, str], dict[str, object]]:
    """The results of one whole day."""
    results = {}
    for dag in DAGS:
        results |= stack.results(dag, stack.run(dag, {"ds": DS}))
    return results


def test_stack_is_ready_when_it_says_so(stack: Stack) -> None:
    dags = stack.airflow.request("GET", "/dags")["dags"]
    assert {dag["dag_id"]: dag["is_paused"] for dag in dags} == dict.fromkeys(DAGS, False)
    assert stack.airflow.request("GET", "/importErrors")["import_errors"] == []


def test_start_brings_no_surprise_runs(stack: Stack) -> None:
    """A fixed start date in the past must not make runs for the days since."""
    time.sleep(10)  # two rounds of the scheduler
    runs = stack.airflow.request("GET", "/dags/~/dagRuns")["dag_runs"]
    assert [run["dag_run_id"] for run in runs if run["run_type"] != "manual"] == []


def test_page_asks_for_the_password_of_the_environment_file(stack: Stack) -> None:
    from airflow_api import Airflow

    with pytest.raises(AirflowError, match="401"):
        Airflow(stack.url, "wrong").request("GET", "/dags")


def test_day_leaves_every_file_with_a_valid_mark(day: dict[tuple[str, str], dict[str, object]]) -> None:
    found = {path for path in data_files() if not path.endswith("_meta.json")}
    assert found == {f"{folder}/{DS}/{name}" for folder, names in FILES.items() for name in names}
    files = json.dumps({folder: sorted(names) for folder, names in FILES.items()})
    assert run_python("base", READ.format(files=files, ds=DS)).strip() == "verified"


def test_day_has_a_useful_model(day: dict[tuple[str, str], dict[str, float]]) -> None:
    assert 0.8 < day["prediction", "validate"]["roc_auc"] < 0.98


def test_day_predicts_every_row_that_was_not_rejected(day: dict[tuple[str, str], dict[str, int]]) -> None:
    predictions = run_python("base", f"print(open('/data/predictions/{DS}/predictions.csv').read())")
    rows = list(csv.DictReader(io.StringIO(predictions.strip())))
    # The last `prepare` of the day is that of the Dag predict.
    features, predicted = day["preprocessing", "prepare"], day["prediction", "predict"]
    assert len(rows) == predicted["rows"] == features["rows_out"] > 1000
    probabilities = [float(value) for row in rows for name, value in row.items() if name.startswith("probability_")]
    assert all(0 <= value <= 1 for value in probabilities)


def test_marks_say_who_made_each_file(day: dict[tuple[str, str], dict[str, object]]) -> None:
    meta = json.loads(run_python("base", f"print(open('/data/predictions/{DS}/_meta.json').read())"))
    step = meta["steps"]["predict"]
    assert step["image"]["name"] == image("prediction")
    assert step["run"]["dag_id"] == "predict"
    assert step["run"]["run_id"].startswith("manual__")
    assert f"models/{DS}/model.txt" in step["inputs"]


def test_same_day_again_gives_the_same_bytes(stack: Stack, day: dict[tuple[str, str], dict[str, object]]) -> None:
    before = {path: digest for path, digest in data_files().items() if not path.endswith("_meta.json")}
    for dag in DAGS:
        stack.run(dag, {"ds": DS})
    after = {path: digest for path, digest in data_files().items() if not path.endswith("_meta.json")}
    assert after == before


def test_stage_containers_are_removed(day: dict[tuple[str, str], dict[str, object]]) -> None:
    form = '{{.Names}} {{.Label "com.docker.compose.service"}}'
    command = ["docker", "ps", "--all", "--format", form, "--filter", f"volume={DATA}"]
    left = subprocess.run(command, text=True, capture_output=True, check=True).stdout.splitlines()
    # Two services look there whether a day has come.
    assert {line.partition(" ")[2] for line in left} == {"scheduler", "triggerer"}, left


def test_stack_that_is_up_is_left_alone(stack: Stack) -> None:
    assert compose_stack.is_up()
