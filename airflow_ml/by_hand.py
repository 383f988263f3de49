"""Runs a stage by hand, in its image of the image lock and confined as in a Dag, and passes on what it says."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from airflow_ml.common import ROOT, AirflowMlError, locked_image
from airflow_ml.data import Data

# How a stage logs, and how a command line is refused: as in dags/ml/container_log.py; a test compares them.
LOGGED = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (DEBUG|INFO|WARNING|ERROR|CRITICAL) [a-z][a-z0-9 _-]*: (.*)", re.DOTALL
)
REFUSED = re.compile(r"[a-z][a-z0-9 ._-]*: error: (.*)", re.DOTALL)
# The exit codes of a stage that the host tool has too; any other is 1.
EXIT_CODES = (1, 2, 3, 4)
# Where a container sees the files of the host.
OWN = "/own"
Result = dict[str, Any]


def file_mounts(files: Mapping[str, Path]) -> list[str]:
    """The options that give a container files of the host, each as /own/OPTION/NAME, read-only."""
    return [bind(path.resolve(), in_container(option, path)) + ",readonly" for option, path in files.items()]


def in_container(option: str, path: Path) -> str:
    """The path of a file of the host in the container."""
    return f"{OWN}/{option}/{path.name}"


def bind(source: Path, target: str) -> str:
    """The option that mounts a file or folder of the host; its name may hold commas, quotes and colons."""
    fields = (f"source={source}", f"target={target}")
    return "--mount=type=bind," + ",".join('"' + field.replace('"', '""') + '"' for field in fields)


def run_stage(
    data: Data,
    stage: str,
    arguments: Iterable[str],
    *options: str,
    files: Mapping[str, Path] | None = None,
    network: str = "none",
) -> Result:
    """Run a stage; returns its result line. Its warnings are shown as they come, with the host's names of `files`.

    Errors: AirflowMlError with the stage's own sentence and exit code.
    """
    files = files or {}
    confined = [option for option in data.confined if not option.startswith("--network=")]
    given = [*confined, f"--network={network}", *file_mounts(files), *options]
    command = ["docker", "run", "--rm", *given, locked_image(stage), *arguments]
    complaint = last = ""
    # A file takes a result line of any length while the log is read; a full pipe would stop the stage.
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as stdout,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stderr is not None
        for line in process.stderr:
            level, text = level_and_text(line.rstrip("\n"))
            last = with_host_names(text, files)
            if level == "WARNING":
                print(f"    warning: {last}", file=sys.stderr)
            complaint = last if level in ("ERROR", "CRITICAL") else complaint
        process.wait()
        stdout.seek(0)
        output = stdout.read()
    if process.returncode:
        raise failure(stage, process.returncode, complaint or last)
    result: Result = json.loads(output.splitlines()[-1])
    return result


def level_and_text(line: str) -> tuple[str, str]:
    """The level of a line of the log and its text, without the time and the name of the stage."""
    if logged := LOGGED.fullmatch(line):
        return logged[1], logged[2]
    if refused := REFUSED.fullmatch(line):
        return "ERROR", refused[1]
    return "", line


def with_host_names(text: str, files: Mapping[str, Path]) -> str:
    """A text with the names of files as the user wrote them, in place of those in the container."""
    for option, path in files.items():
        text = text.replace(in_container(option, path), str(path))
    return text


def failure(stage: str, code: int, complaint: str) -> AirflowMlError:
    """The error of a stage that failed: its own sentence, in the form of the host tool's errors."""
    # A stage writes `found; expected: ...; do: ...` in one line.
    text = re.sub(r"; (?=(?:expected|do): )", "\n       ", complaint.strip())
    return AirflowMlError(text or f"{stage} ended with exit code {code}", exit_code=code if code in EXIT_CODES else 1)
