"""A connection with limits: uvicorn itself waits without end for a client that sends nothing, or takes no response."""

import asyncio
import logging

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 32
REQUEST_SECONDS, RESPONSE_SECONDS, LINGER_SECONDS = 10.0, 30.0, 1.0

log = logging.getLogger("reports")


class LimitedConnection(H11Protocol):
    """One of MOST_CONNECTIONS. Its request comes within REQUEST_SECONDS, its response goes within RESPONSE_SECONDS."""

    _timer: asyncio.TimerHandle
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(REQUEST_SECONDS, self._check_request)
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(503, f"{MOST_CONNECTIONS} clients are connected. Try again later.")

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def _check_request(self) -> None:
        if self.cycle is None:
            self._refuse(408, f"No whole request came within {REQUEST_SECONDS:g} s.")
        else:
            self._timer = self.loop.call_later(RESPONSE_SECONDS, self.transport.abort)

    def _refuse(self, status: int, reason: str) -> None:
        """Send a response without a request. Later bytes are ignored; unread, they would reset the connection."""
        self._refused = True
        self._timer.cancel()
        content = f"{reason}\n".encode()
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(content)))]
        response = h11.Response(status_code=status, headers=[*headers, ("Connection", "close")])
        for event in (response, h11.Data(data=content), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)
        log.info('%d - from=%s reason="%s"', status, (self.client or ["?"])[0], reason)
