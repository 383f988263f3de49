"""Several ranks of one training as one container: they start together, and are removed together.

Whatever engine runs them, the ranks are containers of it on a network of their own, which leads nowhere; each knows the
first as `rank-0`. `gang-` and the network's id name them all.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from ml import container_labels
from ml.engines import ContainerGone, Engine, NotRun, Output, State, Work
from ml.outcome import ANOTHER_ENDED

GANG, RUN = "gang-", "docker run "
# When one rank has ended badly, the others end within seconds, and their logs are complete. Then all are removed.
SETTLE_S, LOOK_S = 5, 0.2


class GangEngine(Engine):
    """An engine for which the ranks of a work are one container; all else is left to the engine itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.address, self.advice = engine, engine.address, engine.advice

    def require_image(self, work: Work) -> None:
        self._engine.require_image(work)

    def by_hand(self, work: Work) -> str:
        one = self._engine.by_hand(replace(work, network="ranks") if work.ranks > 1 else work)
        if work.ranks == 1:
            return one
        if not one.startswith(RUN):
            return f"{one} # one of {work.ranks} ranks: docs/kubernetes.md says how all are started"
        ranks = " ".join(map(str, range(work.ranks)))
        placed = f"{RUN}--network-alias rank-$rank --env ML_RANK=$rank {one.removeprefix(RUN)}"
        return f"docker network create --internal ranks; for rank in {ranks}; do {placed} & done; wait"

    def start(self, work: Work) -> str:
        if work.ranks == 1:
            return self._engine.start(work)
        network, first = self._engine.make_network(work), ""
        try:
            for rank in range(work.ranks):
                started = self._engine.start(_one_of(work, network, rank, first))
                first = first or started
        except BaseException:
            self.remove(f"{GANG}{network}")
            raise
        return f"{GANG}{network}"

    def find(self, labels: Mapping[str, str], *, running: bool = False) -> dict[str, dict[str, str]]:
        """Ranks run as long as all of them do."""
        found = self._engine.find(labels, running=running)
        named = [(_name(container, its_own), its_own) for container, its_own in found.items()]
        counts = Counter(name for name, _ in named)
        return {name: its_own for name, its_own in named if not running or counts[name] == _ranks(its_own)}

    def does(self, container: str, work: Work) -> bool:
        if not container.startswith(GANG):
            return self._engine.does(container, work)
        members = self._engine.find({container_labels.GANG: container})
        return len(members) == work.ranks and all(self._engine.does(member, work) for member in members)

    def state(self, container: str) -> State:
        """That of the first rank that did not end because of another; None as long as all go on."""
        if not container.startswith(GANG):
            return self._engine.state(container)
        end = time.monotonic() + SETTLE_S
        while True:
            states = self._states(container)
            failed = [state for state in states if state.exit_code]
            if not failed:
                return next((state for state in states if state.exit_code is None), states[0])
            if None not in {state.exit_code for state in states} or time.monotonic() > end:
                return min(failed, key=lambda state: state.exit_code == ANOTHER_ENDED)
            time.sleep(LOOK_S)

    def last_line(self, container: str) -> str:
        return self._engine.last_line(self._first(container))

    def follow(self, container: str, seconds: float) -> Iterator[Output]:
        """What rank 0 writes; then, if another is the reason why all ended, what that one has written."""
        yield from self._engine.follow(self._first(container), seconds)
        if container.startswith(GANG) and (state := self.state(container)).exit_code:
            member = next(
                name
                for name, its_own in self._members(container).items()
                if its_own[container_labels.RANK] == state.rank
            )
            if member != self._first(container):
                yield from self._engine.follow(member, seconds)

    def remove(self, container: str) -> None:
        if not container.startswith(GANG):
            self._engine.remove(container)
            return
        for member in self._engine.find({container_labels.GANG: container}):
            self._engine.remove(member)
        self._engine.remove_network(container.removeprefix(GANG))

    def make_network(self, work: Work) -> str:
        return self._engine.make_network(work)

    def remove_network(self, network: str) -> None:
        self._engine.remove_network(network)

    def close(self) -> None:
        self._engine.close()

    def _members(self, gang: str) -> dict[str, dict[str, str]]:
        """The containers of all ranks, in order. Errors: ContainerGone if one is not there."""
        found = self._engine.find({container_labels.GANG: gang})
        members = dict(sorted(found.items(), key=lambda one: int(one[1][container_labels.RANK].split()[1])))
        if not members or len(members) < _ranks(next(iter(members.values()))):
            raise ContainerGone(f"has {len(members)} containers of {gang}, not all of them")
        return members

    def _first(self, container: str) -> str:
        return next(iter(self._members(container))) if container.startswith(GANG) else container

    def _states(self, gang: str) -> list[State]:
        members = self._members(gang).items()
        return [self._state(member, labels[container_labels.RANK]) for member, labels in members]

    def _state(self, member: str, rank: str) -> State:
        try:
            return replace(self._engine.state(member), rank=rank)
        except NotRun as error:
            raise NotRun(f"{rank}: {error}", hopeless=error.hopeless) from None


def _one_of(work: Work, network: str, rank: int, first: str) -> Work:
    """The work of one rank."""
    labels = {
        container_labels.GANG: f"{GANG}{network}",
        container_labels.RANKS: str(work.ranks),
        container_labels.RANK: f"rank {rank} of {work.ranks}",
    }
    return replace(
        work,
        ranks=1,
        network=network,
        alias=f"rank-{rank}",
        first=first,
        environment={**work.environment, "ML_RANK": str(rank)},
        labels={**work.labels, **labels},
    )


def _name(container: str, labels: Mapping[str, str]) -> str:
    return labels.get(container_labels.GANG, container)


def _ranks(labels: Mapping[str, str]) -> int:
    return int(labels.get(container_labels.RANKS, "1"))
