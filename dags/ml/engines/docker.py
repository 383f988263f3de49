"""The Docker engine, as a stage's task needs it. The one place in `dags/` that knows its API."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from docker import APIClient
from docker.errors import APIError, DockerException, NotFound

from ml.outcome import KILLED

# A stage ends immediately when it is asked to; this bounds one that does not. Airflow kills a task 5 s after it asks
# the task to stop.
STOP_SECONDS = 2
# Seconds between two looks at a container that has closed its output.
LOOK_S = 0.1

# The engine learns that a container was out of memory by another event than its end, which may come later.
OUT_OF_MEMORY_LOOKS, OUT_OF_MEMORY_LOOK_S = 10, 0.2
# The label with the number of the try that started a container.
TRY = "airflow-ml.try"

# What stdout and stderr hold, one of them at a time.
Output = tuple[bytes | None, bytes | None]


class EngineError(Exception):
    """The engine does not answer, or refuses; the message says which."""


class ContainerGone(EngineError):
    """Somebody else has removed the container."""


@dataclass(frozen=True)
class Work:
    """What a container is made of. `image_id` is the id that the image lock has for `image`."""

    image: str
    image_id: str
    command: Sequence[str]
    user: str
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    host: Mapping[str, Any]


@dataclass(frozen=True)
class State:
    """How a container is: `exit_code` is None until it has ended."""

    exit_code: int | None
    out_of_memory: bool = False


class DockerEngine:
    """An engine behind a client.

    Every method raises EngineError if the engine does not answer or refuses, ContainerGone if a container is not there.
    """

    def __init__(self, client: APIClient) -> None:
        self._client = client

    @classmethod
    @contextmanager
    def at(cls, address: str) -> "Iterator[DockerEngine]":
        """The engine at an address, for as long as the block lasts."""
        with _trouble():
            client = APIClient(base_url=address)
        with closing(client):
            yield cls(client)

    def image_id(self, name: str) -> str | None:
        """The id of an image; None if the engine does not have it."""
        with _trouble():
            return next((str(image["Id"]) for image in self._client.images(name=name)), None)

    def start(self, work: Work) -> str:
        """Start a container; returns its id. A container that cannot start is removed."""
        with _trouble():
            made = self._client.create_container(
                work.image,
                list(work.command),
                user=work.user,
                environment=dict(work.environment),
                labels=dict(work.labels),
                host_config=self._client.create_host_config(**work.host),
            )
            container: str = made["Id"]
            try:
                self._client.start(container)
            except BaseException:
                self.remove(container)
                raise
            return container

    def find(self, labels: Mapping[str, str], *, running: bool = False) -> set[str]:
        """The containers with these labels; `running`: only those that have started and not ended."""
        wanted = [f"{name}={value}" for name, value in labels.items()]
        with _trouble():
            return {str(one["Id"]) for one in self._client.containers(all=not running, filters={"label": wanted})}

    def does(self, container: str, work: Work) -> bool:
        """Whether a container has started with this work's image, command and labels, except the try's."""
        with _trouble():
            found = self._client.inspect_container(container)
            return (
                found["State"]["Status"] != "created"
                and found["Image"] == work.image_id
                and list(found["Config"]["Cmd"] or ()) == list(work.command)
                and {**work.labels, TRY: ""}.items() <= {**found["Config"]["Labels"], TRY: ""}.items()
            )

    def state(self, container: str) -> State:
        """The state of a container."""
        for _ in range(OUT_OF_MEMORY_LOOKS):
            with _trouble():
                found = self._client.inspect_container(container)["State"]
            ended = found["Status"] in ("exited", "dead")
            state = State(found["ExitCode"] if ended else None, bool(found["OOMKilled"]))
            if state.exit_code != KILLED or state.out_of_memory:
                break
            time.sleep(OUT_OF_MEMORY_LOOK_S)
        return state

    def last_line(self, container: str) -> str:
        """The last line that a container has written to stderr."""
        with _trouble():
            written: bytes = self._client.logs(container, stdout=False, stderr=True, tail=1)
            return written.decode("utf-8", errors="replace").strip()

    def follow(self, container: str, seconds: float) -> Iterator[Output]:
        """What a container writes, from its beginning, until it ends or so many seconds have gone."""
        end = time.monotonic() + seconds
        chunks: SimpleQueue[Output | Exception | None] = SimpleQueue()
        for stream in ("stdout", "stderr"):
            Thread(target=self._pump, args=(container, stream, chunks), daemon=True).start()
        open_streams = 2
        while open_streams and (left := end - time.monotonic()) > 0:
            try:
                chunk = chunks.get(timeout=left)
            except Empty:
                return
            if isinstance(chunk, Exception):
                with _trouble():
                    raise chunk
            if chunk is None:
                open_streams -= 1
            else:
                yield chunk
        while time.monotonic() < end and self.state(container).exit_code is None:
            time.sleep(LOOK_S)

    def _pump(self, container: str, stream: str, chunks: "SimpleQueue[Output | Exception | None]") -> None:
        is_stdout = stream == "stdout"
        try:
            for chunk in self._client.logs(container, stdout=is_stdout, stderr=not is_stdout, stream=True, follow=True):
                chunks.put((chunk, None) if is_stdout else (None, chunk))
            chunks.put(None)
        except Exception as error:  # the reader of the queue raises it
            chunks.put(error)

    def remove(self, container: str) -> None:
        """Stop and remove a container, if it is still there."""
        with suppress(ContainerGone), _trouble():
            self._client.stop(container, timeout=STOP_SECONDS)
            self._client.remove_container(container, v=True, force=True)


@contextmanager
def _trouble() -> Iterator[None]:
    try:
        yield
    except APIError as error:
        if isinstance(error, NotFound) and "No such container" in str(error.explanation):
            raise ContainerGone("does not have the container any more") from error
        raise EngineError(f"refuses ({error.explanation or error})") from error
    except (DockerException, OSError) as error:  # requests' errors are OSErrors
        raise EngineError(f"does not answer ({error})") from error
