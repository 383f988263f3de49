"""A stage's arguments as Airflow templates; one that renders to nothing is left out of the command."""

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from airflow.sdk import BaseOperator

from ml.defaults import WAIT_HOURS
from ml.operator import StageOperator


class Argument(NamedTuple):
    """One argument: the template that Airflow renders, and how the documentation writes it."""

    template: str
    usage: str


# The day whose data a run works on, in every kind of run: day.py.
DAY = "{{ day_of_run() }}"
DS = Argument(f"--ds={DAY}", "--ds YYYY-MM-DD")


def days_before(days: int) -> Argument:
    """The day so many days before that of the run, such as one whose labels are known by now."""
    return Argument(f"--ds={{{{ macros.ds_add(day_of_run(), -{days}) }}}}", DS.usage)


HOURS = f"{{{{ params.wait_hours if params.wait_hours is not none else {WAIT_HOURS} }}}}"


# In how many shards the run works on the day.
NUMBER_OF_SHARDS = "{{ params.shards or 1 }}"
SHARDS = Argument("{{ '--shards=%s' % params.shards if (params.shards or 1) > 1 else '' }}", "[--shards SHARDS]")


def option(name: str, field: str = "") -> Argument:
    """`--max-rejected=0.05` if the form's field `max_rejected` is filled in, else the stage's own default.

    `field` is the field's name, if it is not that of the option.
    """
    field = field or name.replace("-", "_")
    template = f"{{{{ '--{name}=%s' % params.{field} if params.{field} is not none else '' }}}}"
    return Argument(template, f"[--{name} {field.upper()}]")


def option_json(name: str, field: str) -> Argument:
    """`--params-json={"num_leaves": 31}` if the form's field holds a JSON object that is not empty."""
    template = f"{{{{ '--{name}=' ~ (params.{field} | tojson) if params.{field} else '' }}}}"
    return Argument(template, f"[--{name} JSON]")


# Read when the task runs, not when the Dag is parsed: a change of the Variable counts from the next run on.
MODEL_PATH = Argument(
    "{{ '--model=' ~ var.value.get('model_path', '') | trim if var.value.get('model_path', '') | trim else '' }}",
    "[--model MODEL_PATH]",
)

# The model that was in production at the time of the run, or at the end of a chosen day, if the form asks for it.
AS_OF = Argument("{{ '--as-of=%s' % time_of_run() if params.as_of else '' }}", "[--as-of YYYY-MM-DD]")

# A registry out of reach is tried again before the run continues with the model that was resolved last.
OR_LAST = Argument("{{ '--or-last' if ti.try_number > ti.max_tries else '' }}", "[--or-last]")

# On one machine a training is called as it always was.
RANKS = Argument("{{ '--ranks=%s' % params.ranks if (params.ranks or 1) > 1 else '' }}", "[--ranks RANKS]")

# Who is responsible: the person who started the run, or the Dag by itself.
BY = Argument("--by={{ dag_run.triggering_user_name or 'the Dag ' ~ dag_run.dag_id }}", "--by WHO")


def flag(name: str) -> Argument:
    """`--force` if the form's field `force` is ticked."""
    return Argument(f"{{{{ '--{name}' if params.{name} else '' }}}}", f"[--{name}]")


def given(name: str, usage: str) -> Argument:
    """`--promote=auto`: the form's field `promote`, which always has a value."""
    return Argument(f"--{name}={{{{ params.{name} }}}}", usage)


def from_result(task: BaseOperator, name: str, key: str) -> Argument:
    """`--champion=models/2026-11-21` if an earlier task's result has the key: all tasks of a run use the same model."""
    value = f"ti.xcom_pull('{task.task_id}').get('{key}')"
    usage = f"[--{name} {name.upper().replace('-', '_')}]"
    return Argument(f"{{{{ '--{name}=%s' % {value} if {value} else '' }}}}", usage)


def resolved_model(resolve: StageOperator) -> Argument:
    """`--model=models/2026-11-21`: what `resolve` returned; there is no run without a model."""
    return Argument(f"--model={{{{ ti.xcom_pull('{resolve.task_id}')['model'] }}}}", "--model models/YYYY-MM-DD")


def fixed(name: str, value: str | None = None) -> Argument:
    """`--query=SELECT ...`: the same for all runs, as it is written; `--incoming` without a value."""
    text = f"--{name}" if value is None else f"--{name}={value}"
    return Argument(f"{{% raw %}}{text}{{% endraw %}}", f"--{name}{'' if value is None else f' {name.upper()}'}")


def fixed_json(name: str, value: Mapping[str, Any]) -> Argument:
    """`--rules-json={"metric": "roc_auc"}`: settings of the repository, the same for all runs."""
    text = json.dumps(value)
    return Argument(f"{{% raw %}}--{name}={text}{{% endraw %}}", f"[--{name} JSON]")


def setting_of(name: str, variable: str, usage: str) -> Argument:
    """`--mlflow-page=http://localhost:5000`: what a variable of the installation holds, if it is set."""
    found = os.environ.get(variable)
    return Argument(f"--{name}={found}" if found else "", f"[--{name} {usage}]")
