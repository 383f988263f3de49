"""Records models in MLflow and says which one is in production.

Commands:
  register        records a validated model: a run with all that is known of it, a version, the alias challenger
  decide          promotes the day's version if the comparison says so, or says how to
  promote         makes a version the champion
  roll-back       makes the version before the champion the champion again
  resolve         says which model is in production, and restores its files if they are missing
  list            shows the versions
  log-evaluation  adds a day's evaluation to the run of the version that scored it

Reads  models/{ds}, plots/{ds}, processed/{ds} (register); comparisons/{ds} (decide);
       reports/{ds} (log-evaluation); the server.
Writes models/{ds}-v{N}, registry/production (resolve); the server.
Exit codes: 0 done; 1 failed, such as a server out of reach; 2 wrong usage, such as a version that is not there; 3 bad
input, such as a damaged model or nothing to go back to; 4 a partition is not there yet, or there is no champion yet.
"""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stagekit import Command, run_stage

Run = Callable[[Namespace], Mapping[str, Any]]


def register(args: Namespace) -> Mapping[str, Any]:
    """Run recording.register. Modules are imported late: `--help` shall not wait for them, nor for MLflow."""
    import recording

    return recording.register(args)


def decide(args: Namespace) -> Mapping[str, Any]:
    """Run deciding.decide."""
    import deciding

    return deciding.decide(args)


def promote(args: Namespace) -> Mapping[str, Any]:
    """Run history.promote."""
    import history
    from server import connect

    return history.promote(connect(), args.version, args.by, args.reason, args.at)


def roll_back(args: Namespace) -> Mapping[str, Any]:
    """Run history.roll_back."""
    import history
    from server import connect

    return history.roll_back(connect(), args.by, args.reason)


def resolve(args: Namespace) -> Mapping[str, Any]:
    """Run production.resolve."""
    import production

    return production.resolve(args)


def list_versions(args: Namespace) -> Mapping[str, Any]:
    """Run listing.list_versions."""
    import listing

    return listing.list_versions(args)


def log_evaluation(args: Namespace) -> Mapping[str, Any]:
    """Run evaluation.log_evaluation."""
    import evaluation

    return evaluation.log_evaluation(args)


def add_decision(parser: ArgumentParser) -> None:
    """Add who decides."""
    parser.add_argument("--promote", choices=("auto", "manual"), required=True, help="who promotes what has passed")
    parser.add_argument("--by", type=_text, default="train_model", metavar="WHO", help="recorded (%(default)s)")


def add_version(parser: ArgumentParser) -> None:
    """Add what to promote, and the record of it."""
    parser.add_argument("--version", type=_version, required=True, metavar="N", help="the version to promote")
    add_record(parser)
    parser.add_argument("--at", default="", metavar="TIMESTAMP", help="when it happened, if not now")


def add_record(parser: ArgumentParser) -> None:
    """Add who does it, and why."""
    parser.add_argument("--by", type=_text, required=True, metavar="WHO", help="who promotes")
    parser.add_argument("--reason", type=_text, required=True, metavar="TEXT", help="why")


def add_choice(parser: ArgumentParser) -> None:
    """Add what stands in for the champion. Empty texts count as not given."""
    parser.add_argument("--model", default="", metavar="PATH", help="the model in production, whatever the champion is")
    parser.add_argument("--as-of", default="", metavar="TIME", help="the champion of then; of a day: of its end (UTC)")
    parser.add_argument("--or-last", action="store_true", help="server out of reach: the last champion that is known")
    parser.add_argument("--or-none", action="store_true", help="no champion yet: no model, instead of exit code 4")


def _text(text: str) -> str:
    if not text.strip():
        raise ArgumentTypeError("it is empty; it is what others will read later")
    return text.strip()


def _version(text: str) -> str:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no version, such as 3")
    return str(int(text))


COMMANDS = (
    # What they change is in MLflow, where no mark tells whether it is done: neither --force nor --explain.
    Command("register", "record a validated model and make it the challenger", register, publishes=False),
    Command("decide", "promote the day's version if its comparison says so", decide, add_decision, publishes=False),
    Command("promote", "make a version the champion", promote, add_version, needs_ds=False, publishes=False),
    Command("roll-back", "go back to the champion before", roll_back, add_record, needs_ds=False, publishes=False),
    Command("resolve", "say which model is in production", resolve, add_choice, needs_ds=False, publishes=False),
    Command("list", "show the versions", list_versions, needs_ds=False, publishes=False),
    Command("log-evaluation", "add a day's evaluation to the version that scored", log_evaluation, publishes=False),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    return run_stage("registry", __doc__, COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
