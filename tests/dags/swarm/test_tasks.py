"""What becomes of a task whose container runs on a swarm, ends badly there, cannot start, or is lost with its node."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from airflow.models import DagRun
from airflow.sdk.execution_time.supervisor import TaskRunResult
from airflow.utils.session import create_session
from airflow_ml import doctor, nodes

from ml import container_labels, engines, operator
from ml.engines import EngineError, swarm
from ml.orphans import remove_orphans
from tests.dags.runs import Airflow, day
from tests.dags.swarm.lab import NETWORK, PROXY_USER, REGISTRY, Lab, Node, call, wait_until
from tests.harness import PATIENCE_S

pytestmark = pytest.mark.usefixtures("_environment")

RESULT = 'import json; print(json.dumps({"ds": "2026-11-21", "rows": 3}))'
SLEEP = "import time; time.sleep(600)"
# A busy machine answers late: a node that is alive must not count as lost.
NO_PATIENCE, LOST_S = timedelta(seconds=0.5), 10
# How a container begins that works until a test lets it go: on any machine for longer than a worker waits for it.
HELD = """
import pathlib, time
go = pathlib.Path("/data/go")
while not go.exists():
    time.sleep(0.1)
go.unlink()
"""
# Sleeps where it runs first, and says so; the next time it ends well.
SLEEPS_ONCE = f"""
import pathlib, time
first = pathlib.Path("/data/first-try")
if not first.exists():
    first.touch()
    time.sleep(600)
