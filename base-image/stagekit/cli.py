"""The command line frame of a stage: `--ds`, logs on stderr, one JSON line last on stdout, exit codes.

On a terminal a summary for people takes the place of the JSON line.
"""

import argparse
import importlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagekit.call import Call
from stagekit.errors import FAILED, StageError, UsageError, explain_os_error, to_os_error
from stagekit.options import Option, day
from stagekit.parser import Parser
from stagekit.process import end_on_signals
from stagekit.progress import LogHandler, show_progress
from stagekit.result import bounded, hand_over
from stagekit.summary import one_line, summarize

# What a result line has at most of `warnings`, and how long each is.
MOST_WARNINGS, LONGEST_WARNING = 20, 300

# Where the partitions are in a container.
DATA = Path("/data")
# The day of the examples in the help.
EXAMPLE_DAY = "2026-11-21"

log = logging.getLogger("stagekit")


Run = Callable[[argparse.Namespace], Mapping[str, Any]]


@dataclass(frozen=True)
class Command:
    """One command of a stage.

    `run` names a function as "module:function"; the module is imported when the command runs. The function takes the
    parsed arguments and returns the result, which becomes the result line. The arguments hold `data_dir` (a Path,
    normally /data), `ds` unless `needs_ds` is False, and the `options`. A command that `publishes` a partition also
    takes --force and --explain, which `stagekit.publish` follows. One that `writes` below `data_dir` in another way
    refuses a /data that is no mount, too, and so does one whose option --out, a Path, is below it. A call with one of
    the flags `only_looks`, or with --explain, writes nothing, so it needs none. The result line of a `whole` command is
    not cut, however long it is: for a caller that reads stdout itself, not a log. The help ends with an example:
    `example` are its arguments beside --ds, or all of its line if it is no stage's; `docker` are the options of
    `docker run` beside the volume.
    """

    name: str
    help: str
    run: str
    options: Sequence[Option] = ()
    needs_ds: bool = True
    publishes: bool = True
    writes: bool = False
    only_looks: Sequence[str] = ()
    whole: bool = False
    example: str = ""
    docker: str = ""

    def load(self) -> Run:
        """The function that does the work."""
        module, _, function = self.run.partition(":")
        run: Run = getattr(importlib.import_module(module), function)
        return run


class Formatter(logging.Formatter):
    """Writes an event in one line, whatever it quotes from a file."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line; a traceback comes behind it."""
        return one_line(super().formatMessage(record))


class Once(argparse.Action):
    """Stores the value of an option. Errors: an option that is given twice, as it is not clear which one counts."""

    given = False

    def __call__(
        self, _parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, _option: str | None = None
    ) -> None:
        if self.given:
            raise argparse.ArgumentError(self, "is given twice; do: give it one value")
        self.given = True
        setattr(namespace, self.dest, value)


def run_stage(stage: str, description: str, commands: Sequence[Command], argv: Sequence[str] | None = None) -> int:
    """Parse the command line, run the command, print its result line; returns the exit code.

    A stage with one command takes its options directly (`generator --ds 2026-11-21`), a stage with several
    takes sub-commands (`preprocessing split --ds 2026-11-21`).
    """
    args = build_parser(stage, description, commands).parse(sys.argv[1:] if argv is None else argv)
    command: Command = args.command
    args.call = Call(stage, command.name if len(commands) > 1 else None, vars(args))
    handler = LogHandler()
    form = f"%(asctime)s %(levelname)s {stage} {command.name}: %(message)s"
    handler.setFormatter(Formatter(form, "%Y-%m-%dT%H:%M:%SZ"))
    logging.basicConfig(handlers=[handler], level=logging.DEBUG if args.verbose else logging.INFO, force=True)
    logging.Formatter.converter = time.gmtime
    end_on_signals()
    started = time.monotonic()
    try:
        if args.data_dir is None:
            args.data_dir = DATA
            _require_mount(args)
        with show_progress(command.name):
            result = _warn(command.load()(args))
        head = {"stage": stage, "command": command.name, **({"ds": args.ds} if command.needs_ds else {})}
        shown = result if command.whole else bounded(result)
        line = {**head, **shown, "seconds": round(time.monotonic() - started, 3)}
        hand_over(json.dumps(line))
    except Exception as error:
        return _report(error, str(args.data_dir))
    sys.stderr.flush()
    print(summarize(line) if sys.stdout.isatty() else json.dumps(line), flush=True)
    return 0


