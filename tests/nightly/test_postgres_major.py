"""The databases of an older major version of Postgres are taken to the present one, on a stack of its own.

The older version is the published image, or the stand-in of set-up with that version, where no registry answers.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow_ml.airflow_api import Airflow

from tests.harness import ROOT, docker

from .own_stack import LEFT, PORTS, PROJECT, OwnStack, own_stack

OLDER, OLDER_BASE = "postgres:15-bookworm", "airflow-ml-test-debian-with-bookworm"
((PRESENT, MAJOR),) = re.findall(r"(?m)^ *image: (postgres:(\d+)\S*)$", (ROOT / "docker-compose.yml").read_text())
(DEBIAN,) = re.findall(r"(?m)^ARG DEBIAN_IMAGE=(\S+)$", (ROOT / "base-image" / "Dockerfile").read_text())
TRAINED, SCORED = "2026-11-20", "2026-11-21"
# Debian 12 has version 15, whose packages fit Debian 13 too.
OLDER_DEBIAN = f"""FROM {DEBIAN}
RUN sed 's/trixie/bookworm/g' /etc/apt/sources.list.d/debian.sources >/etc/apt/sources.list.d/older.sources
"""
ACCOUNT = ("account", "ada", "--role", "viewer")


@pytest.fixture
def older(tmp_path: Path) -> Iterator[None]:
    """The image of the older version, under its published name; it is removed if it was not there before."""
    there = docker("image", "inspect", OLDER, check=False).returncode == 0
    try:
        if not there and docker("pull", "--quiet", OLDER, check=False).returncode:
            (tmp_path / "Dockerfile").write_text(OLDER_DEBIAN)
            docker("build", "--quiet", f"--tag={OLDER_BASE}", str(tmp_path))
            major = ("--build-arg=MAJOR=15", f"--build-arg=DEBIAN_IMAGE={OLDER_BASE}")
            docker("build", "--quiet", *major, f"--tag={OLDER}", str(ROOT / "setup" / "postgres-standin"))
        yield
    finally:
        if not there:
            docker("image", "rm", OLDER, OLDER_BASE, check=False)


@pytest.fixture
def own(older: None, tmp_path: Path) -> Iterator[OwnStack]:
    checkout = shutil.copytree(ROOT, tmp_path / "checkout", ignore=shutil.ignore_patterns(*LEFT))
    use(checkout, OLDER)
    with own_stack(checkout) as made:
        yield made


def use(checkout: Path, image: str) -> None:
    """Have the services use an image of Postgres."""
    compose = checkout / "docker-compose.yml"
    changed, count = re.subn(r"(?m)^( *image: )postgres:\S+$", rf"\g<1>{image}", compose.read_text())
    assert count == 1
    compose.write_text(changed)


def version() -> str:
    """The major version of the server that runs."""
    sql = ("psql", "--username=airflow", "--tuples-only", "--no-align", "--command=show server_version_num")
    return docker("exec", f"{PROJECT}-postgres-1", *sql).stdout.strip()[:2]


def known(own: OwnStack, password: str) -> dict[str, Any]:
    """What the databases know: runs, a Variable, an account and its password, versions and events of the model."""
    found = [own.airflow.request("GET", f"/dags/{dag}/dagRuns") for dag in ("generate_data", "train_model")]
    # The Dags' schedules add runs of their own if the hour comes while this test works.
    runs = [run for answer in found for run in answer["dag_runs"] if run["run_type"] == "manual"]
    ada = Airflow(f"http://localhost:{PORTS['ML_AIRFLOW_PORT']}", password, user="ada")
    ada.request("GET", "/dags?limit=1")
    return {
        "runs": {run["dag_run_id"]: (run["state"], run["end_date"]) for run in runs},
        "variable": own.airflow.request("GET", "/variables/kept")["value"],
        "versions": own.tool("./airflow-ml", "models"),
        "events": own.tool("./airflow-ml", "models", "--events"),
    }


def test_databases_of_an_older_major_version_are_taken_to_the_present_one(own: OwnStack, tmp_path: Path) -> None:
    """First in place, beside the data and MLflow's files that are there; then the whole, where there is nothing."""
    assert version() == "15"
    own.run("generate_data", ds=TRAINED, rows=3000)
    own.run("train_model", ds=TRAINED, lightgbm={"num_boost_round": 20})
    own.run("generate_data", ds=SCORED, rows=3000)
    own.airflow.request("POST", "/variables", {"key": "kept", "value": "still readable"})
    password = own.tool("./airflow-ml", *ACCOUNT).split()[-1]
    before = known(own, password)
    assert len(before["runs"]) == 3
    assert "champion" in before["versions"]
    backup = tmp_path / "backup"
    own.tool("./airflow-ml", "backup", backup)

    use(own.checkout, PRESENT)
    remedy = f"Postgres {MAJOR} cannot read a database of Postgres 15; nothing is lost."
    for command in ("up", "status", "doctor"):
        assert own.tool("./airflow-ml", command, code=1).count(f"do: {remedy}") == 1
    own.tool("./airflow-ml", "restore", "--databases", backup)
    assert version() == MAJOR
    assert known(own, password) == before
    own.run("predict", ds=SCORED)

    newer = tmp_path / "newer"
    own.tool("./airflow-ml", "backup", newer)
    use(own.checkout, OLDER)
    back = f"do: the database is of Postgres {MAJOR}: put an image of {MAJOR} back"
    assert back in own.tool("./airflow-ml", "up", code=1)
    refused = own.tool("./airflow-ml", "restore", "--databases", newer, code=1)
    assert f"the backup is of Postgres {MAJOR}, and {OLDER} of docker-compose.yml is older" in refused

    use(own.checkout, PRESENT)
    own.tool("docker", "compose", "down", "--volumes", "--remove-orphans")
    (own.checkout / ".env").unlink()
    own.tool("./airflow-ml", "restore", backup)
    assert version() == MAJOR
    assert known(own, password) == before
    own.run("predict", ds=SCORED)
