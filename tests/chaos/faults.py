"""The faults. Each strikes a day that runs and returns what it struck; what it took away is there again then."""

import os
import time
from collections.abc import Callable, Sequence
from threading import Timer

from tests.end_to_end.conftest import PROJECT, compose_stack
from tests.harness import docker, kill_processes, wait_until

from .scene import Scene, Task

# How long a service hangs, how long it has no network, how long the disk is full.
HANG_S, CUT_S, FULL_S = 120, 30, 20
SHORT_HANG_S = 10
# A stage is killed at a moment between its start and then; most have ended before.
LONGEST_S = 3
# Less than any stage needs.
TOO_LITTLE = "24m"
# How far the clock of the services jumps: longer than Airflow waits for any heartbeat.
JUMP_S = 600
ALL = ("scheduler", "triggerer", "dag-processor", "api-server", "postgres", "mlflow", "engine-proxy")
OF_DISK = {"data": "the data", "Postgres": "Postgres", "MLflow": "MLflow", "logs": "Airflow's logs"}
# For each strike the tasks that it hit.
Strikes = list[set[Task]]
Fault = Callable[[Scene], Strikes]


def kill_a_stage(scene: Scene) -> Strikes:
    """SIGKILL to the next container that works."""
    for container, task in scene.new_containers():
        if docker("kill", container, check=False).returncode == 0:
            return [{task}]
    return []


def kill_each_stage(scene: Scene) -> Strikes:
    """SIGKILL to one container of each task, at a random moment of its work."""
    killed: set[Task] = set()
    timers = []

    def kill(container: str, task: Task) -> None:
        if docker("kill", container, check=False).returncode == 0:
            killed.add(task)

    for container, task in scene.new_containers():
        if task not in killed:
            timers.append(Timer(scene.draw.uniform(0, LONGEST_S), kill, (container, task)))
            timers[-1].start()
    for timer in timers:
        timer.join()
    return [{task} for task in killed]


def starve_the_stages(scene: Scene) -> Strikes:
    """Too small a limit of memory in `.env`, until a run has failed that says so; then the limit is as before."""
    usual = compose_stack.settings()["ML_STAGE_MEMORY"]
    _limit_memory(TOO_LITTLE)
    try:
        wait_until(lambda: scene.has_ended() or "failed" in scene.states(), "a run fails")
        return [set()] if any("out of memory, it may use" in scene.reasons(*run) for run in scene.runs) else []
    finally:
        _limit_memory(usual)


def _limit_memory(limit: str) -> None:
    os.environ["ML_STAGE_MEMORY"] = limit
    done = compose_stack.compose("up", "--detach", "--wait", "--no-deps", "scheduler")
    assert done.returncode == 0, done.stderr


def copy_the_data(scene: Scene) -> Strikes:
    """No fault: copies of the data, one after the other while stages write."""
    while not scene.has_ended():
        scene.copy_data()
    return [set() for _ in scene.copies]


def restart_the_engine(scene: Scene) -> Strikes:
    """As `systemctl restart docker`: the engine stops its containers, and starts those again that are services."""
    assert scene.node is not None
    hit = scene.tasks_at_work()
    scene.node.restart()
    return [hit]


def lose_power(scene: Scene) -> Strikes:
    """All processes of the machine end immediately; then it starts again."""
    assert scene.node is not None
    hit = scene.tasks_at_work()
    scene.node.kill()
    scene.node.start()
    scene.node.await_start()
    return [hit]


def kill_services(*services: str) -> Fault:
    """SIGKILL to the process of each service, as a crash ends it."""

    def strike(scene: Scene) -> Strikes:
        containers, hit = [scene.container(service) for service in services], scene.tasks_at_work()
        kill_processes(containers)
        return [hit]

    return strike


def pause(service: str, seconds: int = HANG_S) -> Fault:
    """A service that hangs."""

    def strike(scene: Scene) -> Strikes:
        container = scene.container(service)
        # The kernel gives up at times while the service starts processes: "unable to freeze".
        wait_until(lambda: docker("pause", container, check=False).returncode == 0, f"{service} is paused")
        hit = scene.tasks_at_work()
        time.sleep(seconds)
        docker("unpause", container)
        return [hit]

    return strike