def _warn(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """Log the result's `warnings`, sentences for an expert; returns the result with as many as fit its line."""
    warnings = [str(warning) for warning in result.get("warnings") or []]
    if not warnings:
        return result
    for warning in warnings:
        log.warning("%s", warning)
    more = len(warnings) - MOST_WARNINGS
    kept = [w if len(w) <= LONGEST_WARNING else f"{w[: LONGEST_WARNING - 1]}…" for w in warnings[:MOST_WARNINGS]]
    return {**result, "warnings": [*kept, *([f"and {more} more, in the log"] if more > 0 else [])]}


def _report(error: Exception, root: str) -> int:
    error = to_os_error(error)
    if isinstance(error, OSError) and not isinstance(error, StageError):
        known: Exception = explain_os_error(error, root)
        log.debug("the error behind the message", exc_info=error)
    else:
        known = error
    if isinstance(known, StageError):
        log.error("%s", known)
        return known.exit_code
    if isinstance(known, MemoryError):
        log.error("not enough memory; do: give the container more, or the stage fewer rows")
        return FAILED
    log.error("unexpected %s: %s", type(known).__name__, known, exc_info=known)
    return FAILED


def _require_mount(args: argparse.Namespace) -> None:
    """Refuse to write into the container's own file system, with which the data would go."""
    out = getattr(args, "out", None)
    writes = args.command.publishes or args.command.writes or (isinstance(out, Path) and DATA in out.resolve().parents)
    looks = any(getattr(args, flag, False) for flag in ("explain", *args.command.only_looks))
    if writes and not looks and not DATA.is_mount():
        raise UsageError(
            f"{DATA} is no mount, so what is written there goes with the container",
            expected="a volume or a folder of the host",
            do=f"docker run -v data:{DATA} ..., or name the folder with --data-dir",
        )


def build_parser(stage: str, description: str, commands: Sequence[Command]) -> Parser:
    """The parser of a stage's command line; the arguments that it returns hold their `command`."""
    name, first = f"airflow-ml-{stage}", commands[0]
    if len(commands) == 1:
        parser = Parser(prog=name, description=description, example=_example(name, first))
        _add_command(parser, first)
        return parser
    parser = Parser(prog=name, description=description, example=_example(f"{name} {first.name}", first))
    choices = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=Parser)
    for command in commands:
        prog = f"{name} {command.name}"
        added = choices.add_parser(
            command.name, help=command.help, prog=prog, description=command.help, example=_example(prog, command)
        )
        _add_command(added, command)
        parser.commands[command.name] = added
    return parser


def _example(name: str, command: Command) -> str:
    if command.example.startswith("docker "):
        return command.example
    ds = f"--ds {EXAMPLE_DAY}" if command.needs_ds else ""
    return " ".join(filter(None, ["docker run --rm -v data:/data", command.docker, name, ds, command.example]))


def _add_command(parser: argparse.ArgumentParser, command: Command) -> None:
    if command.needs_ds:
        parser.add_argument(
            "--ds", action=Once, type=_ds, required=True, metavar="YYYY-MM-DD", help="the day of the data"
        )
    for option in command.options:
        parser.add_argument(*option.flags, **{"action": Once, **option.keywords})
    common = parser.add_argument_group("options of every stage")
    common.add_argument(
        "--data-dir",
        action=Once,
        type=Path,
        default=os.environ.get("ML_DATA_DIR"),
        metavar="DIR",
        help="where the partitions are (default: /data, which must be a mount if anything is written there)",
    )
    if command.publishes:
        cache = common.add_mutually_exclusive_group()
        cache.add_argument("--force", action="store_true", help="do the work even if it was done before")
        cache.add_argument("--explain", action="store_true", help="only report whether the work would be done, and why")
    common.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(command=command)


def _ds(text: str) -> str:
    return day(text).isoformat()
