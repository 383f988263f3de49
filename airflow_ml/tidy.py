"""Removes what is old: files that can be made again, runs in Airflow's database, logs of tasks, versions in MLflow.

Of partitions older than DAYS days, the files of comparisons, features, labels, processed, shadows and shards go: the
same commands make them again. Their marks stay, so that `lineage` still names everything. `--kinds` names other kinds,
such as raw or predictions, which nothing makes again; of models those that no step has read since. Of each Dag Airflow
keeps the newest run that nobody started by hand, without the tasks that began. In MLflow the versions stay that an
alias or an event names, with their runs. Rows of runs that were deleted go from its database as many days later. If
MLflow does not run, everything else is done first.
Exit codes: 0 done; 1 it cannot be done, the message says why; 2 wrong usage; 3 MLflow has something that is not tidied,
such as a malformed tag.
"""

import argparse
import json
import re
from datetime import date, datetime, timedelta, timezone

from airflow_ml.common import AirflowMlError, locked_image, nearest, try_docker
from airflow_ml.data import DATA_FOLDER, load_data, require_data
from airflow_ml.models import ask_registry
from airflow_ml.stack import compose
from airflow_ml.text_table import aligned, size_text

# Airflow removes runs and tasks by their age alone, also those that go on. A run may wait 7 days for its data and 30
# days for an answer (dags/ml; a test compares the numbers), and works for less than a day.
LEAST_DAYS = 38
LOG_FOLDER = "/opt/airflow/logs"
# Runs in the scheduler's container; prints the number of files, and their bytes. The folder also holds what is no log:
# the alerts with their claims, and the versions of the model in the form of promote_model.
LOGS = """
import pathlib, sys
before, dry, root = float(sys.argv[1]), sys.argv[2] == "dry", pathlib.Path(sys.argv[3])
logs = [path for name in ("dag_id=*", "dag_processor", "executor_callbacks") for path in root.glob(f"{name}/**/*")]
files, size = 0, 0
for path in sorted(logs, reverse=True):
    if path.is_file() and path.stat().st_mtime < before:
        files, size = files + 1, size + path.stat().st_size
        if not dry:
            path.unlink()
    elif not dry and path.is_dir() and path.stat().st_mtime < before and not any(path.iterdir()):
        path.rmdir()
print(files, size)
"""
# The kinds of partitions whose files may go: all but the registry's.
KINDS = (
    "backtests", "comparisons", "explanations", "features", "incoming", "labels", "models", "plots", "predictions",
    "processed", "raw", "reports", "shadows", "shards", "tuning",
)  # fmt: skip
FOUND_ROWS = re.compile(r"Found (\d+) rows meeting deletion criteria")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--older-than", type=_days, required=True, metavar="DAYS", help="remove what is older")
    parser.add_argument(
        "--kinds", type=_kinds, metavar="KIND,KIND", help="kinds of partitions (default: what can be made again)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would go")


def run(arguments: argparse.Namespace) -> int:
    """Remove what is old, or show it."""
    before = datetime.now(timezone.utc).date() - timedelta(days=arguments.older_than)
    lines = [
        ("data", tidy_data(before, arguments.kinds, dry=arguments.dry_run)),
        ("database", tidy_database(before, dry=arguments.dry_run)),
        ("logs", tidy_logs(before, dry=arguments.dry_run)),
    ]
    try:
        lines.append(("mlflow", tidy_mlflow(before, dry=arguments.dry_run)))
    finally:  # the rest is done, also where MLflow does not run
        print(f"{'would remove' if arguments.dry_run else 'removed'} what is from before {before}:")
        print("\n".join(aligned(lines)))
    return 0


def tidy_data(before: date, kinds: "str | None", *, dry: bool) -> str:
    """Remove files of partitions; returns how many."""
    data = load_data()
    require_data(data)
    mount = data.mount(DATA_FOLDER, writable=True)
    options = [f"--before={before}", *([f"--kinds={kinds}"] if kinds else []), *(["--dry-run"] if dry else [])]
    done = try_docker("run", "--rm", *data.confined, mount, locked_image("base"), "-m", "stagekit.tidy", *options)
    if done.returncode:
        raise AirflowMlError(f"the data was not tidied: {_last_line(done.stderr)}", do="correct that, then tidy again")
    result = json.loads(done.stdout)
    counts = ", ".join(f"{kind} {number}" for kind, number in result["partitions"].items()) or "none"
    unreadable = f"; left, because the mark cannot be read: {', '.join(result['unreadable'])}"
    files = f"{result['files']:,} files, {size_text(result['bytes'])}; partitions: {counts}"
    return files + (unreadable if result["unreadable"] else "")


def tidy_database(before: date, *, dry: bool) -> str:
    """Remove old rows of Airflow's database; returns how many."""
    clean = ["airflow", "db", "clean", "--clean-before-timestamp", f"{before}T00:00:00+00:00"]
    how = ["--dry-run"] if dry else ["--skip-archive", "--yes", "--error-on-cleanup-failure"]
    output = in_service("scheduler", *clean, *how)
    return f"{sum(map(int, FOUND_ROWS.findall(output))):,} rows"


def tidy_logs(before: date, *, dry: bool) -> str:
    """Remove old logs of tasks and Dag files; returns how many."""
    how = "dry" if dry else "remove"
    program = ("python", "-c", LOGS, str(_midnight(before)), how, LOG_FOLDER)
    files, size = in_service("scheduler", *program).split()[-2:]
    return f"{int(files):,} files, {size_text(int(size))}"


def tidy_mlflow(before: date, *, dry: bool) -> str:
    """Remove old versions, runs and pages of MLflow; returns how many. Errors: AirflowMlError if it cannot be asked."""
    result = ask_registry("tidy", f"--before={before}", *(["--dry-run"] if dry else []))
    counts = ", ".join(f"{result[name]:,} {name}" for name in ("versions", "runs", "pages"))
    moment = int(_midnight(before) * 1000)
    deleted = json.loads(
        in_service("mlflow", "python", "/opt/service/deleted.py", str(moment), *(["--dry-run"] if dry else []))
    )
    stay = f"; {deleted['kept']:,} deleted runs stay: a version names them, or their files are elsewhere"
    gone = f"{deleted['runs']:,} runs that were deleted before"
    return f"{counts}, {size_text(result['bytes'])}; {gone}{stay if deleted['kept'] else ''}"


def in_service(service: str, *command: str) -> str:
    """What a command in a service's container prints. Errors: AirflowMlError."""
    done = compose("exec", "--no-TTY", service, *command)
    if done.returncode:
        raise AirflowMlError(f"`{' '.join(command[:3])}` failed: {_last_line(done.stderr)}", do="make status, make up")
    return done.stdout


def _midnight(day: date) -> float:
    return datetime.combine(day, datetime.min.time(), timezone.utc).timestamp()


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]


def _kinds(text: str) -> str:
    """An argument type: names of kinds with commas between."""
    if unknown := [kind for kind in text.split(",") if kind not in KINDS]:
        near = f"{unknown[0]!r} is no kind of partition whose files may go{nearest(unknown[0], KINDS)}"
        raise argparse.ArgumentTypeError(f"{near}; expected: {', '.join(KINDS)}")
    return text


def _days(text: str) -> int:
    """The type of the age: no less than LEAST_DAYS, so that no day goes that runs still work on."""
    if not text.isdigit() or int(text) < LEAST_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of days of {LEAST_DAYS} or more")
    return int(text)
