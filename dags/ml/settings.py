"""Settings of the installation, from the environment. `.env.example` has each default; here is none."""

import os

EXPECTED = {
    "ML_ENGINE": "the engine that runs the stages, such as docker",
    "ML_DATA": "a volume's name or a host folder's absolute path",
    "ML_UID": "the number of the user who owns the data",
    "ML_GID": "the number of the group that owns the data",
    "ML_STAGE_MEMORY": "the most memory that a container may use, such as 4g",
    "ML_DOCKER_HOST": "the address of the engine or its proxy, such as unix:///run/engine-proxy/engine.sock",
    "ML_STAGE_CONSTRAINTS": "words such as training:node.labels.size==large, or `none`",
    "ML_STAGE_RESERVATIONS": "words such as training:8g,2 (memory, processors), or `none`",
    "ML_NODE_LOST_SECONDS": "a number of seconds such as 60",
    "ML_MODEL_NAME": "the name of the registered model in MLflow",
    "ML_EXPORT": "a connection and a table or an object, such as `warehouse scores.predictions`, or `none`",
    "ML_PREDICTIONS_FORMAT": "csv, or parquet for both",
    "ML_REASONS": "how many features `predict` names as the reasons of each score, 0 to 100; 0: none",
    "ML_DEADLINE": "a time of day in UTC such as 06:00, or `none`",
}


class SettingError(Exception):
    """A setting is missing or wrong. While a Dag is parsed, Airflow shows the message as the Dag's import error."""

    def __init__(self, name: str, found: str, expected: str = "") -> None:
        do = "set it in .env, where .env.example explains it, then `make up`"
        super().__init__(f"{name} {found}, expected {expected or EXPECTED[name]}; do: {do}")


def setting(name: str) -> str:
    """The value of a setting. Errors: SettingError where it is unset or empty."""
    value = os.environ.get(name, "").strip()
    if not value:
        raise SettingError(name, "is unset or empty")
    return value


def seconds_of(name: str) -> float:
    """The value of a setting that is a number of seconds. Errors: SettingError."""
    value = setting(name)
    if not value.isascii() or not value.isdigit():
        raise SettingError(name, f"is {value!r}")
    return float(value)
