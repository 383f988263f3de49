"""Readers and bytes that were changed until they reached new lines: each is read, or refused with a stage's own error.

`make fuzz` gives each reader minutes. What is found there becomes a test of its own.
"""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile import LONG

FILES = ("_meta.json", "encoder.json", "document", "schema.json", "data.csv")
# So many, from the same start each time, or as many as two minutes allow.
BOUND = ("-max_total_time=120",) if LONG else ("-runs=5000", "-seed=1")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "0"}


@pytest.mark.hypothesis  # so that `make fuzz` takes it
@pytest.mark.parametrize("file", FILES)
def test_file_is_read_or_refused(file: str, tmp_path: Path) -> None:
    program = Path(__file__).with_name("fuzz_readers.py")
    command = [
        sys.executable,
        str(program),
        file,
        *BOUND,
        "-timeout=300",
        "-verbosity=0",
        f"-artifact_prefix={tmp_path}/",
    ]
    run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, errors="replace", check=False)
    # The container's files go with it.
    found = [base64.b64encode(path.read_bytes()).decode() for path in tmp_path.iterdir()]
    assert run.returncode == 0, "\n".join([run.stderr[-5000:], *found])
