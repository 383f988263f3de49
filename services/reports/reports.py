"""Serves the pages of the days to browsers on this machine. It only reads, and only what was published.

Listens on TCP port 8000, one request per connection. `/` lists the days, `/YYYY-MM-DD/` is the page of a day,
`/healthz` is for health checks and needs no login. Every other path is an error page, and no other file of the data
folder is ever opened.

Exit codes: 0 ended by SIGTERM, or healthy; 1 failed, or not healthy; 2 wrong usage.
"""

import argparse
import http.client
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import login

PORT = 8000
MOST_HEAD_BYTES, HEALTH_SECONDS = 16 << 10, 4.0
DEFAULT_HOSTS = "localhost,127.0.0.1,reports"

log = logging.getLogger("reports")


@dataclass(frozen=True)
class Settings:
    """The folder of the reports, the host names that a browser may use for this service, and who may read."""

    folder: Path
    hosts: frozenset[str]
    accounts: Mapping[str, str]


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from the environment; the password of the account `ml` is the file /run/secrets/pages_password.

    ML_REPORTS_DIR     the folder of the reports (default: /data/reports)
    ML_REPORTS_HOSTS   host names of this service, separated by commas (default: localhost,127.0.0.1,reports)

    Errors: ValueError without a password.
    """
    hosts = environment.get("ML_REPORTS_HOSTS") or DEFAULT_HOSTS
    folder = Path(environment.get("ML_REPORTS_DIR") or "/data/reports")
    names = frozenset(host.strip().lower() for host in hosts.split(",") if host.strip())
    return Settings(folder, names, login.passwords(**{login.PEOPLE: login.PAGES}))


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    import uvicorn

    from app import make_app
    from connection import LimitedConnection
    from days import Days

    config = uvicorn.Config(
        make_app(Days(settings.folder), settings.hosts, settings.accounts),
        http=LimitedConnection,
        ws="none",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        timeout_graceful_shutdown=1,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    with socket.create_server(("0.0.0.0", PORT)) as listener:
        log.info("listening on port %d for %s; pages of %s", PORT, ", ".join(sorted(settings.hosts)), settings.folder)
        uvicorn.Server(config).run([listener])


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


def stop(number: int, _frame: object) -> None:
    """End with 0: uvicorn ends its connections first, then raises the signal again."""
    log.info("ended by %s", signal.Signals(number).name)
    raise SystemExit(0)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="airflow-ml-reports",
        description=__doc__,
        epilog=read_settings.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=("serve", "healthcheck"), help="healthcheck: does serve answer?")
    if parser.parse_args(argv).command == "healthcheck":
        return 0 if is_healthy() else 1
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s reports: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%SZ",
        stream=sys.stderr,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        settings = read_settings(os.environ)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    serve(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
