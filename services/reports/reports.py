"""Serves the pages of the days to browsers on this machine: reads only, and only what was published.

Listens on TCP port 8000, one request a connection. `/` lists the days, `/YYYY-MM-DD/` is the page of one, `/healthz`
says that the service is there; nothing else has an answer, and nothing else below the data folder is ever opened.

Exit codes: 0 ended by SIGTERM, or healthy; 1 failed, or not healthy; 2 wrong usage.
"""

import argparse
import asyncio
import http.client
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import h11

from answers import Answer, answer
from days import Days

PORT = 8000
MAX_CONNECTIONS, READERS = 32, 4
MAX_HEAD, CHUNK = 16 << 10, 64 << 10
REQUEST_SECONDS, ANSWER_SECONDS, LINGER_SECONDS, HEALTH_SECONDS = 10.0, 30.0, 1.0, 4.0
DEFAULT_HOSTS = "localhost,127.0.0.1,reports"

log = logging.getLogger("reports")


@dataclass(frozen=True)
class Settings:
    """Where the reports are, and under which names of this service a browser may ask for them."""

    folder: Path
    hosts: frozenset[str]


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings, all from the environment:

    ML_REPORTS_DIR    the folder of the reports (default: /data/reports)
    ML_REPORTS_HOSTS  names that a request may be for, commas between (default: localhost,127.0.0.1,reports)
    """
    hosts = environment.get("ML_REPORTS_HOSTS") or DEFAULT_HOSTS
    folder = Path(environment.get("ML_REPORTS_DIR") or "/data/reports")
    return Settings(folder, frozenset(host.strip().lower() for host in hosts.split(",") if host.strip()))


class Server:
    """Answers connections: at most MAX_CONNECTIONS at a time, files read by READERS threads."""

    def __init__(self, settings: Settings) -> None:
        self._hosts, self._days = settings.hosts, Days(settings.folder)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, from its first byte to its last."""
        self._connections += 1
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError):
            pass  # the client left, or takes its answer too slowly
        except Exception:
            log.exception("unexpected error; the connection is cut")
        finally:
            self._connections -= 1
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        started = time.monotonic()
        protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        request, reply = await self._judge(reader, protocol)
        if request is None and reply is None:
            return
        if reply is None and request is not None:
            reply = await asyncio.get_running_loop().run_in_executor(
                self._readers, answer, self._days, self._hosts, request
            )
        assert reply is not None
        async with asyncio.timeout(ANSWER_SECONDS):
            sent = await _send(writer, protocol, reply, head_only=request is not None and request.method == b"HEAD")
        _log(writer, request, reply, sent, time.monotonic() - started)
        await _close(reader, writer)

    async def _judge(
        self, reader: asyncio.StreamReader, protocol: h11.Connection
    ) -> tuple[h11.Request | None, Answer | None]:
        """The request, or the answer to what is none; two None where the client left."""
        if self._connections > MAX_CONNECTIONS:
            return None, Answer.plain(503, f"{MAX_CONNECTIONS} clients are connected already; try later")
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await _read_head(reader, protocol), None
        except TimeoutError:
            return None, Answer.plain(408, f"no whole request came within {REQUEST_SECONDS:g} s")
        except h11.RemoteProtocolError as error:
            return None, Answer.plain(error.error_status_hint, "the request is malformed")


async def _read_head(reader: asyncio.StreamReader, protocol: h11.Connection) -> h11.Request | None:
    while (event := protocol.next_event()) is h11.NEED_DATA:
        protocol.receive_data(await reader.read(CHUNK))
    return event if isinstance(event, h11.Request) else None


async def _send(writer: asyncio.StreamWriter, protocol: h11.Connection, reply: Answer, head_only: bool) -> int:
    """Send an answer; returns the bytes of its content. HEAD gets the same headers and no content."""
    if protocol.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
        return 0
    reason = HTTPStatus(reply.status).phrase
    writer.write(protocol.send(h11.Response(status_code=reply.status, headers=reply.headers, reason=reason)) or b"")
    content = b"" if head_only or reply.status == 304 else reply.content
    if content:
        writer.write(protocol.send(h11.Data(data=content)) or b"")
    writer.write(protocol.send(h11.EndOfMessage()) or b"")
    await writer.drain()
    return len(content)


async def _close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End the connection once all is sent: closing on bytes that still come in would reset it."""
    writer.write_eof()
    async with asyncio.timeout(LINGER_SECONDS):
        while await reader.read(CHUNK):
            pass


def _log(writer: asyncio.StreamWriter, request: h11.Request | None, reply: Answer, sent: int, seconds: float) -> None:
    """One line a request; health checks that pass are left out."""
    asked = f"{request.method.decode()} {request.target.decode()[:200]}" if request else "-"
    client = str((writer.get_extra_info("peername") or ["?"])[0])
    level = logging.DEBUG if asked == "GET /healthz" and reply.status == 200 else logging.INFO
    reason = f' reason="{reply.reason}"' if reply.reason else ""
    log.log(level, "%d %s from=%s bytes=%d seconds=%.3f%s", reply.status, asked, client, sent, seconds, reason)


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; whatever is under way then is cut."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = await asyncio.start_server(Server(settings).serve, "0.0.0.0", PORT)
    hosts = ", ".join(sorted(settings.hosts))
    log.info("listening on port %d for %s; pages of %s", PORT, hosts, settings.folder)
    await stopped.wait()
    server.close()
    log.info("ended by a signal")


def is_healthy() -> bool:
    """Whether the service on this machine answers."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=HEALTH_SECONDS)
    try:
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        print(response.status, response.read().decode(errors="replace").strip())
    except OSError as error:
        print(f"port {PORT}: {error}")
        return False
    return response.status == 200


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="airflow-ml-reports",
        description=__doc__,
        epilog=read_settings.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=("serve", "healthcheck"), help="healthcheck asks whether serve answers")
    if parser.parse_args(argv).command == "healthcheck":
        return 0 if is_healthy() else 1
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s reports: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%SZ",
        stream=sys.stderr,
    )
    asyncio.run(run(read_settings(os.environ)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
