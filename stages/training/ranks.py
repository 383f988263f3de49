"""Training on several machines: each rank is a container, and LightGBM's data-parallel learner joins them.

Rank r of n trains on the rows r, r + n, r + 2n, ... of train.csv. Rank 0 alone reads the parameters and the rows that
validate, decides which iteration is the last, and publishes; the others do as it says and return its result. LightGBM
itself waits for ever for a rank that has ended. So each rank keeps a connection with rank 0: when one is cut, all end.

All ranks are on one network, where rank 0 has the name `rank-0`. Nothing on it is encrypted or asks who is there:
nobody else may be on it.
"""

import contextlib
import json
import logging
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

from stagekit import BadInput, StageError, UsageError
from stagekit.process import at_termination

MOST_RANKS = 64
# The exit code of a rank that ends because another has: the other's says why.
ANOTHER_ENDED = 5
FIRST, PORT, LIGHTGBM_PORT = "rank-0", 12401, 12400
# How long a rank waits for the others, and how often it looks.
MEETING_S, LOOK_S = 600, 0.2
# A host that no longer answers is given up after about 40 s; the end of a process is noticed immediately.
KEEP_ALIVE = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 6, socket.TCP_USER_TIMEOUT: 40_000}
# A rank that cannot connect to LightGBM's port tries again after 10 s, so it begins when that port is surely open.
LISTENING_S = 0.2
# After a failure that LightGBM reports: another rank may be the reason, which its connection shows within this time.
REASON_S = 2
# Minutes, for LightGBM's own sockets; it does not keep this limit on Linux.
LIGHTGBM_TIME_OUT = 120

log = logging.getLogger("training")


