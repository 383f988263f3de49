"""A server on the loopback address in the place of Airflow, which answers as a test's script says."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from airflow_ml import airflow_api
from airflow_ml.airflow_api import Airflow

# What the server answers to a request, by its number from 0 on: a status and an object, or nothing at all.
Script = Callable[[str, str, int], "tuple[int, Any] | None"]


class Server:
    """A server on the loopback address that answers as a script says, and remembers each request."""

    def __init__(self, script: Script) -> None:
        self.seen: list[tuple[str, str, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                if self.path == "/auth/token":
                    return self.send(201, {"access_token": "token"})
                number = sum(path == self.path for _, path, _ in server.seen)
                server.seen.append((self.command, self.path, body))
                answer = script(self.command, self.path, number)
                if answer is None:
                    self.close_connection = True
                    return self.connection.close()
                return self.send(*answer)

            def send(self, status: int, content: Any) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, *arguments: object) -> None:
                """Nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.airflow = Airflow(f"http://127.0.0.1:{self.http.server_port}", "secret")


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Script], Server]]:
    monkeypatch.setattr(airflow_api, "PAUSES_S", (0, 0, 0, 0))
    servers: list[Server] = []

    def start(script: Script) -> Server:
        servers.append(Server(script))
        threading.Thread(target=servers[-1].http.serve_forever, daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.http.shutdown()
        server.http.server_close()
