"""Gives secrets of `.env` new random values, and has every service take them over.

What is encrypted or signed with an old key is encrypted or signed with the new one. Services that have the secret are
restarted: a container that works goes on, and the next try of its task joins it. If the command is interrupted, run it
again: nothing is lost. For the password of `admin`, use `./airflow-ml account admin`. For the addresses of alerts, edit
`.env`, then run `make up`.
Exit codes: 0 done; 1 it cannot be done, the message says why; 2 wrong usage; 3 an event or a version in MLflow is not
signed with the present key.
"""

import argparse
import base64
import os
import secrets
import sys
from collections.abc import Iterable, Mapping, Sequence

from airflow_ml import stack
from airflow_ml.common import ROOT, AirflowMlError, docker, only_change, settings, try_docker
from airflow_ml.make_env import change_settings, make_env, registry_key
from airflow_ml.models import ask_registry
from airflow_ml.secret_files import SECRETS, secret_values, setting, write_secrets

# What others give out, or another command changes.
NAMES = tuple(secret for secret in SECRETS if secret not in ("admin_password", "alert_urls"))
FERNET, SIGNING, POSTGRES = "fernet_key", "registry_key", "postgres_password"
# What is in the name of each image of the stage that signs.
STAGE = "airflow-ml-registry"
AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("secrets", nargs="+", choices=NAMES, metavar="SECRET", help=", ".join(NAMES))


def run(arguments: argparse.Namespace) -> int:
    """Change the secrets that are named."""
    names = tuple(dict.fromkeys(arguments.secrets))
    require_in_file(names)
    # For the whole run: another one would encrypt with a key that this one replaces.
    with only_change():
        rotate(names)
    print(f"new in .env: {', '.join(map(setting, names))}")
    return 0


def rotate(names: Sequence[str]) -> None:
    """Give secrets new values, one step after the other. Errors: AirflowMlError."""
    make_env()
    old, new = secret_values(), {name: new_value(name) for name in names}
    start_database()
    set_database_password(old[POSTGRES])  # it may have another, if the command was interrupted before
    # Both readers of these keys take two, and write with the first: `.env` is good whenever the command is interrupted.
    if SIGNING in names:
        stack.start()
        ask_registry("sign", "--check")  # what is forged must not be signed now
        set_values({SIGNING: f"{new[SIGNING]},{old[SIGNING]}"})
        # From here on a Dag signs with the new key: nothing that it writes meanwhile keeps a signature of the old one.
        stack.start()
        wait_for_registry()
        ask_registry("sign")
    if FERNET in names:
        set_values({FERNET: f"{new[FERNET]},{old[FERNET]}"})
        encrypt_again()
    set_values(new)
    if POSTGRES in names:
        set_database_password(new[POSTGRES])
    stack.start()


def sign_what_is_older() -> None:
    """Sign what MLflow had before the first key of this installation; from then on nothing unsigned is valid.

    MLflow as it is now is trusted, as it was before. If the command is interrupted, the next call goes on.
    Errors: AirflowMlError, also for a malformed event.
    """
    with only_change():
        key = secret_values()[SIGNING]  # not before: a rotation may have made another meanwhile
        if not key.endswith(","):
            return
        require_in_file([SIGNING])
        wait_for_registry()
        signed = ask_registry("sign")
        set_values({SIGNING: key.rstrip(",")})
        stack.start()
    print(
        f"==> Signed {signed['events']} events and {signed['versions']} versions that are older than the key; "
        "./airflow-ml models --events shows them",
        file=sys.stderr,
    )


def wait_for_registry() -> None:
    """Wait for the stage's containers, also those of an older image: one that began before has not the new key."""
    ours = f"label=airflow-ml.data={settings()['ML_DATA']}"
    listed = docker("ps", "--filter", ours, "--format", "{{.ID}} {{.Image}}").splitlines()
    if working := [line.split()[0] for line in listed if STAGE in line]:
        print(f"==> Waiting for {len(working)} containers that do not have the new key", file=sys.stderr)
        try_docker("wait", *working)  # one that is gone meanwhile has ended


def require_in_file(names: Iterable[str]) -> None:
    """Errors: AirflowMlError if a secret is not what `.env` says."""
    if given := [setting(name) for name in names if setting(name) in os.environ]:
        raise AirflowMlError(f"the environment has {', '.join(given)}, which .env cannot change", do="unset it")


def new_value(name: str) -> str:
    """A random value, as `.env` comes with it; a Fernet key is 32 bytes, in base64."""
    if name == FERNET:
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return registry_key() if name == SIGNING else secrets.token_urlsafe(24)


def set_values(values: Mapping[str, str]) -> None:
    """Write secrets into `.env`, and into the files that compose mounts."""
    change_settings(ROOT / ".env", {setting(name): value for name, value in values.items()})
    write_secrets()


def start_database() -> None:
    """Start Postgres alone. Errors: AirflowMlError."""
    done = stack.compose("up", "--detach", "--wait", "postgres")
    if done.returncode:
        raise AirflowMlError(f"Postgres does not start: {done.stderr.strip()}", do="./airflow-ml logs postgres")


def set_database_password(password: str) -> None:
    """Give Postgres' role `airflow` another password. psql sends only its hash, so no log of Postgres has it."""
    change = ("psql", "--username=airflow", "--no-psqlrc", "--command", r"\password airflow")
    done = stack.compose("exec", "--no-TTY", "postgres", *change, stdin=f"{password}\n{password}\n")
    if done.returncode:
        raise AirflowMlError(f"Postgres did not take the password: {done.stderr.strip()}", do="run the command again")


def encrypt_again() -> None:
    """Encrypt Airflow's Variables and connections with the new key, while nobody reads them with the old one."""
    print("==> Stopping Airflow to encrypt its Variables and connections again", file=sys.stderr)
    # One that still runs could write with the old key.
    stack.must_compose("stop", *AIRFLOW, do="run the command again")
    done = stack.compose("run", "--rm", "--no-deps", "--no-TTY", "init", "python", "/opt/service/encrypt.py")
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["Airflow said nothing"])[-1]
        raise AirflowMlError(f"Airflow did not encrypt with the new key: {said}", do="run the command again")
