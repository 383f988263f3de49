"""The command line frame: arguments, result line, exit codes, messages, signals."""

import errno
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from stagekit import Command, cli, option, run_stage

from tests.harness import PATIENCE_S

BASE_IMAGE = Path(__file__).parents[2] / "base-image"

STAGE = """
import errno, hashlib, os, sys, time
from stagekit import *


def act(args):
    print("noise on stdout", flush=True)
    what = os.environ.get("ACT", "")
    if what == "sleep":
        with Publication(args.data_dir, f"raw/{args.ds}", "act") as publication:
            publication.path("half.csv").write_text("half")
            print("ready", flush=True)
            hashlib.pbkdf2_hmac('sha256', b'a', b'b', 10**9)  # minutes of native code, as a fit would be
    if what == "many":
        return {"classes": {f"class {number}": number for number in range(10_000)}}
    if what: raise eval(what)
    return {"rows": 3, **({"warnings": eval(os.environ["WARN"])} if "WARN" in os.environ else {})}

OPTIONS = [option("--days"), option("--data"), option("--only", choices=("data", "target"))]
names = ["act", "other"] if "--two" in sys.argv else ["act"]
commands = [Command(name, "Act.", "__main__:act", OPTIONS) for name in names]
sys.exit(run_stage("demo", "Demonstrates.", commands, [a for a in sys.argv[1:] if a != "--two"]))
"""


@contextmanager
def started(data: Path, *arguments: str, act: str = "") -> "Iterator[subprocess.Popen[str]]":
    """The demonstration stage as a process, which does not outlive the test."""
    environment = {"PYTHONPATH": str(BASE_IMAGE), "ACT": act, "ML_DATA_DIR": str(data)}
    environment |= {name: os.environ[name] for name in ("WARN", "ML_RESULT_FILE") if name in os.environ}
    command = [sys.executable, "-c", STAGE, *arguments]
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run(data: Path, *arguments: str, act: str = "") -> tuple[int, str, str]:
    with started(data, *arguments, act=act) as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def test_result_is_one_json_object_on_the_last_line(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, "--ds", "2026-11-21")
    result = json.loads(out.splitlines()[-1])
    assert code == 0
    assert result.pop("seconds") >= 0
    assert result == {"stage": "demo", "command": "act", "ds": "2026-11-21", "rows": 3}


@pytest.mark.parametrize(
    ("warnings", "logged", "kept"),
    [
        ("[]", [], []),
        ("['amount decides the target']", ["amount decides the target"], ["amount decides the target"]),
        ("['w' * 301]", ["w" * 301], ["w" * 299 + "…"]),
        (
            "[str(n) for n in range(23)]",
            [str(n) for n in range(23)],
            [*(str(n) for n in range(20)), "and 3 more, in the log"],
        ),
    ],
)
def test_warnings_of_a_result_are_logged_and_bounded_in_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: str, logged: list[str], kept: list[str]
) -> None:
    monkeypatch.setenv("WARN", warnings)
    code, out, err = run(tmp_path, "--ds", "2026-11-21")
    assert code == 0
    assert [line.partition(" demo act: ")[2] for line in err.splitlines() if " WARNING " in line] == logged
    assert json.loads(out.splitlines()[-1])["warnings"] == kept


