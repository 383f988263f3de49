"""What status, models and logs show, from what compose, Airflow and the registry answer."""

import argparse
import socket
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from airflow_ml import __main__ as cli
from airflow_ml import doctor, logs, models, run_day, stack, status
from airflow_ml.common import AirflowMlError
from airflow_ml.stack import Service
from airflow_ml.text_table import time_text

from .conftest import Script, Server

WELL = [Service("init", "exited", 0, ""), Service("mlflow", "running", 0, "healthy")]
VERSIONS: list[dict[str, Any]] = [
    {
        "version": "2", "aliases": ["challenger"], "ds": "2026-11-22", "decision": "stays challenger",
        "metrics": {"roc_auc": 0.9128}, "promoted": None,
    },
    {
        "version": "1", "aliases": ["champion"], "ds": "2026-11-21", "decision": "promoted",
        "metrics": {"roc_auc": 0.9, "average_precision": 0.4, "log_loss": 0.1, "brier_score": 0.02},
        "promoted": {"at": "2026-11-22T03:00:00.502897Z", "by": "gate", "reason": "there is none", "kind": "promote"},
    },
]  # fmt: skip
EVENTS = [{"at": "2026-11-22T03:00:00.000001Z", "kind": "promote", "version": "1", "by": "gate", "reason": "none"}]
LISTED: dict[str, Any] = {"name": "airflow-ml", "champion": "1", "versions": VERSIONS, "events": EVENTS}


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        (WELL, ["services    2 of 2 are well"]),
        ([], ["services    none: nothing was started from this folder, or it was stopped; do: make up"]),
        (
            [*WELL, Service("scheduler", "exited", 1, ""), Service("reports", "running", 0, "starting")],
            [
                "services    2 of 4 are well",
                "            scheduler: exited; do: make up",
                "            reports: running starting; do: make up",
            ],
        ),
    ],
)
def test_service_that_is_not_well_is_named(services: list[Service], expected: list[str]) -> None:
    assert status.services_of(services) == expected


def test_cause_that_is_known_is_named_once() -> None:
    """Each service had its own `make up`, which does not help."""
    ill = [Service("postgres", "restarting", 1, ""), Service("init", "created", 0, "")]
    assert status.services_of(ill, "put it right") == [
        "services    0 of 2 are well",
        "            postgres: restarting",
        "            init: created",
        "            do: put it right",
    ]


def test_champion_is_named_with_who_and_when() -> None:
    expected = "champion    version 1 of airflow-ml, since 2026-11-22T03:00:00Z by gate"
    assert status.champion_of(LISTED) == expected
    none = {**LISTED, "champion": None, "events": []}
    assert status.champion_of(none) == "champion    none yet; 2 versions of airflow-ml"


def test_champion_is_since_its_last_event() -> None:
    later = {"at": "2026-11-25T03:00:00Z", "kind": "rollback", "version": "1", "by": "ada", "reason": "worse"}
    listed = {**LISTED, "events": [*EVENTS, {**EVENTS[0], "version": "2"}, later]}
    assert status.champion_of(listed).endswith("version 1 of airflow-ml, since 2026-11-25T03:00:00Z by ada")


def test_kind_without_a_day_is_shown_as_such() -> None:
    lines = status.days_of({"raw": {"newest": "2026-11-22", "days": 3}, "models": {"newest": None, "days": 0}})
    assert [line.split() for line in lines] == [
        ["newest", "day", "raw", "2026-11-22", "3", "published"],
        ["models", "none", "yet", "0", "published"],
    ]


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (None, ("none yet", "-", "-")),
        (
            {"start_date": "2026-11-22T03:00:01.999999Z", "state": "success", "conf": {"ds": "2026-11-20"}},
            ("2026-11-22T03:00:01Z", "success", "2026-11-20"),
        ),
        (
            {"run_after": "2026-11-22T03:00:00Z", "state": "queued", "logical_date": "2026-11-21T03:00:00Z"},
            ("2026-11-22T03:00:00Z", "queued", "2026-11-21"),
        ),
    ],
)
def test_run_is_shown_with_the_day_that_it_is_for(run: dict[str, Any] | None, expected: tuple[str, ...]) -> None:
    assert status.run_cells(run) == expected


def test_versions_are_a_table_in_which_nothing_unknown_has_a_number() -> None:
    header, newest, champion = (line.split("  ") for line in models.versions_of(LISTED))
    assert header[0] == "version"
    assert "0.9128" in newest
    assert newest.count("-") + newest.count(" -") >= 3
    assert champion[-1] == "there is none"
    assert "2026-11-22T03:00:00Z" in champion
    assert models.versions_of({"versions": []}) == []


def test_events_are_a_table() -> None:
    assert models.events_of(LISTED)[1].split() == ["2026-11-22T03:00:00Z", "promote", "1", "gate", "none"]
    assert models.events_of({"events": []}) == []


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        ("2026-11-22T03:00:01.502897Z", "2026-11-22T03:00:01Z"),
        ("2026-11-22T03:00:01Z", "2026-11-22T03:00:01Z"),
        ("2026-11-22T01:30:00+02:00", "2026-11-21T23:30:00Z"),
        ("2026-11-22T03:00:01", "2026-11-22T03:00:01"),
        ("-", "-"),
        ("yesterday", "yesterday"),
    ],
)
def test_times_are_shown_to_the_second_in_utc(moment: str, shown: str) -> None:
    assert time_text(moment) == shown


