"""The command line: finds the module of a command, checks the arguments, runs it, ends with its exit code.

A command is a module with a docstring, `run(arguments) -> int` and, if it has options, `configure(parser)`. It is
imported when it is called, so that `--help` is fast and a command needs only what it uses.
"""

import argparse
import importlib
import inspect
import os
import sys
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from airflow_ml import machine
from airflow_ml.common import ROOT, WRONG_USAGE, AirflowMlError, nearest

INTERRUPTED = 130
VENV = ROOT / ".venv"


@dataclass(frozen=True)
class Command:
    """A command of the tool: the function `run` of its module does the work.

    `in_venv`: it needs the tests' environment, not only the standard library.
    """

    name: str
    module: str
    help: str
    example: str
    run: str = "run"
    in_venv: bool = False


GROUPS: dict[str, tuple[Command, ...]] = {
    "The stack": (
        Command(
            "run",
            "airflow_ml.run_day",
            "set everything up, train on one simulated day and score the next",
            "run --ds 2026-11-21",
        ),
        Command("own", "airflow_ml.own", "take a file of your own to a model", "own --data my.csv --target churned"),
        Command("up", "airflow_ml.up", "start Airflow, MLflow and the reports", "up"),
        Command("down", "airflow_ml.stack", "stop them; data, database and images are kept", "down", run="down"),
        Command("clean", "airflow_ml.stack", "stop, and remove database, data and our images", "clean", run="clean"),
        Command("open", "airflow_ml.stack", "print the addresses of the pages", "open", run="show_addresses"),
        Command("status", "airflow_ml.status", "show what runs, the champion, the newest days", "status"),
        Command("doctor", "airflow_ml.doctor", "look for what is wrong, and say what to do", "doctor"),
        Command("models", "airflow_ml.models", "show the versions: how good, who, when, why", "models"),
        Command("account", "airflow_ml.account", "make an account of Airflow", "account ada --role viewer"),
        Command("rotate", "airflow_ml.rotate", "give secrets new values", "rotate pages_password fernet_key"),
        Command("logs", "airflow_ml.logs", "show the log of a service or of a Dag's last run", "logs predict"),
        Command("backfill", "airflow_ml.backfill", "run Dags for past days", "backfill 2026-10-01 2026-10-31"),
        Command("backup", "airflow_ml.backup", "copy databases, files and data into a folder", "backup"),
        Command(
            "restore", "airflow_ml.restore", "restore a backup, or only its databases", "restore backups/2026-11-21"
        ),
        Command("tidy", "airflow_ml.tidy", "remove old files, runs, logs, versions", "tidy --older-than 90 --dry-run"),
        Command("alerts", "airflow_ml.alerts", "show the last alerts that Airflow sent", "alerts --last 20"),
    ),
    "Images": (
        Command("engine", "airflow_ml.machine", "prepare a Docker engine on this machine", "engine", run="engine"),
        Command("build", "airflow_ml.images.command", "build the images whose content changed", "build --explain"),
    ),
    "For developers": (
        Command(
            "new-stage", "airflow_ml.new_stage", "make a new stage that works", "new-stage columns --library jinja2"
        ),
        Command(
            "test-stage", "airflow_ml.test_stage", "run a stage's tests in its image", "test-stage training -k early"
        ),
        Command("notebook", "airflow_ml.notebook", "open a notebook on a day's raw data", "notebook"),
    ),
    "Where a file comes from": (
        Command("lineage", "airflow_ml.lineage.show", "show how a file was made, check it", "lineage raw/2026-11-21"),
        Command("explain", "airflow_ml.lineage.explain", "show why a row has its score", "explain 2026-11-22 T1"),
        Command("diff", "airflow_ml.lineage.diff", "compare two runs", "diff models/2026-11-14 models/2026-11-21"),
        Command("rerun", "airflow_ml.lineage.rerun", "make a file again, compare bytes", "rerun models/2026-11-21"),
    ),
    "For maintainers": (
        Command("mlflow-client", "maintain.mlflow_client", "run Python with all of MLflow", "mlflow-client"),
        Command("image-report", "maintain.image_report", "write docs/images.md again", "image-report --keep-naive"),
        Command("pictures", "maintain.screenshots", "take the README's pictures", "pictures", in_venv=True),
        Command("reproduce", "maintain.reproduce", "build on an empty engine, and compare the bytes", "reproduce"),
    ),
    "Libraries": (
        Command("lock", "airflow_ml.lock", "compile every lock, or upgrade a package", "lock numpy", in_venv=True),
        Command("audit", "airflow_ml.audit", "ask for known vulnerabilities of the locks", "audit", in_venv=True),
        Command("sbom", "airflow_ml.sbom", "list what is in each image, as CycloneDX", "sbom training", in_venv=True),
    ),
}
COMMANDS = {command.name: command for commands in GROUPS.values() for command in commands}


