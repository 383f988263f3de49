"""Shows what runs and how far it is: services, the last run of each Dag, the champion, the newest days, the
disk, the memory.

Exit codes: 0 every service runs, Airflow can read every Dag, and there is room; 1 a service does not run, nothing was
started, a Dag cannot be read, or a disk has too little room; 2 wrong usage.
"""

import argparse
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_ml import stack
from airflow_ml.airflow_api import Airflow
from airflow_ml.common import AirflowMlError, project, try_docker
from airflow_ml.data import DATA_FOLDER, load_data, require_data, run_in_base
from airflow_ml.doctor import LEAST_DISK, disk
from airflow_ml.models import list_versions
from airflow_ml.run_day import connect
from airflow_ml.text_table import aligned, size_text, time_text

# What the engine writes of a container's memory.
BYTES = re.compile(r"([\d.]+)(B|KiB|MiB|GiB|TiB)\b")
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
KINDS = ("raw", "models", "predictions", "reports")
# The newest published day of each kind, how much the data takes, and how much room is left where it is.
LOOK = """
import json, pathlib, shutil, sys
root, newest = pathlib.Path("/data"), {}
for kind in json.load(sys.stdin)["kinds"]:
    days = [path.parent.name for path in root.glob(f"{kind}/*/_meta.json")]
    newest[kind] = {"newest": max(days, default=None), "days": len(days)}
size = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file())
total, _, free = shutil.disk_usage(root)
print(json.dumps({"newest": newest, "size": size, "total": total, "free": free}))
"""


def run(arguments: argparse.Namespace) -> int:
    """Print the state of each part; what cannot be asked is shown as such."""
    services = stack.services()
    well = bool(services) and all(service.is_well for service in services)
    lines, full = newest_days()
    others = full_engine()
    remedy = "" if well else stack.remedy()
    print("\n".join([*services_of(services, remedy), *champion(), *lines, *others, *memory()]))
    unread: list[str] = []
    if well:
        airflow = connect()
        unread = unread_dags(airflow)
        print("\n" + "\n".join([*unread, *last_runs(airflow)]))
    return 0 if well and not full and not others and not unread else 1


def configure(parser: argparse.ArgumentParser) -> None:
    """There are no options."""


def services_of(services: Iterable[stack.Service], remedy: str = "") -> list[str]:
    """How many services run, and each that does not; `remedy` is what to do if the cause is known."""
    found = list(services)
    ill = [service for service in found if not service.is_well]
    if not found:
        return ["services    none: nothing was started from this folder, or it was stopped; do: make up"]
    lines = [f"services    {len(found) - len(ill)} of {len(found)} are well"]
    states = [f"            {one.name}: {one.state} {one.health}".rstrip() for one in ill]
    if remedy:
        return [*lines, *states, f"            do: {remedy}"]
    return lines + [f"{state}; do: make up" for state in states]


def champion() -> list[str]:
    """The version in production."""
    try:
        listed = list_versions()
    except AirflowMlError as error:
        return [f"champion    not known: {str(error).splitlines()[0]}"]
    return [champion_of(listed)]


def champion_of(listed: Mapping[str, Any]) -> str:
    """The version in production, since when and by whom."""
    if not listed["champion"]:
        return f"champion    none yet; {len(listed['versions'])} versions of {listed['name']}"
    event = listed["events"][-1]
    return (
        f"champion    version {listed['champion']} of {listed['name']}, since {time_text(event['at'])} by {event['by']}"
    )


def newest_days() -> tuple[list[str], bool]:
    """The newest day of each kind of partition, and the disk; whether that has too little room."""
    data = load_data()
    try:
        require_data(data)
        found = run_in_base(data, ("-c", LOOK), {"kinds": KINDS}, data.mount(DATA_FOLDER))
    except AirflowMlError as error:
        return [f"data        {str(error).splitlines()[0]}"], False
    return [*days_of(found["newest"]), disk_of(found, data.source)], is_full(found)


def days_of(newest: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each kind of partition."""
    rows = [
        (kind, str(found["newest"] or "none yet"), f"{found['days']:,} published") for kind, found in newest.items()
    ]
    return aligned([("newest day", *rows[0]), *(("", *row) for row in rows[1:])])


def disk_of(found: Mapping[str, int], source: str) -> str:
    """The room that the data takes and that is left."""
    free, total = size_text(found["free"]), size_text(found["total"])
    do = "; that is almost full: make room" if is_full(found) else ""
    return f"disk        {source!r} takes {size_text(found['size'])}; {free} of {total} are free there{do}"


def is_full(found: Mapping[str, int]) -> bool:
    """Whether the disk of the data has too little room; of a small one, less than a tenth."""
    return found["free"] < min(LEAST_DISK, found["total"] / 10)


def full_engine() -> list[str]:
    """A line if the disk of the engine, with the databases and the logs, has too little room."""
    info = json.loads(try_docker("info", "--format", "{{json .}}").stdout)
    return [f"disk        {found.text}; do: {found.do}" for found in disk(info) if found.do]


def memory() -> list[str]:
    """The memory that the running services use."""
    label = f"label=com.docker.compose.project={project()}"
    containers = try_docker("ps", "--quiet", "--filter", label).stdout.split()
    if not containers:
        return []
    used = try_docker("stats", "--no-stream", "--format", "{{.MemUsage}}", *containers).stdout.splitlines()
    return [memory_of(used)]


def memory_of(used: Iterable[str]) -> str:
    """The sum of what the engine says of each container, such as `231.5MiB / 2GiB`."""
    sizes = [BYTES.match(text) for text in used]
    if None in sizes or not sizes:
        return "memory      not known: the engine does not say what each service uses"
    total = sum(float(size[1]) * UNITS[size[2]] for size in sizes if size)
    return f"memory      the services use {size_text(round(total))}"


def unread_dags(airflow: Airflow) -> list[str]:
    """A line for each file of Dags that Airflow cannot read. Its Dags get no run, so no alert names them."""
    found = airflow.request("GET", "/importErrors?limit=100")["import_errors"]
    reasons = [(error["filename"], (error["stack_trace"].strip() or "no reason").splitlines()[-1]) for error in found]
    do = "do: correct that; Airflow reads the file again within a minute"
    return [f"Dags        {file} cannot be read: {reason}; {do}" for file, reason in reasons]


def last_runs(airflow: Airflow) -> list[str]:
    """The last run of each Dag, as a table."""
    rows = [("Dag", "last run", "state", "day", "")]
    for dag in airflow.request("GET", "/dags?limit=100&order_by=dag_id")["dags"]:
        name = dag["dag_id"]
        runs = airflow.request("GET", f"/dags/{name}/dagRuns?limit=1&order_by=-run_after")["dag_runs"]
        rows.append((name, *run_cells(runs[0] if runs else None), "paused" if dag["is_paused"] else ""))
    return aligned(rows)


def run_cells(run: Mapping[str, Any] | None) -> tuple[str, str, str]:
    """When a run began, its state, the day that it is for."""
    if run is None:
        return "none yet", "-", "-"
    began = time_text(str(run.get("start_date") or run.get("run_after") or "-"))
    day = (run.get("conf") or {}).get("ds") or str(run.get("logical_date") or run.get("run_after") or "-")[:10]
    return began, str(run["state"]), str(day)
