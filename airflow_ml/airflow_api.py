"""A small client of Airflow's REST API, for the host tool and the end-to-end tests. Standard library only."""

import http.client
import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from airflow_ml.common import AirflowMlError

FINAL_STATES = {"success", "failed"}
# Between two looks at a run; after so many looks, also at its state if a task of it has not ended.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S, LOOKS_AT_TASKS = 0.2, 0.6, 10
# A task that has ended for good: it has no other try.
ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}
TIMEOUT_S = 30
# The most that Airflow gives at once.
PAGE = 100
# The seconds before each further try of a request that got no answer, or that Airflow could not serve.
PAUSES_S = (1, 2, 4, 8)
BUSY = {429, 502, 503, 504}
Answer = dict[str, Any]


@dataclass
class Airflow:
    """Airflow behind `url`, as `user`; logs in when first needed and again when a token ends.

    Every request is tried five times. Errors: AirflowMlError, which names the request and the answer.
    """

    url: str
    password: str
    user: str = "admin"
    _token: str = field(default="", repr=False)

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The parsed answer to a request below `/api/v2`."""
        answer = self._answer(method, path, body)
        if isinstance(answer, urllib.error.HTTPError):
            detail = answer.read().decode(errors="replace")[:500]
            raise AirflowMlError(f"{method} {path} answered {answer.code}: {detail}")
        return answer

    def _answer(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The parsed answer, or Airflow's refusal."""
        answer = self._send(method, f"/api/v2{path}", body, self._token or self._log_in())
        if isinstance(answer, urllib.error.HTTPError) and answer.code == 401:
            answer = self._send(method, f"/api/v2{path}", body, self._log_in())
        return answer

    def _log_in(self) -> str:
        answer = self._send("POST", "/auth/token", {"username": self.user, "password": self.password}, "")
        if isinstance(answer, urllib.error.HTTPError):
            raise AirflowMlError(
                f"logging in as {self.user} at {self.url} answered {answer.code}",
                expected="the password that this tool has of the account",
                do=f"./airflow-ml account {self.user}, which gives it a new one",
            )
        self._token = str(answer["access_token"])
        return self._token

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None, token: str) -> Any:
        """The parsed answer, or Airflow's refusal; a request without an answer is sent again, up to four times."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        reason: object = ""
        for pause in (*PAUSES_S, None):
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                    text = response.read()
                return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                if error.code not in BUSY:
                    return error
                reason = error
            except (OSError, http.client.HTTPException) as error:
                reason = error
            if pause is not None:
                time.sleep(pause)
        raise AirflowMlError(
            f"Airflow did not answer {method} {path} at {self.url} in {len(PAUSES_S) + 1} tries ({reason})",
            do="make up, if it is not up",
        )

    def is_paused(self, dag: str) -> bool:
        """Whether a Dag is paused: its runs wait until somebody switches it on."""
        return bool(self.request("GET", f"/dags/{dag}")["is_paused"])

    def pause(self, dag: str, *, paused: bool = True) -> None:
        """Pause a Dag, or switch it on."""
        self.request("PATCH", f"/dags/{dag}?update_mask=is_paused", {"is_paused": paused})

    def trigger(self, dag: str, conf: Mapping[str, Any], logical_date: str | None = None) -> str:
        """Start a run; returns its id."""
        # We choose the id: if the answer is lost, a second try does not start a second run.
        run = f"manual__{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S}_{secrets.token_hex(4)}"
        body = {"dag_run_id": run, "logical_date": logical_date, "conf": dict(conf)}
        answer = self._answer("POST", f"/dags/{dag}/dagRuns", body)
        if isinstance(answer, urllib.error.HTTPError):
            detail = answer.read().decode(errors="replace")[:500]
            if answer.code != 409 or self._answer_of_run(dag, run) is None:
                raise AirflowMlError(
                    f"{dag} was not started, Airflow answered {answer.code}: {detail}",
                    do=f"look at the Dag and its form: {self.url}/dags/{dag}",
                )
        return run

    def _answer_of_run(self, dag: str, run: str) -> Any:
        """A run; None if there is no such run."""
        answer = self._answer("GET", f"/dags/{dag}/dagRuns/{_quote(run)}")
        return None if isinstance(answer, urllib.error.HTTPError) else answer

    def run_state(self, dag: str, run: str) -> str:
        """The state of a run, such as running or success."""
        return str(self.request("GET", f"/dags/{dag}/dagRuns/{_quote(run)}")["state"])

    def tasks(self, dag: str, run: str) -> list[Answer]:
        """The task instances of a run, each mapped one too. Airflow gives them in pages."""
        # By their ids, which never change: a run that goes on loses and doubles none between two pages.
        path = f"/dags/{dag}/dagRuns/{_quote(run)}/taskInstances?limit={PAGE}&order_by=id&cursor="
        found: list[Answer] = []
        cursor: str | None = ""
        while cursor is not None:
            answer = self.request("GET", path + _quote(cursor))
            found += answer["task_instances"]
            cursor = answer["next_cursor"]
        return found

    def wait(self, dag: str, run: str, timeout_s: float, on_task: Callable[[Answer], None] | None = None) -> str:
        """Wait for a run to end; `on_task` gets each task that changes its state. Returns the final state."""
        seen: dict[tuple[str, int], str] = {}
        started, looks = time.monotonic(), 0
        while (waited := time.monotonic() - started) < timeout_s:
            # The list costs Airflow twice as much as the state. So it is read only if somebody wants it, and then the
            # state only when all tasks have ended, or now and then: a run may end before its tasks.
            looks += 1
            ended = on_task is not None and self._report(dag, run, seen, on_task)
            if on_task is None or ended or looks % LOOKS_AT_TASKS == 0:
                state = self.run_state(dag, run)
                if state in FINAL_STATES:
                    if on_task and not ended:
                        self._report(dag, run, seen, on_task)
                    return state
            # A look costs Airflow as much as a tenth of a task. So the end is noticed a twentieth of the time late.
            pause = min(max(waited / 20, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
            time.sleep(SHORTEST_PAUSE_S if ended else pause)
        tasks = {task["task_id"]: task["state"] for task in self.tasks(dag, run)}
        raise AirflowMlError(f"run {run} of {dag} did not end within {timeout_s:.0f} s; its tasks: {tasks}")

    def _report(self, dag: str, run: str, seen: dict[tuple[str, int], str], on_task: Callable[[Answer], None]) -> bool:
        """Report each task that is not in the state in which it was `seen`; returns whether all have ended."""
        tasks = self.tasks(dag, run)
        for task in tasks:
            instance = task["task_id"], task.get("map_index", -1)
            if task["state"] and seen.get(instance) != task["state"]:
                seen[instance] = task["state"]
                on_task(task)
        return bool(tasks) and all(task["state"] in ENDED for task in tasks)

    def results(self, dag: str, run: str) -> Iterator[Answer]:
        """The result line of each stage that the run has run."""
        for task in self.tasks(dag, run):
            path = f"/dags/{dag}/dagRuns/{_quote(run)}/taskInstances/{task['task_id']}/xcomEntries/return_value"
            answer = self._answer("GET", f"{path}?deserialize=true")
            if isinstance(answer, urllib.error.HTTPError):
                if answer.code == 404:
                    continue
                raise AirflowMlError(f"GET {path} answered {answer.code}")
            value = answer["value"]
            value = json.loads(value) if isinstance(value, str) else value
            if isinstance(value, dict) and "stage" in value:
                yield value

    def log_of(self, dag: str, run: str, task: Mapping[str, Any]) -> str:
        """The log of a task's last try, as text."""
        number = max(int(task.get("try_number") or 1), 1)
        path = f"/dags/{dag}/dagRuns/{_quote(run)}/taskInstances/{task['task_id']}/logs/{number}"
        content = self.request("GET", f"{path}?full_content=true&map_index={task.get('map_index', -1)}")["content"]
        return "\n".join(str(line.get("event", line)) if isinstance(line, dict) else str(line) for line in content)

    def page_of(self, dag: str, run: str) -> str:
        """The address of a run's page."""
        return f"{self.url}/dags/{dag}/runs/{_quote(run)}"


def _quote(text: str) -> str:
    return urllib.parse.quote(text, safe="")
