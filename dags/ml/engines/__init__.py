"""What an engine does for a stage's task, and which engine this installation has.

`ml.operator` has the discipline, and knows no engine. A module here is an engine, and its name the value of ML_ENGINE.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Self

from ml.settings import SettingError, setting

# What stdout and stderr hold, one of them at a time.
Output = tuple[bytes | None, bytes | None]


class EngineError(Exception):
    """The engine does not answer, or refuses; the message says which."""


class ContainerGone(EngineError):
    """Somebody else has removed the container."""


class NotRun(EngineError):
    """The engine cannot run the work, or has lost it. The message says what was found, what was expected, what to do.

    `hopeless`: a retry cannot help.
    """

    def __init__(self, message: str, *, hopeless: bool = False) -> None:
        super().__init__(message)
        self.hopeless = hopeless


@dataclass(frozen=True)
class Work:
    """What a container does, and with what. Every engine confines it as well as it can.

    `image_id` is the id that the image lock has for `image`, and `pushed` its name by digest in an image registry, None
    if it is in none; `user` is UID:GID; `data` is a volume or a folder, which the container sees as /data; `connection`
    is the name of the Airflow connection that it gets as a file. Of several `ranks`, each is a container of its own
    (`ml.gang`); `alias` is the name of this one on their network, and `first` the container on it that started before
    all others, empty for that one itself.
    """

    stage: str
    image: str
    image_id: str
    pushed: str | None
    command: Sequence[str]
    user: str
    memory: str
    network: str | None
    data: str
    read_only: bool
    connection: str
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    ranks: int = 1
    alias: str = ""
    first: str = ""


@dataclass(frozen=True)
class State:
    """How a container is: `exit_code` is None until it has ended; `out_of_memory` is None if the engine cannot say.

    `rank` says which of several it is, such as "rank 2 of 3".
    """

    exit_code: int | None
    out_of_memory: bool | None = False
    rank: str = ""


class Engine(ABC):
    """An engine. It connects when it is first used, and is a context that ends the connection.

    Every method raises EngineError if the engine does not answer or refuses, ContainerGone if a container is not there.
    NotRun is for work that cannot begin, or of which nobody will know how it ends.
    """

    # Where it is, and what helps if it does not answer.
    address: str
    advice: str

    @abstractmethod
    def require_image(self, work: Work) -> None:
        """Errors: NotRun unless the engine has the very image that the image lock names, or can get no other."""

    @abstractmethod
    def by_hand(self, work: Work) -> str:
        """The command line with which a person does this work."""

    @abstractmethod
    def start(self, work: Work) -> str:
        """Start a container; returns its id. A container that cannot start is removed."""

    @abstractmethod
    def find(self, labels: Mapping[str, str], *, running: bool = False) -> dict[str, dict[str, str]]:
        """The containers with these labels, each with all of its labels; `running`: those that have not ended."""

    @abstractmethod
    def does(self, container: str, work: Work) -> bool:
        """Whether a container has started with this work's image and command, and has its labels."""

    @abstractmethod
    def state(self, container: str) -> State:
        """The state of a container. Errors: NotRun."""

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
    def make_network(self, work: Work) -> str:
        """A network for the ranks of a work, which leads nowhere; returns its id. Errors: NotRun if there can be none.

        One that is left behind is removed later, by a removal of another.
        """

    @abstractmethod
    def remove_network(self, network: str) -> None:
        """Remove a network, if it is still there."""

    @abstractmethod
    def close(self) -> None:
        """End the connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(patience_s: float = 60) -> Engine:
    """The engine that ML_ENGINE names; an answer may take so many seconds.

    Errors: SettingError if it names none, or if a setting of the engine is missing.
    """
    name = setting("ML_ENGINE")
    names = sorted(module.name for module in iter_modules(__path__))
    if name not in names:
        raise SettingError("ML_ENGINE", f"is {name!r}", " or ".join(names))
    one = import_module(f"{__name__}.{name}").connect(patience_s)
    engine: Engine = import_module("ml.gang").GangEngine(one)  # it is an engine, too
    return engine
