"""StageOperator: runs a stage's container, with the discipline that every stage gets. It knows no engine's API."""

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from inspect import signature
from time import monotonic, time
from typing import TYPE_CHECKING, Any, NoReturn, cast

from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk import Context
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
    TaskDeferred,
)

from ml import connections, container_labels, engines
from ml import network as networks
from ml.container_log import STDERR, STDOUT, lines_of
from ml.engines import ContainerGone, Engine, EngineError, NotRun, Output, State, Work
from ml.images import image_of
from ml.links import links_of
from ml.outcome import HOPELESS, KILLED, MEANING, NOT_READY, Outcome
from ml.settings import setting
from ml.trigger import ContainerTrigger

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

# How long a worker waits for a container. Most stages end within it; a wait in the triggerer costs the start of another
# process, some seconds.
PATIENCE = timedelta(seconds=10)
# How long a worker may take to read what an ended container has written.
TO_THE_END = timedelta(minutes=10)
# How long a worker reads what a container has written that is given up while it goes on.
LAST_LOOK = timedelta(seconds=5)
# An input that is not there yet is looked for again every 5 minutes, for an hour.
WAIT, MAX_WAITS = timedelta(minutes=5), 12


class StageFailed(AirflowException):
    """A stage's container ended with an exit code other than 0."""


