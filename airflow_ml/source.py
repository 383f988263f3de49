"""Own data in a database or an object store: `exchange ingest` publishes a day of it as incoming/{ds}.

What drafts and imports a file reads it there. So a source is only another way to get the file.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_ml.by_hand import bind, run_stage
from airflow_ml.common import WRONG_USAGE, AirflowMlError, settings, try_docker
from airflow_ml.data import DATA_FOLDER, Data

# The options of `ingest` that say where the data is, and the labels if they come by themselves.
DATA_PLACES, LABEL_PLACES = ("query", "object"), ("target_query", "target_object")
PLACES = DATA_PLACES + LABEL_PLACES
# How a place names the day.
DAY_SIGNS = {"query": "$1", "object": "{ds}"}
CONNECTIONS = "/run/connections"


@dataclass(frozen=True)
class Source:
    """A connection, a file in the form of Airflow's connections, and what `ingest` reads there: queries, or objects."""

    connection: Path
    places: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.connection.stem

    @property
    def has_labels(self) -> bool:
        """Whether the labels come by themselves."""
        return any(name in self.places for name in LABEL_PLACES)

    @property
    def is_dated(self) -> bool:
        """Whether the source has other rows for another day."""
        return all(DAY_SIGNS[name.removeprefix("target_")] in place for name, place in self.places.items())

    def arguments(self, ds: str) -> list[str]:
        """The arguments of `ingest` for a day."""
        given = [f"--{name.replace('_', '-')}={place}" for name, place in self.places.items()]
        return ["ingest", f"--ds={ds}", f"--connection={self.name}", *given, *([] if self.is_dated else ["--snapshot"])]

    def files(self, ds: str) -> list[str]:
        """What was taken in, as options of `infer-schema`."""
        folder = f"{DATA_FOLDER}/incoming/{ds}"
        return [f"--data={folder}/data", *([f"--target={folder}/target"] if self.has_labels else [])]

    def has_made(self, raw: Mapping[str, Any], incoming: Mapping[str, Any], ds: str) -> bool:
        """Whether a raw day, by its mark, was imported from what this source gave, by the mark of `incoming`."""
        try:
            if f"incoming/{ds}/data" not in raw["steps"]["import"]["inputs"]:
                return False
            asked = incoming["steps"]["ingest"]["call"]["arguments"]
            return {name: asked[name] for name in ("connection", *PLACES) if asked.get(name)} == {
                "connection": self.name,
                **self.places,
            }
        except (LookupError, TypeError):
            return False

    def next_days(self, ds: str) -> str:
        """How later days of this source come, for people."""
        kind = next(name for name in DATA_PLACES if name in self.places)
        sign = DAY_SIGNS[kind]
        first = (
            "" if self.is_dated else f"name the day in the {kind}, as {sign}: now it is the same for all days. Then "
        )
        return (
            f"Later    {first}this command with another --ds; or each night the Dag of ten lines in docs/use.md, "
            f"with the connection {self.name}, this {kind} and the schema {DATA_FOLDER}/raw/{ds}/schema.json"
        )


def take_in(source: Source, ds: str, data: Data) -> None:
    """Take in a day of the source. Errors: AirflowMlError, also if the day has no rows, or no labels yet."""
    print(f"==> ingest for {ds}", file=sys.stderr)
    network = exchange_network()
    # The stage is another user than the file's owner, and only this folder's owner can enter it.
    with tempfile.TemporaryDirectory(prefix="airflow-ml-connection-") as folder:
        copy = Path(folder) / "connection.json"
        shutil.copyfile(source.connection, copy)
        copy.chmod(0o444)
        mounts = (
            data.mount(DATA_FOLDER, writable=True),
            bind(copy, f"{CONNECTIONS}/{source.name}.json") + ",readonly",
        )
        found = run_stage(data, "exchange", source.arguments(ds), *mounts, network=network)
    taken = found.get("rows") or found["objects"]
    print(f"    took in {json.dumps(taken)} of {source.name}", file=sys.stderr)
    if source.has_labels and "target" not in taken:
        raise AirflowMlError(
            f"{source.name} has no labels of {ds} yet",
            expected="a day whose labels are there: a model is trained on it",
            do="name another day with --ds",
            exit_code=4,
        )


def exchange_network() -> str:
    """The network on which the stage reaches the server.

    Errors: AirflowMlError (exit code 2) if the settings do not name one that the engine has.
    """
    name = settings()["ML_EXCHANGE_NETWORK"]
    if name != "none" and try_docker("network", "inspect", name).returncode == 0:
        return name
    raise AirflowMlError(
        f"ML_EXCHANGE_NETWORK is {name}" + ("" if name == "none" else ", which this engine does not have"),
        expected="the Docker network on which the server is reached: its own, or bridge for another machine",
        do="set it in .env; `docker network ls` lists them",
        exit_code=WRONG_USAGE,
    )
