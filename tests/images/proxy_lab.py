"""The engine proxy's image in a container, before any engine, and what a hostile client of it needs."""

import json
import os
import re
import secrets
import shutil
import socket
import tempfile
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

import docker as docker_py

from tests.harness import PATIENCE_S, docker, images, wait_until

SOCKET = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
OUR_LABEL = "airflow-ml.proxy"
# A stage for these tests: it prints, sleeps and exits as its arguments say.
PROBE = """
import os, sys, time
for word in sys.argv[1:]:
    verb, _, value = word.partition("=")
    if verb == "say": os.write(1, value.encode() + b"\\n")
    if verb == "grumble": os.write(2, value.encode() + b"\\n")
    if verb == "sleep": time.sleep(float(value))
    if verb == "write": open("/data/" + value, "w").close()
    if verb == "exit": sys.exit(int(value))
"""
PROBE_DOCKERFILE = """
FROM {base}
COPY probe.py /opt/stage/probe.py
ENTRYPOINT ["/usr/bin/tini", "--", "python", "/opt/stage/probe.py"]
CMD ["say=default"]
"""
UPGRADE = ("Connection: Upgrade", "Upgrade: tcp")


def request(line: str, *headers: str, content: bytes = b"") -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: x", *headers, "", ""]).encode("latin-1") + content


def chunked(content: bytes) -> bytes:
    return f"{len(content):x}\r\n".encode() + content + b"\r\n0\r\n\r\n"


class UnixConnection(HTTPConnection):
    """HTTP to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("engine-proxy", timeout=PATIENCE_S)
        self.path = path

    def connect(self) -> None:
        self.sock = connect(self.path)


def connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE_S)
    connection.connect(path)
    return connection


class Proxy:
    """A proxy in a container, of an installation of its own. Its socket is in a folder that the tests can open."""

    def __init__(self, *options: str, engine: str = SOCKET) -> None:
        self.installation = f"test-{secrets.token_hex(6)}"
        self.folder = Path(tempfile.mkdtemp(prefix="engine-proxy-"))
        self.socket = str(self.folder / "engine.sock")
        confined = ["--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
        group = f"--group-add={Path(engine).stat().st_gid}"
        self.container = docker(
            "run", "--detach", *confined, *self._owner(), group, f"--volume={engine}:/var/run/docker.sock",
            f"--volume={self.folder}:/run/engine-proxy", "--env=ML_STAGE_MEMORY=512m",
            f"--env=ML_INSTALLATION={self.installation}", *options, images()["engine-proxy"], "serve",
        ).stdout.strip()  # fmt: skip
        self.url = f"unix://{self.socket}"
        wait_until(self.answers, "the proxy answers", self.container)

    def _owner(self) -> list[str]:
        """Root opens any socket, so the proxy keeps its image's user; another user opens only sockets of their own."""
        if os.getuid():
            return [f"--user={os.getuid()}:{os.getgid()}"]
        os.chown(self.folder, 10001, 10001)
        return []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        docker("rm", "--force", self.container)
        shutil.rmtree(self.folder)

    def answers(self) -> bool:
        try:
            return self.ask("GET", "/_ping")[0] == 200
        except OSError:
            return False

    def healthcheck(self) -> Any:
        return docker("exec", self.container, "python", "/opt/service/engine_proxy.py", "healthcheck", check=False)

    def client(self) -> docker_py.APIClient:
        return docker_py.APIClient(self.url)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """The status and the message, or text, of the answer to one request."""
        with closing(UnixConnection(self.socket)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            content = response.read().decode()
            return response.status, json.loads(content)["message"] if response.status >= 400 else content

    def raw(self, *parts: bytes, end: bool = False) -> bytes:
        """All that comes back for these bytes until the proxy closes the connection."""
        with connect(self.socket) as connection:
            for part in parts:
                connection.sendall(part)
            if end:
                connection.shutdown(socket.SHUT_WR)
            answer = b""
            while data := connection.recv(65536):
                answer += data
            return answer

    def log(self) -> str:
        return docker("logs", self.container).stderr


def answers_in(received: bytes) -> int:
    return len(re.findall(rb"(?m)^HTTP/1[.]1 \d{3} ", received))
