"""Memory and time of a training on several ranks, on this machine: `python -m tests.benchmarks.ranks --rows 1000000`.

The ranks share the processors of the machine, so the time shows what they cost, not what more machines would gain.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from uuid import uuid4

from tests.harness import RESTRICTED, Data, data_volume, docker, images

DAY = "2026-11-21"
# As the image starts the stage; then the most memory that the process had, in kB.
MEASURED = """
import resource, sys
sys.path.insert(0, "/opt/stage")
import training
code = training.main(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def train(data: Data, ranks: int, iterations: int) -> tuple[list[float], float, dict[str, float]]:
    """Train on so many ranks; returns the peak memory of each in MB, the seconds, the metrics."""
    network = f"airflow-ml-bench-{uuid4().hex[:12]}"
    docker("network", "create", "--internal", network)
    names = [f"{network}-{rank}" for rank in range(ranks)]
    options = [option for option in RESTRICTED if option != "--rm"]
    arguments = (f"--ds={DAY}", "--force", f"--ranks={ranks}", f"--param=num_iterations={iterations}")
    started = time.monotonic()
    try:
        for rank, name in enumerate(names):
            place = (f"--name={name}", f"--network={network}", f"--network-alias=rank-{rank}", f"--env=ML_RANK={rank}")
            start = ("--entrypoint=python", images()["training"], "-c", MEASURED, *arguments)
            docker("run", "--detach", *options, *place, data.mount, *start)
        docker("wait", *names)
        seconds = time.monotonic() - started
        logs = [docker("logs", name) for name in names]
        peaks = [int(log.stderr.rpartition("peak ")[2]) / 1000 for log in logs]
        return peaks, seconds, dict(json.loads(logs[0].stdout.splitlines()[-1])["validation"])
    finally:
        docker("rm", "--force", *names, check=False)
        docker("network", "rm", network, check=False)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    asked = parser.parse_args(argv)
    with data_volume("bench-ranks") as data:
        data.generate(DAY, f"--rows={asked.rows}")
        data.prepare(DAY)
        data.split(DAY)
        print("| ranks | memory of each, MB | together, MB | seconds | validation |\n|---|---|---|---|---|")
        for ranks in asked.ranks:
            peaks, seconds, metrics = train(data, ranks, asked.iterations)
            each = ", ".join(f"{peak:.0f}" for peak in peaks)
            shown = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            print(f"| {ranks} | {each} | {sum(peaks):.0f} | {seconds:.0f} | {shown} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
