"""How the swarm engine reads the state of a task and of its node; tests/dags/swarm has real ones."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from struct import pack
from threading import Thread
from typing import Any

import pytest
from airflow_ml import nodes as nodes_of_the_host

from ml.engines import EngineError, NotRun, State, docker
from ml.engines.swarm import SwarmEngine, judge, newest, task_template
from ml.operator import StageOperator
from ml.placement import SAFE, Reservation, constraints_of, reservation_of, safe_node
from ml.settings import SettingError

LOST_S = 60
NOW = datetime.now(UTC)
NO_NODE = "no suitable node (scheduling constraints not satisfied on 3 nodes)"
RESTARTING = "no suitable node (1 node not available for new tasks; scheduling constraints not satisfied on 2 nodes)"
BUSY = "no suitable node (insufficient resources on 2 nodes; scheduling constraints not satisfied on 1 node)"


def ago(seconds: float) -> str:
    """A time as the engine writes it, with nanoseconds."""
    return f"{NOW - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%f}789Z"


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time at which the cases are written; the tests of other files may take minutes until then."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls.fromtimestamp(NOW.timestamp(), tz)

    monkeypatch.setattr(docker, "datetime", Clock)


def task(state: str, seconds: float = 0, error: str = "", exit_code: int | None = None) -> dict[str, Any]:
    status: dict[str, Any] = {"State": state, "Timestamp": ago(seconds), "Message": "started"}
    status |= {"Err": error} if error else {}
    status |= {} if exit_code is None else {"ContainerStatus": {"ExitCode": exit_code}}
    return {"ID": "t", "ServiceID": "s", "NodeID": "n", "CreatedAt": ago(seconds), "Status": status}


def nodes(state: str, seconds: float = 0) -> dict[str, Any]:
    return {"n": {"Description": {"Hostname": "node2"}, "Status": {"State": state}, "UpdatedAt": ago(seconds)}}


@pytest.mark.parametrize(
    ("found", "around", "expected"),
    [
        (None, nodes("ready"), State(None)),  # the service has no task yet
        (task("preparing"), nodes("ready"), State(None)),
        (task("running", 9000), nodes("ready", 9000), State(None)),
        (task("complete", exit_code=0), nodes("ready"), State(0)),
        (task("complete"), nodes("down", 10), State(0)),
        (task("failed", error="task: non-zero exit (3)", exit_code=3), nodes("ready"), State(3)),
        (task("failed", error="task: non-zero exit (137)", exit_code=137), nodes("ready"), State(137, None)),
        (task("pending", 1, NO_NODE), nodes("ready"), State(None)),  # a node may only be restarting
        (task("pending", 9000, BUSY), nodes("ready"), State(None)),  # others will end
        (task("running", 9000), nodes("down", 10), State(None)),
    ],
)
def test_state_of_a_task(found: dict[str, Any] | None, around: dict[str, Any], expected: State) -> None:
    assert judge(found, around, LOST_S) == expected


@pytest.mark.parametrize(
    ("found", "around", "message", "hopeless"),
    [
        (task("rejected", error="No such image: x"), nodes("ready"), "refused the container: No such image", False),
        (task("failed", error="starting failed: x"), nodes("ready"), "did not start on node2: starting", False),
        (task("orphaned"), {}, "that has left the swarm", False),
        (task("pending", 60, NO_NODE), nodes("ready"), "no node fits: no suitable node", True),
        (task("pending", 60, RESTARTING), nodes("down"), "no node fits: no suitable node [(]1 node not avail", False),
        (task("running", 9000), nodes("down", 61), "node2 has been lost for 60 s", False),
        (task("complete", exit_code=0), nodes("down", 61), "node2 has been lost for 60 s", False),  # with its result
        (task("assigned", 9000), nodes("down", 61), "node2 has been lost for 60 s", False),
    ],
)  # fmt: skip
def test_task_that_will_never_end_is_given_up_in_words(
    found: dict[str, Any], around: dict[str, Any], message: str, hopeless: bool
) -> None:
    with pytest.raises(NotRun, match=message) as error:
        judge(found, around, LOST_S)
    assert error.value.hopeless is hopeless


class Manager(BaseHTTPRequestHandler):
    """A manager whose node has died, and is ready still: its log is its own complaint, in a frame of the third kind."""

    log = b""

    def do_GET(self) -> None:
        found: dict[str, Any] | list[Any] = {"ApiVersion": "1.45"}
        if "/tasks" in self.path:
            found = [task("complete", exit_code=0)]
        if "/nodes" in self.path:
            found = [{"ID": "n", **nodes("ready")["n"]}]
        body = self.log if "/logs" in self.path else json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def manager() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Manager)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"tcp://127.0.0.1:{server.server_port}"
    server.shutdown()


def frame(kind: int, text: bytes) -> bytes:
    return pack(">BxxxL", kind, len(text)) + text


def test_complaint_of_the_manager_is_no_output(manager: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As output it was the last line, and the task failed for good for lack of a result."""
    said = b"Error grabbing logs: warning: incomplete log stream: node n is not available\n"
    with SwarmEngine(manager, 5, LOST_S) as engine:
        monkeypatch.setattr(Manager, "log", frame(1, b"a line\n") + frame(1, b"{}\n"))
        assert next(engine.follow("s", 5)) == (b"a line\n{}\n", None)
        monkeypatch.setattr(Manager, "log", frame(1, b"a line\n") + frame(3, said))
        with pytest.raises(EngineError, match=r"cannot fetch what the container wrote: Error grabbing .* available$"):
            list(engine.follow("s", 5))


