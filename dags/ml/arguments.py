"""A stage's arguments as Airflow templates; one that renders to nothing is left out of the command."""

from typing import NamedTuple

from ml.operator import StageOperator


class Argument(NamedTuple):
    """One argument: the template that Airflow renders, and how the documentation writes it."""

    template: str
    usage: str


# The day whose data a run works on, in every kind of run: the day picked in the form; the key of a partitioned
# run; the latest day among the events that triggered the run; the day of the schedule, backfill or date
# picked; the day the run was asked for. Airflow's own `ds` is undefined in runs without a logical date.
DAY = (
    "{{ params.ds or dag_run.partition_key"
    " or triggering_asset_events.values() | sum(start=[]) | map(attribute='extra.ds', default='') | sort | last"
    " | default('') or (dag_run.logical_date or dag_run.run_after) | ds }}"
)
DS = Argument(f"--ds={DAY}", "--ds YYYY-MM-DD")

# A late feed comes within hours; one that does not must be noticed before the next day's run waits as well.
WAIT_HOURS = 12
HOURS = f"{{{{ params.wait_hours if params.wait_hours is not none else {WAIT_HOURS} }}}}"


def option(name: str) -> Argument:
    """`--max-rejected=0.05` where the form's field `max_rejected` is filled in, else the stage's own default."""
    field = name.replace("-", "_")
    template = f"{{{{ '--{name}=%s' % params.{field} if params.{field} is not none else '' }}}}"
    return Argument(template, f"[--{name} {field.upper()}]")


def option_json(name: str, field: str) -> Argument:
    """`--params-json={"num_leaves": 31}` where the form's field holds a JSON object that is not empty."""
    template = f"{{{{ '--{name}=' ~ (params.{field} | tojson) if params.{field} else '' }}}}"
    return Argument(template, f"[--{name} JSON]")


# Read when the task runs, not when the Dag is parsed: a change of the Variable counts from the next run on.
MODEL_IN_PRODUCTION = Argument(
    "{{ '--model=' ~ var.value.get('model_path', '') | trim if var.value.get('model_path', '') | trim else '' }}",
    "[--model MODEL_PATH]",
)


def resolved_model(resolve: StageOperator) -> Argument:
    """`--model=models/2026-11-21`: what `resolve` said, so that all tasks of a run use one and the same model."""
    return Argument(f"--model={{{{ ti.xcom_pull('{resolve.task_id}')['model'] }}}}", "--model models/YYYY-MM-DD")
