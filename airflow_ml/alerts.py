"""Shows the last alerts that Airflow sent, the newest last.

The alerts are in the volume of the logs; a service of the stack that runs reads them.
Exit codes: 0 shown; 1 the stack does not run; 2 wrong usage.
"""

import argparse

from airflow_ml.common import AirflowMlError, number_from_1, try_docker

FOLDER = "/opt/airflow/logs/alerts"
RULE = "=" * 20
# The images have no shell and no cat.
PRINT = f"""
import pathlib, sys
names = sorted(pathlib.Path({FOLDER!r}).glob("alerts.log*"), reverse=True)
for name in names:
    sys.stdout.write(name.read_text(encoding="utf-8", errors="replace"))
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--last", type=number_from_1, default=10, metavar="N", help="how many (default: %(default)s)")


def last(text: str, number: int) -> str:
    """The last alerts of the text; each begins with a rule."""
    lines = text.splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith(RULE)]
    return "\n".join(lines[starts[-number:][0] :]) if starts else ""


def read_alerts() -> str:
    """All alerts that are kept, the oldest first.

    Errors: AirflowMlError if the stack does not run.
    """
    done = try_docker("compose", "exec", "-T", "scheduler", "python", "-c", PRINT)
    if done.returncode:
        raise AirflowMlError(f"the alerts cannot be read: {done.stderr.strip()}", do="make up")
    return done.stdout


def run(arguments: argparse.Namespace) -> int:
    """Print the alerts."""
    print(last(read_alerts(), arguments.last) or "No alerts so far")
    return 0
