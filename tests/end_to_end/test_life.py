"""The life of a model through the real scheduler and MLflow: registered, judged, promoted, used, taken back."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from airflow_ml import alerts, models
from airflow_ml.common import AirflowMlError

from .conftest import (
    FEW_TREES,
    PORT,
    RUN_TIMEOUT_S,
    SMALL,
    Mlflow,
    Results,
    Stack,
    compose_stack,
    data,
    registry,
    run_mlflow_client,
)

FIRST, SECOND, THIRD = "2026-10-04", "2026-10-11", "2026-10-18"
# Without it, MLflow shows the page among those of generative AI.
ML = "?workflowType=machine_learning"
# One leaf a tree learns nothing: what such a model is called is the gate's answer.
WORTHLESS = {"lightgbm": {"num_boost_round": 1, "learning_rate": 0.0001, "num_leaves": 2}}


def predict_with(stack: Stack, ds: str, **conf: object) -> dict[str, Any]:
    """Score a day; returns what the mark of the predictions says about the model."""
    stack.run("predict", {"ds": ds, **conf})
    return dict(data.mark(f"predictions/{ds}")["steps"]["predict"]["parameters"])


@pytest.fixture(scope="module")
def mlflow(stack: Stack) -> Mlflow:
    return Mlflow(f"http://localhost:{PORT + 1}")


@pytest.fixture(scope="module")
def first(stack: Stack, mlflow: Mlflow) -> Results:
    """The results of the first training; other tests may have trained before."""
    stack.run_together([("generate_data", {"ds": ds, **SMALL}) for ds in (FIRST, SECOND, THIRD)])
    before = mlflow.champion()
    results = stack.results("train_model", stack.run("train_model", {"ds": FIRST, **FEW_TREES}))
    if not results["registry", "decide"]["promoted"]:
        assert before is not None
        version = results["registry", "register"]["version"]
        stack.run("promote_model", {"version": int(version), "reason": "the first of these tests"})
    return results


@pytest.fixture(scope="module")
def second(stack: Stack, first: Results) -> Results:
    """Another model, of the eight days that begin with the first model's, left to a person."""
    run = stack.run("train_model", {"ds": SECOND, "days": 8, "min_days": 2, "promote": "manual", **FEW_TREES})
    return stack.results("train_model", run)


def test_training_leaves_a_run_that_shows_it_all(mlflow: Mlflow, first: Results) -> None:
    run = mlflow.run(first["registry", "register"]["run_id"])
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert tags["airflow_ml.ds"] == FIRST
    assert tags["airflow_ml.dag_run_id"].startswith("manual__")
    metrics = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    assert metrics["roc_auc"] == pytest.approx(first["prediction", "validate"]["roc_auc"])
    assert run["data"]["params"]
    assert {"plots", "model"} <= set(mlflow.artifacts(run["info"]["run_id"]))


def test_parameters_of_the_form_reach_the_stages(first: Results, second: Results) -> None:
    """Rows of generate_data, LightGBM's parameters, `promote` and `days` of train_model."""
    assert data.json(f"models/{FIRST}/params.json")["parameters"]["num_iterations"] == 20
    assert len(data.rows(f"raw/{FIRST}/data.csv")) == SMALL["rows"]
    assert second["registry", "decide"]["decision"] == "left to a person"
    split = second["preprocessing", "split"]
    assert split["days"] == data.json(f"models/{SECOND}/encoder.json")["days"] == [FIRST, SECOND]
    assert len(split["left_out"]) == 6
    assert split["train_rows"] + split["val_rows"] + split["no_side"] > SMALL["rows"]


def test_candidate_left_to_a_person_stays_challenger(mlflow: Mlflow, first: Results, second: Results) -> None:
    decided = second["registry", "decide"]
    assert decided["promoted"] is False
    assert decided["decision"] == "left to a person"
    assert "promote_model" in decided["do"]
    assert mlflow.champion() == first["registry", "register"]["version"]
    assert mlflow.alias("challenger") == second["registry", "register"]["version"]


