"""Runs of each kind, made by Airflow's own code in the throw-away database, and single tasks run in them."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

from airflow.api.common.trigger_dag import trigger_dag
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, DagBag, sync_bag_to_db
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models import DagRun
from airflow.models.asset import AssetEvent, AssetModel
from airflow.models.backfill import _create_backfill
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance as TaskInstanceRow
from airflow.models.taskmap import TaskMap
from airflow.models.trigger import Trigger
from airflow.models.xcom import XComModel
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import TaskInstance
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.execution_time.supervisor import TaskRunResult, run_task_in_process
from airflow.sdk.module_loading import import_string
from airflow.triggers.base import BaseTrigger, TriggerEvent
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select

BUNDLE = "dags-folder"
Dags = Mapping[str, DAG]
_numbers = count(1)


def day(text: str, hour: int = 1) -> datetime:
    return datetime.fromisoformat(text).replace(hour=hour, tzinfo=UTC)


class Airflow:
    """The database with the Dags in it."""

    def __init__(self, *folders: Path) -> None:
        initdb()
        with create_session() as session:
            DagBundlesManager().sync_bundles_to_db(session=session)
        self.files = {}
        for folder in folders:
            bag = make_bag(folder)
            sync_bag_to_db(bag, BUNDLE, None)
            self.files |= {dag_id: dag.fileloc for dag_id, dag in bag.dags.items()}

    def scheduled(self, dag_id: str, earliest: str, latest: str) -> DagRun:
        """The first run of the schedule between two days."""
        info = next(iter(self.dag(dag_id).iter_dagrun_infos_between(day(earliest, 0), day(latest, 0))))
        return self._create(
            dag_id,
            DagRunType.SCHEDULED,
            logical_date=info.logical_date,
            data_interval=info.data_interval,
            run_after=info.run_after,
        )

    def manual(self, dag_id: str, asked_for: datetime, conf: Mapping[str, Any] | None = None, **more: Any) -> DagRun:
        """A run as the page, the command line and the REST call start it; `more`: logical_date, partition_key, who."""
        run_id = f"manual__{next(_numbers)}"
        by = DagRunTriggeredByType.UI
        run = trigger_dag(dag_id, triggered_by=by, run_after=asked_for, run_id=run_id, conf=dict(conf or {}), **more)
        assert run is not None
        return run

    def backfilled(self, dag_id: str, earliest: str, latest: str) -> list[DagRun]:
        """A backfill's runs, in the order of their days."""
        backfill = _create_backfill(
            dag_id=dag_id,
            from_date=day(earliest, 0),
            to_date=day(latest, 0),
            max_active_runs=2,
            reverse=False,
            dag_run_conf=None,
            triggering_user_name="test",
        )
        with create_session() as session:
            runs = select(DagRun).where(DagRun.backfill_id == backfill.id).order_by(DagRun.logical_date)
            return list(session.scalars(runs))

    def asset_triggered(self, dag_id: str, at: datetime, events: Iterable[tuple[str, Mapping[str, Any]]]) -> DagRun:
        """A run that events of assets caused, each with its `extra`."""
        run = self._create(dag_id, DagRunType.ASSET_TRIGGERED, run_after=at)
        with create_session() as session:
            run = session.merge(run)
            for name, extra in events:
                asset = session.scalars(select(AssetModel).where(AssetModel.name == name)).one()
                event = AssetEvent(asset_id=asset.id, extra=dict(extra))
                session.add(event)
                run.consumed_asset_events.append(event)
        return run

    def partitioned(self, dag_id: str, at: datetime, key: str) -> DagRun:
        """A run for one key of a partitioned asset."""
        return self._create(dag_id, DagRunType.ASSET_TRIGGERED, run_after=at, partition_key=key)

    def expand(self, run: DagRun, task_id: str) -> list[int]:
        """Make the instances of a mapped task, as the scheduler does; returns their indexes, -1 if there are none."""
        with create_session() as session:
            TaskMap.expand_mapped_task(self.dag(run.dag_id).get_task(task_id), run.run_id, session=session)
            row = TaskInstanceRow
            found = select(row.map_index).where(row.run_id == run.run_id, row.task_id == task_id)
            return list(session.scalars(found.order_by(row.map_index)))

    def run_task(self, run: DagRun, task_id: str, new_try: bool = True, map_index: int = -1) -> TaskRunResult:
        """Run a task through Airflow's task runner and execution API, in this process; returns its state and error."""
        # Parsed again, as each task does in its process: Airflow keeps a run's parameters in the Dag.
        task = make_bag(Path(self.files[run.dag_id])).dags[run.dag_id].get_task(task_id)
        with create_session() as session:
            found = session.merge(run).get_task_instance(task_id, session=session, map_index=map_index)
            assert found is not None
            found.try_number += new_try
            found.set_state(TaskInstanceState.QUEUED, session=session)
            names = ("task_id", "dag_id", "run_id", "try_number", "map_index")
            ids = {"id": UUID(str(found.id)), "dag_version_id": UUID(str(found.dag_version_id))}
            instance = TaskInstance(**{name: getattr(found, name) for name in names}, **ids)
        return run_task_in_process(ti=instance, task=task)

    def rendered(self, run: DagRun, task_id: str) -> dict[str, Any]:
        """A task's templated fields as its page shows them; there is no engine, so it fails after rendering them."""
        assert self.run_task(run, task_id).ti.state == TaskInstanceState.UP_FOR_RETRY
        return self.shown_fields(run, task_id)

    def shown_fields(self, run: DagRun, task_id: str) -> dict[str, Any]:
        """A task's templated fields as they were rendered when it last ran."""
        fields = RenderedTaskInstanceFields
        with create_session() as session:
            found = select(fields).where(fields.run_id == run.run_id, fields.task_id == task_id)
            return dict(session.scalars(found).one().rendered_fields)

    def arguments(self, run: DagRun, task_id: str) -> list[str]:
        """A task's rendered command without the arguments that came out empty, as it reaches the container."""
        return [argument for argument in self.rendered(run, task_id)["command"] if argument]

    def waiting(self, run: DagRun, task_id: str) -> TaskInstanceRow:
        """A task as the database has it, with its trigger where it is deferred."""
        with create_session() as session:
            found = session.merge(run).get_task_instance(task_id, session=session)
            assert found is not None
            assert found.trigger is None or found.trigger.kwargs
            return found

    def trigger(self, run: DagRun, task_id: str) -> BaseTrigger:
        """The trigger of a deferred task, made again from the database, as the triggerer does."""
        with create_session() as session:
            row = session.get(Trigger, self.waiting(run, task_id).trigger_id)
            assert row is not None
            trigger: BaseTrigger = import_string(row.classpath)(**row.kwargs)
            return trigger

    def fire_trigger(self, run: DagRun, task_id: str, patience_s: float) -> None:
        """Do what the triggerer does: wait for the task's trigger, and send its event."""
        trigger = self.trigger(run, task_id)

        async def event() -> TriggerEvent:
            return await asyncio.wait_for(anext(trigger.run()), patience_s)

        Trigger.submit_event(self.waiting(run, task_id).trigger_id, asyncio.run(event()))

    def let_wait_end(self, run: DagRun, task_id: str) -> None:
        """Let the time of a deferred task be over, as the scheduler sees it."""
        with create_session() as session:
            session.merge(self.waiting(run, task_id)).trigger_timeout = datetime(2000, 1, 1, tzinfo=UTC)
        SchedulerJobRunner(Job()).check_trigger_timeouts()

    def set_result(self, run: DagRun, task_id: str, result: Mapping[str, Any]) -> None:
        """Store what a task that is not run here would have returned."""
        with create_session() as session:
            where = {"dag_id": run.dag_id, "run_id": run.run_id, "task_id": task_id}
            XComModel.set("return_value", result, **where, serialize=False, session=session)

    def result(self, run: DagRun, task_id: str) -> Any:
        """What a task returned."""
        with create_session() as session:
            found = XComModel.get_many(run_id=run.run_id, key="return_value", task_ids=task_id, dag_ids=run.dag_id)
            return session.scalars(found).one().value

    def runs(self, dag_id: str, run_id: str) -> list[DagRun]:
        """The runs of a Dag by this id: one or none."""
        with create_session() as session:
            return list(session.scalars(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)))

    def asset_events(self, run: DagRun) -> list[tuple[str, dict[str, Any]]]:
        """The asset events that a run's tasks caused: the asset's name, and the event's `extra`."""
        with create_session() as session:
            found = select(AssetEvent).where(AssetEvent.source_run_id == run.run_id)
            return [(event.asset.name, event.extra) for event in session.scalars(found)]

    def _create(self, dag_id: str, kind: DagRunType, **fields: Any) -> DagRun:
        return self.dag(dag_id).create_dagrun(
            run_id=f"{kind.value}__{next(_numbers)}",
            run_type=kind,
            triggered_by=DagRunTriggeredByType.TIMETABLE,
            state=DagRunState.RUNNING,
            **fields,
        )

    @staticmethod
    def dag(dag_id: str) -> Any:
        with create_session() as session:
            stored = session.scalar(SerializedDagModel.latest_item_select_object(dag_id))
            assert stored is not None
            return stored.dag


def unmapped(task: Any) -> Any:
    """A task as it runs: of a mapped one, the instance that makes the third shard."""
    return task.unmap({"shard": 3}) if isinstance(task, MappedOperator) else task


def make_bag(path: Path) -> DagBag:
    """A Dag file, or the Dag files of a folder, as Airflow's Dag processor reads them."""
    return BundleDagBag(str(path), bundle_path=path if path.is_dir() else path.parent, bundle_name=BUNDLE)