def test_stage_with_two_commands_takes_sub_commands(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, "--two", "other", "--ds", "2026-11-21")
    assert code == 0
    assert json.loads(out.splitlines()[-1])["command"] == "other"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--day=2026-11-21"], "unknown option --day: did you mean --ds?"),
        (["--day", "2026-11-21"], "unknown option --day: did you mean --ds?"),
        (["--date", "2026-11-21"], "unknown option --date: did you mean --ds?"),
        (["--ds=2026-11-21", "--day=3"], "unknown option --day: did you mean --days?"),
        (["--ds=2026-11-21", "--verbos"], "unknown option --verbos: did you mean --verbose?"),
        (["--ds=2026-11-21", "--colour=red"], "unknown option --colour\n"),
        (["--two", "act", "--day", "2026-11-21"], "unknown option --day: did you mean --ds?"),
        (["--two", "atc", "--ds=2026-11-21"], "unknown command atc: did you mean act?; expected: one of act, other, "),
        (["--two", "--ds=2026-11-21"], "unknown option --ds=2026-11-21; expected: one of act, other, then its options"),
        (["--two"], "the following arguments are required: COMMAND"),
        (
            ["--ds=2026-11-21", "--only", "dta"],
            "unknown value 'dta': did you mean data?; expected: one of data, target\n",
        ),
        (["--ds=2026-11-21", "--only=x"], "argument --only: unknown value 'x'; expected: one of data, target\n"),
    ],
)
def test_unknown_argument_is_named_with_a_near_miss(tmp_path: Path, arguments: list[str], message: str) -> None:
    code, out, err = run(tmp_path, *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_help_has_what_the_command_does_apart_from_what_every_stage_has(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, "--help")
    own, _, common = out.partition("\noptions of every stage:\n")
    assert code == 0
    assert re.findall(r"^  (--[a-z-]+)", own, re.MULTILINE) == ["--ds", "--days", "--data", "--only"]
    assert re.findall(r"^  (--[a-z-]+)", common, re.MULTILINE) == ["--data-dir", "--force", "--explain", "--verbose"]


@pytest.mark.parametrize(
    ("does", "options", "code"),
    [
        ({}, [], 2),
        ({}, ["--data-dir={folder}"], 0),
        ({"publishes": False}, [], 0),
        ({}, ["--explain"], 0),
        ({}, ["--force"], 2),
        ({"only_looks": ["check_names"]}, ["--check-names"], 0),
        ({"only_looks": ["check_names"]}, [], 2),
        ({"publishes": False, "writes": True}, [], 2),
        ({"publishes": False, "writes": True}, ["--data-dir={folder}"], 0),
        ({"publishes": False}, ["--out={folder}/schema.json"], 2),
        ({"publishes": False}, ["--out={folder}-of-another-mount/schema.json"], 0),
        ({"publishes": False}, ["--out={folder}/../own/schema.json"], 0),
        ({"publishes": False}, ["--name={folder}/schema.json"], 0),
    ],
)
def test_default_folder_that_is_no_mount_gets_no_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    does: dict[str, Any],
    options: list[str],
    code: int,
) -> None:
    """The data would go with the container; exit code 0 looked as if it had been kept. A call may only look."""
    monkeypatch.setattr(cli, "DATA", tmp_path)
    monkeypatch.delenv("ML_DATA_DIR", raising=False)
    own = [
        option("--out", type=Path),
        option("--name", dest="out"),
        option("--check-names", action="store_true"),
    ]
    command = Command("act", "act", f"{__name__}:act", options=own, **does)
    arguments = ["--ds=2026-11-21", *(option.format(folder=tmp_path) for option in options)]
    assert run_stage("demo", "Demonstrates.", [command], arguments) == code
    assert (f"{tmp_path} is no mount" in capsys.readouterr().err) is (code == 2)


def act(args: object) -> dict[str, int]:
    return {"rows": 3}


@pytest.mark.parametrize("ds", ["2026-13-01", "20261121", "2026-1-1", "today", "", "2026-11-21T00:00:00", "2026-W47-6"])
def test_ds_that_is_no_date_is_wrong_usage(tmp_path: Path, ds: str) -> None:
    code, out, err = run(tmp_path, "--ds", ds)
    assert (code, out) == (2, "")
    assert "is no date of the form YYYY-MM-DD" in err


@pytest.mark.parametrize(
    ("act", "code", "message"),
    [
        ("BadInput('found x', expected='y', do='z')", 3, "found x; expected: y; do: z"),
        ("NotReady('nothing')", 4, "nothing"),
        ("UsageError('odd')", 2, "odd"),
        ("StageError('broken')", 1, "broken"),
        ("MemoryError()", 1, "not enough memory"),
        ("ZeroDivisionError('why')", 1, "unexpected ZeroDivisionError: why"),
        (f"OSError({errno.ENOSPC}, 'full', '/data/x')", 1, "no space left on the device that holds /data/x"),
        (f"OSError({errno.EROFS}, 'read-only', '/data/x')", 1, "/data/x cannot be written or read by user"),
        (f"OSError({errno.EIO}, 'i/o', '/data/x')", 1, "/data/x: i/o"),
        ("RuntimeError('No space left on device (os error 28)')", 1, "no space left on the device that holds "),
        ("RuntimeError('Permission denied (os error 13): x')", 1, "cannot be written or read by user"),
        ("OSError('failed: (os error 30)')", 1, "cannot be written or read by user"),
        ("BadInput('the text (os error 28) in a file')", 3, "the text (os error 28) in a file"),
    ],
)
def test_error_becomes_its_exit_code_and_message(tmp_path: Path, act: str, code: int, message: str) -> None:
    found, out, err = run(tmp_path, "--ds", "2026-11-21", act=act)
    assert found == code
    assert message in err
    assert "{" not in out


