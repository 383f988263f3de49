"""Prints the last alerts that Airflow sent, the newest last. Usage: alerts.py [NUMBER] (default 10).

Reads: the files below /opt/airflow/logs/alerts in the volume of the logs, through a service of the stack that runs.
Exit codes: 0 done, 1 the stack does not run, 2 wrong usage.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "/opt/airflow/logs/alerts"
RULE = "=" * 20
# The images have no shell and no cat.
PRINT = f"""
import pathlib, sys
names = sorted(pathlib.Path({FOLDER!r}).glob("alerts.log*"), reverse=True)
for name in names:
    sys.stdout.write(name.read_text(encoding="utf-8", errors="replace"))
"""


def read_alerts() -> subprocess.CompletedProcess[str]:
    command = ["docker", "compose", "exec", "-T", "scheduler", "python", "-c", PRINT]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def last(text: str, number: int) -> str:
    """The last alerts of the text; each begins with a rule."""
    starts = [index for index, line in enumerate(text.splitlines()) if line.startswith(RULE)]
    return "\n".join(text.splitlines()[starts[-number:][0] :]) if starts else ""


def main() -> int:
    argument = sys.argv[1] if len(sys.argv) > 1 else "10"
    if len(sys.argv) > 2 or not argument.isdigit() or int(argument) < 1:
        print(__doc__, file=sys.stderr)
        return 2
    done = read_alerts()
    if done.returncode:
        print(f"error: the alerts cannot be read: {done.stderr.strip()}\ndo: make up", file=sys.stderr)
        return 1
    print(last(done.stdout, int(argument)) or "no alert was sent")
    return 0


if __name__ == "__main__":
    sys.exit(main())