class Parser(argparse.ArgumentParser):
    """A parser that names what it does not know, with the nearest name that it knows."""

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """The arguments; ends with exit code 2 if one of them is unknown."""
        found, unknown = self.parse_known_args(arguments)
        if unknown:
            given = {text.partition("=")[0] for text in arguments}
            # What follows an unknown option may be its value.
            named = [text for text in unknown if text.startswith("-")] or unknown
            self.error("; ".join(self._unknown(text, given) for text in named))
        return found

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [*map(str, action.choices)]
            found = f"unknown value {value!r}{nearest(str(value), known)}"
            raise argparse.ArgumentError(action, f"{found}; expected: one of {', '.join(known)}")

    def _unknown(self, text: str, given: Container[str]) -> str:
        name = text.partition("=")[0]
        # --data is nearer to --day than --ds is, but nobody gives an option twice.
        others = [option for option in self._option_string_actions if option not in given]
        return f"unknown argument {name!r}{nearest(name, others)}"


def overview() -> str:
    """The list of all commands."""
    width = max(map(len, COMMANDS)) + 2
    lines = ["usage: ./airflow-ml COMMAND [OPTIONS]", ""]
    for title, commands in GROUPS.items():
        lines += [title, *(f"  {command.name:{width}}{command.help}" for command in commands), ""]
    return "\n".join([*lines, "./airflow-ml COMMAND --help shows the options of a command, with an example."])


def parser_of(command: Command) -> Parser:
    """The parser of a command; its description is the docstring of its module, or of its function in a shared one."""
    module = importlib.import_module(command.module)
    own = module if command.run == "run" else getattr(module, command.run)
    parser = Parser(
        prog=f"./airflow-ml {command.name}",
        description=inspect.getdoc(own),
        epilog=f"example:\n  ./airflow-ml {command.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if command.run == "run":
        module.configure(parser)
    return parser


def enter_venv() -> None:
    """Start this program again with the Python of the tests' environment, which is made if it is missing."""
    if sys.prefix == str(VENV):
        return
    machine.ensure("venv")
    python = str(VENV / "bin" / "python")
    # Python finds its environment by the name that it is started with.
    os.execv(python, [python, *sys.orig_argv[1:]])


def call(command: Command, arguments: Sequence[str]) -> int:
    """Run a command; its errors are one message, not a traceback."""
    try:
        if command.in_venv:
            enter_venv()
        found = parser_of(command).parse(arguments)
        return int(getattr(importlib.import_module(command.module), command.run)(found))
    except AirflowMlError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED


def refuse(name: str) -> NoReturn:
    """End with exit code 2: there is no such command."""
    print(f"error: unknown command {name!r}{nearest(name, COMMANDS)}", file=sys.stderr)
    print("do: ./airflow-ml --help lists the commands", file=sys.stderr)
    raise SystemExit(WRONG_USAGE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name; returns its exit code."""
    name, *arguments = [*(sys.argv[1:] if argv is None else argv)] or ["--help"]
    if name in ("-h", "--help"):
        print(overview())
        return 0
    return call(COMMANDS[name], arguments) if name in COMMANDS else refuse(name)


if __name__ == "__main__":
    sys.exit(main())
