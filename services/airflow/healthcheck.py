"""Checks whether one of Airflow's components works, for the health checks of compose.

Usage: healthcheck.py api-server|scheduler|dag-processor|triggerer. Exit codes: 0 works, 1 does not.

Airflow's own `/monitor/health` answers 200 with a dead scheduler, and `airflow jobs check` takes seconds of processor
time at every call. The heartbeats that both report are one row in the metadata database, so this reads that row.
"""

import json
import socket
import sys
import urllib.request

import psycopg2

from database import address

# Airflow writes a heartbeat every 5 s and calls a job dead after 30 s.
MAX_HEARTBEAT_AGE_S = 30
JOB_TYPES = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}

HEARTBEAT_AGE = """
select extract(epoch from now() - max(latest_heartbeat)) from job
where job_type = %s and hostname = %s and state = 'running'
"""
DAGS_READ = "select (select count(*) from serialized_dag) + (select count(*) from import_error)"


def check_api_server() -> str | None:
    with urllib.request.urlopen("http://localhost:8080/api/v2/monitor/health", timeout=5) as response:
        status = json.load(response)["metadatabase"]["status"]
    return None if status == "healthy" else f"the metadata database is {status}"


def check_job(component: str) -> str | None:
    connection = psycopg2.connect(address(), connect_timeout=5)
    try:
        cursor = connection.cursor()
        cursor.execute(HEARTBEAT_AGE, (JOB_TYPES[component], socket.gethostname()))
        (age,) = cursor.fetchone() or (None,)
        if age is None or age > MAX_HEARTBEAT_AGE_S:
            return f"the last heartbeat is {'missing' if age is None else f'{age:.0f} s old'}"
        if component == "dag-processor":
            cursor.execute(DAGS_READ)
            if cursor.fetchone() == (0,):
                return "no Dag file has been read yet"
        return None
    finally:
        connection.close()


def main() -> int:
    component = sys.argv[1]
    try:
        problem = check_api_server() if component == "api-server" else check_job(component)
    except (OSError, psycopg2.Error, KeyError, ValueError) as error:
        problem = str(error).strip()
    if problem:
        print(f"{component}: {problem}", file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
