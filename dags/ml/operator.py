"""StageOperator: runs a stage's container. The one place in `dags/` that knows the engine."""

import json
import os
import shlex
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, cast

from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowRescheduleException
from docker.errors import APIError, DockerException, NotFound
from docker.types import Mount

from ml import network as networks
from ml.images import image_of
from ml.links import links_of
from ml.outcome import Outcome, lines_of

DATA_FOLDER = "/data"
# tini and Python need a handful, the libraries' thread pools a few per core.
PIDS_LIMIT = 512
# Airflow kills a task 5 s after it asked it to stop; a stage ends at once, and this bounds one that does not.
STOP_SECONDS = 2

# What a stage waits for: looked for again every 5 minutes, for an hour.
NOT_READY, WAIT, MAX_WAITS = 4, timedelta(minutes=5), 12
# A retry would fail in the same way.
HOPELESS = {2, 3}
MEANING = {
    1: "the stage failed",
    2: "wrong usage, the image does not take these arguments",
    3: "bad input data",
    NOT_READY: "the input is not there yet",
    137: "killed from outside",
    143: "asked to stop",
}


class StageFailed(AirflowException):
    """A stage's container ended with an exit code other than 0."""


class StageOperator(DockerOperator):
    """Runs one command of a stage in a container of its own, with the discipline that every stage gets.

    The container has no network, no root rights, no capabilities, a read-only root, limits on memory and
    processes, and sees /data alone. It is removed whatever happens. The result is the JSON object on the
    last line of its stdout; the outlets' asset events carry it too.

    :param stage: the stage, as the image lock names it
    :param command: its arguments (templated); an empty one is left out
    :param network: `mlflow` for a stage that talks to MLflow: the container is on its network and is told the addresses
    :param read_only: the stage writes nothing below /data

    From the environment: ML_DOCKER_HOST, the engine; ML_DATA, a volume's name or an absolute host path;
    ML_UID and ML_GID, whom the data belongs to; ML_STAGE_MEMORY, the most that a container may use; for `mlflow` also
    ML_MLFLOW_NETWORK, the engine's name of that network, and network.TOLD, which the container gets as they are.
    """

    template_fields: Sequence[str] = ("image", "command", "environment", "labels")
    template_ext: Sequence[str] = ()
    ui_color = "#e8f1fb"

    def __init__(
        self, *, stage: str, command: list[str], network: str = networks.NONE, read_only: bool = False, **kwargs: Any
    ) -> None:
        image = image_of(stage)
        self.stage = stage
        self.custom_operator_name = stage  # what Airflow's graph writes below the task
        self.image_id = image.id
        self.network = network
        self.addresses = networks.addresses(network)
        self.outcome = Outcome(image.name)
        self._killed = False
        source = os.environ.get("ML_DATA") or "data"
        mount = Mount(DATA_FOLDER, source, type="bind" if source.startswith("/") else "volume", read_only=read_only)
        run = {"dag": "{{ dag.dag_id }}", "task": "{{ task.task_id }}", "run": "{{ run_id }}"}
        super().__init__(
            image=image.name,
            command=command,
            docker_url=os.environ.get("ML_DOCKER_HOST") or "unix:///var/run/docker.sock",
            user=f"{os.environ.get('ML_UID') or 10001}:{os.environ.get('ML_GID') or 10001}",
            mounts=[mount],
            mount_tmp_dir=False,
            network_mode=networks.engine_name(network),
            mem_limit=os.environ.get("ML_STAGE_MEMORY") or "4g",
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

        Errors: AirflowRescheduleException while the input is not there yet; AirflowFailException where a retry
        cannot help; StageFailed otherwise.
        """
        self.command = [argument for argument in self.command or () if argument]
        self.outcome = Outcome(self.image, self.command_by_hand())
        try:
            self._require_network()
            self._require_engine()
            self._require_image()
            self._remove_earlier_tries()
            line = self._run(context)
        except (DockerException, OSError) as error:  # requests' errors are OSErrors
            raise StageFailed(self._engine_trouble(error)) from error
        self.outcome.result = self._report(line, context)
        return self.outcome.result

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
            result, complaint = self._log_output(output)
            self.outcome.exit_code = self.cli.wait(self.container["Id"])["StatusCode"]
            if self.outcome.exit_code:
                self._fail(self.outcome.exit_code, complaint, context)
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
        told = [word for name, value in self.addresses.items() for word in ("--env", f"{name}={value}")]
        options_and_data = [*options.split(), *told, "--volume", volume]
        return shlex.join(["docker", "run", *options_and_data, self.image, *(self.command or ())])

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

    def _log_output(self, output: Iterable[tuple[bytes | None, bytes | None]]) -> tuple[str, str]:
        """Log each line as it comes; returns the last line of stdout and the last of stderr.

        The two are told apart because the engine does not keep the order between them.
        """
        last = ["", ""]
        for stream, text in lines_of(output):
            self.log.info("%s", text)
            self.outcome.lines.append(text)
            last[stream] = text
        return last[0], last[1]

    def _fail(self, exit_code: int, complaint: str, context: Context) -> NoReturn:
        meaning = MEANING.get(exit_code, "not an exit code of ours")
        if exit_code == 137 and self.cli.inspect_container(self.container["Id"])["State"]["OOMKilled"]:
            meaning = f"out of memory, it may use {self.mem_limit}; do: raise ML_STAGE_MEMORY or give it fewer rows"
        self.outcome.meaning = meaning
        waits = context.get("task_reschedule_count", 0)
        if exit_code == NOT_READY and waits < MAX_WAITS:
            left = MAX_WAITS - waits
            self.log.warning("Exit code %s: %s; looking again in %s, %s times at most", exit_code, meaning, WAIT, left)
            raise AirflowRescheduleException(datetime.now(UTC) + WAIT)  # type: ignore[no-untyped-call]
        hopeless = exit_code in HOPELESS | {NOT_READY}
        retry = "a retry cannot help" if hopeless else "a retry may help"
        message = (
            f"{self.stage} ended with exit code {exit_code}: {meaning} ({retry}). "
            f"It said: {complaint or 'nothing'}. By hand: {self.outcome.by_hand}"
        )
        raise AirflowFailException(message) if hopeless else StageFailed(message)

    def _report(self, line: str, context: Context) -> dict[str, Any]:
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
