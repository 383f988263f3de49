"""The stack with every file that docs/operate.md switches on, all together: metrics, lineage and JSON logs arrive."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT, docker, images, wait_until

from .own_stack import LEFT, PROJECT, OwnStack, own_stack

DS = "2026-11-21"
FILES = ("docker-compose.yml", *sorted(path.name for path in ROOT.glob("docker-compose.*.yml")))
# What begins on another engine is no overlay of this one.
OVERLAYS = [name for name in FILES if "swarm" not in name]
SETTINGS = f"""\
COMPOSE_FILE={":".join(OVERLAYS)}
ML_OTLP_ENDPOINT=http://collector:4318
ML_OPENLINEAGE_URL=http://catalog:5000
"""
COLLECTOR = (ROOT / "tests" / "end_to_end" / "collector.py").read_text(encoding="utf-8")
# Prints what each event is about.
CATALOG = """
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Catalog(BaseHTTPRequestHandler):
    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(201)
        self.end_headers()
        print(f"{event['eventType']} {event['job']['name']}\\n", end="", flush=True)

ThreadingHTTPServer(("", 5000), Catalog).serve_forever()
"""
AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnStack]:
    checkout = shutil.copytree(ROOT, tmp_path / "checkout", ignore=shutil.ignore_patterns(*LEFT))
    (checkout / ".env").write_text(SETTINGS)
    listeners = {"collector": COLLECTOR, "catalog": CATALOG}
    with own_stack(checkout) as made:
        try:
            for name, code in listeners.items():
                network = (f"--network={PROJECT}_default", f"--network-alias={name}", "--entrypoint=python")
                docker("run", "--detach", f"--name={PROJECT}-{name}", *network, images()["airflow"], "-c", code)
            yield made
        finally:
            docker("rm", "--force", *(f"{PROJECT}-{name}" for name in listeners), check=False)


def got(name: str) -> list[str]:
    """The lines that a container has written."""
    done = docker("logs", f"{PROJECT}-{name}")
    return (done.stdout + done.stderr).splitlines()


def test_each_overlay_brings_its_lines_while_all_are_on(own: OwnStack) -> None:
    own.run("generate_data", ds=DS, rows=1000)
    wait_until(lambda: "airflow.scheduler_heartbeat" in got("collector"), "metrics arrive", f"{PROJECT}-collector")
    wait_until(
        lambda: "COMPLETE generate_data.generate" in got("catalog"), "the event of a task arrives", f"{PROJECT}-catalog"
    )
    for service in AIRFLOW:
        lines = [json.loads(line) for line in got(f"{service}-1") if line.startswith("{")]
        assert [line for line in lines if {"event", "level"} <= line.keys()], got(f"{service}-1")[-20:]
