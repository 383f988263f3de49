"""The registry stage against a real MLflow server, with models that the real stages made."""

import csv
import io
import json
import os
import random
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow_ml import by_hand, models, status
from airflow_ml import data as host_data

from tests.harness import PATIENCE_S, ROOT, Data, Done, data_folder, docker, images

from .registry_lab import (
    FIRST,
    PAGES_PASSWORD,
    RULES,
    SECOND,
    Json,
    Server,
    in_server,
    serve,
    start,
)

MODEL = f"models/{FIRST}"
ODD = "2026-12-01"
RUN, NEXT_RUN = "scheduled__2026-11-15T02:00:00+00:00", "scheduled__2026-11-17T04:00:00+00:00"
THIRD = "2026-11-17"
MODEL_FILES = {
    "model.txt",
    "encoder.json",
    "params.json",
    "metrics.json",
    "curves.json",
    "baseline.json",
    "model_card.md",
}
LOADING_FILES = {"MLmodel", "_meta.json", "requirements.txt", "conda.yaml", "python_env.yaml", "input_example.json"}
PLOTS = {"roc.svg", "precision_recall.svg", "calibration.svg", "importances.svg", "training_curve.svg"}
FAILED, USAGE, BAD_INPUT, NOT_READY = 1, 2, 3, 4
# A command that waits as MLflow's own client does takes four minutes.
MOST_SECONDS = 120


# What `tuning` publishes, of a day before the first.
SEARCHED = "tuning/2026-11-12"
PUBLISH_SEARCH = f"""
from pathlib import Path
from stagekit import Publication
with Publication(Path("/data"), "{SEARCHED}", "tune") as publication:
    publication.path("best.json").write_text('{{"version": 1, "trial": 4, "parameters": {{"lambda_l2": 0.5}}}}')
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Two days with models; the second compared with the first, scored by it and evaluated."""
    return data_folder(tmp_path_factory.mktemp("registry") / "data")


def copy(data: Data, tmp_path: Path) -> Data:
    """The same data once more, without what `resolve` recorded there."""
    other = data_folder(tmp_path / "data")
    data.copy_to(other, without=["registry"])
    return other


def train_another(data: Data, ds: str) -> None:
    """Another model of a day."""
    data.train(ds, "--param=num_leaves=4")
    data.validate(ds)
    data.plot(ds)


@pytest.fixture(scope="module")
def server(data: Data) -> Iterator[Server]:
    with serve(data) as running:
        data.python(PUBLISH_SEARCH)
        data.make_model(FIRST, "--tuned-max-age=7")
        yield running


@pytest.fixture(scope="module")
def registered(server: Server) -> Server:
    """A registered model with a version of the first day."""
    lender = server.named("lender")
    assert lender.register()["version"] == "1"
    return lender


@pytest.fixture(scope="module")
def second(server: Server) -> Data:
    """The data with a second day: its model compared with the first's, its rows scored by the first and evaluated."""
    data = server.data
    data.make_model(SECOND)
    compare(data, "1")
    data.score(SECOND, MODEL)
    data.evaluate(SECOND, RULES["monitoring"])
    data.page(SECOND)
    return data


def compare(data: Data, version: str, **changed: object) -> None:
    """Compare the second day's model with the first's, or with none; `changed` are other rules."""
    data.compare(SECOND, {**RULES["gate"], **changed}, MODEL if version else "", version)


def test_register_records_all_that_is_known_of_a_model(server: Server) -> None:
    made = server.named("whole")
    line = made.register(run=RUN)
    run, version = made.run(line["run_id"]), made.version(line["version"])
    mark = server.data.mark(MODEL)
    params, metrics = (server.data.json(f"{MODEL}/{file}.json") for file in ("params", "metrics"))
    assert run["info"]["status"] == "FINISHED"
    assert run["params"]["num_leaves"] == str(params["parameters"]["num_leaves"])
    assert run["params"]["objective"] == "binary"
    assert (run["params"]["lambda_l2"], run["params"]["tuned.parameters"]) == ("0.5", '["lambda_l2"]')
    assert (run["params"]["tuned.partition"], run["params"]["tuned.trial"]) == (SEARCHED, "4")
    assert run["metrics"]["roc_auc"] == metrics["roc_auc"]
    for metric, values in params["curve"].items():
        assert made.points(line["run_id"], f"validation.{metric}") == list(enumerate(values, start=1))
    for file in ("raw/{}/data.csv", "raw/{}/target.csv", "raw/{}/schema.json", "processed/{}/train.csv"):
        path = file.format(FIRST)
        assert made.artifact(line["run_id"], "lineage/lineage.json")["files"][path] == server.data.hash(path)
    for partition, step in [(f"raw/{FIRST}", "generate"), (MODEL, "train"), (MODEL, "validate")]:
        record = server.data.mark(partition)["steps"][step]
        assert run["tags"][f"airflow_ml.image.{record['call']['stage']}"] == record["image"]["name"]
    assert run["tags"]["airflow_ml.dag_run_id"] == RUN
    assert "http://localhost:8080/dags/train_model/runs/scheduled__2026" in run["tags"]["mlflow.note.content"]
    assert run["tags"]["mlflow.note.content"].startswith(f"roc_auc {metrics['roc_auc']:.4f}, average_precision ")
    assert version["description"] == run["tags"]["mlflow.note.content"]
    assert "## Purpose" in version["description"]
    columns = {name: run["tags"][f"mlflow.{name}"] for name in ("source.name", "source.type", "user")}
    assert columns == {"source.name": f"train_model {RUN}", "source.type": "JOB", "user": "by hand"}
    inputs = made.rest("api/2.0/mlflow/runs/get", run_id=line["run_id"])["run"]["inputs"]["dataset_inputs"]
    assert [json.loads(one["dataset"]["profile"])["num_rows"] > 0 for one in inputs] == [True, True]
    digests = {one["tags"][0]["value"]: (one["dataset"]["name"], one["dataset"]["digest"]) for one in inputs}
    used = {"training": f"processed/{FIRST}/train.csv", "validation": f"processed/{FIRST}/val.csv"}
    assert digests == {context: (file, server.data.hash(file)[:12]) for context, file in used.items()}
    experiment = made.rest("api/2.0/mlflow/experiments/get-by-name", experiment_name="whole")["experiment"]
    tags = {tag["key"]: tag["value"] for tag in experiment["tags"]}
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    shown = json.loads(tags["mlflow.sharedViewState.columns"])["columnOrder"]
    assert {"metrics.`roc_auc`", "attributes.`User`", "attributes.`Source`", "attributes.`Dataset`"} <= {*shown}
    assert line["experiment_id"] == experiment["experiment_id"]
    figures = {name: metrics[name] for name in ("roc_auc", "average_precision", "log_loss", "brier_score")}
    offered = {"version": line["version"], "aliases": ["challenger"], "ds": FIRST, "metrics": figures}
    assert line["versions"] == [offered]
    assert f"http://localhost:8081/{FIRST}/" in run["tags"]["mlflow.note.content"]
    assert made.artifacts(line["run_id"], "model") >= set(mark["outputs"]) | LOADING_FILES
    assert set(mark["outputs"]) >= MODEL_FILES
    assert made.artifacts(line["run_id"], "plots") == PLOTS
    assert version["aliases"] == ["challenger"]
    assert version["run_id"] == line["run_id"]
    assert version["tags"]["airflow_ml.model_sha256"] == server.data.hash(f"{MODEL}/model.txt")


