"""Who reaches the engine: of all services, containers and users, only scheduler and triggerer, by the proxy's socket.

The proxy runs from docker-compose.yml, in a project of its own. Each service starts for one question, with no port.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow_ml import secret_files
from airflow_ml.images.lock import write_service_images
from airflow_ml.make_env import make_env

from tests.harness import CONFINED, PATIENCE_S, ROOT, Finished, docker, images, wait_until

SOCKET = "/run/engine-proxy/engine.sock"
# How the socket at a path answers a user of that number; as the same user if there is no number.
ASK = f"""
import os, socket, sys
path, *user = sys.argv[1:]
if user:
    os.setgroups([])
    os.setgid(int(user[0]))
    os.setuid(int(user[0]))
try:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout({PATIENCE_S})
        connection.connect(path)
        connection.sendall(b"GET /_ping HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        print(connection.recv(12).decode())
except OSError as error:
    print(type(error).__name__)
"""
# The addresses that the processes of a container listen at, on TCP and UDP, and its network interfaces.
LISTENING = """
import pathlib, socket
lines = [line.split() for name in ("tcp", "tcp6", "udp", "udp6")
         for line in pathlib.Path(f"/proc/1/net/{name}").read_text().splitlines()[1:]]
print([line[1] for line in lines], [name for _, name in socket.if_nameindex()])
"""
ANSWERED, NO_SOCKET, NO_RIGHT = "HTTP/1.1 200", "FileNotFoundError", "PermissionError"
NOBODY = 65534


class Project:
    """The services of docker-compose.yml under a name, with settings and a volume of their own."""

    def __init__(self, folder: Path) -> None:
        self.name = f"airflow-ml-test-{secrets.token_hex(4)}"
        (folder / ".env.example").write_text((ROOT / ".env.example").read_text())
        make_env(folder)
        write_service_images(folder, images())
        self.settings = folder / ".env"
        secret_files.write(ROOT / ".secrets" / self.name, secret_files.secret_values(folder))

    def compose(self, *arguments: str, check: bool = True) -> Finished:
        """Run `docker compose`, with nothing of the settings that the tests themselves run with."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ML_", "COMPOSE_"))}
        project = [f"--project-name={self.name}", f"--env-file={self.settings}", f"--file={ROOT}/docker-compose.yml"]
        done = subprocess.run(
            ["docker", "compose", *project, *arguments],
            env={**environment, "ML_DATA": self.name}, text=True, capture_output=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0 or not check, done.stderr
        return done

    def services(self) -> dict[str, Any]:
        return dict(json.loads(self.compose("config", "--format=json").stdout)["services"])

    def ask_from(self, service: str) -> str:
        """How the proxy answers a container of a service."""
        run = ["run", "--rm", "--no-deps", "--no-TTY", "--entrypoint=python", service]
        return self.compose(*run, "-c", ASK, SOCKET).stdout.strip()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The proxy, up and healthy."""
    one = Project(tmp_path_factory.mktemp("project"))
    try:
        one.compose("up", "--detach", "--wait", "--no-deps", "engine-proxy")
        yield one
    finally:
        one.compose("down", "--volumes", check=False)
        shutil.rmtree(ROOT / ".secrets" / one.name)


def ask_on_the_host(path: str, user: int | None = None) -> str:
    """How the socket answers a process of the host, that runs as another user if one is given."""
    command = [sys.executable, "-c", ASK, path, *([str(user)] if user is not None else [])]
    return subprocess.run(command, text=True, capture_output=True, timeout=PATIENCE_S, check=True).stdout.strip()


@pytest.mark.parametrize("service", ["scheduler", "triggerer"])
def test_proxy_answers_the_services_that_run_tasks(project: Project, service: str) -> None:
    assert project.ask_from(service) == ANSWERED


@pytest.mark.parametrize("service", ["init", "api-server", "dag-processor", "mlflow", "reports"])
def test_proxy_is_out_of_reach_for_the_other_services(project: Project, service: str) -> None:
    """They run as the same user as the scheduler, but have no path to the socket."""
    assert project.ask_from(service) == NO_SOCKET


def test_socket_is_mounted_by_the_proxy_and_what_runs_tasks_alone(project: Project) -> None:
    """Tasks are processes of the scheduler, their triggers of the triggerer. Neither can replace the proxy's socket."""
    mounts = {
        (name, mount.get("read_only", False))
        for name, service in project.services().items()
        for mount in service.get("volumes", [])
        if mount["source"] == "engine-socket"
    }
    assert mounts == {("engine-proxy", False), ("scheduler", True), ("triggerer", True)}


def test_connections_are_mounted_by_what_runs_tasks_alone(project: Project) -> None:
    """Of the services; the proxy lets the stage exchange mount them as well."""
    mounts = {
        (name, mount["target"])
        for name, service in project.services().items()
        for mount in service.get("volumes", [])
        if mount["source"] == "connections"
    }
    assert mounts == {("scheduler", "/run/connections"), ("triggerer", "/run/connections")}


WRITE_AND_WAIT = """
import os, pathlib, time
kinds = [line.split()[2] for line in open("/proc/mounts") if line.split()[1] == "/run/connections"]
folder = pathlib.Path("/run/connections/task")
folder.mkdir()
(folder / "shop.json").write_text("secret")
print(kinds, os.getuid(), flush=True)
time.sleep(600)
"""


def test_connections_are_in_memory_and_seen_where_the_volume_is_mounted(project: Project) -> None:
    run = ["run", "--detach", "--no-deps", "--entrypoint=python", "scheduler", "-c", WRITE_AND_WAIT]
    scheduler = project.compose(*run).stdout.strip()
    try:
        wait_until(lambda: docker("logs", scheduler).stdout, "the scheduler says something", scheduler)
        assert docker("logs", scheduler).stdout == "['tmpfs'] 10001\n"
        volume = f"--volume={project.name}_connections:/run/connections:ro"
        code = "print(open('/run/connections/task/shop.json').read())"
        command = ["run", *CONFINED, volume, "--entrypoint=python", images()["base"], "-c", code]
        assert docker(*command).stdout == "secret\n"
    finally:
        docker("rm", "--force", scheduler)
    assert docker(*command, check=False).returncode == 1, "nobody mounts it any more, so nothing is left"


def test_proxy_has_no_network_and_no_port(project: Project) -> None:
    """So neither containers on any network nor processes of the host have an address to call."""
    container = project.compose("ps", "--quiet", "engine-proxy").stdout.strip()
    network = json.loads(docker("inspect", container).stdout)[0]["NetworkSettings"]
    assert (list(network["Networks"]), network["IPAddress"], network["Ports"]) == (["none"], "", {})
    assert docker("exec", container, "python", "-c", LISTENING).stdout == "[] ['lo']\n"


def test_proxy_is_out_of_reach_for_a_user_of_the_host(project: Project) -> None:
    """The volume is below the engine's folder, which is root's. Root shows that the path is right."""
    volume = f"{project.name}_engine-socket"
    folder = docker("volume", "inspect", "--format={{.Mountpoint}}", volume).stdout.strip()
    if os.getuid() == 0:
        assert ask_on_the_host(f"{folder}/engine.sock") == ANSWERED
        assert ask_on_the_host(f"{folder}/engine.sock", NOBODY) == NO_RIGHT
    else:
        assert ask_on_the_host(f"{folder}/engine.sock") == NO_RIGHT


@pytest.mark.parametrize("user", [NOBODY, 10002, 0])
def test_proxy_answers_no_other_user_even_if_the_socket_is_mounted(project: Project, user: int) -> None:
    """Root has no rights here that others do not have: its capabilities are dropped."""
    options = [*CONFINED, f"--user={user}:{user}", f"--volume={project.name}_engine-socket:/run/engine-proxy:ro"]
    done = docker("run", *options, "--entrypoint=python", images()["base"], "-c", ASK, SOCKET)
    assert done.stdout.strip() == NO_RIGHT


def test_socket_and_its_folder_are_of_the_owner_alone(project: Project) -> None:
    """Each is enough: the folder's mode is lost where a folder of the host is mounted instead."""
    code = "import os, sys; print([(oct(found.st_mode), found.st_uid) for found in map(os.stat, sys.argv[1:])])"
    run = ["exec", "--no-TTY", "engine-proxy", "python", "-c", code, str(Path(SOCKET).parent), SOCKET]
    assert project.compose(*run).stdout.strip() == "[('0o40700', 10001), ('0o140600', 10001)]"
