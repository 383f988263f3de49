"""Prepares the metadata database: migrates it, and makes the user `admin` with the password of `.env`.

Reads ML_ADMIN_PASSWORD. Safe to run again: a changed password is taken over.
"""

import os
import subprocess
import sys


def airflow(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["airflow", *arguments], text=True, capture_output=True, check=False)


def main() -> int:
    password = os.environ["ML_ADMIN_PASSWORD"]
    credentials = ["--username", "admin", "--password", password]
    person = ["--role", "Admin", "--email", "admin@localhost", "--firstname", "Airflow", "--lastname", "Admin"]
    steps = [
        ["db", "migrate"],
        ["users", "create", *credentials, *person],
        ["users", "reset-password", *credentials],
    ]
    for step in steps:
        done = airflow(*step)
        if done.returncode:
            print(f"airflow {' '.join(step[:2])} failed:\n{done.stdout}{done.stderr}", file=sys.stderr)
            return 1
        print(f"airflow {' '.join(step[:2])}: done", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