def test_newest_task_of_a_service_counts() -> None:
    old, new = task("failed", 60), task("complete", 1)
    assert newest([new, old]) == {"s": new}


def test_task_is_confined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DATA", "/srv/ml")
    monkeypatch.setenv("ML_STAGE_CONSTRAINTS", "training:node.labels.size==large")
    monkeypatch.setenv("ML_STAGE_RESERVATIONS", "*:1g training:2g,1.5")
    operator = StageOperator(task_id="any", stage="training", command=["x"], read_only=True)
    template = task_template(operator._work(), "net")
    inside = template["ContainerSpec"]
    assert (inside["ReadOnly"], inside["CapabilityDrop"], inside["Privileges"]) == (
        True,
        ["ALL"],
        {"NoNewPrivileges": True},
    )
    assert inside["User"] == "10001:10001"
    data = inside["Mounts"][0]
    assert (data["Type"], data["Source"], data["Target"], data["ReadOnly"]) == ("bind", "/srv/ml", "/data", True)
    assert template["Resources"] == {
        "Limits": {"MemoryBytes": 2 << 30, "Pids": 512},
        "Reservations": {"MemoryBytes": 2 << 30, "NanoCPUs": 1_500_000_000},
    }
    assert template["RestartPolicy"]["Condition"] == "none"
    assert template["Placement"] == {"Constraints": ["node.labels.airflow-ml.srv.ml==safe", "node.labels.size==large"]}
    assert [network["Target"] for network in template["Networks"]] == ["net"]


@pytest.mark.parametrize("folder", ["/srv/ml", "/srv/my data/", "/a-b_c/1"])
def test_stages_want_the_label_that_the_check_sets(folder: str) -> None:
    assert safe_node(folder) == nodes_of_the_host.label_of(folder)
    assert SAFE == nodes_of_the_host.SAFE


def test_words_of_a_stage_count_before_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_STAGE_RESERVATIONS", "training:8g,2 *:512m")
    monkeypatch.setenv("ML_STAGE_CONSTRAINTS", "*:node.role!=manager training:node.labels.size==large")
    assert reservation_of("training") == Reservation(8 << 30, 2.0)
    assert reservation_of("report") == Reservation(512 << 20, 0.0)
    assert constraints_of("report") == [("node.role", "!=", "manager")]
    assert len(constraints_of("training")) == 2
    monkeypatch.setenv("ML_STAGE_RESERVATIONS", "none")
    assert reservation_of("training") == Reservation()


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("ML_STAGE_CONSTRAINTS", "node.labels.size==large", "'node.labels.size==large'"),
        ("ML_STAGE_CONSTRAINTS", "training:size=large", "'training:size=large'"),
        ("ML_STAGE_RESERVATIONS", "training:8", "'training:8'"),
        ("ML_STAGE_RESERVATIONS", "training:8g, 2", "'training:8g,'"),
        ("ML_NODE_LOST_SECONDS", "1m", "'1m'"),
        ("ML_DATA", "data", "'data', expected a folder that every node"),
    ],
)
def test_wrong_setting_of_a_swarm_is_the_import_error_of_a_dag(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, found: str
) -> None:
    monkeypatch.setenv("ML_ENGINE", "swarm")
    monkeypatch.setenv("ML_DATA", "/srv/ml")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=rf"{name} (is|has) {found}"):
        StageOperator(task_id="any", stage="training", command=[])