def test_logs_are_of_tasks_that_began_in_their_order() -> None:
    tasks = [
        {"task_id": "features", "start_date": None},
        {"task_id": "resolve", "start_date": "2026-11-22T03:00:09Z"},
        {"task_id": "wait_for_raw", "start_date": "2026-11-22T03:00:01Z", "try_number": 1},
        # Skipped by the scheduler itself.
        {"task_id": "predict_shards", "start_date": "2026-11-22T03:00:10Z", "try_number": 0},
    ]
    assert [task["task_id"] for task in logs.begun(tasks, None, "predict")] == ["wait_for_raw", "resolve"]
    assert [task["task_id"] for task in logs.begun(tasks, "resolve", "predict")] == ["resolve"]
    known = "features, resolve, wait_for_raw, predict_shards"
    with pytest.raises(AirflowMlError, match=rf"no task 'resolv'; did you mean resolve\?\n.*{known}"):
        logs.begun(tasks, "resolv", "predict")


def test_dag_file_that_airflow_cannot_read_is_named(serve: Callable[[Script], Server]) -> None:
    """Its Dags get no run, so no alert says so."""
    error = {
        "filename": "dags/train_model.py",
        "stack_trace": "Traceback ...\nml.rules.RulesError: rules.json: no number\n",
    }
    server = serve(lambda *_: (200, {"import_errors": [error, {"filename": "dags/x.py", "stack_trace": ""}]}))
    first, second = status.unread_dags(server.airflow)
    assert first.startswith(
        "Dags        dags/train_model.py cannot be read: ml.rules.RulesError: rules.json: no number; do: "
    )
    assert second.startswith("Dags        dags/x.py cannot be read: no reason; do: ")


def test_memory_of_the_services_is_their_sum() -> None:
    assert status.memory_of(["512MiB / 2GiB", "1.5GiB / 4GiB", "0B / 0B"]) == "memory      the services use 2.1 GB"


@pytest.mark.parametrize("used", [[], ["-- / --"], ["512MiB / 2GiB", "N/A"]])
def test_memory_that_the_engine_does_not_give_is_not_guessed(used: list[str]) -> None:
    assert "not known" in status.memory_of(used)


@pytest.mark.parametrize(
    ("known", "message", "code"),
    [
        ([], r"nothing was started from this folder\n +do: make up", 1),
        (["scheduler", "reports"], r"'predict' is none.*\n.*\n +do: ./airflow-ml logs predict", 2),
    ],
)
def test_lines_of_a_dag_cannot_be_followed(
    known: list[str], message: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option was ignored: a person waited for lines that did not come."""
    monkeypatch.setattr(stack, "services", lambda: [Service(name, "running", 0, "healthy") for name in known])
    parser = argparse.ArgumentParser()
    logs.configure(parser)
    with pytest.raises(AirflowMlError, match=message) as error:
        logs.run(parser.parse_args(["predict", "--follow"]))
    assert error.value.exit_code == code


@pytest.mark.parametrize(
    "words",
    [["logs", "predict"], ["logs", "scheduler"], ["backfill", "2026-10-01", "2026-10-02"], ["open"], ["models"]],
)
@pytest.mark.parametrize("port", ["closed", "80a", "99999"])
def test_stack_that_does_not_run_is_named_without_waiting_for_an_answer(
    words: list[str],
    port: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    """`logs` took 15 s, and `open` printed addresses that nobody answers."""
    bound = socket.socket()  # it does not listen, and nobody else gets its port
    request.addfinalizer(bound.close)
    if port == "closed":
        bound.bind(("127.0.0.1", 0))
        port = str(bound.getsockname()[1])
    for name in doctor.PORTS:
        monkeypatch.setenv(name, port)
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "airflow-ml-of-nobody")
    monkeypatch.setattr(stack, "services", list)
    monkeypatch.setattr(models, "try_docker", lambda *_: subprocess.CompletedProcess([], 1, "", "no such network"))
    monkeypatch.setattr(run_day, "settings", lambda: {"ML_ADMIN_PASSWORD": "secret"})
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it waits for an answer"))
    assert cli.main(words) == 1
    printed = capsys.readouterr()
    assert "does not run" in printed.err
    assert "do: make up" in printed.err
    assert (f"http://localhost:{port}" in printed.out) is (words == ["open"])


def test_disk_that_is_almost_full_is_named() -> None:
    """A full disk ends every task; `status` ended with 0 until then."""
    found = {"size": 17_000_000, "free": 71_000_000_000, "total": 250_000_000_000}
    assert status.disk_of(found, "data") == "disk        'data' takes 17.0 MB; 71.0 GB of 250.0 GB are free there"
    assert not status.is_full(found)
    almost = {**found, "free": 9_900_000_000}
    assert status.is_full(almost)
    assert status.disk_of(almost, "data").endswith("; that is almost full: make room")
    assert not status.is_full({"size": 0, "free": 3_000_000_000, "total": 20_000_000_000})