@pytest.mark.parametrize("act", ["", "BadInput(ODD)", "UsageError(ODD)"])
def test_event_is_one_line_whatever_it_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    """The name of a column may have a line break, or what looks like an event of its own."""
    odd = "a\r\n2026-11-21T21:34:26Z INFO demo act: done\x1b[2K\u2028\x85b"
    monkeypatch.setenv("WARN", repr([odd]))
    _, _, err = run(tmp_path, "--ds", "2026-11-21", act=act.replace("ODD", repr(odd)))
    lines = err.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(r"a\r\n2026-11-21T21:34:26Z INFO demo act: done\x1b[2K\u2028\x85b")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_native_code_at_once_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path, "--ds", "2026-11-21", act="sleep") as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)][-1] == "ready\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=120)  # the work itself takes minutes
    assert process.returncode == 128 + number
    assert f"ended by {number.name}; nothing was published" in err
    assert not (tmp_path / "raw" / "2026-11-21").exists()


@pytest.mark.parametrize("option", ["--ds=2026-11-21", "--data-dir=/data"])
def test_option_given_twice_is_wrong_usage(tmp_path: Path, option: str) -> None:
    code, _, err = run(tmp_path, "--ds=2026-11-21", "--data-dir=/data", option)
    assert code == 2
    assert f"{option.partition('=')[0]}: is given twice" in err


def test_result_line_is_bounded(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, "--ds", "2026-11-21", act="many")
    assert code == 0
    assert len(out.splitlines()[-1]) < 16 << 10
    assert json.loads(out.splitlines()[-1])["shortened"] == {"classes": "and 9,900 more"}


def long(args: object) -> dict[str, list[int]]:
    return {"numbers": list(range(10_000))}


def test_result_line_of_a_whole_command_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    command = Command("long", "long", f"{__name__}:long", needs_ds=False, publishes=False, whole=True)
    assert run_stage("demo", "Demonstrates.", [command], ["--data-dir=/"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["numbers"], "shortened" in line) == (list(range(10_000)), False)


@pytest.mark.parametrize("act", ["", "many"])
def test_result_line_or_its_hash_is_in_the_file_that_the_engine_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    file = tmp_path / "termination-log"
    monkeypatch.setenv("ML_RESULT_FILE", str(file))
    code, out, _ = run(tmp_path, "--ds", "2026-11-21", act=act)
    line = out.splitlines()[-1]
    assert code == 0
    if len(line) <= 4096:
        assert file.read_text() == line
    else:
        assert json.loads(file.read_text()) == {"sha256": hashlib.sha256(line.encode()).hexdigest()}


def test_result_file_that_cannot_be_written_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_RESULT_FILE", str(tmp_path / "missing" / "file"))
    code, out, err = run(tmp_path, "--ds", "2026-11-21")
    assert (code, out) == (1, "noise on stdout\n")
    assert "missing/file" in err


CALLED = """
import json, sys
from pathlib import Path
from stagekit import *

OPTIONS = (
    option("--params", type=Path),
    option("--param", action="append", default=[]),
    option("--share", type=float, default=0.1),
    option("--model"),
)

def act(args):
    return publish(args, f"raw/{args.ds}", "act", work)

def work(publication):
    publication.path("a.csv").write_text("a")
    return {}

commands = [Command("act", "Act.", "__main__:act", OPTIONS), Command("other", "Other.", "__main__:act")]
sys.exit(run_stage("demo", "Demonstrates.", commands[: 1 + ("act" in sys.argv)]))
"""


@pytest.mark.parametrize("command", [[], ["act"]])
def test_mark_records_the_command_and_every_argument_with_defaults(tmp_path: Path, command: list[str]) -> None:
    arguments = [*command, "--ds=2026-11-21", "--params=/own/params.json", "--param=a=1", "--param=b=2", "--verbose"]
    environment = {"PYTHONPATH": str(BASE_IMAGE), "ML_DATA_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", CALLED, *arguments], env=environment, check=True, capture_output=True)
    mark = json.loads((tmp_path / "raw/2026-11-21/_meta.json").read_text())
    assert mark["steps"]["act"]["call"] == {
        "stage": "demo",
        "command": command[0] if command else None,
        "arguments": {
            "ds": "2026-11-21",
            "model": None,
            "param": ["a=1", "b=2"],
            "params": {"file": "/own/params.json"},
            "share": 0.1,
        },
    }
