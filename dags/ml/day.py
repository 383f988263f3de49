"""The day whose data a run works on, in every kind of run. Reads and writes nothing.

Airflow's own `ds` is undefined in runs without a logical date, so no Dag uses it.
"""

from collections.abc import Mapping
from typing import Any

from jinja2 import pass_context


@pass_context
def day_of_run(context: Mapping[str, Any]) -> str:
    """The day, YYYY-MM-DD, of a run.

    In this order: the day picked in the form; the key of a partitioned run; the latest `ds` among the asset events
    that triggered the run; the day of the logical date; the day the run was requested for.

    :param context: what Airflow gives a template, a task or a callback; `dag_run` may be an object or a JSON object
    """
    return _chosen_day(context) or str(_time_of(context))[:10]


@pass_context
def time_of_run(context: Mapping[str, Any]) -> str:
    """The day, where a person or the data chose one; else the time of the run, ISO 8601 with its offset."""
    return _chosen_day(context) or str(_time_of(context)).replace(" ", "T")


# What a Dag's templates call, such as `{{ day_of_run() }}`.
MACROS = {"day_of_run": day_of_run, "time_of_run": time_of_run}


def _chosen_day(context: Mapping[str, Any]) -> str:
    picked = (context.get("params") or {}).get("ds") or (_field(context, "conf") or {}).get("ds")
    return str(picked or _field(context, "partition_key") or _latest_event_day(context))


def _latest_event_day(context: Mapping[str, Any]) -> str:
    events = (context.get("triggering_asset_events") or {}).values()
    return max((str((event.extra or {}).get("ds") or "") for of_asset in events for event in of_asset), default="")


def _time_of(context: Mapping[str, Any]) -> Any:
    return _field(context, "logical_date") or _field(context, "run_after")


def _field(context: Mapping[str, Any], name: str) -> Any:
    """A field of the run: of an object in a task, of a mapping in the callback of a deadline."""
    run = context.get("dag_run")
    return run.get(name) if isinstance(run, Mapping) else getattr(run, name, None)
