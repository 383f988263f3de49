"""A component of Airflow has the libraries of the Dags before it copies itself, and none of our own files."""

import os
import subprocess
import sys

from tests.dags.conftest import DAGS
from tests.harness import PATIENCE_S

# As `airflow scheduler` begins; in a process of its own, because the tests have loaded all of it.
START = """
import sys
from airflow.jobs.job import Job
Job()
print("airflow.providers.docker.operators.docker" in sys.modules)
print([name for name in sys.modules if name.partition(".")[0] == "ml"])
"""


def test_component_loads_the_libraries_and_leaves_our_files_to_its_copies() -> None:
    environment = {**os.environ, "PYTHONPATH": str(DAGS)}
    command = [sys.executable, "-c", START]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["True", "[]"], done.stdout + done.stderr