def test_page_of_a_version_finds_signature_and_example(server: Server) -> None:
    made = server.named("page")
    line = made.register()
    text = made.rest("model-versions/get-artifact", name="page", version=line["version"], path="MLmodel")
    features = [feature["name"] for feature in server.data.json(f"{MODEL}/encoder.json")["features"]]
    assert "loader_module: airflow_ml_model" in text
    assert all(f'"{feature}"' in text.replace("\n    ", " ") for feature in features)
    example = made.rest("model-versions/get-artifact", name="page", version=line["version"], path="input_example.json")
    assert example["columns"] == features
    assert len(example["data"]) == 5


def test_register_twice_is_one_version_and_adds_no_point(server: Server) -> None:
    made = server.named("twice")
    first, again = made.register(run=RUN), made.register(run=RUN)
    assert (first["new"], again["new"]) == (True, False)
    assert (again["version"], again["run_id"]) == (first["version"], first["run_id"])
    assert len(made.versions()) == len(made.runs()) == 1
    iterations = len(server.data.json(f"{MODEL}/params.json")["curve"]["auc"])
    assert len(made.points(first["run_id"], "validation.auc")) == iterations
    assert len(made.points(first["run_id"], "roc_auc")) == 1


def test_model_that_is_trained_again_keeps_its_version_and_the_page_says_so(server: Server) -> None:
    made = server.named("again")
    first = made.register(run=RUN)
    assert "trained again" not in made.version("1")["description"]
    for run in ("manual__second", "manual__third", "manual__third"):
        again = made.register(run=run)
        assert (again["new"], again["version"], again["run_id"]) == (False, first["version"], first["run_id"])
    assert len(made.versions()) == len(made.runs()) == 1
    version = made.version("1")
    for text in (version["description"], made.run(first["run_id"])["tags"]["mlflow.note.content"]):
        assert f"The model of {FIRST}" in text
        assert text.count("The same model was trained again, last by [the Dag run `manual__third`]") == 1
        assert "manual__second" not in text
    assert version["tags"]["airflow_ml.dag_run_id"] == RUN
    assert version["tags"]["airflow_ml.reused_by"] == "manual__third"
    iterations = len(server.data.json(f"{MODEL}/params.json")["curve"]["auc"])
    assert len(made.points(first["run_id"], "validation.auc")) == iterations


def test_other_model_of_the_same_day_is_a_new_version(server: Server, tmp_path: Path) -> None:
    made = server.named("other", copy(server.data, tmp_path))
    assert made.register()["version"] == "1"
    train_another(made.data, FIRST)
    assert made.register().items() >= {"new": True, "version": "2", "aliases": ["challenger"]}.items()


def test_register_completes_a_version_whose_files_the_server_has_lost(server: Server) -> None:
    made = server.named("lost")
    made.register()
    path = made.version("1")["source"].removeprefix("mlflow-artifacts:/")
    in_server(server, f"import os; os.remove('/opt/mlflow/artifacts/{path}/model.txt')")
    assert "model.txt is gone" in made.promote("1", code=BAD_INPUT).log
    assert made.register(run="manual__later").items() >= {"new": False, "version": "1"}.items()
    assert made.promote("1").line["promoted"] is True


def test_register_that_was_killed_is_completed_by_the_next(server: Server) -> None:
    made = server.named("killed")
    process = start(made, "register", "--ds", FIRST, run=RUN)
    while not made.runs():
        assert process.poll() is None, process.communicate()[0]
    docker("kill", f"{made.network}-killed")
    assert process.wait(PATIENCE_S) == 137, process.communicate()[0]
    assert made.runs()[0]["info"]["status"] == "RUNNING"
    line = made.register(run=RUN)
    assert len(made.versions()) == len(made.runs()) == 1
    assert made.run(line["run_id"])["info"]["status"] == "FINISHED"
    assert made.promote(line["version"]).line["promoted"] is True


def test_server_that_fails_half_way_is_named_and_the_next_try_completes(server: Server) -> None:
    made = server.named("half")
    artifacts = "import os; os.chmod('/opt/mlflow/artifacts', 0o{})"
    in_server(server, artifacts.format(500))
    try:
        failed = made.registry("register", "--ds", FIRST, run=RUN, code=FAILED)
    finally:
        in_server(server, artifacts.format(755))
    assert "http://mlflow:5000 failed while uploading model/" in failed.log
    assert failed.seconds < MOST_SECONDS
    assert made.versions() == []
    assert made.register(run=RUN)["version"] == "1"
    assert len(made.runs()) == 1


def test_promote_and_roll_back_leave_a_history(server: Server, registered: Server) -> None:
    made = server.named("history")
    made.borrow(registered, 3)
    for version in ("1", "2", "3"):
        made.promote(version)
    assert made.model()["aliases"] == {"champion": "3"}
    assert made.promote("3").line["promoted"] is False
    assert made.roll_back().line["version"] == "2"
    assert made.roll_back().line["version"] == "1"
    refused = made.roll_back(code=BAD_INPUT)
    assert "nothing to go back to: version 1 is the first champion" in refused.log
    assert made.model()["aliases"] == {"champion": "1"}
    kinds = [(event["kind"], event["version"], event["by"], event["reason"]) for event in made.events()]
    promoted = [("promote", version, "tester", "a test") for version in ("1", "2", "3")]
    assert kinds == [*promoted, *(("rollback", version, "tester", "worse") for version in ("2", "1"))]
    assert "has no version 9; expected: one of its versions: 3, 2, 1" in made.promote("9", code=USAGE).log
    listed = made.registry("list")
    assert [version["version"] for version in listed.line["versions"]] == ["3", "2", "1"]
    assert listed.line["champion"] == "1"
    assert "champion  2026-11-15" in listed.log
    found = made.rest("api/2.0/mlflow/registered-models/get", name="history")["registered_model"]["description"]
    latest = found.splitlines()[2]
    assert re.fullmatch(r"- 2\d{3}-\d\d-\d\d \d\d:\d\d UTC: tester went back to version 1\. Why: worse", latest)
    assert "tester made version 3 the champion. Why: a test" in found
    assert made.version("1")["tags"]["airflow_ml.promoted"] == latest.removeprefix("- ")


