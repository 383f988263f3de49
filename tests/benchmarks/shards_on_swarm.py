"""A day in shards on a swarm, beside one container: `bench.py --only shards-on-swarm`.

The three nodes are engines in network namespaces of this machine, with mounts of one JuiceFS (tests/dags/swarm/lab.py).
They share its processors, so no step can be faster on the swarm: the figures show what shards cost there, and that the
bytes are the same. The operator's own engine starts the shards, as many at once as there are nodes. The one container
has the same confinement, memory and data, on the manager.
"""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from figures import Row

# Airflow, which the operator's engines come with, reads its settings when it is first imported.
from tests.dags import conftest
from tests.dags.swarm.lab import NODES, Lab, swarm_of_three
from tests.harness import CONFINED, images

MODEL_DAY, DAY = "2026-11-20", "2026-11-21"
MODEL = f"models/{MODEL_DAY}"
MODEL_ROWS, ITERATIONS = 20_000, 100
STAGES = ("base", "generator", "preprocessing", "training", "prediction")
# The commands of the day in their order, the stage of each, and what each publishes.
STEPS: tuple[tuple[str, str, str, list[str]], ...] = (
    ("prepare", "preprocessing", f"processed/{DAY}", []),
    ("features", "preprocessing", f"features/{DAY}", [f"--model={MODEL}"]),
    ("predict", "prediction", f"predictions/{DAY}", [f"--model={MODEL}"]),
)
MEMORY, LONGEST_S, SHARDS = "2g", 3600, 8


def in_one(lab: Lab, stage: str, *arguments: str) -> float:
    """Run a stage in one container on the manager; returns the seconds."""
    started = time.monotonic()
    size = (f"--memory={MEMORY}", f"--memory-swap={MEMORY}", f"--volume={lab.data}:/data")
    lab.manager.docker("run", *CONFINED, *size, lab.images[stage]["image"], *arguments)
    return time.monotonic() - started


def on_swarm(lab: Lab, stage: str, *arguments: str) -> float:
    """Run a stage as a task does, on any node; returns the seconds. Errors: SystemExit if it fails."""
    from ml import container_labels as names
    from ml import engines

    name = f"bench {' '.join(arguments)}"
    labels = {names.DAG: name, names.TASK: name, names.RUN: name, names.MAP_INDEX: "-1", names.DATA: str(lab.data),
              names.TRY: "1", names.LAST_TRY: "1"}  # fmt: skip
    entry = lab.images[stage]
    work = engines.Work(
        stage=stage, image=entry["image"], image_id=entry["id"], pushed=entry["pushed"], command=arguments,
        user="10001:10001", memory=MEMORY, network="none", data=str(lab.data), read_only=False, connection="",
        environment={}, labels=labels,
    )  # fmt: skip
    started = time.monotonic()
    with engines.connect() as engine:
        container = engine.start(work)
        said = [out or error or b"" for out, error in engine.follow(container, LONGEST_S)]
        seconds = time.monotonic() - started
        state = engine.state(container)
        engine.remove(container)
    if state.exit_code != 0:
        raise SystemExit(f"error: {stage} {' '.join(arguments)} ended with {state.exit_code}: {said[-1][-2000:]!r}")
    return seconds


def outputs(lab: Lab, place: str) -> dict[str, str]:
    """The sha256 of each file of a partition, as its mark names them."""
    mark = json.loads((lab.manager.root / lab.data.relative_to("/") / place / "_meta.json").read_text())
    return {name: facts["sha256"] for name, facts in mark["outputs"].items()}


@contextmanager
def swarm_with_a_model(rows: int) -> Iterator[Lab]:
    """The swarm, with a model of a small day and the raw data of the day."""
    with swarm_of_three() as lab:
        lab.images |= {stage: {"image": image, "id": "is not run"} for stage, image in images().items()}
        lab.push({stage: images()[stage] for stage in STAGES})
        if wrong := lab.check_nodes():
            raise SystemExit(f"error: {wrong}")
        os.environ |= {
            "ML_ENGINE": "swarm",
            "ML_IMAGE_LOCK": str(lab.lock),
            "ML_DATA": str(lab.data),
            "ML_DOCKER_HOST": lab.proxy,
        }
        in_one(lab, "generator", f"--ds={MODEL_DAY}", f"--rows={MODEL_ROWS}")
        for command in ("prepare", "split"):
            in_one(lab, "preprocessing", command, f"--ds={MODEL_DAY}")
        in_one(lab, "training", f"--ds={MODEL_DAY}", f"--param=num_iterations={ITERATIONS}")
        in_one(lab, "prediction", "validate", f"--ds={MODEL_DAY}")
        in_one(lab, "generator", f"--ds={DAY}", f"--rows={rows}")
        yield lab


def measure(lab: Lab, shards: int) -> Iterator[tuple[str, float, float, float, float]]:
    """Each step, and its seconds: in one container, of all shards, of the slowest shard, of their merge.

    Errors: SystemExit if the files have other bytes in shards.
    """
    for command, stage, place, options in STEPS:
        arguments = (command, f"--ds={DAY}", *options)
        alone = in_one(lab, stage, *arguments)
        expected = outputs(lab, place)
        parts = [(*arguments, f"--shards={shards}", f"--shard={number}") for number in range(1, shards + 1)]
        started = time.monotonic()
        with ThreadPoolExecutor(NODES) as nodes:
            each = list(nodes.map(lambda part: on_swarm(lab, stage, *part), parts))  # noqa: B023 - ends in this turn
        together = time.monotonic() - started
        merge = on_swarm(lab, stage, *arguments, f"--shards={shards}", "--force")
        if outputs(lab, place) != expected:
            raise SystemExit(f"error: {place} in shards has other bytes")
        yield command, alone, together, max(each), merge


def shards_on_swarm(rows: int, shards: int = SHARDS) -> list[Row]:
    """Each step in shards on the swarm, beside one container. Errors: SystemExit if a stage fails, or other bytes."""
    try:
        with swarm_with_a_model(rows) as lab:
            return [
                Row(
                    f"{step}, {rows:,} rows in {shards} shards on a swarm of {NODES}, {NODES} at once, same bytes",
                    f"{together:.0f} s, the slowest shard {slowest:.0f} s, and the merge {merge:.0f} s",
                    f"one container: {alone:.0f} s",
                    (together + merge) / alone,
                )
                for step, alone, together, slowest, merge in measure(lab, shards)
            ]
    finally:
        conftest.pytest_unconfigure()
