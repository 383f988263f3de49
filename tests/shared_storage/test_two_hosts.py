"""Two hosts on one shared file system: nothing is lost, torn, or deleted while somebody uses it."""

import json
import os
import random
import subprocess
import time
from uuid import uuid4

import pytest

from tests.harness import PATIENCE_S
from tests.shared_storage.conftest import Host, Lab

NAME = "processed/2026-11-21"
# How often a writer is killed, and how often a whole host; the nightly tests do more.
WRITER_KILLS = int(os.environ.get("ML_TEST_WRITER_KILLS", "15"))
HOST_KILLS = int(os.environ.get("ML_TEST_HOST_KILLS", "1"))
# A writer that waits for another one's lock keeps JuiceFS and its database busy.
TURNS = 6
# Publishes a step, two files of one content, over and over; prints its process id, then each turn that is published.
# Ends early once /data/stop is there.
WRITE = """
import os, sys, time
from pathlib import Path
from stagekit import Publication
step, times, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
print(os.getpid(), flush=True)
for turn in range(times):
    with Publication(Path("/data"), "processed/2026-11-21", step, parameters={"turn": turn}) as publication:
        for half in ("one", "two"):
            publication.path(f"{step}-{half}.csv").write_text(f"{step} {turn}\\n" * 200)
            time.sleep(pause)
    print(turn, flush=True)
    if os.path.exists("/data/stop"):
        break
"""
# Verifies a step's files over and over until its last turn is there, and never sees a mix of two publications.
READ = """
import sys, time
from pathlib import Path
from stagekit import NotReady, read_partition
step, last = sys.argv[1], int(sys.argv[2])
files = [f"{step}-{half}.csv" for half in ("one", "two")]
looks, turn = 0, None
while turn != last:
    time.sleep(0.02)
    try:
        partition = read_partition(Path("/data"), "processed/2026-11-21", files)
    except NotReady as error:
        assert not looks, error
        continue
    assert len(set(partition.hashes.values())) == 1, partition.hashes
    turn = partition.meta["steps"][step]["parameters"]["turn"]
    looks += 1
print(looks)
"""
LEFT = """
import json
from pathlib import Path
from stagekit import read_partition
folder = Path("/data/processed/2026-11-21")
mark = json.loads((folder / "_meta.json").read_text())
read_partition(Path("/data"), "processed/2026-11-21", mark["outputs"])
print(json.dumps({"steps": {n: s["parameters"] for n, s in mark["steps"].items()},
                  "left": [p.name for p in folder.iterdir() if p.name.startswith(".")]}))
"""


def ended(process: subprocess.Popen[str]) -> str:
    """What a process printed; it ended well."""
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    return out


def state(host: Host) -> dict[str, dict[str, dict[str, int]]]:
    return dict(json.loads(host.python(LEFT).stdout))


def test_check_passes_between_two_hosts(hosts: tuple[Host, Host]) -> None:
    done, other = check_between(*hosts)
    assert done.returncode == 0, done.stderr
    assert other.returncode == 0, other.stderr
    line = json.loads(done.stdout)
    assert (line["file_system"], line["hosts"], line["changes"]) == ("fuse.juicefs", 2, 60)


def test_mount_that_keeps_old_names_is_refused_with_the_options_to_use(lab: Lab, hosts: tuple[Host, Host]) -> None:
    """JuiceFS's own defaults: names are kept for a second."""
    caching = Host(lab, "caching", options=())
    caching.start()
    try:
        done, other = check_between(hosts[0], caching)
    finally:
        caching.kill()
    assert done.returncode == other.returncode == 3
    assert "did not find a file that had just been replaced" in done.stderr
    assert "mount it with --attr-cache 0 --entry-cache 0 --dir-entry-cache 0" in other.stderr


def check_between(*hosts: Host) -> tuple[subprocess.CompletedProcess[str], ...]:
    """Run the same check on both hosts, as two people would."""
    meet = ("--meet", uuid4().hex[:8], "--changes", "30")
    running = [
        subprocess.Popen(host.check_storage(*meet), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for host in hosts
    ]
    printed = [process.communicate(timeout=PATIENCE_S) for process in running]
    return tuple(
        subprocess.CompletedProcess([], process.returncode, *texts)
        for process, texts in zip(running, printed, strict=True)
    )


def test_two_hosts_publish_steps_of_one_partition_and_none_is_lost(hosts: tuple[Host, Host]) -> None:
    first, second = hosts
    writers = [host.begin(WRITE, f"{host.name}{n}", str(TURNS), "0.01") for host in hosts for n in range(2)]
    readers = [first.begin(READ, "b0", str(TURNS - 1)), second.begin(READ, "a0", str(TURNS - 1))]
    for process in writers:
        ended(process)
    for process in readers:
        assert int(ended(process).split()[-1]) > 0
    found = state(first)
    assert found == state(second)
    assert found["steps"] == {f"{host.name}{n}": {"turn": TURNS - 1} for host in hosts for n in range(2)}
    assert not found["left"]


def begin(host: Host, *arguments: str) -> tuple[subprocess.Popen[str], int]:
    """Start a writer; returns it with its process id on the host once it has begun."""
    writer = host.begin(WRITE, *arguments)
    assert writer.stdout is not None
    return writer, int(writer.stdout.readline())


def kill(host: Host, writer: subprocess.Popen[str], process_id: int) -> None:
    """Kill a writer."""
    host.python(f"import os, signal; os.kill({process_id}, signal.SIGKILL)")
    writer.communicate(timeout=PATIENCE_S)


def test_writer_that_is_killed_harms_nobody(hosts: tuple[Host, Host]) -> None:
    """A writer dies at moments that are spread over some turns; on the other host a step is published all the time."""
    dying, living = hosts
    steady = begin(living, "steady", "100000", "0.02")
    for number in range(WRITER_KILLS):
        writer = begin(dying, "dying", "1000", "0.01")
        time.sleep(0.3 * number / WRITER_KILLS)
        kill(dying, *writer)
        assert steady[0].poll() is None, steady[0].communicate()[1]
    ended(dying.begin(WRITE, "dying", "1", "0"))
    living.python("open('/data/stop', 'w')")
    turns = ended(steady[0]).split()
    living.python("import os; os.remove('/data/stop')")
    found = state(living)
    assert found["steps"]["dying"] == {"turn": 0}
    assert found["steps"]["steady"] == {"turn": int(turns[-1])}
    assert not found["left"]


@pytest.mark.parametrize("attempt", range(HOST_KILLS))
def test_host_that_is_killed_harms_nobody(hosts: tuple[Host, Host], attempt: int) -> None:
    dying, living = hosts
    writer, _ = begin(dying, "host", "1000", "0.01")
    steady = living.begin(WRITE, "other", "40", "0.01")
    time.sleep(random.Random(attempt).uniform(0.1, 1.0))
    dying.kill()
    writer.communicate(timeout=PATIENCE_S)
    ended(steady)  # waits until JuiceFS has released the locks of the dead host
    assert state(living)["steps"]["other"] == {"turn": 39}
    dying.start()
    end = time.monotonic() + PATIENCE_S
    while True:  # the dead host's claim holds until JuiceFS notices; only then may others delete its work
        ended(dying.begin(WRITE, "host", "1", "0"))
        found = state(living)
        assert found == state(dying)
        assert found["steps"]["host"] == {"turn": 0}
        if not found["left"]:
            return
        assert time.monotonic() < end, found["left"]
        time.sleep(1)
