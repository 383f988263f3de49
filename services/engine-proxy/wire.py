"""HTTP/1.1 on both sides of the proxy: h11 parses strictly, asyncio carries the bytes; nothing is decided here."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import h11

from checks import Refused
from policy import EngineCall

MAX_HEAD, MAX_BODY, CHUNK = 16 << 10, 256 << 10, 64 << 10
CONNECT_SECONDS, LINGER_SECONDS = 5.0, 1.0
UPGRADE = [(b"Connection", b"Upgrade"), (b"Upgrade", b"tcp")]


class ClientGone(Exception):
    """The client left before it had its answer."""


class EngineDown(Exception):
    """The engine does not answer, or stopped in the middle of an answer."""


class Exchange:
    """One request to the engine on a connection of its own, and the answer, event by event."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.CLIENT)

    async def send(self, call: EngineCall) -> None:
        """Write the call as a request of our own; nothing of the client's own bytes is in it."""
        headers = [(b"Host", b"docker"), (b"Content-Length", str(len(call.body)).encode())]
        headers += UPGRADE if call.attaches else [(b"Connection", b"close")]
        headers += [(b"Content-Type", b"application/json")] if call.body else []
        request = h11.Request(method=call.method, target=call.target, headers=headers)
        for event in (request, h11.Data(data=call.body), h11.EndOfMessage()):
            self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()

    async def next_event(self) -> Any:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(CHUNK))
        except (OSError, h11.RemoteProtocolError) as error:
            raise EngineDown(f"it ended the connection ({error})") from None
        if isinstance(event, h11.ConnectionClosed):
            raise EngineDown("it ended the connection without an answer")
        return event

    async def raw(self) -> AsyncIterator[bytes]:
        """What follows a switch of protocol, as it comes, until the engine ends it."""
        data = self._http.trailing_data[0]
        while data or (data := await self._reader.read(CHUNK)):
            yield data
            data = b""


@asynccontextmanager
async def exchange(engine: str, call: EngineCall) -> AsyncIterator[Exchange]:
    """Send a call to the engine's socket, which is opened each time, as engines restart."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_unix_connection(engine)
    except OSError as error:  # a TimeoutError is one too
        raise EngineDown(f"{engine}: {error.strerror or 'no answer'}") from None
    try:
        one = Exchange(reader, writer)
        await one.send(call)
        yield one
    finally:
        writer.transport.abort()


async def ask(engine: str, call: EngineCall) -> tuple[h11.Response, bytes]:
    """The engine's whole answer; for calls whose answer is short."""
    body = bytearray()
    async with exchange(engine, call) as one:
        response = await one.next_event()
        while isinstance(event := await one.next_event(), h11.Data):
            body += event.data
    return response, bytes(body)


async def look_up(engine: str, target: str) -> dict[str, Any] | None:
    """The engine's details of a container or an image; None if it does not know it."""
    response, body = await ask(engine, EngineCall("GET", target))
    if response.status_code == 404:
        return None
    if response.status_code != 200:
        raise EngineDown(f"it answered GET {target} with {response.status_code}: {body[:200]!r}")
    details: dict[str, Any] = json.loads(body)
    return details


class Client:
    """One connection of a client: one request, read strictly, and one answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self.user = _user_of(writer.get_extra_info("socket"))

    async def read_head(self) -> h11.Request:
        request = await self._next_event()
        if not isinstance(request, h11.Request):
            raise ClientGone
        if request.http_version != b"1.1":
            raise Refused(f"the request is HTTP/{request.http_version.decode()}; expected: 1.1", 505)
        if len(request.target) + sum(len(name) + len(value) for name, value in request.headers) > MAX_HEAD:
            raise Refused(f"the head is too long; expected: at most {MAX_HEAD} bytes", 431)
        names = [name for name, _ in request.headers]
        if b"content-length" in names and b"transfer-encoding" in names:
            raise Refused("the request has both Content-Length and Transfer-Encoding; expected: one of them", 400)
        return request

    async def read_body(self) -> bytes:
        body = bytearray()
        while isinstance(event := await self._next_event(), h11.Data):
            body += event.data
            if len(body) > MAX_BODY:
                raise Refused(f"the body is too long; expected: at most {MAX_BODY} bytes", 413)
        return bytes(body)

    async def _next_event(self) -> Any:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(CHUNK))
        except h11.RemoteProtocolError as error:
            raise Refused(f"the request is malformed ({error})", error.error_status_hint) from None
        return event

    async def until_gone(self, may_half_close: bool) -> None:
        """Return when the client has left. Anything else it sends is dropped: there is one request, and no stdin."""
        while await self._reader.read(CHUNK):
            pass
        if may_half_close:  # it has only ended its own sending; a write shows whether it has left
            await asyncio.Event().wait()

    @property
    def may_be_answered(self) -> bool:
        return self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE)

    async def send(self, *events: h11.Event) -> None:
        for event in events:
            self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()

    async def send_raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def send_message(self, status: int, message: str) -> None:
        """Answer in the form of the engine's own errors: clients show the message."""
        body = json.dumps({"message": message}).encode() + b"\n"
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Connection", "close")]
        head = h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase)
        await self.send(head, h11.Data(data=body), h11.EndOfMessage())

    async def close(self) -> None:
        """End the connection once all is sent. Bytes still coming in are read for a moment: closing on them
        would reset the connection, and the client might lose the answer."""
        self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await self.until_gone(may_half_close=False)
        self._writer.close()
        await self._writer.wait_closed()

    def abort(self) -> None:
        """End the connection immediately; a client in the middle of an answer sees that it is not whole."""
        self._writer.transport.abort()


def _user_of(connection: socket.socket) -> int:
    """The number of the user who opened a connection, as the kernel knows it."""
    _process, user, _group = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return int(user)
