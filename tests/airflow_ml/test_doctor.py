"""What the doctor finds wrong, from what the engine and the machine say."""

import argparse
import socket
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow_ml import doctor, rotate, stack
from airflow_ml.common import ROOT, AirflowMlError
from airflow_ml.data import Data
from airflow_ml.make_env import NEW_KEY
from airflow_ml.nodes import Node

NOW = datetime.now(timezone.utc)
PLUGINS = [{"Name": "buildx", "Version": "0.13.1+ds1"}, {"Name": "compose", "Version": "v2.26.1"}]
SOUND: dict[str, Any] = {
    "ServerVersion": "26.1.5+dfsg1",
    "MemTotal": 16_000_000_000,
    "ClientInfo": {"Plugins": PLUGINS},
}


def wrong(check: Any, **info: Any) -> dict[str, str]:
    """What to do about each thing that a check finds wrong."""
    return {found.what: found.do for found in check({**SOUND, **info}) if found.do}


@pytest.mark.parametrize(
    ("check", "info", "expected"),
    [
        (doctor.engine, {}, []),
        (doctor.engine, {"ServerVersion": "23.0.1"}, ["engine"]),
        (doctor.engine, {"ClientInfo": {"Plugins": PLUGINS[:1]}}, ["compose"]),
        (doctor.engine, {"ClientInfo": {"Plugins": [{"Name": "compose", "Version": "1.29"}]}}, ["buildx", "compose"]),
        (doctor.engine, {"ClientInfo": None}, ["buildx", "compose"]),
        (doctor.memory, {}, []),
        (doctor.memory, {"MemTotal": 2_000_000_000}, ["memory"]),
        (doctor.disk, {"DockerRootDir": "/on/another/machine"}, []),
    ],
)
def test_engine_that_is_too_old_or_too_small_is_named(check: Any, info: dict[str, Any], expected: list[str]) -> None:
    assert list(wrong(check, **info)) == expected


@pytest.mark.parametrize(("apart", "expected"), [(0, []), (-20, []), (90, ["clock"]), (-90, ["clock"])])
def test_clock_of_the_engine_is_compared(apart: int, expected: list[str]) -> None:
    there = datetime.now(timezone.utc) + timedelta(seconds=apart)
    # The engine writes nine decimals, or none.
    assert list(wrong(doctor.clock, SystemTime=f"{there:%Y-%m-%dT%H:%M:%S}.123456789Z")) == expected
    assert list(wrong(doctor.clock, SystemTime=f"{there:%Y-%m-%dT%H:%M:%S}Z")) == expected


def test_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_DISK", 10**18)
    assert "--prune" in wrong(doctor.disk, DockerRootDir=str(tmp_path))["disk"]


@pytest.mark.parametrize(
    ("text", "mode", "do"),
    [
        (None, 0o600, "make run"),
        ("A=1\nB=2\n", 0o600, ""),
        ("A=1\n", 0o600, "make up"),
        ("A=1\nB=2\n", 0o644, "chmod 600"),
        ("A=1\nB=2\nML_FERNET_KEY=new,old\n", 0o600, "./airflow-ml rotate fernet_key"),
        ("A=1\nB=2\nML_REGISTRY_KEY=v2.new,\n", 0o600, "make up, which signs it"),
        ("A=1\nB=2\nML_REGISTRY_KEY=v2.new,v2.old\n", 0o600, "./airflow-ml rotate registry_key"),
        ("A=1\nB=2\nML_REGISTRY_KEY=of-before\n", 0o600, "./airflow-ml rotate registry_key"),
        ("A=1\nB=2\nML_FERNET_KEY=one\nML_REGISTRY_KEY=v2.one\n", 0o600, ""),
    ],
)
def test_settings_are_complete_and_private(text: str | None, mode: int, do: str, tmp_path: Path) -> None:
    path, example = tmp_path / ".env", tmp_path / ".env.example"
    example.write_text("# a comment\nA=\nB=3\n")
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    found = doctor.environment(path, example)
    assert found.do.startswith(do)
    assert bool(found.do) == bool(do)


def test_setting_that_nothing_reads_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`ML_RESONS=3` was ignored in silence."""
    (tmp_path / ".env.example").write_text("ML_REASONS=0\n")
    (tmp_path / ".env").write_text("ML_RESONS=3\n")
    monkeypatch.setattr(doctor, "examine", lambda: doctor.unread(tmp_path / ".env"))
    assert doctor.run(argparse.Namespace()) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert printed == "warning .env nothing reads ML_RESONS; did you mean ML_REASONS? Nothing is wrong."


def test_port_of_another_program_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert stack.is_taken(port)
    assert not stack.is_taken(port)


@pytest.mark.parametrize("text", ["80a", "99999", "0"])
def test_setting_that_is_no_port_is_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in doctor.PORTS:
        monkeypatch.setenv(setting, text)
    found = list(doctor.ports({}))
    assert [finding.text for finding in found] == [f"is {text!r}, for {page}" for page in doctor.PORTS.values()]
    assert all(finding.do.startswith("set ML_") for finding in found)


@pytest.mark.parametrize(
    ("code", "stdout", "stderr", "text", "is_wrong"),
    [
        (
            0,
            '{"file_system": "ext4", "changes": 40}',
            "",
            "ext4 keeps locks and renames (40 changes by two processes)",
            False,
        ),
        (
            3,
            "",
            "2026-11-27T16:50:33Z ERROR check-storage check-storage: /data (nfs4) is not safe",
            "/data (nfs4) is not safe",
            True,
        ),
        (125, "", "docker: invalid mount", "docker: invalid mount", True),
        (137, "", "", "exit code 137", True),
    ],
)
def test_storage_that_loses_changes_is_named(code: int, stdout: str, stderr: str, text: str, is_wrong: bool) -> None:
    found = doctor.judge_storage("storage", subprocess.CompletedProcess([], code, stdout, stderr))
    assert (found.text, bool(found.do)) == (text, is_wrong)


@pytest.mark.parametrize(("do", "shown"), [("make up", "make up"), ("", doctor.SHARED)])
def test_check_of_a_swarm_that_cannot_begin_is_wrong(do: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Data) -> list[Node]:
        raise AirflowMlError("the engine is no manager", do=do)

    monkeypatch.setattr(doctor, "nodes_of", fail)
    (found,) = doctor.storage(Data("/srv/ml", "1:1", "1g"), "swarm")
    assert (found.text, found.do) == ("the engine is no manager", shown)


def test_one_cause_of_several_services_is_named_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each service had its own `logs, then make up`, which does not help."""
    ill = [stack.Service("postgres", "restarting", 1, ""), stack.Service("init", "created", 0, "")]
    monkeypatch.setattr(stack, "services", lambda: ill)
    monkeypatch.setattr(stack, "remedy", lambda: "put it right")
    monkeypatch.setattr(doctor, "examine", lambda: doctor.services({}))
    assert doctor.run(argparse.Namespace()) == 1
    assert capsys.readouterr().out.splitlines()[2:] == ["", "do: put it right"]


def test_new_key_begins_as_the_stage_asks_for() -> None:
    assert f'\nNEW_KEY = "{NEW_KEY}"\n' in (ROOT / "stages" / "registry" / "signature.py").read_text()
    assert rotate.new_value(rotate.SIGNING).startswith(NEW_KEY)
