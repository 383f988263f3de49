"""`rotate` is killed at each step of all secrets, on a stack of its own; the next call goes on, and nothing is lost.

Each call begins with what the one before it left. At the end no old secret is valid, what was encrypted is readable,
and the champion, whose signature `predict` asks for, scores a day.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow_ml import rotate
from airflow_ml.secret_files import setting

from tests.harness import ROOT, docker

from .own_stack import LEFT, PROJECT, OwnStack, own_stack

DS = "2026-11-21"
# The process kills itself with SIGKILL after a call of a step.
CUT = """
import argparse, os, signal, sys
from airflow_ml import rotate
step, number = sys.argv[1], int(sys.argv[2])
whole, calls = getattr(rotate, step), []
def cut(*arguments):
    whole(*arguments)
    calls.append(arguments)
    if len(calls) == number:
        os.kill(os.getpid(), signal.SIGKILL)
setattr(rotate, step, cut)
rotate.run(argparse.Namespace(secrets=rotate.NAMES))
"""
# After the step was called so often: what is true then.
STEPS = (
    ("change_settings", 1, "both signing keys are in .env alone"),
    ("ask_registry", 2, "everything is signed with the new key, the services have both"),
    ("change_settings", 2, "both Fernet keys are in .env alone"),
    ("encrypt_again", 1, "Airflow is stopped, everything is encrypted with the new key"),
    ("change_settings", 3, "every new value is in .env, and nowhere else"),
    ("set_values", 3, "every new value is in its file, no service has read it"),
    ("set_database_password", 2, "Postgres has the new password, Airflow the old one"),
)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnStack]:
    checkout = shutil.copytree(ROOT, tmp_path / "checkout", ignore=shutil.ignore_patterns(*LEFT))
    with own_stack(checkout) as made:
        yield made


def test_rotation_that_is_killed_at_any_step_is_finished_by_the_next_call(own: OwnStack) -> None:
    own.run("generate_data", ds=DS, rows=3000)
    own.run("train_model", ds=DS, lightgbm={"num_boost_round": 20})
    own.airflow.request("POST", "/variables", {"key": "kept", "value": "still readable"})
    old = own.settings
    for step, number, _ in STEPS:
        own.tool(sys.executable, "-c", CUT, step, str(number), code=-9)
    own.tool("./airflow-ml", "rotate", *rotate.NAMES)
    new = own.settings
    assert {name for name in new if new[name] != old[name]} == set(map(setting, rotate.NAMES))
    assert not [name for name in map(setting, rotate.NAMES) if "," in new[name]]
    assert own.airflow.request("GET", "/variables/kept")["value"] == "still readable"
    own.run("predict", ds=DS)
    own.tool("./airflow-ml", "models", "--events")
    connect = "import psycopg2, sys; psycopg2.connect(host='postgres', user='airflow', password=sys.argv[1])"
    for settings, code in ((old, 1), (new, 0)):
        entered = docker(
            "exec", f"{PROJECT}-api-server-1", "python", "-c", connect, settings["ML_POSTGRES_PASSWORD"], check=False
        )
        assert entered.returncode == code, entered.stderr
