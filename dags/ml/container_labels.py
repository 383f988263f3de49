"""The labels of a container: whose task it is, on which data, and which try of it. Reads and writes nothing."""

from collections.abc import Mapping

DAG, TASK, RUN, MAP_INDEX, DATA = (f"airflow-ml.{name}" for name in ("dag", "task", "run", "map-index", "data"))
# The number of the try that started the container.
TRY = "airflow-ml.try"
# The number of the task's last try, which changes when a person clears the task.
LAST_TRY = "airflow-ml.last-try"

# Of the containers of one training: what they are called together, how many they are, and which of them this one is.
GANG, RANKS, RANK = "airflow-ml.gang", "airflow-ml.ranks", "airflow-ml.rank"


def of_task(labels: Mapping[str, str]) -> dict[str, str]:
    """Those that every container of the task carries, whichever try started it."""
    return {name: labels[name] for name in (DAG, TASK, RUN, MAP_INDEX, DATA)}


def of_try(labels: Mapping[str, str]) -> dict[str, str]:
    """Those of the task, and the one that changes when a person clears it: tries before and after differ."""
    return {**of_task(labels), **({LAST_TRY: labels[LAST_TRY]} if LAST_TRY in labels else {})}


def task(labels: Mapping[str, str]) -> tuple[str, str, str, str]:
    """Dag, task, run and map index of the container's task; an empty text for each label that it does not have."""
    return labels.get(DAG, ""), labels.get(TASK, ""), labels.get(RUN, ""), labels.get(MAP_INDEX, "")