def in_turn(faults: Sequence[Fault]) -> Fault:
    """Several faults, one after the other, for as long as the day runs; each strikes stages that work."""

    def strike(scene: Scene) -> Strikes:
        return [hit for fault in faults if scene.at_work() for hit in fault(scene)]

    return strike


def cut_off(service: str) -> Fault:
    """A service without the network of the stack."""

    def strike(scene: Scene) -> Strikes:
        network, container, hit = f"{PROJECT}_default", scene.container(service), scene.tasks_at_work()
        docker("network", "disconnect", network, container)
        time.sleep(CUT_S)
        docker("network", "connect", "--alias", service, network, container)
        return [hit]

    return strike


def fill_the_disk(name: str) -> Fault:
    """No byte is free on a disk."""

    def strike(scene: Scene) -> Strikes:
        hit = scene.tasks_at_work()
        scene.fill_disk(name)
        time.sleep(FULL_S)
        scene.empty_disk(name)
        return [hit]

    return strike


def move_clock(seconds: int) -> Fault:
    """A clock that jumps, as when a machine wakes up or its clock is set."""

    def strike(scene: Scene) -> Strikes:
        hit = scene.tasks_at_work()
        scene.move_clock(seconds)
        return [hit]

    return strike


def ask_twice(scene: Scene) -> Strikes:
    """A second run of each Dag for the same day, at the same time."""
    hit = scene.tasks_at_work()
    scene.trigger_all()
    return [hit]


def clear_a_run(scene: Scene) -> Strikes:
    """A person clears all tasks of a run that works."""
    return _on_a_run_that_works(scene, scene.clear)


def mark_a_run_failed(scene: Scene) -> Strikes:
    """A person marks a run failed that works."""
    return _on_a_run_that_works(scene, scene.mark_failed)


def delete_a_run(scene: Scene) -> Strikes:
    """A person deletes a run that works, and asks for it again. Airflow deletes only what is marked as ended."""
    return _on_a_run_that_works(scene, scene.delete)


def _on_a_run_that_works(scene: Scene, act: Callable[[str, str], None]) -> Strikes:
    dags, at_work = {run: dag for dag, run in scene.runs}, set(scene.at_work().values())
    for _, run in at_work:
        act(dags[run], run)
        return [{task for task in at_work if task[1] == run}]
    return []


# CI strikes a day of the end-to-end stack with these.
SEVERAL = (
    kill_a_stage,
    kill_services("engine-proxy"),
    pause("api-server", SHORT_HANG_S),
    kill_services("postgres"),
    kill_services("scheduler"),
)
several_in_turn = in_turn(SEVERAL)
# These strike from a day's beginning to its end.
ALL_DAY = (kill_each_stage, copy_the_data, several_in_turn)
FAULTS: dict[str, Fault] = {
    "a stage's container is killed": kill_a_stage,
    "of each task, at most one container is killed, at a random moment": kill_each_stage,
    **{f"{service} is killed": kill_services(service) for service in ALL},
    "everything is killed at once": kill_services(*ALL),
    **{f"{service} hangs for {HANG_S} s": pause(service) for service in ALL},
    f"each service hangs for {HANG_S} s, one after the other": in_turn([pause(service) for service in ALL]),
    **{f"{service} has no network for {CUT_S} s": cut_off(service) for service in ("scheduler", "postgres", "mlflow")},
    **{f"the disk of {of} is full for {FULL_S} s": fill_the_disk(name) for name, of in OF_DISK.items()},
    f"each of these disks is full for {FULL_S} s, one after the other": in_turn(
        [fill_the_disk(name) for name in OF_DISK]
    ),
    f"the clock jumps {JUMP_S} s forward": move_clock(JUMP_S),
    f"the clock jumps {JUMP_S} s back": move_clock(-JUMP_S),
    "stages have too little memory until a run fails": starve_the_stages,
    "a stage, the proxy, Postgres, the scheduler are killed, the api-server hangs, in turn": several_in_turn,
    "none; the data is copied while stages write": copy_the_data,
    "each run is there twice": ask_twice,
    "a person clears a run that works": clear_a_run,
    "a person marks a run failed that works": mark_a_run_failed,
    "a person deletes a run that works, and asks again": delete_a_run,
}
# These need an engine of their own.
OF_MACHINE: dict[str, Fault] = {
    "the engine is restarted": restart_the_engine,
    "the machine loses its power": lose_power,
}
