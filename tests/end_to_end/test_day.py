"""A day in the life, through a real scheduler: the Dags, the files they leave, and the same bytes again."""

import json
import subprocess
import time

import pytest
from airflow_ml.airflow_api import Airflow
from airflow_ml.common import AirflowMlError

from tests.chaos.__main__ import run_day
from tests.chaos.faults import SEVERAL, several_in_turn
from tests.chaos.scene import Scene
from tests.harness import images

from .conftest import ALL_DAGS, DAGS, DAY, Results, Stack, compose_stack, data

OF_TESTS = ("alert_", "exchange_", "take_in_")  # the Dags of the tests
FILES = {
    "raw": {"data.csv", "target.csv", "schema.json"},
    "processed": {"train_data.csv", "rejected.csv", "train.csv", "val.csv", "val_data.csv", "encoder.json"},
    "models": {
        "model.txt", "encoder.json", "params.json", "feature_importance.csv", "reference_scores.csv", "metrics.json",
        "curves.json", "baseline.json", "model_card.md",
    },
    "plots": {"roc.svg", "precision_recall.svg", "calibration.svg", "importances.svg", "training_curve.svg"},
    "comparisons": {"comparison.json"},
    "features": {"features.csv", "rejected.csv"},
    "predictions": {"predictions.csv"},
    "labels": {"labels.csv", "rejected.csv"},
    "reports": {"evaluation.json", "breaches.json", "index.html"},
}  # fmt: skip
# Is there from the second training on, which has a champion to be compared with.
CHAMPIONS_ROWS = f"comparisons/{DAY}/val.csv"

READ = """
import json, pathlib, stagekit
root = pathlib.Path('/data')
for name, files in json.loads('''{files}''').items():
    stagekit.read_partition(root, name + '/{ds}', files)
print('verified')
"""


def test_stack_is_ready_when_it_says_so(stack: Stack) -> None:
    dags = stack.airflow.request("GET", "/dags")["dags"]
    paused = {dag["dag_id"]: dag["is_paused"] for dag in dags if not dag["dag_id"].startswith(OF_TESTS)}
    assert paused == dict.fromkeys(ALL_DAGS, False)
    assert stack.airflow.request("GET", "/importErrors")["import_errors"] == []


@pytest.mark.usefixtures("first_run")
def test_start_brings_no_surprise_runs(stack: Stack) -> None:
    """A fixed start date in the past must not make runs for the days since."""
    time.sleep(3)  # several looks of the scheduler
    runs = stack.airflow.request("GET", "/dags/~/dagRuns")["dag_runs"]
    ours = [run for run in runs if not run["dag_id"].startswith(OF_TESTS)]
    begun = min(run["queued_at"] for run in runs if run["queued_at"])  # a schedule may come while the tests run
    assert [run["dag_run_id"] for run in ours if run["run_type"] != "manual" and run["run_after"] < begun] == []


def test_page_asks_for_the_password_of_the_environment_file(stack: Stack) -> None:
    with pytest.raises(AirflowMlError, match="401"):
        Airflow(stack.url, "wrong").request("GET", "/dags")


def test_day_leaves_every_file_with_a_valid_mark(day: Results) -> None:
    found = {path for path in data.files() if f"/{DAY}/" in path and not path.endswith("_meta.json")}
    assert found - {CHAMPIONS_ROWS} == {f"{folder}/{DAY}/{name}" for folder, names in FILES.items() for name in names}
    files = json.dumps({folder: sorted(names) for folder, names in FILES.items()})
    assert data.python(READ.format(files=files, ds=DAY)).strip() == "verified"


def test_day_has_a_useful_model(day: Results) -> None:
    assert 0.8 < day["prediction", "validate"]["roc_auc"] < 0.98


def test_day_predicts_every_row_that_was_not_rejected(day: Results) -> None:
    rows = data.rows(f"predictions/{DAY}/predictions.csv")
    features, predicted = day["preprocessing", "features"], day["prediction", "predict"]
    assert len(rows) == predicted["rows"] == features["rows_out"] > 1000
    probabilities = [float(value) for row in rows for name, value in row.items() if name.startswith("probability_")]
    assert all(0 <= value <= 1 for value in probabilities)


def test_marks_say_who_made_each_file(day: Results) -> None:
    step = data.mark(f"predictions/{DAY}")["steps"]["predict"]
    assert step["image"]["name"] == images()["prediction"]
    assert step["run"]["dag_id"] == "predict"
    assert step["run"]["run_id"].startswith("manual__")
    assert f"models/{DAY}/model.txt" in step["inputs"]


def test_first_model_is_in_production(day: Results) -> None:
    assert day["registry", "decide"]["promoted"] is True
    assert day["registry", "resolve"]["model"] == f"models/{DAY}"
    assert day["registry", "resolve"]["version"] == day["registry", "register"]["version"]
    assert day["prediction", "evaluate"]["trained_on_day"] is True


def test_same_day_again_gives_the_same_bytes_whatever_strikes(stack: Stack, day: Results) -> None:
    """With those faults of `make chaos` that need no stack of their own, while a reader looks all the time."""
    scene = Scene(stack.airflow, DAY, again=True)
    struck = run_day(scene, several_in_turn, 0, scene.files())
    # A service that was killed last may still start.
    compose_stack.start()
    assert (struck.is_well, struck.by_itself, struck.alerts) == (True, True, 0), struck
    assert struck.strikes == len(SEVERAL), struck
    # This time there is a champion to be compared with. The page shows that, and may have been made before it.
    assert CHAMPIONS_ROWS in data.files()
    stack.run("monitor", {"ds": DAY})


def test_what_is_there_already_is_verified_not_made_again(stack: Stack, day: Results) -> None:
    """At the same time, as nothing is made: each Dag reads what the others verify."""
    before = data.files()
    for dag, run in zip(DAGS, stack.run_together([(dag, {"ds": DAY}) for dag in DAGS]), strict=True):
        results = stack.results(dag, run)
        made = {key: result for key, result in results.items() if key[0] != "registry"}
        assert made
        assert [key for key, result in made.items() if not result.get("cached")] == []
    assert {path: digest for path, digest in data.files().items() if "registry" not in path} == {
        path: digest for path, digest in before.items() if "registry" not in path
    }


def test_stage_containers_are_removed(day: Results) -> None:
    form = '{{.Names}} {{.Label "com.docker.compose.service"}}'
    command = ["docker", "ps", "--all", "--format", form, "--filter", f"volume={data.source}"]
    left = subprocess.run(command, text=True, capture_output=True, check=True).stdout.splitlines()
    # Two services look there whether a day has come, one shows the reports.
    assert {line.partition(" ")[2] for line in left} == {"scheduler", "triggerer", "reports"}, left


def test_stack_that_is_up_is_left_alone(stack: Stack) -> None:
    assert compose_stack.is_up()
