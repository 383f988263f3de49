"""The command line: every command has help and an example; what is unknown is named; exit codes reach the shell."""

import importlib
import shlex
import subprocess
from pathlib import Path

import pytest
from airflow_ml import __main__ as cli
from airflow_ml.common import ROOT, AirflowMlError


def tool(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [ROOT / "airflow-ml", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [(), ("-h",), ("--help",)])
def test_overview_lists_every_command(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = tool(*arguments, cwd=tmp_path)
    assert done.returncode == 0
    for command in cli.COMMANDS.values():
        assert f"  {command.name} " in done.stdout


@pytest.mark.parametrize("command", cli.COMMANDS.values(), ids=lambda command: command.name)
def test_command_has_description_and_example_that_parses(command: cli.Command) -> None:
    parser = cli.parser_of(command)
    text = parser.format_help()
    assert f"./airflow-ml {command.example}" in text
    assert "Exit codes:" in text
    assert callable(getattr(importlib.import_module(command.module), command.run))
    name, *arguments = shlex.split(command.example)
    assert name == command.name
    parser.parse(arguments)


def test_unknown_command_is_named_with_a_near_miss() -> None:
    done = tool("alert")
    assert done.returncode == 2
    assert "unknown command 'alert'; did you mean alerts?" in done.stderr


def test_unknown_option_is_named_with_a_near_miss() -> None:
    done = tool("alerts", "--lst=3", "--colour")
    assert done.returncode == 2
    assert "unknown argument '--lst'; did you mean --last?" in done.stderr
    assert "unknown argument '--colour'" in done.stderr


def test_value_of_an_unknown_option_is_not_a_second_fault() -> None:
    """It said that 2026-11-21 is unknown, too."""
    done = tool("run", "--day", "2026-11-21")
    assert done.returncode == 2
    assert done.stderr.endswith("error: unknown argument '--day'; did you mean --ds?\n")
    assert tool("run", "2026-11-21").stderr.endswith("error: unknown argument '2026-11-21'\n")


@pytest.mark.parametrize("wrong", ["--day=2026-11-21", "--date=2026-11-21"])
def test_option_that_is_given_is_not_what_an_unknown_one_means(wrong: str) -> None:
    done = tool("own", "--data=my.csv", "--target=churned", wrong)
    assert done.returncode == 2
    assert f"unknown argument '{wrong.partition('=')[0]}'; did you mean --ds?" in done.stderr


def test_option_is_not_completed() -> None:
    """`--l` may mean another option in a later version."""
    assert tool("alerts", "--la=3").returncode == 2


def fails(error: BaseException) -> cli.Command:
    """A command of this module that fails."""

    def run(arguments: object) -> int:
        raise error

    globals()["run"] = run
    return cli.Command("fails", __name__, "fails", "fails")


def configure(parser: object) -> None:
    """No options."""


def test_error_is_a_message_and_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    error = AirflowMlError("a", expected="b", do="c", exit_code=3)
    assert cli.call(fails(error), []) == 3
    assert capsys.readouterr().err == "error: a\n       expected: b\n       do: c\n"


def test_interrupt_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(fails(KeyboardInterrupt()), []) == 130
    assert capsys.readouterr().err == "stopped\n"


def test_nothing_of_the_callers_folder_is_imported(tmp_path: Path) -> None:
    (tmp_path / "argparse.py").write_text("raise SystemExit('wrong module')")
    (tmp_path / "airflow_ml").mkdir()
    (tmp_path / "airflow_ml" / "__init__.py").write_text("raise SystemExit('wrong package')")
    assert tool("alerts", "--help", cwd=tmp_path).returncode == 0
