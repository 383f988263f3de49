"""Removes orphans: containers whose task has ended or is gone, so that nobody else will remove them.

Airflow's database says which tasks have not ended. Reads it and the engine. Removes containers, and the connections
that they read.
"""

import logging
from collections.abc import Iterable, Mapping

from airflow.models.taskinstance import TaskInstance
from airflow.utils.state import State
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from ml import connections, container_labels, engines
from ml.engines import EngineError
from ml.settings import setting

# The scheduler waits for it: an engine that hangs must not stop it.
PATIENCE_S = 5
MAY_HAVE_A_CONTAINER = [state for state in State.unfinished if state is not None]

log = logging.getLogger(__name__)


def remove_orphans(session: Session) -> None:
    """Remove them; without an engine, say so. The next call finds what this one could not remove."""
    with engines.connect(PATIENCE_S) as engine:
        try:
            # In this order: a task that starts a container after the look is not missed.
            found = engine.find({container_labels.DATA: setting("ML_DATA")})
            expected = _expected(session, found.values())
        except EngineError as error:
            log.info("Containers without a task were not looked for: the engine at %s %s", engine.address, error)
            return
        for container, labels in found.items():
            task = container_labels.task(labels)
            of_this_try = (*task, labels.get(container_labels.LAST_TRY))
            if container_labels.RUN not in labels or expected & {task, of_this_try}:
                continue
            log.warning("Removing the container %s: its task has ended: %s", container[:12], labels)
            connections.remove(container_labels.of_try(labels))
            try:
                engine.remove(container)
            except EngineError as error:
                log.warning("It was not removed: the engine at %s %s", engine.address, error)
    connections.remove_all_but(
        container_labels.of_try(labels) for labels in found.values() if container_labels.RUN in labels
    )


def _expected(session: Session, found: Iterable[Mapping[str, str]]) -> set[tuple[str | None, ...]]:
    """The tasks in the runs of these containers that may have one.

    A task without a state was cleared, or lost its scheduler. The number of its last try, here behind its name, shows
    which: a person who clears a task changes the number, so the container is of an earlier try.
    """
    ti = TaskInstance
    query = select(ti.dag_id, ti.task_id, ti.run_id, ti.map_index, ti.state, ti.max_tries).where(
        ti.run_id.in_({labels.get(container_labels.RUN, "") for labels in found}),
        or_(ti.state.is_(None), ti.state.in_(MAY_HAVE_A_CONTAINER)),
    )
    return {
        (dag, task, run, str(index), *([] if state else [str(last)]))
        for dag, task, run, index, state, last in session.execute(query)
    }
