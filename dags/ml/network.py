"""The networks that a stage may ask for by name, and the addresses that a container on one of them gets.

Reads: the environment. Writes nothing.
"""

import os

NONE, MLFLOW, EXCHANGE = "none", "mlflow", "exchange"
# The variable with the engine's name of each network: it differs from one project of compose to another.
VARIABLES = {MLFLOW: "ML_MLFLOW_NETWORK", EXCHANGE: "ML_EXCHANGE_NETWORK"}
ADDRESSES = ("ML_MLFLOW_URI", "ML_MODEL_NAME", "ML_MLFLOW_PAGE", "ML_REPORTS_PAGE", "ML_AIRFLOW_PAGE")


class NetworkError(Exception):
    """A network cannot be used; the message names it, what was expected and what to do."""


def engine_name(network: str) -> str | None:
    """The engine's name of a network; None if the environment does not give it. Errors: NetworkError."""
    if network == NONE:
        return NONE
    if network not in VARIABLES:
        expected = ", ".join([NONE, *VARIABLES])
        raise NetworkError(f"unknown network {network!r}, expected one of {expected}; do: add it to ml/network.py")
    return os.environ.get(VARIABLES[network]) or None


def require(network: str, name: str | None) -> None:
    """Without a name the engine would choose its default network, which reaches everything. Errors: NetworkError."""
    if network == NONE or (name and name != NONE):
        return
    raise NetworkError(
        f"{VARIABLES[network]} is {name or 'unset or empty'} where this task runs, expected the engine's name of the "
        f"network {network!r}, as `docker network ls` shows it; do: set it in .env, then `make up`"
    )


def setting_of(name: str | None) -> str:
    """The settings that give an engine's network this name; an empty text if there is none."""
    return " or ".join(variable for variable in VARIABLES.values() if os.environ.get(variable) == name)


def addresses(network: str) -> dict[str, str]:
    """The variables that a container on MLflow's network gets, if they are set; on another one none."""
    return {name: os.environ[name] for name in ADDRESSES if network == MLFLOW and os.environ.get(name)}