def test_host_tool_shows_every_version_and_event_however_many(server: Server, registered: Server) -> None:
    made, versions, events = server.named("long"), 60, 400
    made.borrow(registered, versions)
    for number in range(1, events + 1):
        reason = f"{number} {'x' * 200}"
        value = {"version": str(number % versions + 1), "kind": "promote", "by": "ada", "reason": reason}
        key = f"champion.2026-11-15T02:00:00.{number:06}Z"
        made.rest("api/2.0/mlflow/registered-models/set-tag", {"name": "long", "key": key, "value": json.dumps(value)})
    data = host_data.Data("none", "10001:10001", "1g")
    listed = by_hand.run_stage(data, "registry", ["list"], *made.options(), network=server.network)
    shown = models.versions_of(listed)[1:]
    assert [line.split()[0] for line in shown] == [str(number) for number in range(versions, 0, -1)]
    assert all("ada" in line and "2026-11-15T02:00:00Z" in line for line in shown)
    assert all(version["metrics"] for version in listed["versions"])
    assert [line.split()[4] for line in models.events_of(listed)[1:]] == [str(n) for n in range(1, events + 1)]
    champion = events % versions + 1
    assert status.champion_of(listed).endswith(f"version {champion} of long, since 2026-11-15T02:00:00Z by ada")


def test_challenger_is_promoted_unless_a_version_is_named(server: Server, registered: Server) -> None:
    made = server.named("challenged")
    assert "has no challenger: nothing was registered yet" in made.promote("", code=USAGE).log
    made.borrow(registered, 2)
    made.rest("api/2.0/mlflow/registered-models/alias", {"name": made.name, "alias": "challenger", "version": "2"})
    # The second time is a retry of the same Dag run: the challenger is the champion by then.
    assert [made.promote("", run="first").line["version"] for _ in range(2)] == ["2", "2"]
    assert made.model()["aliases"] == {"champion": "2"}
    refused = made.promote("", run="second", code=USAGE)
    assert "no challenger: version 2 is in production, and none was registered after it" in refused.log


def test_retry_of_a_rollback_does_not_go_back_further(server: Server, registered: Server) -> None:
    made = server.named("retried")
    made.borrow(registered, 3)
    for version in ("1", "2", "3"):
        made.promote(version)
    for _ in range(2):
        assert made.roll_back(run="roll-back").line["version"] == "2"
    assert [event["version"] for event in made.events()] == ["1", "2", "3", "2"]


def test_reason_that_does_not_fit_is_cut_and_promotes(server: Server, registered: Server) -> None:
    made = server.named("wordy")
    made.borrow(registered, 1)
    made.promote("1", reason="ä" * 9000)
    (event,) = made.events()
    assert event["reason"].startswith("ääää")
    assert event["reason"].endswith("[...cut]")


def test_promotions_at_the_same_time_end_with_the_alias_at_the_last_event(server: Server, registered: Server) -> None:
    made = server.named("race")
    versions = ["1", "2", "3"]
    made.borrow(registered, len(versions))
    threads = [threading.Thread(target=made.promote, args=(version,)) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event["version"] for event in made.events()) == versions
    assert made.model()["aliases"]["champion"] == made.events()[-1]["version"]


def test_alias_that_was_left_behind_or_moved_by_hand_does_not_count(server: Server, registered: Server) -> None:
    made = server.named("moved")
    made.borrow(registered, 2)
    made.promote("1")
    made.rest("api/2.0/mlflow/registered-models/alias", {"name": "moved", "alias": "champion", "version": "2"})
    resolved = made.registry("resolve")
    assert resolved.line["version"] == "1"
    assert "the alias champion names version 2, but the history says version 1" in resolved.log
    assert made.promote("1").line["promoted"] is False
    assert made.model()["aliases"]["champion"] == "1"


def test_champion_of_a_time_in_the_past(server: Server, registered: Server) -> None:
    made = server.named("past")
    made.borrow(registered, 2)
    assert made.registry("resolve", code=NOT_READY).log.count("train_model") == 1
    assert "the past gets no other champion" in made.registry("resolve", "--as-of", "2026-11-14", code=BAD_INPUT).log
    assert made.registry("resolve", "--as-of", "2999-01-01", code=NOT_READY).log.count("train_model") == 1
    assert made.registry("resolve", "--or-none").line.items() >= {"model": None, "source": "none"}.items()
    made.promote("1", at="2026-11-16T02:00:00Z")
    made.promote("2", at="2026-11-18T02:00:00Z")
    for moment, version in [("2026-11-16", "1"), ("2026-11-18T01:59:59Z", "1"), ("2026-11-18", "2"), ("", "2")]:
        assert made.registry("resolve", "--as-of", moment).line["version"] == version, moment
    early = made.registry("resolve", "--as-of", "2026-11-14", code=BAD_INPUT)
    assert "the first promotion was at 2026-11-16T02:00:00.000000Z" in early.log
    elsewhere = made.promote("2", "made elsewhere", at="2026-11-15T02:00:00Z")
    assert "the champion now is version 2" in elsewhere.log
    assert made.registry("resolve", "--as-of", "2026-11-15").line["version"] == "2"
    assert made.model()["aliases"]["champion"] == "2"
    assert "an event at 2026-11-15T02" in made.promote("1", at="2026-11-15T02:00:00Z", code=USAGE).log
    assert "in the future" in made.promote("1", at="2999-01-01", code=USAGE).log


def test_version_without_its_files_cannot_be_promoted(server: Server) -> None:
    made = server.named("holes")
    line = made.register()
    path = made.version(line["version"])["source"].removeprefix("mlflow-artifacts:/")
    folder = f"/opt/mlflow/artifacts/{path}"
    in_server(server, f"open('{folder}/model.txt', 'a').write('more')")
    assert "model.txt has sha256" in made.promote("1", code=BAD_INPUT).log
    in_server(server, f"import os; os.remove('{folder}/model.txt')")
    assert "model.txt is gone" in made.promote("1", code=BAD_INPUT).log
    assert made.model()["aliases"] == {"challenger": "1"}
    assert made.events() == []


def test_what_is_older_than_the_key_is_valid_until_it_is_signed(server: Server, tmp_path: Path) -> None:
    made = server.named("signed", copy(server.data, tmp_path))
    made.promote(made.register()["version"])
    made.key = "a-key-of-the-stage"
    assert "is not signed with the key" in made.registry("resolve", code=BAD_INPUT).log
    assert "is not signed with the key" in made.registry("sign", "--check", code=BAD_INPUT).log
    made.key = "a-key-of-the-stage,"  # as the first key of an installation begins
    assert made.registry("resolve").line["version"] == "1"
    assert made.registry("sign").line.items() >= {"events": 1, "versions": 1}.items()
    made.key = "a-key-of-the-stage"
    assert made.registry("resolve").line["version"] == "1"
    train_another(made.data, FIRST)
    made.promote(made.register()["version"])
    made.roll_back()
    assert made.registry("sign").line.items() >= {"events": 0, "versions": 0}.items()
    assert made.registry("sign", "--check").line.items() >= {"events": 3, "versions": 2}.items()
    made.key = "another-key-of-the-stage,a-key-of-the-stage"  # as `rotate` has it while it signs
    assert made.registry("resolve").line["version"] == "1"
    assert made.registry("sign").line.items() >= {"events": 3, "versions": 2}.items()
    made.key = "another-key-of-the-stage"
    made.data.remove(MODEL)
    assert made.registry("resolve").line["model"] == f"{MODEL}-v1"

    event = {"version": "2", "kind": "promote", "by": "mallory", "reason": "mine", "run": None}
    forged = {"name": "signed", "key": "champion.2026-12-31T00:00:00.000000Z", "value": json.dumps(event)}
    made.rest("api/2.0/mlflow/registered-models/set-tag", forged)
    refused = made.registry("resolve", code=BAD_INPUT).log
    assert f"the tag '{forged['key']}' is not signed" in made.registry("sign", "--check", code=BAD_INPUT).log
    assert f"the tag '{forged['key']}' is not signed with the key of this installation" in refused
    assert "is not signed" in made.promote("2", code=BAD_INPUT).log


