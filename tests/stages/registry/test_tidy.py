"""What `tidy` keeps, and what it refuses before it removes anything. tests/images has it against a real MLflow."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from conftest import DAY, MODEL, Answering, World

from bundle import NEEDED
from decisions import ASKED, IN_SHADOW, KEPT, REJECTED
from events import PROMOTE, ROLLBACK, Event
from registered_model import RegisteredModel
from tidy import is_day, is_old
from versions import Version

API, ARTIFACTS = "/api/2.0/mlflow", "/api/2.0/mlflow-artifacts/artifacts"
BEFORE, TIDY = 1000, ("tidy", "--before", "2999-01-01")
OLD = Version("2", "r", {"airflow_ml.ds": DAY}, changed=BEFORE - 1)
NOBODY = RegisteredModel()


def with_events(*events: tuple[str, str]) -> RegisteredModel:
    moment = datetime(2026, 11, 15, tzinfo=UTC)
    return RegisteredModel([Event(moment, number, kind, "ada", "why") for number, kind in events])


def tagged(version: Version, **tags: str) -> Version:
    return replace(version, tags={**version.tags, **{f"airflow_ml.{name}": value for name, value in tags.items()}})


@pytest.mark.parametrize(
    ("version", "registered", "goes"),
    [
        (OLD, NOBODY, True),
        (OLD, RegisteredModel(aliases={"champion": "3"}), True),
        (OLD, RegisteredModel(aliases={"team-a": "2"}), False),
        (OLD, with_events(("3", PROMOTE)), True),
        (OLD, with_events(("2", PROMOTE), ("3", PROMOTE)), False),
        (OLD, with_events(("2", ROLLBACK), ("3", PROMOTE)), False),
        (replace(OLD, changed=BEFORE), NOBODY, False),
        (replace(OLD, changed=0), NOBODY, False),
        (replace(OLD, tags={"owner": "a team"}), NOBODY, False),
        (tagged(OLD, decision=KEPT), NOBODY, True),
        (tagged(OLD, decision=REJECTED), NOBODY, False),
        (tagged(OLD, decision=ASKED), NOBODY, False),
        (tagged(OLD, decision=IN_SHADOW), NOBODY, False),
    ],
)
def test_version_that_something_needs_is_not_old(version: Version, registered: RegisteredModel, goes: bool) -> None:
    assert is_old(version, registered, BEFORE) is goes


@pytest.mark.parametrize(
    ("name", "expected"), [(DAY, True), ("20261115", False), ("2026-11-15-v2", False), ("model", False)]
)
def test_only_a_day_is_the_folder_of_a_page(name: str, expected: bool) -> None:
    assert is_day(name) is expected


def run_of(number: str, **changed: object) -> dict[str, Any]:
    tags = [{"key": f"airflow_ml.{name}", "value": "x"} for name in ("ds", "model", "model_sha256")]
    place = f"mlflow-artifacts:/1/{number}/artifacts"
    info = {"run_id": number, "start_time": 1, "artifact_uri": place, **changed}
    return {"info": info, "data": {"tags": tags}}


def answer(server: Answering, run: Mapping[str, Any], version_tags: Mapping[str, str] | None = None) -> None:
    """Versions 1 and 2 and a run without a version."""
    tags = [{"key": key, "value": value} for key, value in (version_tags or {}).items()]
    versions = [{"name": "airflow-ml", "version": number, "run_id": "x", "tags": tags} for number in ("1", "2")]
    bodies: dict[str, Any] = {
        "experiments/get-by-name": {"experiment": {"experiment_id": "1", "lifecycle_stage": "active"}},
        "registered-models/get": {"registered_model": {"name": "airflow-ml"}},
        "model-versions/search": {"model_versions": versions},
        "runs/search": {"runs": [run]},
    }
    server.bodies = {f"{API}/{path}": json.dumps(body).encode() for path, body in bodies.items()}
    server.bodies[ARTIFACTS] = b'{"files": [{"path": "model.txt", "is_dir": false, "file_size": "7"}]}'


PLACES = {
    "another run's": "mlflow-artifacts:/1/other/artifacts",
    "above": "mlflow-artifacts:/1",
    "way out": "mlflow-artifacts:/1/../r/artifacts",
    "elsewhere": "file:///etc/r/artifacts",
}


@pytest.mark.parametrize("case", PLACES)
def test_run_whose_files_are_not_its_own_is_refused_and_nothing_removed(
    world: World, answering: Answering, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setenv("ML_MLFLOW_URI", answering.address)
    answer(answering, run_of("r", artifact_uri=PLACES[case]))
    result = world.run(*TIDY)
    assert result.code == 3, result.log
    assert "the run 'r' cannot be tidied" in result.log
    assert answering.removed == []


def test_version_with_a_malformed_tag_is_refused_and_nothing_removed(
    world: World, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_MLFLOW_URI", answering.address)
    answer(answering, run_of("r"), {"airflow_ml.ds": DAY, "airflow_ml.model": MODEL, "airflow_ml.owner": "me"})
    result = world.run(*TIDY)
    assert result.code == 3, result.log
    assert "airflow_ml.owner is unknown" in result.log
    assert answering.removed == []


@pytest.mark.parametrize("name", ["../model", "a/b", "..", ""])
def test_name_of_a_file_with_a_path_is_refused(
    world: World, answering: Answering, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("ML_MLFLOW_URI", answering.address)
    answer(answering, run_of("x"))
    answering.bodies[ARTIFACTS] = json.dumps({"files": [{"path": name, "is_dir": True}]}).encode()
    result = world.run(*TIDY)
    assert result.code == 3, result.log
    assert "is no name of a file" in result.log
    assert answering.removed == []


def test_dry_run_removes_nothing(world: World, answering: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_MLFLOW_URI", answering.address)
    answer(answering, run_of("r"))
    answering.bodies[f"{API}/model-versions/search"] = b"{}"
    result = world.run(*TIDY, "--dry-run")
    assert result.code == 0, result.log
    counts = {"removed": False, "versions": 0, "runs": 1, "pages": 0, "bytes": 7}
    assert result.line.items() >= counts.items()
    assert answering.removed == []


def test_run_on_a_later_page_goes_too(world: World, answering: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_MLFLOW_URI", answering.address)
    answer(answering, run_of("r"))
    answering.bodies[f"{API}/model-versions/search"] = b"{}"
    answering.pages[f"{API}/runs/search"] = [
        json.dumps({"runs": [run_of("r")], "next_page_token": "2"}).encode(),
        json.dumps({"runs": [run_of("s")]}).encode(),
    ]
    assert world.run(*TIDY, "--dry-run").line["runs"] == 2


def old_versions(answering: Answering, *borrowers: Mapping[str, str], **run: object) -> None:
    """Two versions of before the day, the first with the run r; and versions of other models."""
    files = json.dumps(dict.fromkeys(NEEDED, "a" * 64))
    tags = {"ds": DAY, "model": MODEL, "model_sha256": "a" * 64, "files": files}
    answer(answering, run_of("r"), {f"airflow_ml.{name}": value for name, value in tags.items()})
    made = run_of("r")
    answering.bodies[f"{API}/runs/search"] = json.dumps({"runs": [{**made, "data": {**made["data"], **run}}]}).encode()
    first = json.loads(answering.bodies[f"{API}/model-versions/search"])["model_versions"][0]
    first |= {"last_updated_timestamp": 1, "run_id": "r"}
    listed = {"model_versions": [first, {**first, "version": "2", "run_id": "x"}, *borrowers]}
    answering.bodies[f"{API}/model-versions/search"] = json.dumps(listed).encode()


FROM_THE_FILES = {"name": "other", "version": "1", "source": "mlflow-artifacts:/1/r/artifacts/model"}
FROM_THE_VERSION = {"name": "other", "version": "1", "source": "models:/airflow-ml/1"}


@pytest.mark.parametrize(
    ("borrowers", "figures", "versions", "runs"),
    [
        ([], ["roc_auc"], 1, 1),
        ([], ["roc_auc", "live.roc_auc"], 0, 0),
        ([], ["drift.score"], 0, 0),
        ([FROM_THE_FILES], [], 1, 0),
        ([FROM_THE_VERSION], [], 0, 0),
    ],
)
def test_version_that_scored_a_day_and_what_another_model_needs_stay(
    world: World,
    answering: Answering,
    monkeypatch: pytest.MonkeyPatch,
    borrowers: list[dict[str, str]],
    figures: list[str],
    versions: int,
    runs: int,
) -> None:
    """A version is in production without an event if the Variable `model_path` names its model."""
    monkeypatch.setenv("ML_MLFLOW_URI", answering.address)
    old_versions(answering, *borrowers, metrics=[{"key": key, "value": 0.9} for key in figures])
    result = world.run(*TIDY, "--dry-run")
    assert result.code == 0, result.log
    assert (result.line["versions"], result.line["runs"]) == (versions, runs)


def test_version_that_is_needed_meanwhile_stays(
    world: World, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody is asked about it after the versions were listed."""
    monkeypatch.setenv("ML_MLFLOW_URI", answering.address)
    old_versions(answering)
    version = json.loads(answering.bodies[f"{API}/model-versions/search"])["model_versions"][0]
    now = {**version, "tags": [*version["tags"], {"key": "airflow_ml.decision", "value": ASKED}]}
    answering.bodies[f"{API}/model-versions/get"] = json.dumps({"model_version": now}).encode()
    assert world.run(*TIDY, "--dry-run").line["versions"] == 1
    result = world.run(*TIDY)
    assert result.line["versions"] == 0, result.log
    assert "version 1 (models/2026-11-15) stays: it has changed meanwhile" in result.log
    assert answering.removed == []


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", ""])
def test_what_is_no_day_is_wrong_usage(world: World, day: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        world.run("tidy", "--before", day)
