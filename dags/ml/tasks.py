"""One call makes a task: the factory, and what all Dags have in common."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, CronTriggerTimetable, TriggerRule
from airflow.sdk.definitions.mappedoperator import MappedOperator

from ml import alerts, connections
from ml.approval import AskPerson, StartQuestion, reason_field
from ml.arguments import DAY, HOURS, NUMBER_OF_SHARDS, SHARDS, Argument, from_result
from ml.assets import REGISTRY as REGISTRY_ASSET
from ml.day import MACROS
from ml.images import image_of
from ml.operator import StageOperator
from ml.sensor import PartitionSensor
from ml.started_dags import EvaluateAgain, TrainOnBreach
from ml.versions import remember_versions

# The stages that need a network, and which: all others have none. `exchange` needs it with a connection.
EXCHANGE, REGISTRY = "exchange", "registry"
NETWORKS = {REGISTRY: "mlflow", EXCHANGE: "exchange"}
NETWORK_OPTIONS = {
    "mlflow": " --network airflow-ml_mlflow --env ML_MLFLOW_URI=http://mlflow:5000"
    " --volume ./mlflow.json:/run/connections/mlflow.json:ro",
    "exchange": " --network NETWORK --volume ./NAME.json:/run/connections/NAME.json:ro",
}


def stage(
    command: str,
    arguments: Sequence[Argument],
    *,
    doc: str,
    task_id: str | None = None,
    uses: Sequence[Asset] = (),
    makes: Sequence[Asset] = (),
    hours: float = 1,
    read_only: bool = False,
    connection: str = "",
    only_if: str = "",
    only_with: tuple[str, str] | None = None,
    after_shards: bool = False,
    ranks: str = "1",
) -> StageOperator:
    """A task that runs a stage, such as `stage("preprocessing prepare", [DS], doc=...)`.

    :param command: the stage, and its command where it has several
    :param arguments: what follows on the command line
    :param doc: what it reads and writes, for Airflow's page; the command by hand is added
    :param task_id: the last word of the command, unless given
    :param uses: the data it reads
    :param makes: the data that is complete once it is done
    :param hours: how long it may take
    :param read_only: it writes nothing below /data
    :param connection: the Airflow connection that the stage gets, as a file
    :param only_if: a field of the form; the task is skipped if it is empty, 0 or not ticked
    :param only_with: a task and a key of its result; the task is skipped if that has no value
    :param after_shards: it comes after `stage_of_shards`, which are skipped if the day has none
    :param ranks: how many containers do the work together, as a template
    """
    name, *words = command.split()
    network = "none" if name == EXCHANGE and not connection else NETWORKS.get(name, "none")
    usage = [*(argument.usage for argument in arguments), *(["--connection NAME"] * bool(connection))]
    return StageOperator(
        task_id=task_id or command.split()[-1].replace("-", "_"),
        stage=name,
        network=network,
        command=[*words, *(argument.template for argument in arguments)],
        read_only=read_only,
        connection=connections.MLFLOW if name == REGISTRY else connection,
        only_if=only_if,
        only_with=only_with,
        trigger_rule=TriggerRule.NONE_FAILED if after_shards else TriggerRule.ALL_SUCCESS,
        ranks=ranks,
        execution_timeout=timedelta(hours=hours),
        inlets=list(uses),
        outlets=list(makes),
        doc_md=_with_command(doc, network, name, [*words, *usage]),
    )


def stage_of_shards(
    shards: PartitionSensor, command: str, arguments: Sequence[Argument], *, doc: str, uses: Sequence[Asset]
) -> MappedOperator:
    """A task for each of the shards that the result of `shards` lists; skipped if there are none.

    The Dag's form needs the field `shards`. The other parameters are those of `stage`.
    """
    name, *words = command.split()
    given = [*arguments, SHARDS]
    return StageOperator.partial(
        task_id=f"{words[-1]}_shards",
        stage=name,
        command=[*words, *(argument.template for argument in given)],
        execution_timeout=timedelta(hours=1),
        # They work at the same time, whatever is usual in the Dag.
        max_active_tis_per_dag=None,
        inlets=list(uses),
        doc_md=_with_command(doc, "none", name, [*words, *(argument.usage for argument in given), "--shard K"]),
    ).expand(shard=shards.output)


def _with_command(doc: str, network: str, name: str, words: Sequence[str]) -> str:
    """What a task's page says: its documentation, and the command by hand."""
    options = "--rm --volume data:/data" + NETWORK_OPTIONS.get(network, "")
    return f"{doc}\n\nBy hand:\n\n```sh\ndocker run {options} {image_of(name).name} {' '.join(words)}\n```\n"