def test_form_with_an_unknown_version_is_refused_in_words(stack: Stack, first: Results) -> None:
    with pytest.raises(AirflowMlError, match="Invalid input for param version"):
        stack.airflow.trigger("promote_model", {"version": "the best", "reason": "no number"})
    run = stack.airflow.trigger("promote_model", {"version": "999", "reason": "a typing error"})
    assert stack.airflow.wait("promote_model", run, RUN_TIMEOUT_S) == "failed"
    assert "airflow-ml has no version 999; expected: one of its versions" in stack.explain("promote_model", run)


def test_comparison_is_of_the_same_rows(second: Results) -> None:
    compared, encoded = second["prediction", "compare"], second["preprocessing", "encode-validation"]
    assert encoded["champion"] == compared["champion"]["model"]
    low, high = compared["interval"]
    assert low <= compared["difference"] <= high
    comparison = data.json(f"comparisons/{SECOND}/comparison.json")
    assert comparison["rows"] == len(data.rows(f"processed/{SECOND}/val.csv"))


def test_form_offers_the_challenger_and_shows_the_versions_with_their_metrics(
    stack: Stack, first: Results, second: Results
) -> None:
    old, new = (results["registry", "register"]["version"] for results in (first, second))
    field = stack.field("promote_model", "version", f"Empty: the challenger, version {new}.")
    assert [new, old] == [number for number in field["examples"] if number in (new, old)]
    metrics = second["prediction", "validate"]
    shown = f"| {new} | challenger | {SECOND} | {metrics['roc_auc']:.4f} | {metrics['average_precision']:.4f} |"
    assert shown in field["description_md"].splitlines()
    assert f"| {old} | champion | {FIRST} |" in field["description_md"]


def test_person_promotes_predict_uses_it_and_rollback_takes_it_back(
    stack: Stack,
    mlflow: Mlflow,
    first: Results,
    second: Results,
) -> None:
    old, new = first["registry", "register"]["version"], second["registry", "register"]["version"]
    assert predict_with(stack, THIRD)["version"] == old
    stack.run("promote_model", {"version": new, "reason": "it looks better to me"})
    used = predict_with(stack, THIRD)
    assert (used["version"], used["run_id"]) == (new, second["registry", "register"]["run_id"])
    stack.run("roll_back_model", {"reason": "it was not"})
    assert predict_with(stack, THIRD)["version"] == old
    promoted, back = mlflow.events()[-2:]
    assert (promoted["version"], promoted["kind"], promoted["by"]) == (new, "promote", "admin")
    assert promoted["reason"] == "it looks better to me"
    assert (back["version"], back["kind"], back["by"], back["reason"]) == (old, "rollback", "admin", "it was not")


def test_variable_wins_over_the_registry(stack: Stack, first: object, second: object) -> None:
    with stack.variable("model_path", f"/data/models/{SECOND}"):
        used = predict_with(stack, THIRD)
    assert used["model"] == f"models/{SECOND}"


def test_day_is_scored_by_the_champion_of_then_where_that_is_asked_for(
    stack: Stack, mlflow: Mlflow, second: Results
) -> None:
    """A promotion that was made elsewhere, in September, is taken over with its time. Without the Variable of the test
    before, the model is the registry's."""
    version = second["registry", "register"]["version"]
    now = mlflow.champion()
    assert now != version
    registry(
        "promote", f"--version={version}", "--by=an importer", "--reason=as it was in September",
        "--at=2026-09-01T00:00:00Z",
    )  # fmt: skip
    assert mlflow.champion() == now
    stack.run("generate_data", {"ds": "2026-09-10", **SMALL})
    assert predict_with(stack, "2026-09-10", as_of=True)["version"] == version
    assert predict_with(stack, "2026-09-10")["version"] == now
    run = stack.airflow.trigger("predict", {"ds": "2026-08-01", "as_of": True, "wait_hours": 0})
    assert stack.airflow.wait("predict", run, RUN_TIMEOUT_S) == "failed"