def test_champion_is_restored_after_a_retraining_and_after_a_deletion(server: Server, tmp_path: Path) -> None:
    made = server.named("restored", copy(server.data, tmp_path))
    data = made.data
    made.promote(made.register()["version"])
    assert made.registry("resolve").line.items() >= {"model": MODEL, "source": "champion"}.items()
    registered = data.hash(f"{MODEL}/model.txt")
    train_another(data, FIRST)
    resolved = made.registry("resolve")
    restored = f"{MODEL}-v1"
    assert resolved.line.items() >= {"model": restored, "model_sha256": registered, "version": "1"}.items()
    assert data.mark(restored)["outputs"].keys() >= MODEL_FILES
    data.score(FIRST, restored, f"--model-sha256={registered}")
    data.remove(MODEL)
    before = data.mark(restored)["steps"]["restore"]
    assert made.registry("resolve").line["model"] == restored
    assert data.mark(restored)["steps"]["restore"] == before, "it was there already"
    data.remove(restored)
    assert made.registry("resolve").line["model_sha256"] == registered


def test_named_model_wins_and_needs_no_server(server: Server) -> None:
    data = server.data
    line = data.stage("registry", "resolve", "--model", f"/data/{MODEL}", "--or-last").line
    assert line["model"] == MODEL
    assert (line["version"], line["run_id"], line["source"]) == (None, None, "variable")
    assert line["model_sha256"] == data.hash(f"{MODEL}/model.txt")


@pytest.fixture(scope="module")
def odd_server(server: Server) -> Iterator[str]:
    """A host whose port 1 takes a call and says nothing, port 2 answers 503, port 3 a page that is not MLflow's."""
    code = """
import http.server, socket, threading
silent = socket.create_server(("", 1001))
class Busy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if self.server.server_port == 1002 else 200)
        self.end_headers()
        self.wfile.write(b"<html>somebody</html>")
for port in (1002, 1003):
    threading.Thread(target=http.server.ThreadingHTTPServer(("", port), Busy).serve_forever).start()
"""
    name = f"{server.network}-odd"
    docker("run", "--detach", f"--name={name}", f"--network={server.network}", "--network-alias=odd",
           "--entrypoint=python", images()["base"], "-c", code)  # fmt: skip
    yield "http://odd"
    docker("rm", "--force", name)


DOWN = {
    "refused": ("http://mlflow:1", "out of reach"),
    "no such host": ("http://nowhere:5000", "out of reach"),
    "silent": ("http://odd:1001", "out of reach"),
    "503": ("http://odd:1002", "HTTP status 503"),
    "not MLflow": ("http://odd:1003", "somebody"),
    "forbidden": ("http://stranger:5000", "HTTP status 403"),
}


@pytest.mark.parametrize("case", DOWN)
def test_server_that_is_down_is_named_in_time(server: Server, odd_server: str, case: str) -> None:
    uri, said = DOWN[case]
    failed = server.registry("resolve", code=FAILED, ML_MLFLOW_URI=uri)
    assert failed.seconds < MOST_SECONDS
    assert uri in failed.log
    assert said in failed.log
    assert "do: " in failed.log
    assert "Traceback" not in failed.log


def test_missing_network_is_named(server: Server) -> None:
    alone = server.data.stage("registry", "list", code=FAILED)
    assert "this container has no network: add `--network airflow-ml_mlflow`" in alone.log
    elsewhere = server.data.stage("registry", "list", code=FAILED, network="bridge")
    assert "do: add `--network airflow-ml_mlflow`" in elsewhere.log