class StageOperator(DockerOperator):
    """Runs one command of a stage in a container of its own, with the discipline that every stage gets.

    The container has no network, no root rights, no capabilities, a read-only root, limits on memory and
    processes, and sees /data alone. The result is the JSON object on the last line of its stdout; the outlets' asset
    events carry it too. A container that runs for longer than PATIENCE holds no worker. It is removed when it has ended
    or the task is stopped; if Airflow itself is killed it goes on, and the next try joins it.

    DockerOperator gives it the fields that Airflow's users know. Its other parameters are refused: the engine
    (`ml.engines`) confines the container, and no task may confine it less.

    :param stage: the stage, as the image lock names it
    :param command: its arguments (templated); an empty one is left out
    :param network: `mlflow` for a stage that talks to MLflow: the container joins its network and gets the addresses;
        `exchange` for one that talks to databases and object stores
    :param connection: an Airflow connection (templated), which the container gets as a file and as `--connection`;
        with the network `mlflow` it is the login there, as a file alone
    :param read_only: the stage writes nothing below /data
    :param shard: the number of the shard that it makes, where it is one of several mapped tasks
    :param only_if: a field of the form; the task is skipped if it is empty, 0 or not ticked
    :param only_with: a task and a key of its result; the task is skipped if that has no value
    :param ranks: how many containers do the work together (templated), each with the number of its own in ML_RANK

    From the environment: ML_DATA, ML_UID, ML_GID, ML_STAGE_MEMORY and what the engine needs (see settings.py); for
    `mlflow` also ML_MLFLOW_NETWORK, the engine's name of that network, and network.ADDRESSES, which the container gets
    unchanged; for `exchange` ML_EXCHANGE_NETWORK; for a connection ML_CONNECTIONS_VOLUME.
    """

    template_fields: Sequence[str] = ("image", "command", "environment", "labels", "connection", "ranks")
    template_ext: Sequence[str] = ()
    ui_color = "#e8f1fb"

    def __init__(
        self,
        *,
        stage: str,
        command: list[str],
        network: str = networks.NONE,
        connection: str = "",
        read_only: bool = False,
        shard: int = 0,
        only_if: str = "",
        only_with: tuple[str, str] | None = None,
        ranks: str = "1",
        **kwargs: Any,
    ) -> None:
        if ignored := sorted(kwargs.keys() & signature(DockerOperator.__init__).parameters.keys()):
            raise TypeError(
                f"StageOperator was given {', '.join(ignored)} of DockerOperator, expected none of its parameters: the "
                "engine confines every stage alike; do: leave it out"
            )
        engines.connect()  # an engine that is not there, or lacks a setting, is an import error of the Dag
        image = image_of(stage)
        self.stage = stage
        self.custom_operator_name = stage  # what Airflow's graph writes below the task
        self.image_id, self.pushed = image.id, image.pushed
        self.network, self.connection, self.read_only = network, connection, read_only
        self.only_if, self.only_with, self.ranks = only_if, only_with, ranks
        self.addresses = networks.addresses(network)
        command = [*command, *([f"--shard={shard}"] if shard else [])]
        self.data = setting("ML_DATA")
        self.outcome = Outcome(image.name)
        self.container_id = ""
        self.last_line = ""
        self._killed = False
        self._began = 0.0
        run = {"dag": "{{ dag.dag_id }}", "task": "{{ task.task_id }}", "run": "{{ run_id }}"}
        super().__init__(
            image=image.name,
            command=[*command, f"--connection={connection}"] if connection and network != networks.MLFLOW else command,
            user=f"{setting('ML_UID')}:{setting('ML_GID')}",
            network_mode=networks.engine_name(network),
            mem_limit=setting("ML_STAGE_MEMORY"),
            environment={
                **{f"ML_{key.upper()}_ID": template for key, template in run.items()},
                "ML_TRY_NUMBER": "{{ ti.try_number }}",
                "ML_IMAGE_ID": image.id,
                **({"ML_REVISION": image.revision} if image.revision else {}),
                **self.addresses,
            },
            labels={
                container_labels.DAG: run["dag"],
                container_labels.TASK: run["task"],
                container_labels.RUN: run["run"],
                container_labels.MAP_INDEX: "{{ ti.map_index }}",
                container_labels.DATA: self.data,
                container_labels.TRY: "{{ ti.try_number }}",
                container_labels.LAST_TRY: "{{ ti.max_tries }}",
            },
            **kwargs,
        )
        self.operator_extra_links = links_of(stage)

    def execute(self, context: Context) -> dict[str, Any]:  # type: ignore[override]  # the parent returns text
        """Start the container, or join the one that an earlier try started; returns its result.

        Errors: TaskDeferred if it runs for longer than PATIENCE; AirflowRescheduleException while the input is not
        there yet; AirflowFailException if a retry cannot help; AirflowSkipException if the form does not ask for the
        task; StageFailed otherwise.
        """
        if self.only_if and not context["params"][self.only_if]:
            raise AirflowSkipException(f"nobody asked for it: {self.only_if} of the run's form is off")
        if self.only_with and not (context["ti"].xcom_pull(self.only_with[0]) or {}).get(self.only_with[1]):
            raise AirflowSkipException(
                f"there is nothing to do: no {self.only_with[1]} in {self.only_with[0]}'s result"
            )
        return self._disciplined(context, lambda: self._run(context))

    def _run(self, context: Context) -> dict[str, Any]:
        self.log.info("By hand: %s", self.outcome.by_hand)
        self._began = time()
        self.container_id = self._join() or self._start()
        return self._follow(context, [0, 0])

    def collect(self, context: Context, event: str, logged: list[int], began: float = 0) -> dict[str, Any]:
        """Go on after the triggerer has waited; `event` is the container, `logged` its lines logged before, by stream.

        `began`: when the work began, in seconds since 1970, so that a second wait has only the rest of the time limit.
        Errors: as `execute`.
        """
        self.container_id, self._began = event, began or time()
        return self._disciplined(context, lambda: self._follow(context, logged))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after the wait; if it failed or took too long, with what has ended all the same.

        Errors: as `execute`; StageFailed, without a container left, if nothing has ended.
        """
        if next_method != TRIGGER_FAIL_REPR:
            return super().resume_execution(next_method, next_kwargs, context)
        error = (next_kwargs or {}).get("error")
        return self._disciplined(context, lambda: self._give_up(context, error))

    def _give_up(self, context: Context, error: Any) -> dict[str, Any]:
        """The result of a container that has ended while no triggerer looked; of one that goes on, the log alone.

        Airflow has forgotten how many lines are logged already, so the first ones are logged twice.
        """
        for container, labels in sorted(self._engine.find(self._task_labels()).items()):
            if container_labels.of_try(labels) == self._try_labels():  # not one from before a person cleared the task
                self.container_id = container
                lines = self._log_output(self._engine.follow(container, LAST_LOOK.total_seconds()), [0, 0])
                if self._engine.state(container).exit_code is not None:
                    self.outcome.lines.clear()
                    return self._follow(context, lines)
            self._remove(container)
        is_late = error == TriggerFailureReason.TRIGGER_TIMEOUT
        limit = f"did not end within {self.execution_timeout}, the task's execution_timeout"
        found = limit if is_late else f"could not be waited for ({error}; the triggerer's log has the cause)"
        raise StageFailed(f"{self.stage} {found} (a retry may help). By hand: {self.outcome.by_hand}")

    def _disciplined(self, context: Context, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Whatever ends the work: the message says it all, and only a container that goes on is left."""
        self.command = [argument for argument in self.command or () if argument]
        self.outcome = Outcome(self.image, self.command_by_hand())
        try:
            self.outcome.result = work()
        except TaskDeferred:
            raise
        except ContainerGone:
            self._remove_container()  # the connection that it read is still there
            raise StageFailed(
                f"the container {self.container_id[:12]} has been removed by somebody else (a retry may help). "
                f"By hand: {self.outcome.by_hand}"
            ) from None
        except NotRun as error:
            self._remove_container()
            kind, retry = (AirflowFailException, "cannot") if error.hopeless else (StageFailed, "may")
            message = f"{error} (a retry {retry} help). By hand: {self.outcome.by_hand}"
            raise kind(message).with_traceback(None) from None
        except EngineError as error:
            ti = context.get("ti")
            if ti is None or ti.try_number > ti.max_tries:  # no try will come that joins or removes it
                self._remove_container()
            raise StageFailed(self._engine_trouble(error)).with_traceback(None) from None
        except BaseException as error:
            self._remove_container()
            if isinstance(error, StageFailed | AirflowFailException):
                # Airflow logs the traceback around the message. These messages say it all, so our frames are left out.
                raise error.with_traceback(None) from None
            raise
        self._remove_container()
        return self.outcome.result

    def _join(self) -> str | None:
        """The container of an earlier try of this very task that does or has done the same work; others are removed.

        A worker that is killed leaves its container running. Another Airflow on the same engine has runs of the same
        names, but on other data. A task that a person cleared has other labels, so its old container is not joined.
        """
        joined = None
        work = self._work()
        work = replace(
            work, labels={name: value for name, value in work.labels.items() if name != container_labels.TRY}
        )
        for container, its_own in sorted(self._engine.find(self._task_labels()).items()):
            if joined is None and self._engine.does(container, work) and self._has_not_failed(container):
                self.log.info("Container %s of an earlier try does this work: joining it", container[:12])
                joined = container
            else:
                self.log.warning("Removing container %s of an earlier try", container[:12])
                self._remove(container)
                if self.connection and container_labels.of_try(its_own) != self._try_labels():
                    connections.remove(container_labels.of_try(its_own))
        return joined

    def _has_not_failed(self, container: str) -> bool:
        """Whether it goes on or has succeeded. If it has failed, as when its machine lost its power, this try works."""
        try:
            return not self._engine.state(container).exit_code
        except NotRun:
            return False

    def _start(self) -> str:
        self._require_network()
        self._engine.require_image(self._work())
        try:
            if self.connection:
                folder = connections.write(self.connection, self._try_labels(), login=self.network == networks.MLFLOW)
                self.environment = {**cast("dict[str, str]", self.environment), "ML_CONNECTIONS": folder}
        except connections.NoConnection as error:
            raise AirflowFailException(f"{self.stage} needs a connection: {error}") from None
        if self._killed:
            raise AirflowFailException("the task was stopped before its container started")
        return self._engine.start(self._work())

    def _follow(self, context: Context, logged: Sequence[int]) -> dict[str, Any]:
        """Log what the container writes until it ends; defer if that takes longer than PATIENCE."""
        started = monotonic()
        lines = self._log_output(self._engine.follow(self.container_id, PATIENCE.total_seconds()), logged)
        state = self._engine.state(self.container_id)
        spent = timedelta(seconds=monotonic() - started)
        if state.exit_code is None:
            self._defer(lines)
        is_cut = not state.exit_code and not _is_result(self.last_line)
        if is_cut or (spent >= PATIENCE and not (state.rank and state.exit_code)):
            # It has ended since the time was over, such as while this machine or this service hung, or the connection
            # to the engine was cut, which looks like the end of the log: the result may be in what is not read yet. If
            # one of several ranks failed, what it wrote is read, and others may go on.
            self.outcome.lines.clear()
            self._log_output(self._engine.follow(self.container_id, TO_THE_END.total_seconds()), lines)
        self.outcome.exit_code = state.exit_code
        if state.exit_code:
            self._fail(state, context)
        return self._parse_result(self.last_line, context)

    def _defer(self, logged: list[int]) -> NoReturn:
        self.log.info("Container %s goes on; the triggerer waits for its end", self.container_id[:12])
        spent = timedelta(seconds=time() - self._began)
        self.defer(
            trigger=ContainerTrigger(self.container_id, self._try_labels()),
            method_name=self.collect.__name__,
            kwargs={"logged": logged, "began": self._began},
            timeout=max(self.execution_timeout - spent, timedelta(seconds=1)) if self.execution_timeout else None,
        )

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> "OperatorLineage[Any, Any]":
        """What OpenLineage's events say of the task; Airflow's provider calls it, if they are on."""
        from ml.openlineage import lineage_of  # its libraries take time to load

        return lineage_of(self.inlets, self.outlets, self.outcome.result)

    def on_kill(self) -> None:
        """Stop and remove the container: the task is stopped by a person, a time limit or a shutdown."""
        self._killed = True
        self._remove_container()

    @cached_property
    def _engine(self) -> Engine:
        return engines.connect()

    def _work(self) -> Work:
        return Work(
            stage=self.stage,
            image=self.image,
            image_id=self.image_id,
            pushed=self.pushed,
            command=cast("list[str]", self.command),
            user=cast("str", self.user),
            memory=cast("str", self.mem_limit),
            network=self.network_mode,
            data=self.data,
            read_only=self.read_only,
            connection=self.connection,
            environment=cast("dict[str, str]", self.environment),
            labels=cast("dict[str, str]", self.labels),
            ranks=int(self.ranks),
        )

    def _task_labels(self) -> dict[str, str]:
        return container_labels.of_task(self._work().labels)

    def _try_labels(self) -> dict[str, str]:
        return container_labels.of_try(self._work().labels)

    def command_by_hand(self) -> str:
        """The command line that does what this task does."""
        return self._engine.by_hand(replace(self._work(), environment=self.addresses))

    def _require_network(self) -> None:
        try:
            networks.require(self.network, self.network_mode)
        except networks.NetworkError as error:
            raise AirflowFailException(f"{self.stage} needs a network: {error}") from None

    def _engine_trouble(self, error: EngineError) -> str:
        engine = self._engine
        return (
            f"the engine at {engine.address} {error}; expected it to run {self.image}; do: {engine.advice}. "
            f"The next try joins what was left running. By hand: {self.outcome.by_hand}"
        )

    def _remove_container(self) -> None:
        """Remove the container of this try, if it has one, and the connection that it reads."""
        if self.container_id:
            self._remove(self.container_id)
        if self.connection:
            connections.remove(self._try_labels())

    def _remove(self, container: str) -> None:
        try:
            self._engine.remove(container)
        except EngineError as error:
            # Not to hide why the task ends; the next try removes it.
            self.log.warning("Container %s could not be removed: the engine %s", container, error)

    def _log_output(self, output: Iterable[Output], logged: Sequence[int]) -> list[int]:
        """Log each line as it comes, with the level that the stage gave it; returns how many lines each stream had.

        The first `logged` lines of each stream are in the log already. The stage's last error is kept as its complaint;
        if it logged none, the last line of stderr. The last line of each stream is kept separately, because the engine
        does not keep the order between the two.
        """
        last, error, counts = ["", ""], "", [0, 0]
        for line in lines_of(output):
            counts[line.stream] += 1
            if counts[line.stream] > logged[line.stream]:
                self.log.log(line.level, "%s", line.text)
            self.outcome.lines.append(line.text)
            last[line.stream] = line.text
            error = line.text if line.level >= logging.ERROR else error
        self.outcome.complaint = error or last[STDERR]
        self.last_line = last[STDOUT]
        return counts

    def _fail(self, state: State, context: Context) -> NoReturn:
        exit_code = cast("int", state.exit_code)
        self.outcome.meaning = self._meaning(state)
        if exit_code == KILLED:
            self.outcome.complaint = ""  # what a stage logged before SIGKILL does not explain its end
        waits = context.get("task_reschedule_count", 0)
        if exit_code == NOT_READY and waits < MAX_WAITS:
            self._look_again(MAX_WAITS - waits)
        who = f"{state.rank} of {self.stage}" if state.rank else self.stage
        if state.rank:
            self.outcome.meaning += "; all were stopped"
        if exit_code in HOPELESS:
            raise AirflowFailException(self.outcome.failure(who, "a retry cannot help"))
        raise StageFailed(self.outcome.failure(who, "a retry may help"))

    def _meaning(self, state: State) -> str:
        if state.exit_code == KILLED and state.out_of_memory is not False:
            found = (
                "out of memory" if state.out_of_memory else "out of memory or killed (the engine does not say which)"
            )
            return f"{found}, it may use {self.mem_limit}; do: raise ML_STAGE_MEMORY or give it fewer rows"
        return MEANING.get(cast("int", state.exit_code), "not an exit code of ours")

    def _look_again(self, left: int) -> NoReturn:
        self.log.warning("%s; looking again in %s, %s times at most", self.outcome.meaning, WAIT, left)
        raise AirflowRescheduleException(datetime.now(UTC) + WAIT)  # type: ignore[no-untyped-call]

    def _parse_result(self, line: str, context: Context) -> dict[str, Any]:
        try:
            result = _result_of(line)
        except (ValueError, TypeError) as error:
            # A retry of a stage that has published its files only verifies them, and prints the line again.
            raise StageFailed(
                f"{self.stage} ended well, but the last line of its stdout, {line!r}, is not the JSON object "
                f"that every stage prints ({error}): the stage did not print it, or the engine has lost it "
                f"(a retry may help). By hand: {self.outcome.by_hand}"
            ) from None
        for asset in self.outlets:
            context["outlet_events"][asset].extra = result
        return result


def _result_of(line: str) -> dict[str, Any]:
    result = json.loads(line)
    if not isinstance(result, dict):
        raise TypeError("not an object")
    return result


def _is_result(line: str) -> bool:
    with suppress(ValueError, TypeError):
        _result_of(line)
        return True
    return False
