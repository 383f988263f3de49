"""Prepares the databases: makes MLflow's; migrates Airflow's, and makes its user `admin` with the password of `.env`.

Reads ML_ADMIN_PASSWORD, ML_MLFLOW_POSTGRES_PASSWORD. Safe to run again: a changed password is set.
Exit codes: 0 done, 1 failed.
"""

import os
import subprocess
import sys
from contextlib import closing
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import encrypt_password

MLFLOW = "mlflow"
# What `airflow users create` prints if it made the user.
CREATED = 'User "admin" created'


def make_mlflow_database(password: str) -> None:
    """A database and a role for MLflow alone, which cannot enter Airflow's; MLflow makes its tables itself.

    Here and not at Postgres' first start, so that a volume that is older than MLflow gets them too. Airflow's role
    made that volume, so it has the right.
    """
    address = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "")
    with closing(psycopg2.connect(address, connect_timeout=10)) as connection:
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


def airflow(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["airflow", *arguments], text=True, capture_output=True, check=False)


def main() -> int:
    # This comes first, as MLflow's server waits for it.
    try:
        make_mlflow_database(os.environ["ML_MLFLOW_POSTGRES_PASSWORD"])
    except psycopg2.Error as error:
        print(f"the database {MLFLOW} was not made: {error}", file=sys.stderr)
        return 1
    print(f"database {MLFLOW}: done", file=sys.stderr)
    return prepare_airflow(os.environ["ML_ADMIN_PASSWORD"])


def prepare_airflow(password: str) -> int:
    """Airflow's tables and its user; returns the exit code."""
    credentials = ["--username", "admin", "--password", password]
    person = ["--role", "Admin", "--email", "admin@localhost", "--firstname", "Airflow", "--lastname", "Admin"]
    # Each takes seconds to load Airflow. The last one runs only for a user who exists, maybe with another password.
    steps = [["db", "migrate"], ["users", "create", *credentials, *person], ["users", "reset-password", *credentials]]
    for step in steps:
        done = airflow(*step)
        if done.returncode:
            print(f"airflow {' '.join(step[:2])} failed:\n{done.stdout}{done.stderr}", file=sys.stderr)
            return 1
        print(f"airflow {' '.join(step[:2])}: done", file=sys.stderr)
        if CREATED in done.stdout:
            break
    return 0


if __name__ == "__main__":
    sys.exit(main())
