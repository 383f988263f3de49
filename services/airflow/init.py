"""Prepares the databases: makes MLflow's; migrates Airflow's, and makes its account `admin`, with `.env`'s password.

Reads admin_password and mlflow_postgres_password in /run/secrets. Safe to run again: a changed password is set.
Exit codes: 0 done, 1 failed.
"""

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import encrypt_password

from database import address

MLFLOW = "mlflow"
SECRETS = Path("/run/secrets")
ACCOUNTS = Path(__file__).with_name("accounts.py")


def make_mlflow_database(password: str) -> None:
    """A database and a role for MLflow alone, which cannot enter Airflow's; MLflow makes its tables itself.

    Here and not at Postgres' first start, so that a volume that is older than MLflow gets them too. Airflow's role
    made that volume, so it has the right.
    """
    with closing(psycopg2.connect(address(), connect_timeout=10)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()

        def run(statement: str, *values: str, **names: str) -> list[Any]:
            quoted = {key: sql.Identifier(name) for key, name in names.items()}
            cursor.execute(sql.SQL(statement).format(**quoted), values)
            return list(cursor.fetchall()) if cursor.description else []

        if not run("select 1 from pg_roles where rolname = %s", MLFLOW):
            run("create role {role} login", role=MLFLOW)
        # Never in clear text: the server may log the statement.
        run(
            "alter role {role} password %s",
            encrypt_password(password, MLFLOW, connection, "scram-sha-256"),
            role=MLFLOW,
        )
        if not run("select 1 from pg_database where datname = %s", MLFLOW):
            run("create database {database} owner {role}", database=MLFLOW, role=MLFLOW)
        for database in (MLFLOW, connection.info.dbname):
            run("revoke connect, temporary on database {database} from public", database=database)


def main() -> int:
    # This comes first, as MLflow's server waits for it.
    try:
        make_mlflow_database(secret("mlflow_postgres_password"))
    except psycopg2.Error as error:
        print(f"the database {MLFLOW} was not made: {error}", file=sys.stderr)
        return 1
    print(f"database {MLFLOW}: done", file=sys.stderr)
    return prepare_airflow(secret("admin_password"))


def secret(name: str) -> str:
    return (SECRETS / name).read_text(encoding="utf-8")


def prepare_airflow(password: str) -> int:
    """Airflow's tables, its roles and its account `admin`; returns the exit code."""
    admin = json.dumps({"name": "admin", "password": password, "role": "admin"})
    # A process each: Airflow reads its tables when it is loaded.
    return step("the migration", ["airflow", "db", "migrate"]) or step("admin", [sys.executable, str(ACCOUNTS)], admin)


def step(what: str, command: list[str], stdin: str = "") -> int:
    """Run a command; its output is shown where it fails."""
    done = subprocess.run(command, input=stdin, text=True, capture_output=True, check=False)
    failed = done.returncode != 0
    print(f"{what} failed:\n{done.stdout}{done.stderr}" if failed else f"{what}: done", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
