"""Removes runs from MLflow's database that somebody deleted before a moment, with what is left of their files.

Usage: deleted.py BEFORE [--dry-run], in the service's container. BEFORE is in milliseconds since 1970. Prints a JSON
object: `runs`, how many went, and `kept`, how many stay. A run stays while a version of any model names it, or if its
files are not at this server. Exit codes: 0 done; 1 failed; 2 wrong usage.

`mlflow gc` does the same for every deleted run, also for those whose versions are in production.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator

import login
import server

# How the address of files begins that the server keeps; the run's own folder follows the experiment's.
SERVED = "mlflow-artifacts:/"
VERSIONS_AT_ONCE = 1000


def main() -> int:
    """Remove the runs, or count them."""
    parser = argparse.ArgumentParser("deleted.py", description=__doc__)
    parser.add_argument("before", type=int, metavar="BEFORE", help="in milliseconds since 1970")
    parser.add_argument("--dry-run", action="store_true", help="only count them")
    arguments = parser.parse_args()
    # Files of a run are removed as by any other client.
    os.environ |= {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{server.PORT}",
        "MLFLOW_TRACKING_USERNAME": server.STAGE,
        "MLFLOW_TRACKING_PASSWORD": login.secret(server.ACCOUNTS[server.STAGE]),
    }
    runs, kept = remove(server.database(), arguments.before, dry=arguments.dry_run)
    print(json.dumps({"runs": runs, "kept": kept}))
    return 0


def remove(database: str, before: int, *, dry: bool) -> tuple[int, int]:
    """Remove the runs that were deleted before a moment; returns how many went, and how many stay."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(database, SERVED)
    named = list(versions(database))
    removed = 0
    found = store._get_deleted_runs(older_than=int(time.time() * 1000) - before)
    for run_id in found:
        run = store.get_run(run_id).info
        is_ours = run.artifact_uri.startswith(SERVED) and run.artifact_uri.endswith(f"/{run_id}/artifacts")
        if run.lifecycle_stage != "deleted" or not is_ours or any(run_id in place for place in named):
            continue
        removed += 1
        if not dry:
            get_artifact_repository(run.artifact_uri).delete_artifacts()
            store._hard_delete_run(run_id)
    return removed, len(found) - removed


def versions(database: str) -> Iterator[str]:
    """The run and the source of each version of each model: whoever restores one needs the run."""
    from mlflow import MlflowClient

    client, token = MlflowClient(tracking_uri=database, registry_uri=database), None
    while True:
        page = client.search_model_versions(max_results=VERSIONS_AT_ONCE, page_token=token)
        yield from (f"{version.run_id} {version.source}" for version in page)
        token = page.token
        if not token:
            return


if __name__ == "__main__":
    sys.exit(main())
