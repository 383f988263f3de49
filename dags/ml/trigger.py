"""What the triggerer does while a stage's container runs: it waits for the end, and holds no worker."""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any
from weakref import WeakKeyDictionary

from airflow.triggers.base import BaseTrigger, TriggerEvent

from ml import connections, container_labels, engines
from ml.engines import EngineError

# Seconds between two looks at the engine, and between two looks at what a container has written.
LOOK_S, PROGRESS_S = 0.5, 30.0


class ContainerTrigger(BaseTrigger):
    """Fires when a container has ended, or is gone.

    The triggerer may be killed: the container goes on, and the trigger starts again elsewhere. A person who marks or
    clears the task stops and removes the container.

    :param container: its id
    :param task: the labels that only this task's containers carry, until a person clears it
    """

    def __init__(self, container: str, task: dict[str, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.container, self.task_labels = container, task

    def serialize(self) -> tuple[str, dict[str, Any]]:
        values = {"container": self.container, "task": self.task_labels}
        return f"{type(self).__module__}.{type(self).__qualname__}", values

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait; an engine that does not answer is asked again, the time limit of the task bounds it."""
        progress = asyncio.create_task(self._show_progress())
        try:
            await _watch(self.task_labels[container_labels.DATA]).end_of(self.container)
        finally:
            progress.cancel()
        yield TriggerEvent(self.container)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Stop and remove the container, and the connection that it reads."""
        await asyncio.to_thread(self._remove)

    def _remove(self) -> None:
        connections.remove(self.task_labels)
        with engines.connect() as engine:
            engine.remove(self.container)

    async def _show_progress(self) -> None:
        """Log the newest line of the stage from time to time; the whole log comes when the container has ended."""
        last = ""
        while True:
            await asyncio.sleep(PROGRESS_S)
            line = await asyncio.to_thread(self._last_line)
            if line not in ("", last):
                self.log.info("%s", line)
            last = line

    def _last_line(self) -> str:
        with engines.connect() as engine:
            try:
                return engine.last_line(self.container)
            except EngineError as error:
                return f"the engine at {engine.address} {error}"


class _Watch:
    """Looks at the engine once for all triggers that wait for it: 300 of them cost what one does."""

    def __init__(self, data: str) -> None:
        self._data = data
        self._look: asyncio.Task[Collection[str] | None] | None = None

    async def end_of(self, container: str) -> None:
        while (running := await self._running()) is None or container in running:
            pass

    async def _running(self) -> Collection[str] | None:
        """The containers that run, by a look that begins after this call, or shortly before; None if it failed."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._look_soon())
        return await asyncio.shield(self._look)

    async def _look_soon(self) -> Collection[str] | None:
        await asyncio.sleep(LOOK_S)
        return await asyncio.to_thread(self._find)

    def _find(self) -> Collection[str] | None:
        try:
            with engines.connect() as engine:
                return engine.find({container_labels.DATA: self._data}, running=True)
        except EngineError:
            return None


_watches: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Watch]]" = WeakKeyDictionary()


def _watch(data: str) -> _Watch:
    """The watch of this event loop for the containers of some data."""
    return _watches.setdefault(asyncio.get_running_loop(), {}).setdefault(data, _Watch(data))
