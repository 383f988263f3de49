"""Shows whether the cluster enforces its NetworkPolicies: tries to reach what a pod must reach, and what it must not.

Usage: probe.py [NAME ...], the names that this pod must reach: `mlflow`. It must reach nothing else.
Reads the addresses that Kubernetes gives a pod of each service. Exit codes: 0 as it must be; 1 not; 2 wrong usage.
"""

import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence

# The variables with host and port of each. The API server answers on every cluster; Postgres may be elsewhere.
TARGETS = {
    "kubernetes": ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"),
    "mlflow": ("MLFLOW_SERVICE_HOST", "MLFLOW_SERVICE_PORT"),
    "postgres": ("POSTGRES_SERVICE_HOST", "POSTGRES_SERVICE_PORT"),
}
# Some plug-ins close a pod only some moments after it has started.
ROUNDS, PAUSE_S, PATIENCE_S = 6, 2.0, 3.0


def reaches(host: str, port: int) -> bool:
    """Whether somebody answers there."""
    try:
        with socket.create_connection((host, port), timeout=PATIENCE_S):
            return True
    except OSError:
        return False


def wrong(name: str, answers: Sequence[bool], expected: bool) -> str | None:
    """What is wrong with a target; None if nothing is. It must be closed from the first moment on."""
    if expected:
        return None if any(answers) else f"does not reach {name}, expected it to"
    if any(answers):
        late = "the network plug-in closes a pod only some moments after its start"
        why = "the NetworkPolicies are not enforced" if all(answers) else late
        return f"reaches {name}, expected it not to: {why}"
    return None


def main(expected: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Try each target, and print what is wrong; returns the exit code."""
    if unknown := set(expected) - set(TARGETS):
        print(f"unknown {', '.join(sorted(unknown))}, expected of {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    places = {
        name: (environment[host], int(environment[port]))
        for name, (host, port) in TARGETS.items()
        if host in environment
    }
    if missing := [name for name in ("kubernetes", *expected) if name not in places]:
        print(f"no address of {', '.join(missing)}, expected its Service in this namespace", file=sys.stderr)
        return 1
    answers: dict[str, list[bool]] = {name: [] for name in places}
    for number in range(ROUNDS):
        time.sleep(PAUSE_S if number else 0)
        for name, place in places.items():
            answers[name].append(reaches(*place))
    problems = [wrong(name, found, name in expected) for name, found in answers.items()]
    for problem in filter(None, problems):
        print(problem, file=sys.stderr)
    if any(problems):
        return 1
    print(f"as it must be: reaches {' and '.join(expected) or 'nothing'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
