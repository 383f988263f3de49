"""A web hook and a mail server that keep what they get. Standard library only: it also runs in the base image.

Usage: receivers.py HTTP_PORT SMTP_PORT. Prints each message as a line of JSON: {"by": "http"|"smtp", ...}.
"""

import email
import email.policy
import json
import socketserver
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Message = dict[str, Any]
Keep = Callable[[Message], None]


def http_server(keep: Keep, port: int = 0, host: str = "127.0.0.1") -> ThreadingHTTPServer:
    """A web hook: keeps the path and the JSON object of each request."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            keep({"by": "http", "path": self.path, "title": body["title"], "text": body["message"]})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    return ThreadingHTTPServer((host, port), Handler)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def smtp_server(keep: Keep, port: int = 0, host: str = "127.0.0.1") -> _Server:
    """A mail server: keeps receivers, subject and text of each mail."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            receivers: list[str] = []
            self.say("220 ready")
            for raw in self.rfile:
                line = raw.decode().strip()
                word = line.split(" ")[0].upper()
                if word == "MAIL":
                    receivers = []
                if word == "RCPT":
                    receivers.append(line.partition(":")[2].strip("<> "))
                if word == "DATA":
                    self.say("354 go on")
                    keep({"by": "smtp", "to": receivers, **self.mail()})
                self.say("221 bye" if word == "QUIT" else "250 ok")
                if word == "QUIT":
                    return

        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def mail(self) -> Message:
            lines = []
            while (line := self.rfile.readline().rstrip(b"\r\n")) != b".":
                lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
            mail = email.message_from_bytes(b"\n".join(lines), policy=email.policy.default)
            part = mail.get_body(("plain", "html"))
            assert part is not None
            return {"title": str(mail["subject"]), "type": part.get_content_type(), "text": part.get_content()}

    return _Server((host, port), Handler)


def serve(server: socketserver.BaseServer) -> None:
    """In a thread that ends with the process."""
    threading.Thread(target=server.serve_forever, daemon=True).start()


if __name__ == "__main__":

    def show(message: Message) -> None:
        # One write: of two threads that print, the second would write before the first's end of line.
        print(f"{json.dumps(message)}\n", end="", flush=True)

    serve(http_server(show, int(sys.argv[1]), "0.0.0.0"))
    smtp_server(show, int(sys.argv[2]), "0.0.0.0").serve_forever()
