"""Makes an account of Airflow, or gives it a new password, and prints the password once.

A viewer looks. An operator also starts and clears runs, answers questions, and edits Variables and Connections. An
admin also manages accounts. The password of `admin` is in .env, where this tool reads it. A new password ends the
account's sessions; a token that was given out before is valid until it ends, a day at most. An account that was
switched off is on again.
Exit codes: 0 done; 1 the stack does not run, or Airflow failed; 2 wrong usage, such as a new account without a role.
"""

import argparse
import json
import re
import secrets

from airflow_ml import stack
from airflow_ml.common import ROOT, WRONG_USAGE, AirflowMlError, only_change
from airflow_ml.make_env import change_settings

ADMIN, SETTING = "admin", "ML_ADMIN_PASSWORD"
ROLES = ("viewer", "operator", "admin")
# What is an account's name, and the first part of its mail address.
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("name", type=account_name, help="the account, such as ada")
    parser.add_argument("--role", choices=ROLES, help="what it may do; a new account needs one")


def account_name(text: str) -> str:
    """An argument type: the name of an account."""
    if NAME.fullmatch(text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no name of small letters, digits and . _ -, such as ada")


def run(arguments: argparse.Namespace) -> int:
    """Set the new password, and say where it is."""
    password = secrets.token_urlsafe(24)
    if arguments.name == ADMIN:
        set_admin(arguments.role, password)
        print(f"account {ADMIN}: a new password is in .env, as {SETTING}")
    else:
        set_account(arguments.name, arguments.role, password)
        print(f"account {arguments.name}, its password: {password}")
    return 0


def set_admin(role: str | None, password: str) -> None:
    """Give `admin` another password, in .env first: if Airflow does not take it, the next start sets it."""
    if role not in (None, ADMIN):
        raise AirflowMlError(f"{ADMIN} cannot be a {role}", expected="its role admin", exit_code=WRONG_USAGE)
    with only_change():
        change_settings(ROOT / ".env", {SETTING: password})
        stack.renew_admin()


def set_account(name: str, role: str | None, password: str) -> None:
    """Have Airflow make or change an account. The password goes through standard input, not the command line.

    Errors: AirflowMlError, with what Airflow said.
    """
    wanted = json.dumps({"name": name, "password": password, "role": role})
    script = ("python", "/opt/service/accounts.py")
    done = stack.compose("run", "--rm", "--no-deps", "--no-TTY", "init", *script, stdin=wanted)
    said = (done.stderr.strip().splitlines() or ["Airflow said nothing"])[-1]
    if done.returncode == WRONG_USAGE:
        raise AirflowMlError(said, do=f"./airflow-ml account {name} --role viewer", exit_code=WRONG_USAGE)
    if done.returncode:
        raise AirflowMlError(said, do="make up, if it is not up")