@dataclass(frozen=True)
class Again:
    """A second training of FIRST: the champion before, what the stages found, the scores of THIRD before."""

    champion: str | None
    results: Results
    scores: str


@pytest.fixture(scope="module")
def again(stack: Stack, mlflow: Mlflow, first: Results) -> Again:
    """The first model's day once more, with a worthless model: models/{day} is another model by now."""
    data.score(THIRD, f"models/{FIRST}")
    before, scores = mlflow.champion(), data.hash(f"predictions/{THIRD}/predictions.csv")
    results = stack.results("train_model", stack.run("train_model", {"ds": FIRST, **WORTHLESS}))
    return Again(before, results, scores)


@pytest.fixture(scope="module")
def scored_again(stack: Stack, again: Again) -> dict[str, Any]:
    """What the mark of THIRD says about the model that scored it after that."""
    return predict_with(stack, THIRD)


def test_worthless_candidate_does_not_pass_the_gate(mlflow: Mlflow, again: Again) -> None:
    decided = again.results["registry", "decide"]
    assert decided["promoted"] is False
    assert "average_precision" in "; ".join(decided["reasons"])
    assert mlflow.champion() == again.champion
    run = mlflow.run(again.results["registry", "register"]["run_id"])
    assert "; ".join(decided["reasons"]) in {tag["value"] for tag in run["data"]["tags"]}


def test_model_trained_again_does_not_change_the_one_in_production(
    first: Results, again: Again, scored_again: dict[str, Any]
) -> None:
    """The registered model of the day comes back from MLflow."""
    version = first["registry", "register"]["version"]
    assert (scored_again["version"], scored_again["model"]) == (version, f"models/{FIRST}-v{version}")
    assert data.hash(f"predictions/{THIRD}/predictions.csv") == again.scores
    made = again.results["registry", "register"]
    assert data.hash(f"models/{FIRST}/model.txt") != data.hash(f"models/{FIRST}-v{version}/model.txt")
    assert made["version"] != version


def test_day_is_evaluated_reported_and_logged(stack: Stack, mlflow: Mlflow, scored_again: dict[str, Any]) -> None:
    used = scored_again
    run = stack.run("monitor", {"ds": THIRD})
    results = stack.results("monitor", run)
    evaluated = results["prediction", "evaluate"]
    assert 0.5 < evaluated["metrics"]["roc_auc"] <= 1
    history = mlflow.history(used["run_id"], "live.roc_auc")
    assert [point["value"] for point in history] == [pytest.approx(evaluated["metrics"]["roc_auc"])]
    stack.run("monitor", {"ds": THIRD, "force": True})
    assert len(mlflow.history(used["run_id"], "live.roc_auc")) == 1
    experiment = mlflow.run(used["run_id"])["info"]["experiment_id"]
    # The link of the task's page leads to the report, those of the registry's to the version and the run.
    assert stack.links("monitor", run, "page") == {"Report": f"http://localhost:{PORT + 2}/{THIRD}/"}
    assert stack.links("monitor", run, "log_evaluation") == {
        "MLflow version": f"http://localhost:{PORT + 1}/#/models/airflow-ml/versions/{used['version']}{ML}",
        "MLflow run": f"http://localhost:{PORT + 1}/#/experiments/{experiment}/runs/{used['run_id']}{ML}",
    }
    page = stack.page(f"http://localhost:{PORT + 2}/{THIRD}/")
    assert THIRD in page
    assert "<script src" not in page


