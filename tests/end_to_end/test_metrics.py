"""Airflow's metrics reach a collector: those that docs/operate.md calls worth a look are there under these names."""

import re
import subprocess
import time

from tests.harness import PATIENCE_S, ROOT

from .conftest import COLLECTOR, RUN_TIMEOUT_S, Results, Stack

OPERATE = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
DOCUMENTED = set(re.findall(r"^\| `(airflow\.[\w.]+)` \|", OPERATE, flags=re.MULTILINE))


def collected() -> set[str]:
    """The names of the metrics that the collector got."""
    done = subprocess.run(["docker", "logs", COLLECTOR], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_metrics_that_the_docs_name_are_sent(stack: Stack, day: Results) -> None:
    assert DOCUMENTED
    # A run that fails is the only one of these that a day does not have.
    run = stack.airflow.trigger("promote_model", {"version": 999_999, "reason": "a version that is not there"})
    assert stack.airflow.wait("promote_model", run, RUN_TIMEOUT_S) == "failed"
    deadline = time.monotonic() + PATIENCE_S
    while (missing := DOCUMENTED - collected()) and time.monotonic() < deadline:
        time.sleep(1)
    assert not missing, (missing, collected())