def wait_for(asset: Asset, *, lists_shards: bool = False) -> PartitionSensor:
    """A task that waits, without a worker slot, until the day of the run is complete in an asset's folder.

    The Dag's form needs the fields `ds` and `wait_hours`, and `shards` for a result that lists the shards.
    """
    return PartitionSensor(
        task_id=f"wait_for_{asset.name}",
        name=asset.name,
        day=DAY,
        hours=HOURS,
        shards=NUMBER_OF_SHARDS if lists_shards else "1",
        # A run that waits keeps no other from waiting.
        max_active_tis_per_dag=None,
        # The limit of one look, not of the wait: only a file system that hangs takes longer.
        execution_timeout=timedelta(minutes=5),
        inlets=[asset],
        doc_md=f"Waits for the mark of `{asset.name}/{{ds}}`. Reads the names there. Writes nothing.",
    )


def train_on_breach(confirm: StageOperator) -> TrainOnBreach:
    """A task that starts `train_model` for a day if it has a breach and the form's `retrain` is ticked."""
    return TrainOnBreach(
        confirm=confirm.task_id,
        day=DAY,
        execution_timeout=timedelta(minutes=5),
        doc_md="Starts `train_model` for the day. Reads the result of `confirm`. Writes nothing.",
    )


def evaluate_again(late: StageOperator) -> EvaluateAgain:
    """A task that starts `monitor` for each day that the result of `late` names, one after the other."""
    return EvaluateAgain(
        late=late.task_id,
        # The runs are waited for one after the other; the next try goes on with those that are left.
        execution_timeout=timedelta(hours=6),
        doc_md="Starts `monitor` for days whose labels came late. Reads the result of `late_labels`. Writes nothing.",
    )


def ask_person(about: str, register: str, compare: str, decide: str, of: str | None = None) -> AskPerson:
    """A task that asks a person what becomes of the version of `decide`, if a person is to decide.

    :param about: what the question says of the version (templated)
    :param register: the task that registered it, '' if it is unknown; `compare` and `decide` are tasks too
    :param of: the Dag of these tasks, if `start_question` of it starts the run
    """
    tasks = (register, compare, decide)
    return AskPerson(
        task_id="ask",
        about=about,
        tasks=tasks,
        of=of,
        params=reason_field(),
        # A limit would count the wait, and end it as a failure.
        execution_timeout=None,
        max_active_tis_per_dag=None,
        doc_md="Asks a person: promote the version, keep it as challenger, or reject it. Reads the results of "
        f"{', '.join(f'`{task}`' for task in tasks if task)}{f' of `{of}`' if of else ''}. Writes nothing.",
    )


def start_question(decide: StageOperator) -> StartQuestion:
    """A task that starts `ask_after_shadow` if `decide` has left its version to a person."""
    return StartQuestion(
        decide=decide.task_id,
        day=DAY,
        execution_timeout=timedelta(minutes=5),
        doc_md="Starts `ask_after_shadow`, which asks a person. Reads the result of `decide_shadow`. Writes nothing.",
    )


def answer_of(ask: AskPerson) -> StageOperator:
    """A task that does what a person has answered about a version."""
    return stage(
        "registry answer",
        [from_result(ask, name, name) for name in ("version", "answer", "by", "reason")],
        uses=[REGISTRY_ASSET],
        makes=[REGISTRY_ASSET],
        read_only=True,
        doc="Reads the answer of `ask`. Writes to MLflow what became of the version, who answered and why.",
    )


def at(cron: str) -> CronTriggerTimetable:
    """A schedule in UTC; a run is named after the day on which it starts.

    A new Dag waits for the next time; the minute of grace is for one that is first read just after its time.
    Dags with such a schedule have no start date: with one, Airflow would run the latest past time immediately.
    """
    return CronTriggerTimetable(cron, timezone="UTC", run_immediately=timedelta(minutes=1))


def dag_defaults(**of_tasks: Any) -> dict[str, Any]:
    """What all Dags have in common: they are active from the start, never catch up, retry, and alert on failures.

    :param of_tasks: what all tasks of this Dag get in addition
    """
    return {
        "catchup": False,
        "is_paused_upon_creation": False,
        "user_defined_macros": MACROS,
        "on_failure_callback": alerts.run_failed,
        "default_args": {
            "owner": "ml",
            "retries": 2,
            "retry_delay": timedelta(seconds=30),
            "retry_exponential_backoff": 2,
            "max_retry_delay": timedelta(minutes=10),
            "on_failure_callback": alerts.task_failed,
            "on_success_callback": [alerts.task_done, remember_versions],
            **of_tasks,
        },
    }