MOVED = "2026-10-25"
# The same payments in another currency, as a feed's mistake would have them.
OTHER_CURRENCY = f"""
import csv, pathlib
folder = pathlib.Path('/data/import/moved')
folder.mkdir(parents=True, exist_ok=True)
raw = pathlib.Path('/data/raw/{THIRD}')
for name in ('target.csv', 'schema.json'):
    (folder / name).write_bytes((raw / name).read_bytes())
with (raw / 'data.csv').open(newline='') as source, (folder / 'data.csv').open('w', newline='') as target:
    rows = csv.DictReader(source)
    writer = csv.DictWriter(target, rows.fieldnames, lineterminator='\\n')
    writer.writeheader()
    for row in rows:
        try:
            row['amount'] = repr(round(float(row['amount']) * 7, 2))
        except ValueError:
            pass
        writer.writerow(row)
"""


def test_day_that_has_moved_sends_an_alert_and_starts_a_training_if_asked(stack: Stack, first: object) -> None:
    data.python(OTHER_CURRENCY)
    files = [f"--{kind}=/data/import/moved/{kind}.csv" for kind in ("data", "target", "schema")]
    data.stage("preprocessing", "import", f"--ds={MOVED}", *files[:2], files[2].replace(".csv", ".json"))
    stack.run("predict", {"ds": MOVED, "max_rejected": 0.5})
    results = stack.results("monitor", stack.run("monitor", {"ds": MOVED, "retrain": True}))
    confirmed = results["prediction", "confirm"]
    assert results["prediction", "evaluate"]["drift"]["max_feature"]["name"] == "amount"
    assert any("amount" in breach for breach in confirmed["breaches"])
    assert stack.airflow.wait("train_model", f"breach__{MOVED}", RUN_TIMEOUT_S) == "success"
    run_of_breach = stack.airflow.request("GET", f"/dags/train_model/dagRuns/breach__{MOVED}")
    assert run_of_breach["conf"] == {"ds": MOVED}
    shown = alerts.last(alerts.read_alerts(), 20)
    assert MOVED in shown
    assert confirmed["breaches"][0] in shown


LOAD = """
import csv, io, json
import mlflow
import numpy as np

features, predictions = json.loads(TEXTS)
model = mlflow.lightgbm.load_model("models:/airflow-ml@champion")
rows = list(csv.reader(io.StringIO(features)))
columns = len(model.feature_name())
values = np.array([[float(text) if text else np.nan for text in row[-columns:]] for row in rows[1:]])
scores = model.predict(values)
ours = np.array([float(row["probability_1"]) for row in csv.DictReader(io.StringIO(predictions))])
print(json.dumps({"rows": len(ours), "difference": float(np.abs(scores - ours).max())}))
"""


@pytest.mark.usefixtures("first")
def test_anyone_loads_the_champion_and_scores_alike() -> None:
    """With MLflow and LightGBM alone, from the registry, without a file or a line of ours."""
    data.score(THIRD, registry("resolve").line["model"])
    files = (f"features/{THIRD}/features.csv", f"predictions/{THIRD}/predictions.csv")
    texts = json.dumps([data.read(file) for file in files])
    loaded = json.loads(run_mlflow_client(f"TEXTS = {texts!r}\n{LOAD}").splitlines()[-1])
    assert loaded["rows"] > 1000
    assert loaded["difference"] <= 1e-12


@pytest.mark.usefixtures("first")
def test_without_mlflow_the_last_champion_serves_and_the_log_says_so() -> None:
    expected = registry("resolve").line
    assert compose_stack.compose("stop", "mlflow").returncode == 0
    try:
        done = registry("resolve", "--or-last")
        assert done.line["source"] == "last resolved"
        assert (done.line["version"], done.line["model"]) == (expected["version"], expected["model"])
        assert "out of reach" in done.log
        assert "http://mlflow:5000" in registry("resolve", code=1).log
        # The host tool once advised on the options of `docker run`.
        with pytest.raises(AirflowMlError, match=r"(?s)^MLflow does not answer.*do: make up"):
            models.list_versions()
    finally:
        compose_stack.compose("up", "--detach", "--wait", "mlflow")
