"""Sets up and runs every test, three parts at a time.

The two longest begin: the end-to-end tests wait much of their time for Airflow's scheduler, the tests of images for
the engine. The end-to-end tests take longest, so all others give way to them. Each part's output is in
.cache/tests/PART.log and is printed when the part ends. A failed part does not stop the others.
Exit codes: 0 every part passed, 1 at least one failed.

--nightly  runs the nightly tests instead: the rebuild on an empty engine, a build on a damaged one, the image report, a
           model of another seed, a machine that loses its power, an upgrade while a day runs, Postgres of another
           major version, `rotate` killed at each step, metrics, lineage and JSON logs switched on together, a few
           faults of `make chaos`, 50 kills of a host and 50 of a writer on shared storage, the benchmarks on few rows,
           each property with thousands of examples
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / ".cache" / "tests"
PYTEST = (".venv/bin/python", "-m", "pytest", "-q", "--durations=10")
# Whole files go to one of two processes: what a module's fixtures make is made once. xdist's groups of files do nothing
# with this pytest.
BY_FILE = ("--numprocesses=2", "--dist=loadfile")
# Their containers give way too: tests/end_to_end/stack.compose.yml.
GIVING_WAY = ("nice", "-n", "10")
TAIL = 15
MOST_REASONS, WIDTH = 40, 300
_printing = threading.Lock()


@dataclass(frozen=True)
class Part:
    """A part of the tests: its name, and the commands that it runs one after the other until one fails."""

    name: str
    commands: Sequence[Sequence[str]]

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"


@dataclass(frozen=True)
class Outcome:
    """How a part ended."""

    part: Part
    passed: bool
    seconds: float


def stage_parts() -> list[Part]:
    folders = sorted(path.parent for path in ROOT.glob("stages/*/Dockerfile"))
    return [Part(f"stage-{folder.name}", [("./airflow-ml", "test-stage", folder.name, "-q")]) for folder in folders]


PREPARATION = Part("set-up", [("setup/ensure_venv.sh",), ("setup/ensure_browser.sh",), ("./build_images.sh",)])
WITHOUT_ENGINE = Part("without-engine", [("maintain/test_fast.sh", "-q")])
END_TO_END = Part(
    "end-to-end",
    [
        ("./airflow-ml", "mlflow-client"),
        (*PYTEST, "-v", "tests/end_to_end"),
    ],
)
IMAGES = Part("images", [(*PYTEST, *BY_FILE, "tests/images", "tests/attacks")])
PARTS = [
    END_TO_END,
    IMAGES,
    WITHOUT_ENGINE,
    *stage_parts(),
    Part("data-sets", [(*PYTEST, "tests/data_sets")]),
    Part("dags-on-engine", [(*PYTEST, "tests/dags/engine")]),
    Part("swarm", [(*PYTEST, "tests/dags/swarm")]),
    Part("shared-storage", [(*PYTEST, "tests/shared_storage")]),
    Part("notebook", [(*PYTEST, "tests/notebook")]),
]
AT_ONCE = 3
# Some machines forbid Python to keep bytecode: then each of some hundred processes compiles what it imports once more.
ENVIRONMENT = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
KILLS = ("ML_TEST_HOST_KILLS=50", "ML_TEST_WRITER_KILLS=50")
# A few of those of `make chaos`: a stage, the scheduler and the engine proxy are killed, a disk is full.
FAULTS = "stage's container|^scheduler is killed|engine-proxy is killed|disk of the data"
NIGHTLY = [
    Part("nightly", [(*PYTEST, "tests/nightly")]),
    Part("faults", [(".venv/bin/python", "-m", "tests.chaos", "--tries=1", f"--only={FAULTS}")]),
    Part("kills", [("env", *KILLS, *PYTEST, "tests/shared_storage", "-k", "killed")]),
    Part("benchmarks", [(*PYTEST, "tests/benchmarks")]),
    Part("fuzz", [("make", "fuzz")]),
]


def read(part: Part) -> list[str]:
    """The lines that a part printed."""
    return part.log.read_text(encoding="utf-8", errors="replace").splitlines()


def run(part: Part) -> Outcome:
    """Run a part, print its end; all of its output where it failed."""
    started = time.monotonic()
    with part.log.open("wb") as output:
        passed = all(
            subprocess.run(
                command if part in (PREPARATION, END_TO_END) else (*GIVING_WAY, *command),
                cwd=ROOT,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
            == 0
            for command in part.commands
        )
    outcome = Outcome(part, passed, time.monotonic() - started)
    lines = read(part)
    with _printing:
        print(f"==> {part.name}: {'passed' if passed else 'FAILED'} after {outcome.seconds:.0f} s")
        print("\n".join(lines[-TAIL:] if passed else lines), flush=True)
    return outcome


def run_parts(parts: Sequence[Part], at_once: int) -> list[Outcome]:
    """Run the parts in their order, so many at a time."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(run, parts))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nightly", action="store_true", help="run the nightly tests instead")
    nightly = parser.parse_args(argv).nightly
    LOGS.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    outcomes = [run(PREPARATION)]
    if outcomes[0].passed:
        outcomes += run_parts(NIGHTLY, 1) if nightly else run_parts(PARTS, AT_ONCE)
    failed = [outcome.part for outcome in outcomes if not outcome.passed]
    # Once more, as the part's own output may be far above.
    for part in failed:
        reasons = [line for line in read(part) if line.startswith(("E  ", "FAILED ", "ERROR "))]
        print("\n".join([f"\n==> {part.name}:", *(line[:WIDTH] for line in reasons[-MOST_REASONS:])]))
    print(f"\n==> {'FAILED: ' + ', '.join(part.name for part in failed) if failed else 'Every test passed'}")
    for outcome in outcomes:
        print(f"{outcome.seconds:6.0f} s  {outcome.part.name}{'' if outcome.passed else '  FAILED'}")
    print(f"{time.monotonic() - started:6.0f} s  all together", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
