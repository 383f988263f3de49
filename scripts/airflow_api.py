"""A small client of Airflow's REST API, for the scripts and the end-to-end tests. Standard library only."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

FINAL_STATES = {"success", "failed"}


class AirflowError(Exception):
    """Airflow answered with an error; the message names the request and the answer."""


@dataclass
class Airflow:
    """Airflow behind `url`, as `user`; logs in when first needed and again when a token ends."""

    url: str
    password: str
    user: str = "admin"
    _token: str = field(default="", repr=False)

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The parsed answer to a request below `/api/v2`; raises AirflowError for any other than 2xx."""
        try:
            return self._send(method, f"/api/v2{path}", body, self._token or self._log_in())
        except urllib.error.HTTPError as error:
            if error.code == 401:
                return self._send(method, f"/api/v2{path}", body, self._log_in())
            detail = error.read().decode(errors="replace")[:500]
            raise AirflowError(f"{method} {path} answered {error.code}: {detail}") from None

    def _log_in(self) -> str:
        credentials = {"username": self.user, "password": self.password}
        try:
            self._token = self._send("POST", "/auth/token", credentials, "")["access_token"]
        except urllib.error.HTTPError as error:
            raise AirflowError(f"logging in as {self.user} at {self.url} answered {error.code}") from None
        return self._token

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None, token: str) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                text = response.read()
        except urllib.error.URLError as error:
            if isinstance(error, urllib.error.HTTPError):
                raise
            raise AirflowError(f"Airflow does not answer at {self.url}: {error.reason}; is it up? 'make up'") from None
        return json.loads(text) if text else None

    def trigger(self, dag: str, conf: Mapping[str, Any], logical_date: str | None = None) -> str:
        """Start a run; returns its id."""
        body = {"logical_date": logical_date, "conf": dict(conf)}
        return str(self.request("POST", f"/dags/{dag}/dagRuns", body)["dag_run_id"])

    def run_state(self, dag: str, run: str) -> str:
        return str(self.request("GET", f"/dags/{dag}/dagRuns/{_quote(run)}")["state"])

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        path = f"/dags/{dag}/dagRuns/{_quote(run)}/taskInstances?limit=100"
        return list(self.request("GET", path)["task_instances"])

    def wait(
        self, dag: str, run: str, timeout_s: float, on_task: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> str:
        """Wait for a run to end, telling `on_task` of each task that changes state; returns the final state."""
        seen: dict[str, str] = {}
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            state = self.run_state(dag, run)
            for task in self.tasks(dag, run):
                if task["state"] and seen.get(task["task_id"]) != task["state"]:
                    seen[task["task_id"]] = task["state"]
                    on_task(task)
            if state in FINAL_STATES:
                return state
            time.sleep(0.5)
        raise AirflowError(f"run {run} of {dag} did not end within {timeout_s:.0f} s; its tasks: {seen}")

    def results(self, dag: str, run: str) -> Iterator[dict[str, Any]]:
        """The result line of each stage that the run has run."""
        for task in self.tasks(dag, run):
            path = f"/dags/{dag}/dagRuns/{_quote(run)}/taskInstances/{task['task_id']}/xcomEntries/return_value"
            try:
                value = self.request("GET", f"{path}?deserialize=true")["value"]
            except AirflowError as error:
                if " 404" in str(error):
                    continue
                raise
            value = json.loads(value) if isinstance(value, str) else value
            if isinstance(value, dict) and "stage" in value:
                yield value

    def log_of(self, dag: str, run: str, task: Mapping[str, Any]) -> str:
        """The log of a task's last try, as text."""
        number = max(int(task.get("try_number") or 1), 1)
        path = f"/dags/{dag}/dagRuns/{_quote(run)}/taskInstances/{task['task_id']}/logs/{number}"
        content = self.request("GET", f"{path}?full_content=true")["content"]
        return "\n".join(str(line.get("event", line)) if isinstance(line, dict) else str(line) for line in content)


def _quote(text: str) -> str:
    return urllib.parse.quote(text, safe="")
