"""What becomes of a task of several ranks: they start together, and whatever ends the task, all of them are gone."""

import asyncio
import re
from collections.abc import Iterator
from typing import NoReturn

import pytest
from airflow.models import DagRun
from airflow.sdk.execution_time.supervisor import TaskRunResult

from ml import container_labels, engines, operator
from ml.engines.docker import DockerEngine
from ml.gang import GangEngine
from tests.dags.engine.conftest import HELD, NO_PATIENCE, OUT_OF_MEMORY, Engine, docker
from tests.dags.runs import Airflow, day
from tests.harness import PATIENCE_S

pytestmark = pytest.mark.usefixtures("_environment")

# Each rank waits until rank 0, by its name on the network, has heard of all others.
MEET = """
import json, os, socket, time
rank = int(os.environ["ML_RANK"])
if rank == 0:
    server = socket.create_server(("", 12401))
    others = [server.accept()[0] for _ in range(2)]
    heard = sorted(other.recv(1).decode() for other in others)
else:
    while True:
        try:
            other = socket.create_connection(("rank-0", 12401), timeout=5)
            break
        except OSError:
            time.sleep(0.1)
    other.sendall(str(rank).encode())
    heard = []
"""
OUTSIDE = """
def fails(address):
    try:
        socket.create_connection(address, timeout=2)
    except OSError as error:
        return type(error).__name__
routes = [line.split() for line in open("/proc/net/route")][1:]
# The first address of the network would be the host's.
base = next(int.from_bytes(bytes.fromhex(route[1]), "little") for route in routes)
gateway = socket.inet_ntoa((base + 1).to_bytes(4, "big"))
print(json.dumps({"heard": heard, "outside": fails(("192.0.2.1", 80)), "host": fails((gateway, 22)),
                  "default routes": [route for route in routes if route[1] == "00000000"]}))
"""
SLEEP = "import time; time.sleep(600)"


def execute(probes: Airflow, code: str) -> tuple[DagRun, TaskRunResult]:
    run = probes.manual("probes", day("2026-11-21"), {"code": code})
    return run, probes.run_task(run, "probe_in_ranks")


def left(engine: Engine) -> list[str]:
    """The containers and the networks of stages."""
    ours = f"label={container_labels.DATA}={engine.name}"
    return [*docker("ps", "--all", "--quiet", "--filter", ours).split(),
            *docker("network", "ls", "--quiet", "--filter", ours).split()]  # fmt: skip


@pytest.fixture(autouse=True)
def _clean(engine: Engine) -> Iterator[None]:
    yield
    assert left(engine) == []


def test_ranks_meet_on_a_network_that_leads_nowhere_not_even_to_the_host(probes: Airflow) -> None:
    run, outcome = execute(probes, MEET + OUTSIDE)
    assert outcome.ti.state == "success", outcome.error
    result = probes.result(run, "probe_in_ranks")
    assert result["heard"] == ["1", "2"]
    assert (result["outside"], result["default routes"]) == ("OSError", [])
    assert result["host"] in ("OSError", "TimeoutError")


@pytest.mark.parametrize(
    ("end", "state", "message"),
    [
        (
            "print('the table is torn', file=sys.stderr); sys.exit(3)",
            "failed",
            "the table is torn. rank 2 of 3 of probe ended with exit code 3: bad input data; all were stopped",
        ),
        (
            "x = bytearray(10**9)",
            "up_for_retry",
            f"rank 2 of 3 of probe ended with exit code 137: {OUT_OF_MEMORY}, it may use 256m",
        ),
    ],
)
def test_rank_that_ends_badly_fails_the_task_in_words(probes: Airflow, end: str, state: str, message: str) -> None:
    code = f"""
import select, sys
if rank == 2:
    {end}
if rank == 0:
    select.select(others, [], [])  # until a rank that it has met ends
    sys.exit(5)
time.sleep(600)
"""
    _, outcome = execute(probes, MEET + code)
    assert outcome.ti.state == state
    assert re.match(message, str(outcome.error))
    assert "; all were stopped" in str(outcome.error)
    assert "--network-alias rank-$rank --env ML_RANK=$rank" in str(outcome.error)


def test_next_try_joins_all_ranks_or_removes_what_is_left(
    probes: Airflow, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object) -> NoReturn:
        raise engines.EngineError("does not answer")

    with monkeypatch.context() as broken:
        broken.setattr(GangEngine, "follow", break_off)
        run, _ = execute(probes, SLEEP)
        before = left(engine)
        assert len(before) == 4  # three ranks and their network
        probes.run_task(run, "probe_in_ranks")
        assert left(engine) == before

    docker("rm", "--force", before[1])  # now they are not all there
    monkeypatch.setattr(operator, "PATIENCE", NO_PATIENCE)
    assert probes.run_task(run, "probe_in_ranks").ti.state == "deferred"
    assert len(left(engine)) == 4
    assert not {*left(engine)} & {*before}
    asyncio.run(probes.trigger(run, "probe_in_ranks").on_kill())  # a person marks the task as failed


def test_triggerer_wakes_the_task_when_one_rank_has_ended(
    probes: Airflow, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "PATIENCE", NO_PATIENCE)
    code = f"import os, time\nif os.environ['ML_RANK'] != '1': time.sleep(600)\n{HELD}raise SystemExit(1)"
    run, _ = execute(probes, code)
    engine.let_go(run.run_id)
    probes.fire_trigger(run, "probe_in_ranks", PATIENCE_S)
    outcome = probes.run_task(run, "probe_in_ranks", new_try=False)
    assert str(outcome.error).startswith(
        "rank 1 of 3 of probe ended with exit code 1: the stage failed; all were stopped"
    )


def test_start_that_fails_half_way_leaves_nothing(probes: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    started, start = [], DockerEngine.start

    def start_two(self: DockerEngine, work: engines.Work) -> str:
        if len(started) == 2:
            raise engines.EngineError("refuses (too many containers)")
        started.append(start(self, work))
        return started[-1]

    monkeypatch.setattr(DockerEngine, "start", start_two)
    _, outcome = execute(probes, SLEEP)
    assert "too many containers" in str(outcome.error)
    assert len(started) == 2
