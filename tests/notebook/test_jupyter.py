"""./airflow-ml notebook starts Jupyter with the notebook in it, stops at Ctrl-C, and says what it cannot find."""

import http.client
import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from airflow_ml.notebook import PAGE

from tests.harness import PATIENCE_S, free_port
from tests.notebook.conftest import ROOT, notebook


@pytest.fixture
def jupyter(data: Path, tmp_path: Path) -> "Iterator[tuple[subprocess.Popen[bytes], int, Path]]":
    """Jupyter as a person starts it: the process, its port, what it prints."""
    port, printed = free_port(), tmp_path / "printed.txt"
    settings = {**os.environ, "ML_DATA": str(data), "ML_NOTEBOOK_PORT": str(port)}
    with printed.open("wb") as file:
        process = subprocess.Popen(
            [ROOT / "airflow-ml", "notebook"],
            env=settings, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        yield process, port, printed
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(PATIENCE_S)


def address_of(process: "subprocess.Popen[bytes]", printed: Path, port: int) -> str:
    """The one address that is printed, with its token, once it answers."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.3)
        if found := re.findall(r"https?://\S+|file:\S+", printed.read_text()):
            assert [address.partition("?token=")[0] for address in found] == [f"http://127.0.0.1:{port}{PAGE}"]
            with suppress(OSError, http.client.HTTPException):
                get(found[0])
                return str(found[0])
    raise AssertionError(printed.read_text())


def get(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
        return answer.read()


def test_one_command_opens_jupyter_with_the_notebook(
    jupyter: "tuple[subprocess.Popen[bytes], int, Path]",
) -> None:
    process, port, printed = jupyter
    address = address_of(process, printed, port)
    token = address.split("token=")[1]
    root = f"http://127.0.0.1:{port}"
    page = get(address).decode()
    assert "jupyter-config-data" in page
    assert re.search(r'"news": ?{"disabled": ?true}', page)
    listed = json.loads(get(f"{root}/api/contents?token={token}"))["content"]
    assert "raw_data.ipynb" in [entry["name"] for entry in listed]
    assert "python3" in json.loads(get(f"{root}/api/kernelspecs?token={token}"))["kernelspecs"]
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(f"{root}/api/contents")
    os.killpg(process.pid, signal.SIGINT)
    process.wait(PATIENCE_S)
    with pytest.raises(urllib.error.URLError):
        get(f"{root}/api")


def test_volume_that_is_not_there_is_named_and_not_made() -> None:
    done = notebook("airflow-ml-test-no-such-volume")
    assert done.returncode == 1
    assert "ML_DATA is airflow-ml-test-no-such-volume, and there is no such volume" in done.stderr
    assert "docker run --rm -v airflow-ml-test-no-such-volume:/data airflow-ml-generator" in done.stderr
    listed = subprocess.run(["docker", "volume", "ls", "--quiet"], capture_output=True, text=True, check=True).stdout
    assert "airflow-ml-test-no-such-volume" not in listed.split()


@pytest.mark.parametrize("data", ["./data", "/no/such/folder"])
def test_folder_that_docker_could_not_mount_is_named(data: str) -> None:
    done = notebook(data)
    assert done.returncode == 1
    assert f"error: ML_DATA is {data}" in done.stderr
    assert "absolute path" in done.stderr or "no folder" in done.stderr


def test_help_says_how() -> None:
    done = notebook("data", option="--help")
    assert done.returncode == 0
    assert "ML_DS=YYYY-MM-DD" in done.stdout
