"""The secrets of `.env` as files, which compose mounts into the services that need them.

No variable and no argument of a container has a secret, so `docker inspect`, process lists and pages show none. Writes
a folder of files for each installation: their modes let the services' own users read them, the folder only its owner.
"""

import configparser
import io
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from airflow_ml.common import ROOT, AirflowMlError, project, read_env, restore_marker, write_atomic

# Those that are a file of their own: its name in capitals, after ML_, is the setting.
FILES = (
    "admin_password", "alert_urls", "mlflow_postgres_password", "pages_password", "postgres_password", "registry_key",
    "registry_password",
)  # fmt: skip
# Those of Airflow's file of settings.
OF_AIRFLOW = ("fernet_key", "jwt_secret", "api_secret_key", "postgres_password")
AIRFLOW = "airflow.cfg"
MAY_BE_EMPTY = {"alert_urls"}
SECRETS = tuple(dict.fromkeys([*FILES, *OF_AIRFLOW]))


def setting(secret: str) -> str:
    """The setting of `.env` that has a secret."""
    return f"ML_{secret.upper()}"


def write(folder: Path, values: Mapping[str, str]) -> None:
    """Write the files whose content has changed. Errors: AirflowMlError, which names settings without a value.

    :param values: the value of each of SECRETS
    """
    empty = [setting(secret) for secret in SECRETS if not values[secret] and secret not in MAY_BE_EMPTY]
    if empty:
        raise AirflowMlError(f".env has no {', '.join(empty)}", do="remove a line without a value, then make up")
    for path in (folder.parent, folder):
        path.mkdir(exist_ok=True)
        path.chmod(0o700)
    for name, text in {**{name: values[name] for name in FILES}, AIRFLOW: airflow_settings(values)}.items():
        write_atomic(folder / name, text, mode=0o444)


def secret_values(root: Path = ROOT) -> dict[str, str]:
    """The value of each secret in the settings of a checkout. Errors: AirflowMlError."""
    found = read_env(root / ".env")
    return {secret: os.environ.get(setting(secret), found.get(setting(secret), "")) for secret in SECRETS}


def write_secrets(root: Path = ROOT) -> None:
    """Write the files that compose mounts, from the settings of a checkout. Errors: AirflowMlError.

    Without Airflow's, as long as a restore has not ended well: compose then starts neither Airflow nor MLflow, which
    waits for a service of Airflow. Each would make an empty database in place of one that is missing.
    """
    folder = root / ".secrets" / project(root / ".env")
    write(folder, secret_values(root))
    if restore_marker(root).exists():
        (folder / AIRFLOW).unlink()


def remove_secrets() -> None:
    """Remove the files of this installation; `.env` has what was in them."""
    shutil.rmtree(ROOT / ".secrets" / project(), ignore_errors=True)


def airflow_settings(values: Mapping[str, str]) -> str:
    """Airflow's settings that are secret, in the form of `airflow.cfg`."""
    database = f"postgresql+psycopg2://airflow:{quote(values['postgres_password'], safe='')}@postgres/airflow"
    settings = configparser.RawConfigParser()
    # Airflow reads % as the beginning of another setting's name.
    settings.read_dict(
        {
            "core": {"fernet_key": values["fernet_key"].replace("%", "%%")},
            "database": {"sql_alchemy_conn": database.replace("%", "%%")},
            "api": {"secret_key": values["api_secret_key"].replace("%", "%%")},
            "api_auth": {"jwt_secret": values["jwt_secret"].replace("%", "%%")},
        }
    )
    text = io.StringIO()
    settings.write(text)
    return text.getvalue()
