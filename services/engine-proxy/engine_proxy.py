"""A proxy between Airflow and the Docker engine: lets through only what DockerOperator needs to run a stage.

Listens on a Unix socket, /run/engine-proxy/engine.sock, that only its own user may open, and on no network. One request
per connection; policy.py decides. What is let through goes to the engine's socket as a new request of our own: no byte
of a client reaches the engine unchanged. An answer may be silent for hours (a log stream, a wait): it ends when the
engine or the client ends it.

Exit codes: 0 ended by SIGTERM, or healthy; 1 failed, or not healthy; 2 wrong settings.
"""

import argparse
import asyncio
import http.client
import inspect
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import h11

import policy
import swarm
from checks import Refused, shown
from policy import EngineCall, is_ours, judge_image
from settings import Settings, read_settings
from wire import UPGRADE, Client, ClientGone, EngineDown, ask, exchange, look_up

SOCKET = "/run/engine-proxy/engine.sock"
SOCKET_UMASK = 0o177  # the socket is its owner's alone
MAX_CONNECTIONS = 256
# A client beyond the backlog gets an error immediately, so this is larger: the proxy itself refuses, with a message.
BACKLOG = 4 * MAX_CONNECTIONS
HEALTH_SECONDS = 4
# The engine's headers that a client needs; the others are between the engine and us.
PASSED_ON = {b"content-type", b"content-length", b"api-version", b"docker-experimental", b"ostype", b"server"}

log = logging.getLogger("engine-proxy")


@dataclass
class Entry:
    """The line of the log about one request."""

    user: int
    request: str = "?"
    image: str | None = None
    container: str | None = None

    def write(self, status: int, refusal: str | None = None) -> None:
        words = [f"{'refused' if refusal else 'allowed'} {status} {self.request[:200]} user={self.user}"]
        words += [f"image={self.image}"] if self.image else []
        words += [f"container={self.container[:12]}"] if self.container else []
        words += [f"reason={shown(refusal, 500)}"] if refusal else []
        healthy = self.request == "GET /_ping" and not refusal  # asked every few seconds
        log.log(logging.DEBUG if healthy else logging.WARNING if refusal else logging.INFO, " ".join(words))


class Proxy:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._judge = swarm.judge if settings.is_swarm else policy.judge
        self._connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, from its first byte to its last."""
        client = Client(reader, writer)
        self._connections += 1
        try:
            await self._serve(client)
            await client.close()
        except (OSError, ClientGone):
            pass
        except Exception:
            log.exception("unexpected error; the connection is cut")
        finally:
            self._connections -= 1
            client.abort()

    async def _serve(self, client: Client) -> None:
        entry = Entry(client.user)
        try:
            if self._connections > MAX_CONNECTIONS:
                raise Refused(f"{MAX_CONNECTIONS} clients are connected already; do: try later", 503)
            call = await self._read_call(client, entry)
            await _while_there(client, call, self._answer(client, call, entry))
        except Refused as refused:
            await _refuse(client, entry, refused.status, str(refused))
        except EngineDown as down:
            await _refuse(client, entry, 502, f"engine down: {down}; do: check that the Docker engine runs")

    async def _read_call(self, client: Client, entry: Entry) -> EngineCall:
        try:
            async with asyncio.timeout(self._settings.request_seconds):
                request = await client.read_head()
                method, target = request.method.decode("ascii"), request.target.decode("ascii")
                entry.request = f"{method} {target}"
                body = await client.read_body()
        except TimeoutError:
            raise Refused(f"no whole request came within {self._settings.request_seconds:g} s", 408) from None
        call = self._judge(method, target, body, self._settings.current_limits())
        entry.image, entry.container = call.image, call.container or call.service
        if call.attaches and (b"upgrade", b"tcp") not in request.headers:
            raise Refused("attach comes without `Upgrade: tcp`; expected: a client that takes a raw stream", 400)
        return call

    async def _answer(self, client: Client, call: EngineCall, entry: Entry) -> None:
        if call.container:
            await self._check_ours("container", call.container, f"/containers/{call.container}/json")
        if call.service:
            await self._check_ours("service", call.service, f"/services/{call.service}")
        if call.network:
            await self._check_ours("network", call.network, f"/networks/{call.network}")
        if call.creates:
            await self._create(client, call, entry)
        else:
            await self._stream(client, call, entry)

    async def _check_ours(self, kind: str, name: str, target: str) -> None:
        details = await look_up(self._settings.engine, target)
        if details is None:
            raise Refused(f"No such {kind}: {name}", 404)
        if not is_ours(details, self._settings.limits):
            raise Refused(f"{kind} {name[:12]} was not created through this proxy; expected: one that was")

    async def _create(self, client: Client, call: EngineCall, entry: Entry) -> None:
        details = await look_up(self._settings.engine, f"/images/{call.image}/json")
        if details is None:
            raise Refused(f"No such image: {call.image}; do: run ./build_images.sh", 404)
        judge_image(str(call.image), details)
        response, body = await ask(self._settings.engine, call)
        if response.status_code == 201:
            made = json.loads(body)
            entry.container = made.get("Id") or made["ID"]
        entry.write(response.status_code)
        await client.send(_pass_on(response), h11.Data(data=body), h11.EndOfMessage())

    async def _stream(self, client: Client, call: EngineCall, entry: Entry) -> None:
        async with exchange(self._settings.engine, call) as one:
            head = await one.next_event()
            entry.write(head.status_code)
            await client.send(_pass_on(head))
            if isinstance(head, h11.InformationalResponse):
                async for data in one.raw():
                    await client.send_raw(data)
                return
            while isinstance(event := await one.next_event(), h11.Data):
                await client.send(h11.Data(data=event.data))
            await client.send(h11.EndOfMessage())


def _pass_on(head: h11.Response | h11.InformationalResponse) -> h11.Response | h11.InformationalResponse:
    """The head of the engine's answer, for the client, whose connection ends with this answer."""
    headers = [(name, value) for name, value in head.headers if name in PASSED_ON]
    if isinstance(head, h11.InformationalResponse):
        return h11.InformationalResponse(status_code=101, headers=[*headers, *UPGRADE], reason=head.reason)
    return h11.Response(status_code=head.status_code, headers=[*headers, (b"Connection", b"close")], reason=head.reason)


