"""Airflow's client: bounded tries, a run that is started once, and messages instead of tracebacks."""

from collections.abc import Callable
from typing import Any

import pytest
from airflow_ml import airflow_api, run_day
from airflow_ml.common import AirflowMlError

from tests.harness import PATIENCE_S

from .conftest import Script, Server


@pytest.mark.parametrize("fault", [None, (503, {})])
def test_request_without_an_answer_is_sent_again(serve: Callable[[Script], Server], fault: Any) -> None:
    server = serve(lambda *request: fault if request[2] < 4 else (200, {"state": "running"}))
    assert server.airflow.run_state("predict", "run") == "running"
    assert len(server.seen) == 5


def test_tries_are_bounded_and_the_message_is_one_sentence(serve: Callable[[Script], Server]) -> None:
    server = serve(lambda *_: None)
    with pytest.raises(AirflowMlError, match=r"did not answer GET /api/v2/dags/predict/dagRuns/run at .* in 5 tries"):
        server.airflow.run_state("predict", "run")
    assert len(server.seen) == 5


def test_refusal_is_not_repeated(serve: Callable[[Script], Server]) -> None:
    server = serve(lambda *_: (404, {"detail": "no such run"}))
    with pytest.raises(AirflowMlError, match=r"answered 404: .*no such run"):
        server.airflow.run_state("predict", "run")
    assert len(server.seen) == 1


def test_run_whose_answer_was_lost_is_started_once(serve: Callable[[Script], Server]) -> None:
    """The second try meets its own run: Airflow answers that this id exists."""

    def script(method: str, path: str, number: int) -> tuple[int, Any] | None:
        if method == "GET":
            return 200, {"state": "queued"}
        return None if number == 0 else (409, {"detail": "exists"})

    server = serve(script)
    run = server.airflow.trigger("predict", {"ds": "2026-11-21"})
    posted = [body for method, _, body in server.seen if method == "POST"]
    assert [body["dag_run_id"] for body in posted] == [run, run]
    assert posted[0] == {"dag_run_id": run, "logical_date": None, "conf": {"ds": "2026-11-21"}}


def test_day_that_is_given_up_names_the_page_of_its_run(serve: Callable[[Script], Server]) -> None:
    def script(method: str, path: str, number: int) -> tuple[int, Any] | None:
        if path == "/api/v2/dags/predict":
            return 200, {"is_paused": False}
        return (200, {}) if method == "POST" else None

    server = serve(script)
    with pytest.raises(AirflowMlError) as error:
        run_day.run_dag(server.airflow, "predict", "2026-11-21", {"ds": "2026-11-21"})
    assert f"its page is {server.airflow.url}/dags/predict/runs/manual__" in str(error.value)


def test_dag_that_is_paused_is_not_started(serve: Callable[[Script], Server]) -> None:
    """Its run would wait until the time is over."""
    server = serve(lambda *_: (200, {"is_paused": True}))
    with pytest.raises(AirflowMlError, match="the Dag generate_data is paused") as error:
        run_day.run_dag(server.airflow, "generate_data", "2026-11-21", {"ds": "2026-11-21"})
    assert f"switch it on at {server.airflow.url}/dags/generate_data" in str(error.value)
    assert [method for method, *_ in server.seen] == ["GET"]


def ending_run(method: str, path: str, number: int) -> tuple[int, Any]:
    """A run of one task, which runs at the first look and has succeeded at the second."""
    state = "running" if number == 0 else "success"
    if "/taskInstances?" in path:
        return 200, {"task_instances": [{"task_id": "generate", "state": state}], "next_cursor": None}
    return 200, {"state": state}


def test_wait_reports_each_change_of_a_task(serve: Callable[[Script], Server]) -> None:
    seen: list[str] = []
    server = serve(ending_run)
    state = server.airflow.wait("generate_data", "run", PATIENCE_S, lambda task: seen.append(task["state"]))
    assert (state, seen) == ("success", ["running", "success"])


def test_state_of_a_run_is_read_when_its_tasks_have_ended(serve: Callable[[Script], Server]) -> None:
    """Each look cost three requests' work of Airflow, which the tasks waited for."""
    looks = 4

    def script(method: str, path: str, number: int) -> tuple[int, Any]:
        ended = number >= looks - 1
        if "/taskInstances?" in path:
            return 200, {
                "task_instances": [{"task_id": "x", "state": "skipped" if ended else None}],
                "next_cursor": None,
            }
        return 200, {"state": "success"}

    server = serve(script)
    assert server.airflow.wait("generate_data", "run", PATIENCE_S, lambda _: None) == "success"
    assert ["taskInstances" in path for _, path, _ in server.seen] == [True] * looks + [False]


def test_run_that_ends_before_its_tasks_is_noticed(
    serve: Callable[[Script], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airflow_api, "LOOKS_AT_TASKS", 2)

    def script(method: str, path: str, number: int) -> tuple[int, Any]:
        if "/taskInstances?" in path:
            return 200, {"task_instances": [{"task_id": "x", "state": None}], "next_cursor": None}
        return 200, {"state": "failed"}

    server = serve(script)
    assert server.airflow.wait("generate_data", "run", PATIENCE_S, lambda _: None) == "failed"
    assert ["taskInstances" in path for _, path, _ in server.seen] == [True, True, False, True]


def test_wait_that_reports_no_task_reads_none(serve: Callable[[Script], Server]) -> None:
    """The list of tasks costs Airflow more than the state, several times a second."""
    server = serve(ending_run)
    assert server.airflow.wait("generate_data", "run", PATIENCE_S) == "success"
    assert [path for _, path, _ in server.seen] == ["/api/v2/dags/generate_data/dagRuns/run"] * 2


def test_wait_that_takes_too_long_names_the_tasks(serve: Callable[[Script], Server]) -> None:
    server = serve(ending_run)
    with pytest.raises(AirflowMlError, match=r"did not end within 0 s; its tasks: \{'generate': 'running'\}"):
        server.airflow.wait("generate_data", "run", 0)


def test_tasks_of_a_run_are_all_pages_of_them(serve: Callable[[Script], Server]) -> None:
    """Of a day in many shards there are more than Airflow gives at once."""
    pages = {"": ([1, 2], "a/b+c="), "a%2Fb%2Bc%3D": ([3, 4], "d"), "d": ([5], None)}

    def script(method: str, path: str, number: int) -> tuple[int, Any]:
        tasks, following = pages[path.partition("&cursor=")[2]]
        instances = [{"task_id": "predict", "map_index": index} for index in tasks]
        return 200, {"task_instances": instances, "next_cursor": following}

    tasks = serve(script).airflow.tasks("predict", "run")
    assert [task["map_index"] for task in tasks] == [1, 2, 3, 4, 5]
