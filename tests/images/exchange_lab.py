"""A real Postgres and a real S3-compatible server (SeaweedFS) on an internal network, and the stage exchange on it."""

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness import RESTRICTED, ROOT, Data, Done, Finished, OpenStages, data_volume, docker, images, wait_until

DS = "2026-11-21"
PASSWORD, SECRET_KEY = "db-'quoted\\ secret", "object-store-very-secret"
BUCKET = "feed"
POSTGRES = re.findall(r"image: (postgres:\S+)", (ROOT / "docker-compose.yml").read_text())[0]
WEED = ROOT / ".venv/bin/weed"
# What predict leaves: a day's scores, with the model in the step's parameters.
PUBLISH = """
import sys
from pathlib import Path
from stagekit.publication import Publication

parameters = {"model": "models/2026-11-15", "version": "3", "run_id": "0a1b2c", "threshold": 0.5}
with Publication(Path("/data"), f"predictions/{sys.argv[1]}", "predict", parameters=parameters) as publication:
    publication.path("predictions.csv").write_text(sys.argv[2])
    publication.rows["predictions.csv"] = int(sys.argv[3])
"""
SCORES = 'id,prediction,probability_0,probability_1\n007,0,0.9,0.1\n"a,""b""\nc",1,0.25,0.75\n8,1,0.1,0.9\n'
READ_PARQUET = """
import json, polars as pl, sys
frame = pl.read_parquet(sys.argv[1])
print(json.dumps({"types": {n: str(t) for n, t in frame.schema.items()}, "rows": frame.rows()}, default=str))
"""


@dataclass
class Lab:
    """The servers, empty data, and a folder with connections: what the stage is run with."""

    name: str
    data: Data
    folder: Path
    stages: OpenStages = field(default_factory=OpenStages)
    connections: dict[str, dict[str, Any]] = field(default_factory=dict)

    def options(self) -> list[str]:
        return [f"--volume={self.folder}:/run/connections:ro"]

    def exchange(self, *arguments: str, code: int = 0, options: tuple[str, ...] = (), network: str = "") -> Done:
        """Run a command of the stage; its log may not hold a secret."""
        among = None if options else self.stages
        options = (*self.options(), *options)
        done = self.data.stage(
            "exchange", *arguments, code=code, options=options, network=network or self.name, among=among
        )
        for secret in (PASSWORD, SECRET_KEY):
            assert secret not in done.log
            assert secret not in json.dumps(done.line)
        return done

    def ingest(self, *arguments: str, code: int = 0, ds: str = DS) -> Done:
        return self.exchange("ingest", f"--ds={ds}", *arguments, code=code)

    def export(self, *arguments: str, code: int = 0, ds: str = DS) -> Done:
        return self.exchange("export", f"--ds={ds}", *arguments, code=code)

    def connect(self, name: str, **content: Any) -> None:
        """Write a connection as Airflow writes it."""
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(content))
        path.chmod(0o644)

    def sql(self, statement: str, check: bool = True) -> str:
        """What psql prints, on the server itself."""
        command = ["exec", f"{self.name}-db", "psql", "-U", "feed", "-d", "shop", "-qtAX", "-v", "ON_ERROR_STOP=1"]
        return docker(*command, "-c", statement, check=check).stdout.strip()

    def python(self, code: str, *arguments: str, options: tuple[str, ...] = ()) -> Finished:
        """Python in the stage's image, on the network of the servers, with the connections."""
        confined = [*RESTRICTED, f"--network={self.name}", self.data.mount, *self.options(), *options]
        container = self.stages.container(images()["exchange"], *confined)
        return docker("exec", "--env=PYTHONPATH=/opt/stage", container, "python", "-c", code, *arguments)

    def put(self, path: str, content: str) -> None:
        """Write an object; `@raw/...` is the content of a file below /data."""
        code = (
            "import sys, obstore; from connection import read_connection; from object_store import Bucket\n"
            "path, text = sys.argv[1:]\n"
            "content = open(f'/data/{text[1:]}', 'rb').read() if text.startswith('@') else text.encode()\n"
            f"obstore.put(Bucket(read_connection('store'), '{BUCKET}')._store, path, content)"
        )
        self.python(code, path, content)

    def objects(self) -> dict[str, str]:
        """The ETag, which is a hash of the bytes, of each object."""
        code = (
            "import json, obstore; from connection import read_connection; from object_store import Bucket\n"
            f"store = Bucket(read_connection('store'), '{BUCKET}')._store\n"
            "print(json.dumps({o['path']: o['e_tag'] for part in obstore.list(store) for o in part}))"
        )
        return dict(json.loads(self.python(code).stdout))

    def parquet(self, path: str) -> dict[str, Any]:
        """The types and rows of a Parquet file below /data, or of an object."""
        if path.startswith("s3://"):
            code = (
                "from pathlib import Path; from connection import read_connection; from object_store import Bucket\n"
                f"Bucket(read_connection('store'), '{BUCKET}').download('{path.removeprefix(f's3://{BUCKET}/')}',"
                " Path('/tmp/object'))\n"
            )
            path = "/tmp/object"  # noqa: S108 - the container's own
        else:
            code = ""
        return dict(json.loads(self.python(code + READ_PARQUET, path).stdout))

    def publish(self, scores: str = SCORES, rows: int = 3, ds: str = DS) -> None:
        """Publish predictions of a day."""
        command = ["run", *RESTRICTED, "--network=none", self.data.mount, "--entrypoint=python", images()["base"]]
        docker(*command, "-c", PUBLISH, ds, scores, str(rows))


