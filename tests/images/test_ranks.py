"""Training on several ranks: containers on a network that leads nowhere, as a person starts them by hand."""

import json
import math
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

import pytest

from tests.harness import PATIENCE_S, RESTRICTED, ROOT, Data, data_volume, docker, images, wait_until

DAY, RANKS = "2026-11-21", 3
MODEL = f"models/{DAY}"
FILES = ("model.txt", "params.json", "feature_importance.csv", "reference_scores.csv", "encoder.json")
SHORT = "--param=num_iterations=40"
ENDLESS = ("--force", "--param=num_iterations=1000000", "--param=early_stopping_round=0", "--log-every=1")
# Prints the connections that others have with rank 0, on its port: 12401, and 01 for "established".
HAS_MET = """
for _, own, _, state, *_ in map(str.split, open("/proc/net/tcp")):
    if own.endswith(":3071") and state == "01":
        print(own)
"""
# What all ranks but the first connect with in place of it: rank 0 sees them all at one address, as behind a gateway.
GATEWAY = """
import contextlib, socket, threading, time
def connect_inside():
    while True:
        with contextlib.suppress(OSError):
            return socket.create_connection(("behind-the-gateway", 12401))
        time.sleep(0.1)
def pass_on(source, target):
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)
server = socket.create_server(("", 12401))
while True:
    outside, _ = server.accept()
    inside = connect_inside()
    for pair in ((outside, inside), (inside, outside)):
        threading.Thread(target=pass_on, args=pair).start()
"""


@pytest.fixture(scope="module")
def data() -> Iterator[Data]:
    """A day that is split, of rows enough for each rank to learn the same."""
    with data_volume("ranks") as made:
        made.generate(DAY, "--rows=8000")
        made.prepare(DAY)
        made.split(DAY)
        yield made


@contextmanager
def gang(
    data: Data,
    *arguments: str,
    options: Sequence[str] = (),
    gateway: bool = False,
    hosts: bool = False,
    ranks: Sequence[int] = range(RANKS),
) -> Iterator[list[str]]:
    """The containers of all ranks, or of these, started in the order in which LightGBM does not need them.

    :param hosts: the others know rank 0 from their file of hosts alone, as pods of Kubernetes do
    """
    network = f"airflow-ml-test-ranks-{uuid4().hex[:12]}"
    docker("network", "create", "--internal", network)
    names = [f"{network}-{rank}" for rank in ranks]
    confined = [option for option in RESTRICTED if option != "--rm"]
    others = []
    try:
        if gateway:
            others.append(f"{network}-gateway")
            place = (f"--name={others[0]}", f"--network={network}", "--network-alias=rank-0", "--entrypoint=python")
            docker("run", "--detach", *confined, *place, images()["base"], "-c", GATEWAY)
        for rank, name in zip(ranks, names, strict=True):
            alias = "behind-the-gateway" if gateway and rank == 0 else f"rank-{rank}"
            known = f"--network-alias={alias}"
            if hosts:
                known = f"--add-host=rank-0:{address(names[0]) if rank else '127.0.0.1'}"
            place = (f"--name={name}", f"--network={network}", known, f"--env=ML_RANK={rank}")
            docker(
                *("run", "--detach", *confined, *place, data.mount, *options, images()["training"]),
                *(f"--ds={DAY}", f"--ranks={RANKS}", *arguments),
            )
        yield names
    finally:
        docker("rm", "--force", *names, *others, check=False)
        docker("network", "rm", network, check=False)


def ends(names: Sequence[str]) -> list[int]:
    """Wait for all; returns their exit codes."""
    return [int(code) for code in docker("wait", *names).stdout.split()]