first.unlink()
{RESULT}
"""
CONFINEMENT = f"""
import json, os, pathlib, resource, socket
def fails(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__ + " " + str(error.errno)
def limit(*names):
    return next(p.read_text().strip() for p in map(pathlib.Path, names) if p.exists())
status = dict(line.split(":\\t", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(json.dumps({{
    "user": [os.getuid(), os.getgid()],
    "capabilities": status["CapEff"],
    "no new privileges": status["NoNewPrivs"],
    "seccomp": status["Seccomp"],
    "pids": limit("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"),
    "memory": limit("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    "connecting outside": fails(lambda: socket.create_connection(("192.0.2.1", 80), timeout=5)),
    "connecting to the hosts": fails(lambda: socket.create_connection(({REGISTRY.split(":")[0]!r}, 5000), timeout=5)),
    "writing to /": fails(lambda: open("/opt/venv/x", "w")),
    "writing to /tmp": fails(lambda: open("/tmp/x", "w")),
    "writing to /data": fails(lambda: open("/data/x", "w")),
}}))
"""


def execute(probes: Airflow, code: str, task_id: str = "probe") -> tuple[DagRun, TaskRunResult]:
    """Run a probe that executes the code."""
    run = probes.manual("probes", day("2026-11-21"), {"code": code})
    return run, probes.run_task(run, task_id)


def let_go(lab: Lab) -> None:
    """Let the container go on that is HELD."""
    (lab.manager.root / lab.data.relative_to("/") / "go").touch()


def left(lab: Lab) -> list[str]:
    """The services and networks of stages that are on the swarm."""
    services = lab.manager.docker("service", "ls", "--quiet").split()
    ours = ["--filter", f"label={container_labels.DATA}"]
    return [*services, *lab.manager.docker("network", "ls", "--quiet", *ours).split()]


def assert_nothing_left(lab: Lab) -> None:
    """A node may need a moment to forget a network that the swarm has removed."""
    wait_until(lambda: left(lab) == [], "the swarm has no service and no network of a stage")


def node_of(lab: Lab, run: DagRun) -> Node:
    """The host on which a run's container works."""
    found: list[Node] = []

    def look() -> bool:
        with engines.connect() as engine:
            for service in engine.find({container_labels.RUN: run.run_id}):
                lines = lab.manager.docker("service", "ps", "--format", "{{.Node}} {{.CurrentState}}", service)
                found.extend(node for node in lab.nodes if f"{node.name} Running" in lines)
        return bool(found)

    wait_until(look, "a container that runs")
    return found[0]


def test_result_and_log_arrive(probes: Airflow, lab: Lab) -> None:
    """stdout and stderr are apart: the result is the last line of stdout, whatever stderr says later."""
    code = f"""
import sys
print("not this")
print("2026-11-21T21:34:26Z WARNING probe run: a line", file=sys.stderr)
{RESULT}
print("said later on stderr", file=sys.stderr)
"""
    with structlog.testing.capture_logs() as logs:
        run, outcome = execute(probes, code)
    assert outcome.ti.state == "success", outcome.error
    assert probes.result(run, "probe") == {"ds": "2026-11-21", "rows": 3}
    assert probes.asset_events(run) == [("raw", {"ds": "2026-11-21", "rows": 3})]
    assert "a line" in [log["event"] % log.get("positional_args", ()) for log in logs]
    assert_nothing_left(lab)


@pytest.mark.parametrize(
    ("code", "state", "message"),
    [
        ("raise SystemExit(1)", "up_for_retry", "probe ended with exit code 1: the stage failed"),
        ("raise SystemExit(3)", "failed", "probe ended with exit code 3: bad input data"),
        (
            "x = bytearray(10**9)",
            "up_for_retry",
            "exit code 137: out of memory or killed (the engine does not say which), it may use 256m",
        ),
    ],
)
def test_exit_code_decides(probes: Airflow, lab: Lab, code: str, state: str, message: str) -> None:
    _, outcome = execute(probes, code)
    assert outcome.ti.state == state
    assert message in str(outcome.error)
    assert_nothing_left(lab)


def test_container_is_confined(probes: Airflow) -> None:
    run, outcome = execute(probes, CONFINEMENT)
    assert outcome.ti.state == "success", outcome.error
    assert probes.result(run, "probe") == {
        "user": [10001, 10001],
        "capabilities": "0000000000000000",
        "no new privileges": "1",
        "seccomp": "2",
        "pids": "512",
        "memory": str(256 << 20),
        "connecting outside": "OSError 101",
        "connecting to the hosts": "OSError 101",
        "writing to /": "OSError 30",
        "writing to /tmp": None,
        "writing to /data": None,
    }


@pytest.mark.parametrize(
    ("change", "state", "message"),
    [
        ({"pushed": None}, "failed", "was not pushed, expected it in an image registry that all nodes reach"),
        (
            {"pushed": f"{REGISTRY}/airflow-ml-base@sha256:{'0' * 64}"},
            "up_for_retry",
            "refused the container: No such image",
        ),
        ({"ML_DATA": "/nowhere"}, "failed", "none of 3 active nodes has the label airflow-ml.nowhere=safe"),
        ({"ML_DATA": "/gone"}, "up_for_retry", "bind source path does not exist: /gone"),
        (
            {"ML_STAGE_CONSTRAINTS": "probe:node.labels.size==huge"},
            "failed",
            "no node fits: no suitable node (scheduling constraints not satisfied on 3 nodes)",
        ),
        ({"ML_STAGE_RESERVATIONS": "probe:9000g,1"}, "failed", "no active node has what probe reserves"),
        ({"OLDEST_ENGINE": 99}, "failed", "expected 99 or newer, which keeps a container from new privileges"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_work_that_cannot_begin_fails_in_words(
    probes: Airflow, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str | int | None], state: str, message: str,
) -> None:  # fmt: skip
    for node in lab.nodes:
        lab.manager.docker("node", "update", "--label-add=airflow-ml.gone=safe", node.name)
    monkeypatch.setattr(swarm, "NO_NODE_S", 1)
    monkeypatch.setenv("ML_DOCKER_HOST", lab.manager.host)  # the proxy refuses some of it first
    for name, value in change.items():
        if name == "pushed":
            content = json.loads(lab.lock.read_text())
            content["images"]["probe"]["pushed"] = value
            (tmp_path / "lock.json").write_text(json.dumps(content))
            monkeypatch.setenv("ML_IMAGE_LOCK", str(tmp_path / "lock.json"))
        elif name.startswith("ML_"):
            monkeypatch.setenv(name, str(value))
        else:
            monkeypatch.setattr(swarm, name, value)
    _, outcome = execute(probes, RESULT)
    assert outcome.ti.state == state, outcome.error
    assert message in str(outcome.error)
    assert "; do: " in str(outcome.error)
    assert_nothing_left(lab)


def test_node_that_does_not_share_the_folder_gets_no_label(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lab.folder / "half"
    folder.mkdir()
    os.chown(folder, PROXY_USER, PROXY_USER)
    first, second, third = lab.nodes
    assert second.process is not None
    call("nsenter", f"--mount=/proc/{second.process.pid}/ns/mnt", "mount", "-t", "tmpfs", "-o", f"uid={PROXY_USER}",
         "none", folder)  # fmt: skip
    monkeypatch.setattr(nodes, "JOIN_S", 40)  # for node3, too
    with lab.as_host_tool():
        findings = {found.what: found for found in doctor.storage(lab.data_of(folder), "swarm")}
    assert [what for what, found in findings.items() if found.do] == ["storage of node2"]
    assert findings["storage of node2"].text.startswith("nobody joined: ")
    assert "the job on node2: " in findings["storage of node2"].text
    assert "keeps locks and renames" in findings["storage of node3"].text
    form = f'{{{{index .Spec.Labels "{nodes.label_of(str(folder))}"}}}}'
    labels = [lab.manager.docker("node", "inspect", "--format", form, node.name) for node in (first, second, third)]
    assert labels == ["safe", "", "safe"]


# What MLflow is to the stage `registry`: a container of the stack on the manager, with a name on an overlay network.
SERVER = "python -m http.server --bind 0.0.0.0 --directory /opt 5000"
ASK = """
import json, time, urllib.request
for _ in range(1000):
    try:
        print(json.dumps({"status": urllib.request.urlopen("http://mlflow:5000/", timeout=5).status}))
        break
    except OSError as error:
        failed = error
        time.sleep(0.1)
else:
    raise failed
"""


def test_stage_on_a_network_of_the_stack_reaches_it_from_any_node(
    probes: Airflow, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_STAGE_CONSTRAINTS", "*:node.hostname==node3")
    docker = lab.manager.docker
    docker("network", "create", "--driver=overlay", "--attachable", "--internal", NETWORK)
    server = docker("run", "--detach", f"--network={NETWORK}", "--network-alias=mlflow", "--entrypoint=python",
                    lab.images["probe"]["image"], *SERVER.split()[1:])  # fmt: skip
    try:
        run, outcome = execute(probes, ASK, "probe_on_the_network")
    finally:
        docker("rm", "--force", server)
    assert outcome.ti.state == "success", outcome.error
    assert probes.result(run, "probe_on_the_network") == {"status": 200}
    wait_until(lambda: "Error" not in docker("network", "rm", NETWORK, check=False), "the network is removed")


def test_another_stack_on_the_swarm_is_neither_seen_nor_touched(lab: Lab) -> None:
    """The proxy lets a stack look at, and remove, what it created itself."""
    marks = [
        f"--label={container_labels.DATA}={lab.data}",
        f"--label={container_labels.RUN}=theirs",
        "--label=airflow-ml.proxy=another",
    ]
    image = lab.images["probe"]["pushed"]
    service = lab.manager.docker(
        "service",
        "create",
        "--quiet",
        "--detach",
        "--mode=replicated-job",
        "--restart-condition=none",
        *marks,
        image,
        "-c",
        SLEEP,
    )
    try:
        with engines.connect() as engine:
            for running in (False, True):
                assert engine.find({container_labels.DATA: str(lab.data)}, running=running) == {}
            for action in (engine.state, engine.last_line, engine.remove):
                with pytest.raises(EngineError, match="was not created through this proxy"):
                    action(service)
        assert lab.manager.docker("service", "ls", "--quiet")
    finally:
        lab.manager.docker("service", "rm", service)


def test_constraint_chooses_the_node(probes: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_STAGE_CONSTRAINTS", "probe:node.hostname==node2 other:node.hostname==node3")
    monkeypatch.setenv("ML_STAGE_RESERVATIONS", "probe:64m,0.5 *:9000g")
    code = "import pathlib; pathlib.Path('/data/who').write_text('somebody'); print('{}')"
    assert execute(probes, code)[1].ti.state == "success"
    monkeypatch.setenv("ML_STAGE_CONSTRAINTS", "*:node.hostname!=node2")
    run, _ = execute(probes, "import json, pathlib; print(json.dumps({'who': pathlib.Path('/data/who').read_text()}))")
    assert probes.result(run, "probe") == {"who": "somebody"}  # written through another host's mount


def test_two_that_reserve_most_of_a_node_do_not_meet(
    probes: Airflow, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "PATIENCE", NO_PATIENCE)
    room = int(lab.manager.docker("info", "--format", "{{.MemTotal}}"))
    monkeypatch.setenv("ML_STAGE_RESERVATIONS", f"probe:{room * 6 // 10 >> 20}m")
    monkeypatch.setenv("ML_STAGE_CONSTRAINTS", "*:node.hostname!=node1")
    runs = [execute(probes, SLEEP)[0] for _ in range(3)]
    assert {node_of(lab, run).name for run in runs[:2]} == {"node2", "node3"}
    with engines.connect() as engine:
        ids = [next(iter(engine.find({container_labels.RUN: run.run_id}, running=True))) for run in runs]
        assert engine.state(ids[2]).exit_code is None  # it waits for room, and is not given up
        look = ("service", "ps", "--format", "{{.CurrentState}}", ids[2])
        wait_until(lambda: lab.manager.docker(*look).startswith("Pending"), "the third one has no room")
        for one in ids:
            engine.remove(one)


def test_long_work_holds_no_worker(probes: Airflow, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "PATIENCE", NO_PATIENCE)
    run, outcome = execute(probes, HELD + RESULT)
    assert outcome.ti.state == "deferred"
    let_go(lab)
    probes.fire_trigger(run, "probe", PATIENCE_S)
    outcome = probes.run_task(run, "probe", new_try=False)
    assert outcome.ti.state == "success", outcome.error
    assert probes.result(run, "probe")["rows"] == 3
    assert_nothing_left(lab)


def test_next_try_joins_what_an_earlier_one_left(probes: Airflow, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the container any more; its work is not done twice."""
    monkeypatch.setattr(operator, "PATIENCE", NO_PATIENCE)
    run, _ = execute(probes, f"open('/data/starts', 'a').write('x')\n{HELD}{RESULT}")
    monkeypatch.setattr(operator, "PATIENCE", timedelta(minutes=10))
    with create_session() as session:
        ti = session.merge(probes.waiting(run, "probe"))
        ti.next_method = ti.next_kwargs = ti.trigger_id = None
    let_go(lab)
    assert probes.run_task(run, "probe").ti.state == "success"
    assert_nothing_left(lab)
    run, _ = execute(probes, "import json; print(json.dumps({'starts': open('/data/starts').read()}))")
    assert probes.result(run, "probe") == {"starts": "x"}


def test_container_whose_task_has_ended_is_removed(probes: Airflow, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler's plugin calls this whenever a run starts or ends."""
    monkeypatch.setattr(operator, "PATIENCE", NO_PATIENCE)
    ended, waits = (execute(probes, SLEEP)[0] for _ in range(2))
    assert len(left(lab)) == 4
    with create_session() as session:
        for ti in session.merge(ended).get_task_instances(session=session):
            ti.set_state("failed", session=session)
        session.flush()
        remove_orphans(session)
    with engines.connect() as engine:
        assert {
            marks[container_labels.RUN] for marks in engine.find({container_labels.DATA: str(lab.data)}).values()
        } == {waits.run_id}
        for one in engine.find({container_labels.DATA: str(lab.data)}):
            engine.remove(one)
    assert_nothing_left(lab)


@contextmanager
def cut_off(node: Node) -> Iterator[None]:
    node.set_link("down")
    try:
        yield
    finally:
        node.set_link("up")
        wait_until(lambda: node.lab.states().count("Ready") == len(node.lab.nodes), "the node is back")


@pytest.mark.parametrize("how", ["cut off", "killed"])
def test_work_of_a_lost_node_starts_elsewhere(
    probes: Airflow, lab: Lab, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Swarm says for ever that the task of a lost node runs. A node that is only cut off goes on with its work."""
    monkeypatch.setattr(operator, "PATIENCE", NO_PATIENCE)
    monkeypatch.setattr(swarm, "NETWORK_S", 3)  # that of a lost container is in use
    monkeypatch.setenv("ML_STAGE_CONSTRAINTS", "*:node.hostname!=node1")  # the manager; without it nothing goes on
    run, outcome = execute(probes, SLEEPS_ONCE)
    assert outcome.ti.state == "deferred"
    node = node_of(lab, run)
    wait_until((lab.manager.root / lab.data.relative_to("/") / "first-try").exists, "the work has begun")
    monkeypatch.setenv("ML_NODE_LOST_SECONDS", str(LOST_S))
    if how == "killed":
        node.kill()
        lose_and_try_again(probes, run, node)
        node.start()
        node.await_start()
        wait_until(lambda: lab.states().count("Ready") == len(lab.nodes), "the node is back")
    else:
        with cut_off(node):
            lose_and_try_again(probes, run, node)
    wait_until(lambda: not node.docker("ps", "--quiet"), "the lost container is gone when its node is back")
    monkeypatch.setattr(swarm, "LEFT_NETWORK_S", -1)
    monkeypatch.setattr(operator, "PATIENCE", timedelta(minutes=10))
    wait_until(lambda: execute(probes, RESULT) and left(lab) == [], "the network of the lost container is removed")


def lose_and_try_again(probes: Airflow, run: DagRun, node: Node) -> None:
    probes.fire_trigger(run, "probe", PATIENCE_S)
    outcome = probes.run_task(run, "probe", new_try=False)
    assert outcome.ti.state == "up_for_retry"
    assert f"node {node.name} has been lost for {LOST_S} s, with the container on it" in str(outcome.error)
    outcome = probes.run_task(run, "probe")
    if outcome.ti.state == "deferred":
        probes.fire_trigger(run, "probe", PATIENCE_S)
        outcome = probes.run_task(run, "probe", new_try=False)
    assert outcome.ti.state == "success", outcome.error
    assert probes.result(run, "probe")["rows"] == 3


def test_result_that_is_lost_with_its_node_is_made_again(
    probes: Airflow, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node dies between the end of the work and the look at its log, when the manager still calls it ready."""
    monkeypatch.setattr(operator, "PATIENCE", NO_PATIENCE)
    monkeypatch.setattr(swarm, "NETWORK_S", 3)  # that of a lost container is in use
    monkeypatch.setenv("ML_STAGE_CONSTRAINTS", "*:node.hostname!=node1")
    run, outcome = execute(probes, HELD + RESULT)
    assert outcome.ti.state == "deferred"
    node = node_of(lab, run)
    let_go(lab)
    probes.fire_trigger(run, "probe", PATIENCE_S)
    node.kill()
    try:
        outcome = probes.run_task(run, "probe", new_try=False)
        assert outcome.ti.state == "up_for_retry", outcome.error
        assert "cannot fetch what the container wrote" in str(outcome.error)
        wait_until(lambda: "Down" in lab.states(), "the manager misses the node")
        monkeypatch.setenv("ML_NODE_LOST_SECONDS", str(LOST_S))
        time.sleep(LOST_S + 1)
        monkeypatch.setattr(operator, "PATIENCE", timedelta(minutes=10))
        let_go(lab)  # the container that does the work again
        outcome = probes.run_task(run, "probe")
        assert outcome.ti.state == "success", outcome.error
        assert probes.result(run, "probe")["rows"] == 3
    finally:
        node.start()
        node.await_start()
        wait_until(lambda: lab.states().count("Ready") == len(lab.nodes), "the node is back")