@contextmanager
def serve(folder: Path) -> Iterator[Lab]:
    """Both servers, removed at the end."""
    name = f"airflow-ml-test-exchange-{secrets.token_hex(4)}"
    docker("network", "create", "--internal", name)
    try:
        with data_volume("exchange") as data:
            lab = Lab(name, data, folder)
            start_database(name)
            start_store(name, folder)
            folder.chmod(0o755)
            database = {"host": "db", "port": 5432, "login": "feed", "schema": "shop"}
            lab.connect("shop", conn_type="postgres", password=PASSWORD, extra={}, **database)
            lab.connect("store", conn_type="aws", login="AKIDTEST", password=SECRET_KEY,
                        extra={"endpoint_url": "http://store:8333", "region_name": "eu-central-1"})  # fmt: skip
            # By TCP: the server that prepares the database first, and then ends, has only a socket.
            ready = (
                "exec",
                f"{name}-db",
                "pg_isready",
                "--quiet",
                "--host=127.0.0.1",
                "--username=feed",
                "--dbname=shop",
            )
            wait_until(lambda: docker(*ready, check=False).returncode == 0, "the database is ready", f"{name}-db")
            try:
                yield lab
            finally:
                lab.stages.close()
    finally:
        docker("rm", "--force", "--volumes", f"{name}-db", f"{name}-store", check=False)
        docker("network", "rm", name, check=False)


def start_database(name: str) -> None:
    settings = {"POSTGRES_USER": "feed", "POSTGRES_PASSWORD": PASSWORD, "POSTGRES_DB": "shop"}
    environment = [f"--env={key}={value}" for key, value in settings.items()]
    docker("run", "--detach", f"--name={name}-db", f"--network={name}", "--network-alias=db", *environment, POSTGRES)


def start_store(name: str, folder: Path) -> None:
    """SeaweedFS in one process; the binary is one static file."""
    key = {"accessKey": "AKIDTEST", "secretKey": SECRET_KEY}
    readers = {"name": "reader", "credentials": [{"accessKey": "AKIDREAD", "secretKey": SECRET_KEY}],
               "actions": [f"Read:{BUCKET}"]}  # fmt: skip
    identities: list[Mapping[str, Any]] = [{"name": "feed", "credentials": [key], "actions": ["Admin"]}, readers]
    config = folder.parent / "s3.json"
    config.write_text(json.dumps({"identities": identities}))
    config.chmod(0o644)
    docker(
        *("run", "--detach", f"--name={name}-store", f"--network={name}", "--network-alias=store"),
        *(f"--volume={WEED}:/weed:ro", f"--volume={config}:/s3.json:ro", "--tmpfs=/store:mode=1777", "--read-only"),
        *("--tmpfs=/tmp", "--cap-drop=ALL", "--entrypoint=/weed", images()["base"]),
        *(
            "mini",
            "-dir=/store",
            "-s3.port=8333",
            "-s3.config=/s3.json",
            f"-bucket={BUCKET}",
            "-s3.autoCreateBucket=false",
        ),
        *("-webdav=false", "-admin.ui=false", "-master.telemetry=false"),
    )
    wait_until(
        lambda: "All enabled components are running" in log_of(f"{name}-store"), "the store runs", f"{name}-store"
    )


def log_of(container: str) -> str:
    done = docker("logs", container, check=False)
    return done.stdout + done.stderr