def address(name: str) -> str:
    return docker("inspect", "--format={{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name).stdout.strip()


def train(data: Data, *arguments: str, options: Sequence[str] = (), hosts: bool = False) -> list[str]:
    """Train on all ranks; returns the last line of each one's stdout."""
    with gang(data, *arguments, options=options, hosts=hosts) as names:
        assert ends(names) == [0] * RANKS, "\n".join(docker("logs", name).stderr for name in names)
        return [docker("logs", name).stdout for name in names]


def hashes(data: Data) -> dict[str, str]:
    return {file: data.hash(f"{MODEL}/{file}") for file in FILES}


def published(data: Data) -> dict[str, str]:
    """The files without those of a writer that was killed, which the next one removes."""
    return {name: digest for name, digest in data.files().items() if ".tmp/" not in name}


def test_ranks_make_one_model_the_same_twice_and_nearly_that_of_one_machine(data: Data) -> None:
    alone = data.train(DAY, SHORT).line
    lines = [json.loads(out) for out in train(data, SHORT)]
    first, made = data.mark(MODEL)["steps"]["train"], hashes(data)

    assert [{**line, "seconds": 0} for line in lines] == [{**lines[0], "seconds": 0}] * RANKS
    assert lines[0]["rows"] == alone["rows"]
    assert first["call"]["arguments"]["ranks"] == first["parameters"]["num_machines"] == RANKS
    # It is another model, as each rank finds the bins of some features in its own rows.
    assert lines[0]["validation"]["auc"] != alone["validation"]["auc"]
    assert math.isclose(lines[0]["validation"]["auc"], alone["validation"]["auc"], abs_tol=0.03)
    assert math.isclose(lines[0]["validation"]["binary_logloss"], alone["validation"]["binary_logloss"], rel_tol=0.1)

    assert [json.loads(out).get("cached") for out in train(data, SHORT)] == [True] * RANKS
    train(data, SHORT, "--force", options=["--cpuset-cpus=0"])  # with another number of threads
    assert hashes(data) == made


def test_ranks_that_know_the_first_from_their_file_of_hosts_make_the_same_model(data: Data) -> None:
    train(data, SHORT)
    made = hashes(data)
    train(data, SHORT, "--force", hosts=True)
    assert hashes(data) == made


def test_ranks_connect_though_a_gateway_hides_their_addresses(data: Data) -> None:
    with gang(data, SHORT, "--force", gateway=True) as names:
        assert ends(names) == [0] * RANKS, "\n".join(docker("logs", name).stderr for name in names)


def test_rerun_starts_all_ranks_again(data: Data) -> None:
    train(data, SHORT)
    environ = {**os.environ, "ML_DATA": data.source, "ML_UID": "10001", "ML_GID": "10001"}
    command = [ROOT / "airflow-ml", "rerun", f"{MODEL}/model.txt"]
    done = subprocess.run(command, env=environ, text=True, capture_output=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{MODEL}/model.txt" in done.stdout
    assert not docker("network", "ls", "--quiet", "--filter=name=airflow-ml-rerun").stdout


@pytest.mark.parametrize("rank", [0, 2])
def test_rank_that_is_killed_ends_the_others_which_say_so(data: Data, rank: int) -> None:
    before = published(data)
    with gang(data, *ENDLESS) as names:
        wait_until(lambda: "iteration 1 of" in docker("logs", names[0]).stderr, "the ranks train", names[0])
        docker("kill", names[rank])
        codes = ends(names)
        assert codes == [128 + signal.SIGKILL if other == rank else 5 for other in range(RANKS)]
        for other in {*range(RANKS)} - {rank}:
            words = f"rank {rank} of {RANKS} has ended, so rank {other} ends too; nothing was published"
            assert docker("logs", names[other]).stderr.splitlines()[-1].endswith(words)
    assert published(data) == before


def test_ranks_that_work_on_something_else_are_refused(data: Data) -> None:
    """The containers differ in ML_IMAGE, as two images would. Ranks 0 and 1 have met before rank 2 starts."""
    with gang(data, *ENDLESS, ranks=(0, 1)) as names:
        wait_until(lambda: docker("exec", names[0], "python", "-c", HAS_MET).stdout, "ranks 0 and 1 meet", names[0])
        network = names[0].removesuffix("-0")
        other = docker(
            *("run", *RESTRICTED, f"--network={network}", "--env=ML_RANK=2", "--env=ML_IMAGE=other", data.mount),
            *(images()["training"], f"--ds={DAY}", f"--ranks={RANKS}"),
            check=False,
        )
        assert (other.returncode, *ends(names)) == (5, 3, 5)
        assert "rank 2 works on" in docker("logs", names[0]).stderr