async def _refuse(client: Client, entry: Entry, status: int, reason: str) -> None:
    entry.write(status, reason)
    if not client.may_be_answered:  # the answer has begun: cut it, so that nobody takes it for whole
        raise ClientGone
    await client.send_message(status, reason)


async def _while_there(client: Client, call: EngineCall, work: Coroutine[Any, Any, None]) -> None:
    """Do the work, and give it up when the client leaves."""
    tasks = [asyncio.create_task(work), asyncio.create_task(client.until_gone(may_half_close=call.attaches))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise ClientGone
        await tasks[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; whatever is under way then is cut."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    os.umask(SOCKET_UMASK)
    server = await asyncio.start_unix_server(Proxy(settings).serve, SOCKET, backlog=BACKLOG)
    limits = settings.current_limits()
    log.info(
        "listening on %s for engine %s; data %s; networks %s; images %s",
        SOCKET,
        settings.engine,
        limits.data,
        ", ".join(f"{stage}={name}" for stage, names in sorted(limits.networks.items()) for name in sorted(names))
        or "none",
        "any" if limits.images is None else ", ".join(sorted(limits.images)) or "none",
    )
    await stopped.wait()
    server.close()
    log.info("ended by a signal")


def is_healthy() -> bool:
    """Whether the proxy in this container gets an answer from the engine."""
    connection = http.client.HTTPConnection("engine-proxy")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(HEALTH_SECONDS)
    try:
        connection.sock.connect(SOCKET)
        connection.request("GET", "/_ping")
        response = connection.getresponse()
        print(response.status, response.read().decode(errors="replace"))
    except OSError as error:
        print(f"{SOCKET}: {error}")
        return False
    finally:
        connection.close()
    return response.status == 200


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="airflow-ml-engine-proxy",
        description=__doc__,
        epilog=inspect.getdoc(read_settings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=("serve", "healthcheck"), help="healthcheck asks the engine through serve")
    if parser.parse_args(argv).command == "healthcheck":
        return 0 if is_healthy() else 1
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s engine-proxy: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%SZ",
        stream=sys.stderr,
    )
    try:
        settings = read_settings(os.environ)
    except ValueError as error:
        log.error("%s", error)
        return 2
    try:
        asyncio.run(run(settings))
    except OSError as error:
        do = f"mount a volume or a folder there that belongs to user {os.getuid()}"
        log.error("cannot listen on %s: %s; expected: a folder to write to; do: %s", SOCKET, error.strerror, do)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
