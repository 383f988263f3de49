"""StageOperator: runs a stage's container. The one place in `dags/` that knows the engine."""

import json
import logging
import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, cast

from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowRescheduleException
from docker.errors import APIError, DockerException, NotFound
from docker.types import Mount

from ml import connections
from ml import network as networks
from ml.container_log import STDERR, STDOUT, lines_of
from ml.images import image_of
from ml.links import links_of
from ml.outcome import HOPELESS, KILLED, MEANING, NOT_READY, Outcome
from ml.settings import setting

DATA_FOLDER = "/data"
# tini and Python need a handful, the libraries' thread pools a few per core.
PIDS_LIMIT = 512
# Airflow kills a task 5 s after it asks the task to stop. A stage ends immediately; this bounds one that does not.
STOP_SECONDS = 2
# For two seconds in all.
OUT_OF_MEMORY_LOOKS = 10

# An input that is not there yet is looked for again every 5 minutes, for an hour.
WAIT, MAX_WAITS = timedelta(minutes=5), 12


class StageFailed(AirflowException):
    """A stage's container ended with an exit code other than 0."""


class StageOperator(DockerOperator):
    """Runs one command of a stage in a container of its own, with the discipline that every stage gets.

    The container has no network, no root rights, no capabilities, a read-only root, limits on memory and
    processes, and sees /data alone. It is removed whatever happens. The result is the JSON object on the
    last line of its stdout; the outlets' asset events carry it too.

    :param stage: the stage, as the image lock names it
    :param command: its arguments (templated); an empty one is left out
    :param network: `mlflow` for a stage that talks to MLflow: the container joins its network and gets the addresses;
        `exchange` for one that talks to databases and object stores
    :param connection: an Airflow connection (templated), which the container gets as a file and as `--connection`
    :param read_only: the stage writes nothing below /data

    From the environment: ML_DOCKER_HOST, ML_DATA, ML_UID, ML_GID, ML_STAGE_MEMORY (see settings.py); for `mlflow` also
    ML_MLFLOW_NETWORK, the engine's name of that network, and network.ADDRESSES, which the container gets unchanged;
    for `exchange` ML_EXCHANGE_NETWORK; for a connection ML_CONNECTIONS_VOLUME.
    """

    template_fields: Sequence[str] = ("image", "command", "environment", "labels", "connection")
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
        **kwargs: Any,
    ) -> None:
        image = image_of(stage)
        self.stage = stage
        self.custom_operator_name = stage  # what Airflow's graph writes below the task
        self.image_id = image.id
        self.network, self.connection = network, connection
        self.addresses = networks.addresses(network)
        self.outcome = Outcome(image.name)
        self._killed = False
        source = setting("ML_DATA")
        mounts = [Mount(DATA_FOLDER, source, type="bind" if source.startswith("/") else "volume", read_only=read_only)]
        if connection:
            mounts.append(Mount(connections.TARGET, connections.volume(), type="volume", read_only=True))
            command = [*command, f"--connection={connection}"]
        run = {"dag": "{{ dag.dag_id }}", "task": "{{ task.task_id }}", "run": "{{ run_id }}"}
        super().__init__(
            image=image.name,
            command=command,
            docker_url=setting("ML_DOCKER_HOST"),
            user=f"{setting('ML_UID')}:{setting('ML_GID')}",
            mounts=mounts,
            mount_tmp_dir=False,
            network_mode=networks.engine_name(network),
            mem_limit=setting("ML_STAGE_MEMORY"),
            auto_remove="force",
            environment={
                **{f"ML_{key.upper()}_ID": template for key, template in run.items()},
                "ML_TRY_NUMBER": "{{ ti.try_number }}",
                "ML_IMAGE_ID": image.id,
                **({"ML_REVISION": image.revision} if image.revision else {}),
                **self.addresses,
            },
            labels={
                **{f"airflow-ml.{key}": template for key, template in run.items()},
                "airflow-ml.map-index": "{{ ti.map_index }}",
                "airflow-ml.data": source,
                "airflow-ml.try": "{{ ti.try_number }}",
            },
            **kwargs,
        )
        self.operator_extra_links = links_of(stage)

    def execute(self, context: Context) -> dict[str, Any]:  # type: ignore[override]  # the parent returns text
        """Run the container to its end; returns its result.

        Errors: AirflowRescheduleException while the input is not there yet; AirflowFailException if a retry cannot
        help; StageFailed otherwise.
        """
        self.command = [argument for argument in self.command or () if argument]
        self.outcome = Outcome(self.image, self.command_by_hand())
        try:
            self.outcome.result = self._execute(context)
        except (StageFailed, AirflowFailException) as failure:
            # Airflow logs the traceback around the message. These messages say it all, so our frames are left out.
            raise failure.with_traceback(None) from None
        return self.outcome.result

    def _execute(self, context: Context) -> dict[str, Any]:
        try:
            self._require_network()
            self._require_engine()
            self._require_image()
            self._remove_earlier_tries()
            with self._connection_file():
                line = self._run(context)
        except (DockerException, OSError) as error:  # requests' errors are OSErrors
            raise StageFailed(self._engine_trouble(error)) from error
        return self._parse_result(line, context)

    def _run(self, context: Context) -> str:
        """Run the container to its end and remove it; returns the last line of its stdout."""
        self.log.info("By hand: %s", self.outcome.by_hand)
        self.container = self.cli.create_container(
            self.image,
            self.command,
            user=self.user,
            environment=self.environment,
            labels=self.labels,
            host_config=self._host_config(),
        )
        try:
            if self._killed:
                raise AirflowFailException("the task was stopped before its container started")
            output = self.cli.attach(self.container["Id"], stream=True, demux=True)
            self.cli.start(self.container["Id"])
            result = self._log_output(output)
            self.outcome.exit_code = self.cli.wait(self.container["Id"])["StatusCode"]
            if self.outcome.exit_code:
                self._fail(self.outcome.exit_code, context)
        finally:
            self._remove_container()
        return result

    def on_kill(self) -> None:
        """Stop and remove the container: the task is stopped by a person, a timeout or a shutdown."""
        self._killed = True
        self._remove_container()

    def command_by_hand(self) -> str:
        """The `docker run` that does what this task does."""
        mount = self.mounts[0]
        volume = f"{mount['Source']}:{mount['Target']}{':ro' if mount['ReadOnly'] else ''}"
        options = (
            f"--rm --user {self.user} --network {self.network_mode} --read-only --tmpfs /tmp --cap-drop ALL"
            f" --security-opt no-new-privileges --pids-limit {PIDS_LIMIT}"
            f" --memory {self.mem_limit} --memory-swap {self.mem_limit}"
        )
        addresses = [word for name, value in self.addresses.items() for word in ("--env", f"{name}={value}")]
        file = f"{self.connection}.json"
        files = ["--volume", f"./{file}:{connections.TARGET}/{file}:ro"] if self.connection else []
        all_options = [*options.split(), *addresses, "--volume", volume, *files]
        return shlex.join(["docker", "run", *all_options, self.image, *(self.command or ())])

    def _host_config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.cli.create_host_config(
            mounts=self.mounts,
            network_mode=self.network_mode,
            mem_limit=self.mem_limit,
            memswap_limit=self.mem_limit,  # the same: no swap on top
            pids_limit=PIDS_LIMIT,
            read_only=True,
            tmpfs={"/tmp": "rw,noexec,nosuid,nodev"},  # noqa: S108 - the container's own
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
        )
        return config

    def _require_network(self) -> None:
        try:
            networks.require(self.network, self.network_mode)
        except networks.NetworkError as error:
            raise AirflowFailException(f"{self.stage} needs a network: {error}") from None

    @contextmanager
    def _connection_file(self) -> Iterator[None]:
        """The connection is a file while the container runs; the container's variable names its folder."""
        if not self.connection:
            yield
            return
        labels = cast("dict[str, str]", self.labels)
        task = {name: value for name, value in labels.items() if name != "airflow-ml.try"}
        try:
            with connections.as_file(self.connection, task) as folder:
                self.environment = {**cast("dict[str, str]", self.environment), "ML_CONNECTIONS": folder}
                yield
        except connections.NoConnection as error:
            raise AirflowFailException(f"{self.stage} needs a connection: {error}") from None

    def _require_engine(self) -> None:
        try:
            self.cli.ping()
        except AirflowException as error:  # the hook's, whose log line before has the cause
            raise StageFailed(self._engine_trouble(error)) from None

    def _engine_trouble(self, error: Exception) -> str:
        found = (
            f"refuses ({error.explanation or error})" if isinstance(error, APIError) else f"does not answer ({error})"
        )
        return (
            f"the engine at {self.docker_url} {found}; expected it to run {self.image}; do: see whether it and its "
            "proxy are up (`docker compose ps engine-proxy`). The next try removes what was left running. "
            f"By hand: {self.outcome.by_hand}"
        )

    def _require_image(self) -> None:
        """Never pull: a name that the engine does not know could be anybody's image elsewhere."""
        found = [image["Id"] for image in self.cli.images(name=self.image)]
        if found != [self.image_id]:
            what = f"is {found[0]} there, not {self.image_id}" if found else "is not there"
            raise AirflowFailException(
                f"image {self.image} of the image lock {what} (engine {self.docker_url}); do: run ./build_images.sh"
            )

    def _remove_earlier_tries(self) -> None:
        """Remove what an earlier try of this very task left running when its worker was killed outright.

        Another Airflow on the same engine has runs of the same names, but on other data.
        """
        labels = cast("dict[str, str]", self.labels)
        same = [f"{label}={value}" for label, value in labels.items() if label != "airflow-ml.try"]
        for container in self.cli.containers(all=True, filters={"label": same}):
            self.log.warning("Removing container %s of an earlier try", container["Id"][:12])
            self._stop_and_remove(container["Id"])

    def _remove_container(self) -> None:
        if self.container:
            self._stop_and_remove(self.container["Id"])

    def _stop_and_remove(self, container: str) -> None:
        try:
            self.cli.stop(container, timeout=STOP_SECONDS)
            self.cli.remove_container(container, v=True, force=True)
        except NotFound:
            self.log.debug("Container %s is gone already", container)
        except (DockerException, OSError) as error:
            # Not to hide why the task ends; the next try removes it.
            self.log.warning("Container %s could not be removed: %s", container, error)

    def _log_output(self, output: Iterable[tuple[bytes | None, bytes | None]]) -> str:
        """Log each line as it comes, with the level that the stage gave it; returns the last line of stdout.

        The stage's last error is kept as its complaint; if it logged none, the last line of stderr. The last line
        of each stream is kept separately, because the engine does not keep the order between the two.
        """
        last, error = ["", ""], ""
        for line in lines_of(output):
            self.log.log(line.level, "%s", line.text)
            self.outcome.lines.append(line.text)
            last[line.stream] = line.text
            error = line.text if line.level >= logging.ERROR else error
        self.outcome.complaint = error or last[STDERR]
        return last[STDOUT]

    def _fail(self, exit_code: int, context: Context) -> NoReturn:
        self.outcome.meaning = self._meaning(exit_code)
        if exit_code == KILLED:
            self.outcome.complaint = ""  # what a stage logged before SIGKILL does not explain its end
        waits = context.get("task_reschedule_count", 0)
        if exit_code == NOT_READY and waits < MAX_WAITS:
            self._look_again(MAX_WAITS - waits)
        if exit_code in HOPELESS:
            raise AirflowFailException(self.outcome.failure(self.stage, "a retry cannot help"))
        raise StageFailed(self.outcome.failure(self.stage, "a retry may help"))

    def _meaning(self, exit_code: int) -> str:
        if exit_code == KILLED and self._was_out_of_memory():
            return f"out of memory, it may use {self.mem_limit}; do: raise ML_STAGE_MEMORY or give it fewer rows"
        return MEANING.get(exit_code, "not an exit code of ours")

    def _was_out_of_memory(self) -> bool:
        """Whether the engine says so. It learns that by another event than the end, which may come later."""
        for _ in range(OUT_OF_MEMORY_LOOKS):
            if self.cli.inspect_container(self.container["Id"])["State"]["OOMKilled"]:
                return True
            time.sleep(0.2)
        return False

    def _look_again(self, left: int) -> NoReturn:
        self.log.warning("%s; looking again in %s, %s times at most", self.outcome.meaning, WAIT, left)
        raise AirflowRescheduleException(datetime.now(UTC) + WAIT)  # type: ignore[no-untyped-call]

    def _parse_result(self, line: str, context: Context) -> dict[str, Any]:
        try:
            result = json.loads(line)
            if not isinstance(result, dict):
                raise TypeError("not an object")
        except (ValueError, TypeError) as error:
            raise AirflowFailException(
                f"{self.stage} ended well, but the last line of its stdout, {line!r}, is not the JSON object "
                f"that every stage prints ({error})"
            ) from None
        for asset in self.outlets:
            context["outlet_events"][asset].extra = result
        return result
