"""The Dags' own command lines, task by task, in the real images of the stages."""

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.exceptions import ParamValidationError
from airflow.models import DagRun
from airflow.models.variable import Variable

from ml import connections
from tests.dags.conftest import DAGS, STAGES
from tests.dags.engine.conftest import Engine
from tests.dags.runs import Airflow, day
from tests.harness import PATIENCE_S, Data
from tests.sensitive import SECRETS, publish_raw

pytestmark = pytest.mark.usefixtures("_stages")
MONDAY, TUESDAY = "2026-11-16", "2026-11-17"
TUNE = ["prepare", "split", "tune"]
TRAIN = ["prepare", "split", "train", "validate", "plot"]
JUDGE = ["encode_validation", "compare"]
PREDICT = ["resolve", "features", "predict"]


@pytest.fixture(scope="module")
def lock(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = {stage: engine.tag(stage) for stage in STAGES}
    path = tmp_path_factory.mktemp("lock") / "images.lock.json"
    path.write_text(json.dumps({"version": 1, "images": images}))
    return path


@pytest.fixture
def _stages(_environment: None, lock: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, file in {"PASSWORD": "registry_password", "KEY": "registry_key"}.items():
        (secret := folder.with_name(file)).write_text("p" * 32)
        monkeypatch.setattr(connections, name, secret)
    monkeypatch.setenv("ML_IMAGE_LOCK", str(lock))
    monkeypatch.setenv("ML_STAGE_MEMORY", "2g")


@pytest.fixture(scope="module")
def airflow() -> Airflow:
    return Airflow(DAGS)


def run_all(airflow: Airflow, run: DagRun, tasks: list[str]) -> list[dict[str, Any]]:
    """Run the tasks one after the other; returns their results."""
    results = []
    for task in tasks:
        outcome = airflow.run_task(run, task)
        while outcome.ti.state == "deferred":  # on a busy machine
            airflow.fire_trigger(run, task, PATIENCE_S)
            outcome = airflow.run_task(run, task, new_try=False)
        assert outcome.ti.state == "success", outcome.error
        results.append(airflow.result(run, task))
    return results


def run_mapped(airflow: Airflow, run: DagRun, task: str) -> None:
    """Run the three instances of a mapped task."""
    assert airflow.expand(run, task) == [0, 1, 2]
    for index in range(3):
        outcome = airflow.run_task(run, task, map_index=index)
        assert outcome.ti.state == "success", outcome.error


def test_day_goes_through_all_dags(
    airflow: Airflow, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each day is asked for in another kind of run."""
    monday = airflow.manual("generate_data", day(MONDAY, 23), {"rows": 3000})
    tuesday = airflow.scheduled("generate_data", TUESDAY, "2026-11-18")
    assert [run_all(airflow, run, ["generate"])[0]["ds"] for run in (monday, tuesday)] == [MONDAY, TUESDAY]

    search = airflow.manual("tune_model", day("2026-11-19"), {"ds": MONDAY, "trials": 2})
    *_, tuned = run_all(airflow, search, TUNE)
    assert (tuned["partition"], tuned["trials"]) == (f"tuning/{MONDAY}", 2)

    form = {"ds": MONDAY, "lightgbm": {"num_leaves": 7}, "tuned_max_age": 0}
    training = airflow.manual("train_model", day("2026-11-20"), form)
    *_, trained, validated, plotted = run_all(airflow, training, TRAIN)
    assert trained["tuned"]["partition"] == f"tuning/{MONDAY}"
    assert (validated["model"], plotted["partition"]) == (f"models/{MONDAY}", f"plots/{MONDAY}")
    # Without MLflow no champion is known; tests/end_to_end has one.
    airflow.set_result(training, "resolve", {"model": None, "version": None})
    encoded, compared = run_all(airflow, training, JUDGE)
    assert encoded["champion"] is None
    assert (compared["passed"], compared["champion"]) == (True, None)

    (scoring,) = airflow.backfilled("predict", TUESDAY, "2026-11-18")
    Variable.set("model_path", f"/data/models/{MONDAY}")
    try:
        resolved, prepared, predicted = run_all(airflow, scoring, PREDICT)
    finally:
        Variable.delete("model_path")
    assert (resolved["model"], resolved["source"]) == (f"models/{MONDAY}", "variable")
    assert (prepared["ds"], predicted["ds"]) == (TUESDAY, TUESDAY)
    assert [name for name, _ in airflow.asset_events(scoring)] == ["features", "predictions"]

    asking = airflow.manual("predict", day("2026-11-21"), {"ds": TUESDAY, "reasons": 2})
    airflow.set_result(asking, "resolve", resolved)
    (explained,) = run_all(airflow, asking, ["explain"])
    assert (explained["partition"], explained["rows"]) == (f"explanations/{TUESDAY}", predicted["rows"])
    assert explained["largest_difference"] <= 1e-9

    looking = airflow.scheduled("monitor", TUESDAY, "2026-11-18")
    _, evaluated, confirmed, reported = run_all(airflow, looking, ["label", "evaluate", "confirm", "page"])
    assert evaluated["model"]["name"] == f"models/{MONDAY}"
    assert confirmed["days"] == [TUESDAY]
    assert reported["partition"] == f"reports/{TUESDAY}"

    # The same model in shadow, as another version: it is as good as itself.
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({**json.loads((DAGS / "rules.json").read_text()), "shadow_days": 1}))
    monkeypatch.setattr("ml.rules.RULES", rules)
    with_shadow = Airflow(DAGS)
    scoring = with_shadow.manual("predict", day("2026-11-22"), {"ds": TUESDAY})
    named = {f"shadow_{key}": resolved[key] for key in ("model", "model_sha256", "run_id")}
    with_shadow.set_result(scoring, "resolve", {**resolved, **named, "shadow_version": "2"})
    features, scored = run_all(with_shadow, scoring, ["shadow_features", "shadow_predict"])
    assert (features["partition"], scored["version"]) == (f"shadows/{TUESDAY}-v2", "2")
    looking = with_shadow.manual("monitor", day("2026-11-22"), {"ds": TUESDAY})
    judged, shown = run_all(with_shadow, looking, ["compare_shadow", "page"])
    assert shown["shadow"]["version"] == "version 2, day 1 of 1"
    assert (judged["version"], judged["days"], judged["complete"]) == ("2", [TUESDAY], True)
    assert (judged["outcome"], judged["difference"]) == ("passed", 0.0)
    nothing = with_shadow.manual("predict", day("2026-11-23"), {"ds": TUESDAY})
    with_shadow.set_result(nothing, "resolve", resolved)
    assert with_shadow.run_task(nothing, "shadow_features").ti.state == "skipped"

    for (dag_id, task_id), kinds in kinds_read(engine).items():
        uses = {asset.name for asset in with_shadow.dag(dag_id).get_task(task_id).inlets}
        assert uses - {"registry"} == kinds, (dag_id, task_id)

    period = {"ds": TUESDAY, "days": 2, "windows": "1", "every": "0,1"}
    walk = airflow.manual("backtest", day("2026-11-23"), period)
    *_, walked, drawn = run_all(airflow, walk, ["prepare", "encode_days", "backtest", "backtest_page"])
    assert (walked["partition"], walked["models"]) == (f"backtests/{TUESDAY}", 1)
    assert (drawn["partition"], drawn["page"]) == (f"reports/{TUESDAY}", "backtest.html")


def test_day_in_shards_is_the_day(
    airflow: Airflow, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Three containers of each mapped task, then the tasks that make the day of what they wrote: the same bytes."""
    monkeypatch.setattr("ml.sensor.DATA_FOLDER", tmp_path)
    (mark := tmp_path / "raw" / TUESDAY / "_meta.json").parent.mkdir(parents=True)
    mark.touch()
    data = Data(engine.name)
    places = [f"{kind}/{TUESDAY}/_meta.json" for kind in ("features", "predictions")]
    before = {place: data.json(place) for place in places}
    form = {"ds": TUESDAY, "shards": 3, "force": True}
    scoring = airflow.manual("predict", day("2026-11-24"), form)
    airflow.set_result(scoring, "resolve", {"model": f"models/{MONDAY}"})
    run_all(airflow, scoring, ["wait_for_raw"])
    for mapped, merging in (("features_shards", "features"), ("predict_shards", "predict")):
        run_mapped(airflow, scoring, mapped)
        run_all(airflow, scoring, [merging])
    for place, mark in ((place, data.json(place)) for place in places):
        assert mark["outputs"] == before[place]["outputs"]
        (step,) = mark["steps"].values()
        assert f"shards/{TUESDAY}-{place.split('/')[0]}-3of3" in {path.rsplit("/", 1)[0] for path in step["inputs"]}
    (mark := tmp_path / "predictions" / TUESDAY / "_meta.json").parent.mkdir(parents=True)
    mark.touch()
    alone = airflow.manual("monitor", day("2026-11-24"), {"ds": TUESDAY, "force": True})
    run_all(airflow, alone, ["label", "evaluate"])
    places = [f"{kind}/{TUESDAY}/_meta.json" for kind in ("labels", "reports")]
    before = {place: data.json(place)["outputs"] for place in places}
    looking = airflow.manual("monitor", day("2026-11-25"), form)
    run_all(airflow, looking, ["wait_for_predictions"])
    for mapped, merging in (("label_shards", "label"), ("evaluate_shards", "evaluate")):
        run_mapped(airflow, looking, mapped)
        run_all(airflow, looking, [merging])
    assert {place: data.json(place)["outputs"] for place in places} == before
    assert data.json(f"reports/{TUESDAY}/evaluation.json")["metrics"]["rows"] > 0
    alone = airflow.manual("predict", day("2026-11-25"), {"ds": TUESDAY})
    run_all(airflow, alone, ["wait_for_raw"])
    assert airflow.expand(alone, "features_shards") == [-1]
    assert airflow.waiting(alone, "features_shards").state == "skipped"


def kinds_read(engine: Engine) -> dict[tuple[str, str], set[str]]:
    """The kinds of partitions that each task has read, by its Dag and id, as the marks on the volume say."""
    data = Data(engine.name)
    found: dict[tuple[str, str], set[str]] = {}
    for path in data.files():
        if path.endswith("_meta.json"):
            for step in data.json(path)["steps"].values():
                kinds = {file.partition("/")[0] for file in step["inputs"]}
                found.setdefault((step["run"]["dag_id"], step["run"]["task_id"]), set()).update(kinds)
    assert found
    return found


def test_model_of_the_variable_that_is_not_there_is_waited_for(airflow: Airflow) -> None:
    """Never replaced by another: a person asked for this one."""
    Variable.set("model_path", "/data/models/2020-01-01")
    try:
        assert airflow.run_task(airflow.manual("predict", day(TUESDAY)), "resolve").ti.state == "up_for_reschedule"
    finally:
        Variable.delete("model_path")


def test_day_without_data_is_waited_for(airflow: Airflow) -> None:
    run = airflow.manual("train_model", day("2020-01-01"))
    assert airflow.run_task(run, "prepare").ti.state == "up_for_reschedule"


def test_parameter_that_the_stage_does_not_take_fails_without_a_retry(airflow: Airflow) -> None:
    run = airflow.manual("train_model", day(MONDAY), {"lightgbm": {"num_iterations": 0}})
    outcome = airflow.run_task(run, "train")
    assert outcome.ti.state == "failed"
    assert "exit code 2" in str(outcome.error)


def test_parameter_that_lightgbm_does_not_have_is_refused_before_anything_runs(airflow: Airflow) -> None:
    with pytest.raises(ParamValidationError, match="no parameter 'num_leafs'; expected: perhaps num_leaves"):
        airflow.manual("train_model", day(MONDAY), {"lightgbm": {"num_leafs": 7}})


def test_day_that_is_no_date_is_refused_before_anything_runs(airflow: Airflow) -> None:
    with pytest.raises(ParamValidationError):
        airflow.manual("generate_data", day(MONDAY), {"ds": "2026-02-30"})


def test_alert_of_a_refused_day_has_no_value_of_a_sensitive_field(
    airflow: Airflow, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_ALERTS_FOLDER", str(tmp_path / "alerts"))
    publish_raw(Data(engine.name), "2026-11-18", 0, wrong=6)
    run = airflow.manual("train_model", day("2026-11-20"), {"ds": "2026-11-18"})
    assert airflow.run_task(run, "prepare").ti.state == "failed"
    alert = (tmp_path / "alerts" / "alerts.log").read_text()
    assert "3: bad input data" in alert
    assert "income: '…' above maximum 9999" in alert
    assert [secret for secret in SECRETS if secret in alert] == []
