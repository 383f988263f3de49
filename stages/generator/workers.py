"""Makes the minutes of a day in several processes; the result does not depend on how many."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import closing, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection

from stagekit import StageError

from patterns import MINUTES
from payments import Batch, Order, make_batches

# Below this many rows a second process takes longer to start than it saves.
ROWS_PER_PROCESS = 200_000
MOST_PROCESSES = 8
# Room for some minutes of a large day, so that a worker need not wait for its turn to be read.
PIPE_BYTES = 1 << 20


def useful_processes(rows: int) -> int:
    """As many processes as there are processors, but no more than the rows are worth."""
    return max(1, min(os.process_cpu_count() or 1, MOST_PROCESSES, rows // ROWS_PER_PROCESS))


def batches(order: Order, processes: int) -> Iterator[Batch]:
    """The day's batches in the order of time. A pipe holds a worker that is ahead, so memory stays small."""
    if processes == 1:
        yield from make_batches(order, range(MINUTES))
        return
    # Spawned, not forked: this process already runs threads, which a fork would copy half.
    context = get_context("spawn")
    workers, receivers = [], []
    try:
        for number in range(processes):
            receiver, sender = context.Pipe(duplex=False)
            receivers.append(receiver)
            fcntl.fcntl(sender.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            minutes = range(number, MINUTES, processes)
            workers.append(context.Process(target=_work, args=(order, minutes, sender), daemon=True))
            workers[-1].start()
            sender.close()  # the worker has its own: when that one dies, we must read an end of file
        for minute in range(MINUTES):
            yield _receive(receivers[minute % processes])
    finally:
        for receiver in receivers:
            receiver.close()
        for worker in workers:
            worker.join()


def _receive(receiver: Connection) -> Batch:
    try:
        batch: Batch = receiver.recv()
    except (EOFError, OSError):  # the latter: in the middle of a batch
        raise StageError(
            "a worker process died",
            expected="all of them to live until the day is made",
            do="give the container more memory, or use --processes 1",
        ) from None
    return batch


def _work(order: Order, minutes: range, sender: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process answers it; without that one, we end as well
    with closing(sender), suppress(BrokenPipeError):
        for batch in make_batches(order, minutes):
            sender.send(batch)
