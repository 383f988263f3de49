"""What an engine does for a stage's task, and which engine this installation has.

`ml.operator` has the discipline, and knows no engine. A module here is an engine, and its name the value of ML_ENGINE.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Self

from ml.settings import SettingError

# What stdout and stderr hold, one of them at a time.
Output = tuple[bytes | None, bytes | None]


class EngineError(Exception):
    """The engine does not answer, or refuses; the message says which."""


class ContainerGone(EngineError):
    """Somebody else has removed the container."""


@dataclass(frozen=True)
class Work:
    """What a container does, and with what. Every engine confines it as well as it can.

    `image_id` is the id that the image lock has for `image`; `user` is UID:GID; `data` is a volume or a folder, which
    the container sees as /data; `connection` is the name of the Airflow connection that it gets as a file.
    """

    image: str
    image_id: str
    command: Sequence[str]
    user: str
    memory: str
    network: str | None
    data: str
    read_only: bool
    connection: str
    environment: Mapping[str, str]
    labels: Mapping[str, str]


@dataclass(frozen=True)
class State:
    """How a container is: `exit_code` is None until it has ended."""

    exit_code: int | None
    out_of_memory: bool = False


class Engine(ABC):
    """An engine. It connects when it is first used, and is a context that ends the connection.

    Every method raises EngineError if the engine does not answer or refuses, ContainerGone if a container is not there.
    """

    # Where it is, and what helps if it does not answer.
    address: str
    advice: str

    @abstractmethod
    def image_id(self, name: str) -> str | None:
        """The id of an image; None if the engine does not have it."""

    @abstractmethod
    def by_hand(self, work: Work) -> str:
        """The command line with which a person does this work."""

    @abstractmethod
    def start(self, work: Work) -> str:
        """Start a container; returns its id. A container that cannot start is removed."""

    @abstractmethod
    def find(self, labels: Mapping[str, str], *, running: bool = False) -> dict[str, dict[str, str]]:
        """The containers with these labels, each with all of its labels; `running`: those that started and go on."""

    @abstractmethod
    def does(self, container: str, work: Work) -> bool:
        """Whether a container has started with this work's image and command, and has its labels."""

    @abstractmethod
    def state(self, container: str) -> State:
        """The state of a container."""

    @abstractmethod
    def last_line(self, container: str) -> str:
        """The last line that a container has written to stderr."""

    @abstractmethod
    def follow(self, container: str, seconds: float) -> Iterator[Output]:
        """What a container writes, from its beginning, until it ends or so many seconds have gone."""

    @abstractmethod
    def remove(self, container: str) -> None:
        """Stop and remove a container, if it is still there."""

    @abstractmethod
    def close(self) -> None:
        """End the connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(patience_s: float = 60) -> Engine:
    """The engine that ML_ENGINE names, `docker` if it is not set; an answer may take so many seconds.

    Errors: SettingError if it names none, or if a setting of the engine is missing.
    """
    name = os.environ.get("ML_ENGINE", "").strip() or "docker"
    if name not in {module.name for module in iter_modules(__path__)}:
        raise SettingError("ML_ENGINE", f"is {name!r}")
    engine: Engine = import_module(f"{__name__}.{name}").connect(patience_s)
    return engine