class Ranks:
    """One rank's view of all: its `number`, of how many (`of`), and its connections: with rank 0; rank 0's with each.

    Rank 0 also has the `addresses` of all, in the order of their numbers.

    Use as a context manager, around all that the ranks do together.
    """

    def __init__(
        self,
        number: int = 0,
        of: int = 1,
        connections: Mapping[int, socket.socket] | None = None,
        addresses: Sequence[str] = (),
    ) -> None:
        self.number, self.of = number, of
        self._connections, self._addresses = dict(connections or {}), addresses
        self._received: dict[int, SimpleQueue[dict[str, Any]]] = {rank: SimpleQueue() for rank in self._connections}
        self._lost, self._done = "", False
        self._losing = threading.Lock()
        self._network: Any = None

    @property
    def parameters(self) -> dict[str, Any]:
        """LightGBM's parameters of a training on so many ranks; none for one."""
        return {"tree_learner": "data", "num_machines": self.of, "pre_partition": True} if self.of > 1 else {}

    def __enter__(self) -> "Ranks":
        # The last of the clean-ups, so that none is left out.
        self._forget = at_termination(self._end_if_lost)
        for rank, connection in self._connections.items():
            threading.Thread(target=self._listen, args=(rank, connection), name=f"rank-{rank}", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done = True
        self._forget()
        for connection in self._connections.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def send(self, **message: Any) -> None:
        """Send a message: rank 0 to all others, the others to rank 0."""
        for rank in self._connections:
            self._send(rank, message)

    def receive(self, rank: int = 0) -> dict[str, Any]:
        """The next message of a rank. If none comes because a rank has ended, this process ends too."""
        return self._received[rank].get()

    def gather(self) -> list[dict[str, Any]]:
        """Rank 0: the next message of each other rank."""
        return [self.receive(rank) for rank in self._connections]

    def settle(self) -> None:
        """LightGBM has failed: if another rank is the reason, this process ends here, and its log names that rank."""
        if self.of > 1:
            time.sleep(REASON_S)

    def begin(self, parameters: Mapping[str, Any]) -> None:
        """Rank 0: have all ranks train with these parameters, and connect LightGBM with them."""
        if self.of == 1:
            return
        # LightGBM's smaller ranks connect to larger ones, so these begin.
        for rank in reversed(range(1, self.of)):
            self._send(rank, {"begin": dict(parameters), "addresses": list(self._addresses)})
            self.receive(rank)
            time.sleep(LISTENING_S)
        self._connect(self._addresses)

    def join(self) -> dict[str, Any] | None:
        """Another rank than 0: wait for `begin`; returns the parameters, None if there is nothing to train."""
        message = self.receive()
        if "begin" not in message:
            self._received[0].put(message)
            return None
        self.send(listens=True)
        self._connect(message["addresses"])
        return dict(message["begin"])

    def result(self) -> dict[str, Any]:
        """Another rank than 0: wait for the result of rank 0, past whatever it says before."""
        while "result" not in (message := self.receive()):
            pass
        return dict(message["result"])

    def finish(self, result: Mapping[str, Any]) -> None:
        """Rank 0: send the result to the others, which end."""
        with self._losing:
            self._done = True
        self.send(result=dict(result))

    def stopper(self) -> Callable[[Any], None]:
        """A callback of LightGBM after its own, with which all ranks stop after the same iteration: rank 0 decides.

        Each rank could judge the same rows, but the last digits of a metric depend on the processor; ranks that do
        not agree would wait for each other for ever.
        """
        import lightgbm

        def follow(env: Any) -> None:
            if self.number == 0:
                self.send(stop=False)
            elif self.receive()["stop"]:
                raise lightgbm.callback.EarlyStopException(env.iteration, [])

        follow.order = 100  # type: ignore[attr-defined]  # LightGBM's own stops at 30, and then this is not called
        return follow

    def _connect(self, addresses: Sequence[str]) -> None:
        """Connect LightGBM, before it reads any data: the ranks agree on the bins of each feature."""
        import lightgbm
        import numpy as np

        machines = ",".join(f"{address}:{LIGHTGBM_PORT}" for address in addresses)
        # The network belongs to the process, but to a booster in Python: one that is only kept until all is done.
        quiet = {"verbosity": -1}
        self._network = lightgbm.Booster(quiet, lightgbm.Dataset(np.zeros((1, 1)), [0.0], params=quiet))
        try:
            with _stdout_to_stderr():
                self._network.set_network(machines, LIGHTGBM_PORT, LIGHTGBM_TIME_OUT, self.of)
        except lightgbm.basic.LightGBMError as error:
            self.settle()
            raise StageError(f"LightGBM's ranks cannot connect: {error}") from None
        log.info("this is rank %d of %d: it trains on every %d rows", self.number, self.of, self.of)

    def _send(self, rank: int, message: Mapping[str, Any]) -> None:
        try:
            self._connections[rank].sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self._lose(rank)
            self.settle()

    def _listen(self, rank: int, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection.makefile("rb") as lines:
            for line in lines:
                message = json.loads(line)
                if "lost" in message:
                    self._lose(message["lost"])
                self._done = self._done or "result" in message  # rank 0 may end now
                self._received[rank].put(message)
        self._lose(rank)

    def _lose(self, rank: int) -> None:
        """End this process, also if LightGBM waits in it, because a rank has ended; rank 0 says which to the others."""
        with self._losing:
            if self._done or self._lost:
                return
            self._lost = f"rank {rank} of {self.of} has ended, so rank {self.number} ends too; nothing was published"
            for other in self._connections.keys() - {rank} if self.number == 0 else ():
                with contextlib.suppress(OSError):
                    self._connections[other].sendall(json.dumps({"lost": rank}).encode() + b"\n")
        # To this thread: in the main one it would cut LightGBM's calls, whose errors would end the process otherwise.
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    def _end_if_lost(self) -> None:
        if self._lost:
            log.error("%s", self._lost)
            os._exit(ANOTHER_ENDED)


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """A thread of LightGBM writes to stdout, past its logger; stdout is for the result line alone."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


# One container alone.
ONE = Ranks()


def meet(of: int, what: Mapping[str, Any]) -> Ranks:
    """Wait for all ranks of a training. Each says `what` it works on, which must be the same.

    Errors: UsageError if ML_RANK does not say which rank this is; StageError if not all come within MEETING_S;
    BadInput if one works on something else.
    """
    if of == 1:
        return Ranks()
    number = _own_number(of)
    try:
        if number == 0:
            connections, addresses = _wait_for_others(of, what)
        else:
            connections, addresses = {0: _find_first(number, what)}, []
    except TimeoutError:
        raise StageError(
            f"rank {number} of {of} has waited {MEETING_S} s for the others",
            expected=f"{of} containers on one network, ML_RANK=0 to {of - 1}, and {FIRST} as a name of the first",
            do="look at the others' logs",
        ) from None
    for connection in connections.values():
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEP_ALIVE.items():
            connection.setsockopt(socket.IPPROTO_TCP, name, value)
    return Ranks(number, of, connections, addresses)


def _own_number(of: int) -> int:
    text = os.environ.get("ML_RANK", "")
    if not re.fullmatch("[0-9]{1,4}", text) or int(text) >= of:
        raise UsageError(
            f"ML_RANK is {text or 'not set'}",
            expected=f"a number from 0 to {of - 1}, as --ranks {of} starts {of} containers",
            do="see the stage's README",
        )
    return int(text)


def _wait_for_others(of: int, what: Mapping[str, Any]) -> tuple[dict[int, socket.socket], list[str]]:
    """Rank 0: a connection with each other rank, and the addresses of all, its own first."""
    end = time.monotonic() + MEETING_S
    connections: dict[int, socket.socket] = {}
    addresses: dict[int, str] = {}
    with socket.create_server(("", PORT), backlog=of) as server:
        while len(connections) < of - 1:
            server.settimeout(max(end - time.monotonic(), LOOK_S))
            connection, _ = server.accept()
            connection.settimeout(max(end - time.monotonic(), LOOK_S))
            said = _hello(connection)
            rank, address = said.pop("rank", None), said.pop("address", "")
            if rank in connections or rank not in range(1, of):
                raise BadInput(f"there is a rank {rank} too many", expected=f"one each of 1 to {of - 1}")
            if said != json.loads(json.dumps(what)):
                raise BadInput(f"rank {rank} works on {said}", expected=f"{what}, as rank 0 does")
            connections[rank], addresses[rank], addresses[0] = connection, address, connection.getsockname()[0]
    return connections, [addresses[rank] for rank in range(of)]


def _hello(connection: socket.socket) -> dict[str, Any]:
    """What a rank says first. A byte at a time: what follows is for the thread that listens."""
    line = b""
    while not line.endswith(b"\n") and (byte := connection.recv(1)):
        line += byte
    with contextlib.suppress(ValueError):
        said = json.loads(line)
        if isinstance(said, dict):
            return said
    return {}


def _find_first(number: int, what: Mapping[str, Any]) -> socket.socket:
    """Another rank: a connection with rank 0, whose name is known once it is there."""
    end = time.monotonic() + MEETING_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            first = socket.gethostbyname(FIRST)  # LightGBM knows addresses of IP version 4 alone
            connection = socket.create_connection((first, PORT), timeout=end - time.monotonic())
            # It says its own address: a host between the two may put another one in the packets.
            hello = {"rank": number, "address": connection.getsockname()[0], **what}
            connection.sendall(json.dumps(hello).encode() + b"\n")
            return connection
        time.sleep(LOOK_S)
    raise TimeoutError