COMMANDS = {
    "register": ("register", "--ds", FIRST),
    "decide": ("decide", "--ds", SECOND, "--promote", "auto"),
    "answer": ("answer", "--version", "1", "--answer", "keep", "--by", "me", "--reason", "why"),
    "promote": ("promote", "--version", "1", "--by", "me", "--reason", "why"),
    "roll-back": ("roll-back", "--by", "me", "--reason", "why"),
    "resolve": ("resolve", "--or-none"),
    "list": ("list",),
    "log-evaluation": ("log-evaluation", "--ds", SECOND),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_that_the_server_is_down(server: Server, second: Data, command: str) -> None:
    failed = server.registry(*COMMANDS[command], code=FAILED, ML_MLFLOW_URI="http://nowhere:5000")
    assert "the MLflow server at http://nowhere:5000 is out of reach" in failed.log
    assert failed.seconds < MOST_SECONDS


def test_last_champion_serves_while_the_server_is_down(server: Server, tmp_path: Path) -> None:
    made = server.named("last", copy(server.data, tmp_path))
    down = {"ML_MLFLOW_URI": "http://nowhere:5000"}
    nothing = made.registry("resolve", "--or-last", code=FAILED, **down)
    assert "--or-last does not help" in nothing.log
    line = made.register()
    made.promote(line["version"])
    resolved = made.registry("resolve", "--or-last").line
    assert resolved["source"] == "champion"
    last = made.registry("resolve", "--or-last", **down)
    assert last.line.items() >= {"source": "last resolved", "model": MODEL, "version": "1"}.items()
    started = made.data.mark("registry/production")["steps"]["resolve"]["started"]
    assert f"the champion when it was resolved last, at {started}" in last.log
    assert "not that of 2026-11-20" in made.registry(
        "resolve", "--or-last", "--as-of", "2026-11-20", code=FAILED, **down
    ).log  # fmt: skip
    train_another(made.data, FIRST)
    replaced = made.registry("resolve", "--or-last", code=FAILED, **down)
    assert f"{MODEL} and {MODEL}-v1 are not the model that was resolved last" in replaced.log


def test_decide_promotes_what_has_passed_once(server: Server, second: Data) -> None:
    made = server.named("decide")
    made.promote(made.register(FIRST)["version"])
    candidate = made.register(SECOND, run=RUN)["version"]
    compare(second, "1", tolerance=1.0, floors={})
    asked = ("decide", "--ds", SECOND, "--promote")
    left = made.registry(*asked, "manual", run=RUN)
    assert left.line.items() >= {"promoted": False, "decision": "left to a person", "champion": "1"}.items()
    assert f"registry promote --version {candidate}" in left.log
    for _ in range(2):
        decided = made.registry(*asked, "auto", "--by", "the gate", run=RUN).line
        assert decided.items() >= {"promoted": True, "champion": candidate, "outcome": "passed"}.items()
    assert made.register(SECOND, run="manual__later")["version"] == candidate
    held = made.registry(*asked, "auto", run="manual__later").line
    assert held.items() >= {"promoted": False, "decision": "stays champion", "champion": candidate}.items()
    assert [event["by"] for event in made.events()] == ["tester", "the gate"]
    assert made.model()["aliases"] == {"champion": candidate}
    run = made.run(made.version(candidate)["run_id"])
    assert run["tags"]["airflow_ml.decision"] == made.version(candidate)["tags"]["airflow_ml.decision"] == "promoted"
    comparison = made.artifact(run["info"]["run_id"], "comparison/comparison.json")
    assert comparison == second.json(f"comparisons/{SECOND}/comparison.json")
    made.roll_back()
    again = made.registry(*asked, "auto", run=RUN).line
    assert again.items() >= {"promoted": False, "champion": "1"}.items(), "a person has taken it back"


def test_run_that_is_cleared_and_repeated_promotes_its_new_model(server: Server, second: Data, tmp_path: Path) -> None:
    """The day was published again, so the same Dag run has made another version after the one that it promoted."""
    made = server.named("repeated", copy(second, tmp_path))
    made.promote(made.register(FIRST)["version"])
    champion, model = "1", MODEL
    for version in ("2", "3"):
        if version == "3":
            train_another(made.data, SECOND)
            model = made.registry("resolve").line["model"]
        assert made.register(SECOND, run=RUN)["version"] == version
        made.data.compare(SECOND, {**RULES["gate"], "tolerance": 1.0, "floors": {}}, model, champion)
        for _ in range(2):  # the second is a retry
            decided = made.registry("decide", "--ds", SECOND, "--promote", "auto", run=RUN).line
            assert decided.items() >= {"version": version, "promoted": True, "champion": version}.items()
        assert made.model()["aliases"] == {"champion": version}
        champion = version
    assert [event["version"] for event in made.events()] == ["1", "2", "3"]
    made.roll_back()
    again = made.registry("decide", "--ds", SECOND, "--promote", "auto", run=RUN).line
    assert again.items() >= {"promoted": False, "champion": "2"}.items(), "a person has taken it back"


def test_decide_keeps_what_has_not_passed_and_what_was_compared_with_another(server: Server, second: Data) -> None:
    made = server.named("keep")
    made.promote(made.register(FIRST)["version"])
    candidate = made.register(SECOND, run=RUN)["version"]
    decide = ("decide", "--ds", SECOND, "--promote", "auto")
    compare(second, "1", tolerance=0.0, floors={"roc_auc": 1.0})
    kept = made.registry(*decide, run=RUN)
    assert kept.line.items() >= {"promoted": False, "outcome": "failed", "decision": "stays challenger"}.items()
    assert kept.line["reasons"]
    compare(second, "7", tolerance=1.0, floors={})
    other = made.registry(*decide, run=RUN)
    assert "the champion is version 1 now, when they were compared it was version 7" in other.log
    assert made.model()["aliases"] == {"champion": "1", "challenger": candidate}


def test_version_in_shadow_is_decided_on_days_beside_the_champion(server: Server, second: Data, tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    second.copy_to(data, without=["registry"])
    made = server.named("shadow", data)
    made.promote(made.register(FIRST)["version"])
    candidate = made.register(SECOND, run=RUN)["version"]
    compare(data, "1", tolerance=1.0, floors={})
    decide = ("decide", "--ds", SECOND, "--promote", "auto", "--shadow-days")
    for _ in range(2):  # the second is a retry
        put = made.registry(*decide, "1", run=RUN).line
        assert put.items() >= {"decision": "in shadow", "promoted": False, "champion": "1"}.items()
    assert made.model()["aliases"] == {"champion": "1", "challenger": candidate, "shadow": candidate}

    resolved = made.registry("resolve", "--shadow").line
    assert (resolved["version"], resolved["shadow_version"]) == ("1", candidate)
    assert "shadow_version" not in made.registry("resolve").line
    data.generate(THIRD)
    data.score(THIRD, resolved["model"], "--model-version=1")
    shadow = (f"--ds={THIRD}", f"--model={resolved['shadow_model']}", f"--shadow={candidate}")
    data.stage("preprocessing", "features", *shadow)
    data.stage("prediction", "predict", *shadow, f"--model-sha256={resolved['shadow_model_sha256']}")
    judge = ("compare-shadow", f"--ds={THIRD}", "--days=1")
    rules = json.dumps({**RULES["gate"], "tolerance": 1.0, "floors": {}})
    assert data.stage("prediction", *judge, f"--rules-json={rules}").line["complete"] is False
    data.label(THIRD)
    compared = data.stage("prediction", *judge, f"--rules-json={rules}").line
    assert (compared["days"], compared["complete"], compared["passed"]) == ([THIRD], True, True)

    for _ in range(2):
        decided = made.registry("decide-shadow", f"--ds={THIRD}", f"--version={candidate}", run=NEXT_RUN).line
        assert decided.items() >= {"decision": "promoted", "champion": candidate}.items()
    assert made.model()["aliases"] == {"champion": candidate}
    version = made.version(candidate)
    assert version["tags"]["airflow_ml.decision"] == "promoted"
    assert f"shadow days {THIRD}" in made.events()[-1]["reason"]
    assert made.artifact(version["run_id"], "shadow/comparison.json") == data.json(
        f"shadows/{THIRD}-v{candidate}/comparison.json"
    )
    late = made.registry("decide-shadow", f"--ds={THIRD}", f"--version={candidate}", run="manual__later").line
    assert late.items() >= {"decision": "not in shadow", "promoted": False}.items()

    failed = server.named("shadow_failed", data)
    failed.promote(failed.register(FIRST)["version"])
    assert failed.register(SECOND, run=RUN)["version"] == candidate
    assert failed.registry(*decide, "1", run=RUN).line["decision"] == "in shadow"
    strict = json.dumps({**RULES["gate"], "floors": {"roc_auc": 1.0}})
    assert data.stage("prediction", *judge, f"--rules-json={strict}").line["outcome"] == "failed"
    kept = failed.registry("decide-shadow", f"--ds={THIRD}", f"--version={candidate}", run=NEXT_RUN).line
    again = failed.registry(*decide, "1", run="manual__again").line
    for line in (kept, again):
        assert line.items() >= {"decision": "stays challenger", "promoted": False, "champion": "1"}.items()
        assert f"registry promote --version {candidate}" in line["do"]
    assert f"the gate has decided on the shadow days {THIRD}" in again["reasons"][-1]
    assert failed.model()["aliases"] == {"champion": "1", "challenger": candidate}

    # Whoever can write tags in MLflow promotes nothing: only the stage says that nobody is to be asked.
    ask = ("decide", "--ds", SECOND, "--promote", "ask", "--shadow-days", "1")
    for name, forged, decision in (("asked", "", "a person is asked"), ("forged", "auto", "left to a person")):
        signing = replace(server.named(f"shadow_{name}", data), key="of-the-stage-alone-and-longer")
        signing.promote(signing.register(FIRST)["version"])
        assert signing.register(SECOND, run=RUN)["version"] == candidate
        assert signing.registry(*ask, run=RUN).line["decision"] == "in shadow"
        if not forged:  # another key loses nothing
            signing.key = f"another-key-of-the-stage,{signing.key}"
            assert signing.registry("sign").line.items() >= {"events": 1, "versions": 2}.items()
            signing.key = "another-key-of-the-stage"
        else:
            tag = {"name": signing.name, "version": candidate, "key": "airflow_ml.shadow_promote", "value": forged}
            signing.rest("api/2.0/mlflow/model-versions/set-tag", tag)
            assert "nothing signed says who promotes it" in signing.registry("sign").log
            lenient = data.stage("prediction", *judge, f"--rules-json={rules}").line
            assert lenient["passed"] is True
        days_over = ("decide-shadow", f"--ds={THIRD}", f"--version={candidate}")
        decided = signing.registry(*days_over, run=NEXT_RUN).line
        assert decided.items() >= {"decision": decision, "promoted": False, "champion": "1"}.items()
        assert decided["reasons"][0] == f"shadow days {THIRD}"
        assert signing.model()["aliases"] == {"champion": "1", "challenger": candidate}
        if not forged:  # a retry of the run, whose result was lost, asks; another run does not
            again, other = (signing.registry(*days_over, run=run).line for run in (NEXT_RUN, "manual__other"))
            assert again == {**decided, "seconds": again["seconds"]}
            assert other["decision"] == "not in shadow"
        assert answer(signing, candidate, "promote", "seen", run=NEXT_RUN).line["champion"] == candidate


def test_person_ends_the_shadow_of_a_version(server: Server, second: Data) -> None:
    made = server.named("unshadowed")
    made.promote(made.register(FIRST)["version"])
    candidate = made.register(SECOND, run=RUN)["version"]
    compare(second, "1", tolerance=1.0, floors={})
    decide = ("decide", "--ds", SECOND, "--promote", "ask", "--shadow-days", "3")
    assert made.registry(*decide, run=RUN).line["decision"] == "in shadow"
    off = made.registry(*decide[:-2], run="manual__off")  # shadow_days is 0 now
    assert "is not in shadow any more: there are no shadow days" in off.log
    assert (off.line["decision"], made.model()["aliases"]) == (
        "a person is asked", {"champion": "1", "challenger": candidate},
    )  # fmt: skip
    assert made.registry(*decide, run=RUN).line["decision"] == "in shadow"
    made.promote(candidate, reason="no time")
    assert made.model()["aliases"] == {"champion": candidate}
    assert made.version(candidate)["tags"]["airflow_ml.decision"] == "promoted"


def answer(made: Server, version: str, what: str, reason: str, **more: Any) -> Done:
    """Answer as otto."""
    said = (f"--version={version}", f"--answer={what}", "--by=otto", f"--reason={reason}")
    return made.registry("answer", *said, **{"run": RUN, **more})


def test_person_who_is_asked_keeps_or_promotes(server: Server, second: Data) -> None:
    made = server.named("asked")
    made.promote(made.register(FIRST)["version"])
    candidate = made.register(SECOND, run=RUN)["version"]
    compare(second, "1", tolerance=0.0, floors={"roc_auc": 1.0})
    asked = made.registry("decide", "--ds", SECOND, "--promote", "ask", run=RUN).line
    assert asked.items() >= {"decision": "a person is asked", "promoted": False, "outcome": "failed"}.items()
    assert answer(made, candidate, "keep", "wait a week").line["decision"] == "stays challenger"
    assert made.model()["aliases"] == {"champion": "1", "challenger": candidate}
    for _ in range(2):  # the second is a retry
        done = answer(made, candidate, "promote", "fewer false alarms")
        assert done.line.items() >= {"decision": "promoted", "by": "otto", "champion": candidate}.items()
    last = made.events()[-1]
    assert (last["version"], last["by"], last["reason"]) == (candidate, "otto", "fewer false alarms")
    assert len(made.events()) == 2
    assert made.version(candidate)["tags"]["airflow_ml.decision"] == "promoted"
    held = answer(made, candidate, "reject", "too late", run="manual__other")
    assert (held.line["decision"], held.line["champion"]) == ("stays champion", candidate)
    assert "the Dag roll_back_model takes that back" in held.log
    missing = answer(made, "99", "keep", "none", code=USAGE)
    assert "has no version 99" in missing.log


@pytest.mark.parametrize(("champion", "words"), [("7", "it was version 7"), ("", "there was none")])
def test_answer_names_the_champion_that_is_new_since_the_question(
    server: Server, second: Data, champion: str, words: str
) -> None:
    made = server.named(f"asked-late-{champion}")
    first = made.register(FIRST)["version"]
    if champion:
        made.promote(first)
    candidate = made.register(SECOND, run=RUN)["version"]
    compare(second, champion, tolerance=1.0, floors={})
    assert made.registry("decide", "--ds", SECOND, "--promote", "ask", run=RUN).line["decision"] == "a person is asked"
    if not champion:
        made.promote(first)
    done = answer(made, candidate, "promote", "seen")
    changed = f"the champion is version 1 now, when a person was asked {words}"
    assert changed in done.log
    assert (done.line["champion"], made.events()[-1]["reason"]) == (candidate, f"seen; {changed}")


def test_person_who_is_asked_by_a_repeated_run_promotes_its_new_model(server: Server, registered: Server) -> None:
    made = server.named("asked-again")
    made.borrow(registered, 2)
    for version in ("1", "2", "2"):  # the last is a retry
        done = answer(made, version, "promote", "better").line
        assert done.items() >= {"decision": "promoted", "champion": version}.items()
    assert [event["version"] for event in made.events()] == ["1", "2"]
    made.roll_back()
    late = answer(made, "2", "promote", "better")
    assert late.line["champion"] == "1", "a retry does not undo what a person did since"
    assert "version 1 is the champion by now; the Dag promote_model promotes again" in late.log


def test_version_that_a_person_rejected_is_promoted_by_a_person_alone(server: Server, second: Data) -> None:
    made = server.named("rejected")
    made.promote(made.register(FIRST)["version"])
    candidate = made.register(SECOND, run=RUN)["version"]
    compare(second, "1", tolerance=1.0, floors={})
    assert answer(made, candidate, "reject", "it forgets a country").line["decision"] == "rejected"
    assert made.model()["aliases"] == {"champion": "1"}
    tags = made.version(candidate)["tags"]
    assert tags["airflow_ml.decision"] == "rejected"
    assert tags["airflow_ml.decision_reasons"] == "otto answered reject; it forgets a country"
    assert made.register(SECOND, run="manual__later")["aliases"] == []
    for promote in ("auto", "ask"):
        decided = made.registry("decide", "--ds", SECOND, "--promote", promote, run="manual__later")
        assert decided.line.items() >= {"decision": "rejected", "promoted": False, "champion": "1"}.items()
        assert "a person has rejected it: otto answered reject; it forgets a country" in decided.log
    assert "has no challenger" in made.promote("", code=USAGE).log
    assert made.promote(candidate, reason="the country is there now").line["promoted"] is True
    assert made.version(candidate)["tags"]["airflow_ml.decision"] == "promoted"


def test_decide_keeps_the_champion_that_is_the_same_model(server: Server, second: Data) -> None:
    """Earlier releases made a new version of each training; a twin of the champion is not promoted."""
    lender = server.named("twin")
    lender.register(SECOND)
    made = server.named("twins")
    made.borrow(lender, 2)
    made.promote("1")
    compare(second, "1", tolerance=1.0, floors={})
    kept = made.registry("decide", "--ds", SECOND, "--promote", "auto", run=RUN)
    assert kept.line.items() >= {"version": "2", "promoted": False, "passed": True, "champion": "1"}.items()
    assert "version 1, the champion, is the same model already" in kept.log
    assert len(made.events()) == 1


def test_decide_refuses_the_comparison_of_another_model(server: Server, second: Data, tmp_path: Path) -> None:
    made = server.named("foreign", copy(second, tmp_path))
    train_another(made.data, SECOND)
    refused = made.registry("decide", "--ds", SECOND, "--promote", "auto", code=BAD_INPUT)
    assert "compares another model" in refused.log
    compare(made.data, "")
    unregistered = made.registry("decide", "--ds", SECOND, "--promote", "auto", code=NOT_READY)
    assert "is not registered" in unregistered.log


def test_evaluation_goes_to_the_run_that_scored_once(server: Server, second: Data) -> None:
    made = server.named("live")
    run_id = made.register(FIRST)["run_id"]
    first, again = (made.registry("log-evaluation", "--ds", SECOND).line for _ in range(2))
    assert (first["run_id"], first["version"]) == (run_id, "1")
    assert (first["new_points"], again["new_points"]) == (first["points"], 0)
    evaluation, step = second.json(f"reports/{SECOND}/evaluation.json"), 1
    assert made.points(run_id, "live.roc_auc") == [(step, evaluation["metrics"]["roc_auc"])]
    assert made.points(run_id, "drift.score") == [(step, evaluation["drift"]["score"]["psi"])]
    for feature in evaluation["drift"]["features"]:
        assert made.points(run_id, f"drift.{feature['name']}") == [(step, feature["psi"])]
    assert "<html" in made.artifact(run_id, f"reports/{SECOND}/index.html")
    key = f"airflow_ml.report.{SECOND}"
    assert made.run(run_id)["tags"][key] == made.version("1")["tags"][key] == f"http://localhost:8081/{SECOND}/"


# Everything is old then.
MUCH_LATER = "2999-01-01"
ARTIFACTS = "/opt/mlflow/artifacts"


def tidy(made: Server, *options: str) -> Json:
    """What `tidy` says it has removed, less what differs from call to call."""
    line = made.registry("tidy", "--before", MUCH_LATER, *options).line
    return {name: line[name] for name in ("removed", "versions", "runs", "pages")} | {"empty": line["bytes"] == 0}


def add_versions(made: Server, count: int) -> list[Json]:
    """More versions of a model, each with a run of its own that has one file; without a container."""
    first = made.rest("api/2.0/mlflow/model-versions/get", name=made.name, version="1")["model_version"]
    found = made.rest("api/2.0/mlflow/runs/get", run_id=first["run_id"])["run"]
    wanted = {
        "experiment_id": found["info"]["experiment_id"],
        "start_time": found["info"]["start_time"],
        "tags": [tag for tag in found["data"]["tags"] if tag["key"].startswith("airflow_ml.")],
    }
    runs = [made.rest("api/2.0/mlflow/runs/create", wanted)["run"]["info"] for _ in range(count)]
    folders = [folder_of(run) for run in runs]
    in_server(
        made,
        f"""if True:
        import os
        for folder in {folders}:
            os.makedirs(folder + '/model')
            open(folder + '/model/model.txt', 'w').write('tree')""",
    )
    for run in runs:
        source = f"{run['artifact_uri']}/model"
        version = {"name": made.name, "source": source, "run_id": run["run_id"], "tags": first["tags"]}
        made.rest("api/2.0/mlflow/model-versions/create", version)
    return runs


def folder_of(run: Json) -> str:
    return f"{ARTIFACTS}/{run['artifact_uri'].removeprefix('mlflow-artifacts:/')}"


def are_there(made: Server, runs: list[Json]) -> list[bool]:
    """Of each run whether its folder is at the server, also if it is empty."""
    folders = [str(Path(folder_of(run)).parent) for run in runs]
    found = in_server(made, f"import json, os; print(json.dumps([os.path.exists(one) for one in {folders}]))")
    return list(json.loads(found))


def numbers(made: Server) -> set[str]:
    return {version["version"] for version in made.versions()}


def test_tidy_keeps_what_an_alias_or_an_event_names(server: Server, second: Data, tmp_path: Path) -> None:
    made = server.named("tidied", copy(second, tmp_path))
    first = made.run(made.register()["run_id"])["info"]
    made.promote("1")
    made.registry("log-evaluation", "--ds", SECOND)
    train_another(made.data, FIRST)
    trained_again = made.run(made.register()["run_id"])["info"]
    made.promote(made.register(SECOND)["version"])
    unused, lent, copied, newest = add_versions(made, 4)
    made.rest("api/2.0/mlflow/registered-models/create", {"name": "borrower"})
    source = f"{lent['artifact_uri']}/model"
    borrowed = {"name": "borrower", "source": source, "run_id": lent["run_id"]}
    made.rest("api/2.0/mlflow/model-versions/create", borrowed)
    made.rest("api/2.0/mlflow/model-versions/create", {"name": "borrower", "source": f"models:/{made.name}/6"})
    stranger = made.rest("api/2.0/mlflow/runs/create", {"experiment_id": first["experiment_id"], "start_time": 1})
    runs = [first, trained_again, unused, lent, copied, newest]

    recent = made.registry("tidy", "--before", SECOND).line
    assert (recent["versions"], recent["runs"], recent["pages"]) == (0, 0, 0)
    goes = {"versions": 3, "runs": 2, "pages": 1, "empty": False}
    assert tidy(made, "--dry-run") == {"removed": False, **goes}
    assert numbers(made) == {"1", "2", "3", "4", "5", "6", "7"}
    assert are_there(made, runs) == [True] * 6
    assert tidy(made) == {"removed": True, **goes}
    assert numbers(made) == {"1", "3", "6", "7"}
    assert are_there(made, runs) == [True, False, False, True, True, True]
    stages = [made.run(run["run_id"])["info"]["lifecycle_stage"] for run in (*runs, stranger["run"]["info"])]
    assert stages == ["active", "deleted", "deleted", "active", "active", "active", "active"]
    assert made.artifacts(first["run_id"], f"reports/{SECOND}") == set()
    assert made.points(first["run_id"], "live.roc_auc") != []
    assert made.version("1")["tags"][f"airflow_ml.report.{SECOND}"] == f"http://localhost:8081/{SECOND}/"
    assert tidy(made) == {"removed": True, "versions": 0, "runs": 0, "pages": 0, "empty": True}

    made.key = "a-key-of-the-stage"
    assert made.registry("sign").line.items() >= {"events": 2, "versions": 4}.items()
    assert made.roll_back().line["version"] == "1"
    assert made.registry("resolve").line["model"] == f"{MODEL}-v1", "restored: the day was trained again"
    assert [version["version"] for version in made.registry("list").line["versions"]] == ["7", "6", "3", "1"]
    again = made.register()
    assert (again["new"], again["version"], again["aliases"]) == (True, "8", ["challenger"])
    assert [version["version"] for version in again["versions"]] == ["8", "7", "6", "3", "1"]


def kill_once(made: Server, moment: Callable[[], bool]) -> None:
    """Start `tidy`, and kill it at a moment of its work."""
    process = start(made, "tidy", "--before", MUCH_LATER)
    while not moment():
        assert process.poll() is None, process.communicate()[0]
    docker("kill", f"{made.network}-killed")
    assert process.wait(PATIENCE_S) == 137, process.communicate()[0]


def test_tidy_that_is_killed_is_finished_by_the_next(server: Server) -> None:
    """Among the versions, among the runs, and between the files of a run and the run."""
    made, count = server.named("cut"), 40
    made.promote(made.register()["version"])
    runs = add_versions(made, count)
    in_server(made, f"import shutil; shutil.rmtree({folder_of(runs[0])!r})")
    kill_once(made, lambda: len(made.versions()) < count + 1)
    kill_once(made, lambda: len(made.runs()) < count + 1)
    left = tidy(made)
    assert left["runs"] > 0
    assert numbers(made) == {"1", str(count + 1)}
    assert len(made.runs()) == 2
    assert are_there(made, runs) == [False] * (count - 1) + [True]
    assert made.registry("resolve").line["version"] == "1"


CHECK = """
import csv, io, json, sys

given = json.load(sys.stdin)
open("features.csv", "w", encoding="utf-8").write(given["features"])
exec(given["example"])
columns = ["probability_" + name for name in given["classes"]][-1 if len(given["classes"]) == 2 else 0 :]
rows = csv.DictReader(io.StringIO(given["predictions"]))
expected = [[float(row[column]) for column in columns] for row in rows]
if len(columns) == 1:
    expected = [row[0] for row in expected]
loaded = mlflow.pyfunc.load_model("models:/airflow-ml@champion")
print(json.dumps({
    "rows": len(features),
    "class": type(model).__name__,
    "names": loaded.metadata.get_input_schema().input_names(),
    "lightgbm": float(abs(scores - expected).max()),
    "python_function": float(abs(same_scores - expected).max()),
    "raw": given["raw"] and float(
        abs(loaded.predict(pandas.read_csv(io.StringIO(given["raw"]), dtype=str)) - expected).max()
    ),
    "example": len(loaded.predict(loaded.input_example)),
}))
"""
# What JSON, CSV, LightGBM or pandas could read in another way, and a name that begins with another one.
ODD_NAMES = [
    '"quoted"',
    "it's",
    "a b",
    " blank ",
    "größe",
    "体重",
    "a,b",
    "[0]",
    "{x}:1",
    "Unnamed: 0",
    "1",
    "1.1",
    "x=y",
]


@pytest.fixture(scope="module")
def odd(server: Server) -> Data:
    """A day with a model whose features have odd names, trained on the three quarters of the rows that have a label."""
    data = server.data
    put_odd_names(data, ODD)
    for step in (data.prepare, data.split, data.train, data.validate, data.plot):
        step(ODD)
    data.score(ODD, f"models/{ODD}")
    return data


def put_odd_names(data: Data, ds: str) -> None:
    """A day of 400 rows and three classes whose features have odd names; 300 rows have a label."""
    draw = random.Random(1)
    rows = [[number, *(draw.randrange(100) for _ in ODD_NAMES)] for number in range(400)]
    fields = [
        {"name": "id", "type": "integer", "role": "key"},
        *({"name": name, "type": "number", "role": "feature"} for name in ODD_NAMES),
        {"name": "grade", "type": "string", "role": "target", "partial": True},
    ]
    labels = [[row[0], "ABC"[row[1] // 34]] for row in rows[:300]]
    data.write("odd-data.csv", to_csv([["id", *ODD_NAMES], *rows]))
    data.write("odd-target.csv", to_csv([["id", "grade"], *labels]))
    data.write("odd-schema.json", json.dumps({"fields": fields}))
    files = [f"--{file.partition('.')[0]}=/data/odd-{file}" for file in ("data.csv", "target.csv", "schema.json")]
    data.stage("preprocessing", "import", f"--ds={ds}", *files)


def to_csv(rows: list[list[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def scores_elsewhere(server: Server, ds: str, model: str, raw: str = "") -> dict[str, Any]:
    """What the README's example makes of a day's features, and of its raw rows, compared with predictions.csv."""
    text = (ROOT / "stages/registry/README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    tables = {name: server.data.read(f"{name}/{ds}/{name}.csv") for name in ("features", "predictions")}
    classes = server.data.json(f"{model}/encoder.json")["target"]["classes"]
    question = json.dumps({"example": example, "classes": classes, "raw": raw, **tables})
    client = [str(ROOT / "airflow-ml"), "mlflow-client", server.network, "-c", CHECK]
    environment = {**os.environ, "ML_PAGES_PASSWORD": PAGES_PASSWORD}
    done = subprocess.run(
        client, input=question, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_anyone_with_mlflow_and_lightgbm_gets_the_scores_of_predictions_csv(server: Server, second: Data) -> None:
    made = server.named("airflow-ml")
    made.promote(made.register(FIRST)["version"])
    found = scores_elsewhere(made, SECOND, MODEL)
    assert found["class"] == "Booster"
    assert found["rows"] == second.mark(f"predictions/{SECOND}")["outputs"]["predictions.csv"]["rows"] > 2000
    assert (found["lightgbm"], found["python_function"]) == (0.0, 0.0)
    assert found["example"] == 5


def test_example_of_loading_works_for_every_feature_name(server: Server, odd: Data) -> None:
    made = server.named("airflow-ml", odd)
    made.promote(made.register(ODD)["version"])
    found = scores_elsewhere(made, ODD, f"models/{ODD}", odd.read(f"raw/{ODD}/data.csv"))
    assert (found["rows"], found["names"]) == (400, ODD_NAMES)
    assert (found["lightgbm"], found["python_function"], found["raw"]) == (0.0, 0.0, 0.0)


def test_version_says_how_many_rows_had_no_label(server: Server, odd: Data) -> None:
    made = server.named("partial", odd)
    version = made.version(made.register(ODD)["version"])
    said = f"prepare: 100 of 400 rows of raw/{ODD}/data.csv (25.0%) have no label"
    assert said in version["tags"]["airflow_ml.warnings"]
    assert said in version["description"]


def test_evaluation_of_an_unknown_model_is_no_failure(server: Server, second: Data) -> None:
    unknown = server.named("unknown").registry("log-evaluation", "--ds", SECOND)
    assert unknown.line.items() >= {"version": None, "run_id": None, "new_points": 0}.items()
    assert "nothing is logged" in unknown.log
