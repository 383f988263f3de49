"""Sends an alert to each channel that a URL of Apprise names: mail, chat, a web hook.

Reads: the file ML_ALERT_URLS_FILE (default /run/secrets/alert_urls): URLs between blanks, line ends or commas; a line
that begins with # is a comment. A URL holds a password or a token: no URL is ever logged, shown or kept.
"""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml.alerts.message import MAX_BODY, Message, Severity, shorten

DEFAULT_FILE = "/run/secrets/alert_urls"
# A channel that hangs must not hold the task's worker slot.
PATIENCE_S = 15
# A comma may be part of a URL, as between two receivers of a mail: it ends one only before the next.
BETWEEN = re.compile(r"\s+|,(?=\s|$|[a-zA-Z][a-zA-Z0-9]*://)")
# Apprise's word for each severity; a channel chooses a colour or an icon by it.
APPRISE_TYPES = {
    Severity.CRITICAL: "failure",
    Severity.ERROR: "failure",
    Severity.WARNING: "warning",
    Severity.QUESTION: "info",
}


def send(message: Message) -> list[str]:
    """Send to all channels; returns what went wrong, one text a channel, without any secret."""
    try:
        urls = alert_urls()
    except (OSError, UnicodeDecodeError) as error:
        return [f"the file with the alert URLs cannot be read ({type(error).__name__}); do: look at ML_ALERT_URLS"]
    with _logging_disabled():
        problems = [_send(number, url, message) for number, url in enumerate(urls, start=1)]
    return [problem for problem in problems if problem]


def alert_urls() -> list[str]:
    """The URLs; an empty list if there is no file. Errors: OSError, UnicodeDecodeError."""
    path = Path(os.environ.get("ML_ALERT_URLS_FILE") or DEFAULT_FILE)
    if not path.exists():
        return []
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    return [url for url in BETWEEN.split("\n".join(lines)) if url]


def _send(number: int, url: str, message: Message) -> str:
    # Imported here, not above: loading it takes most of a second, and parsing a Dag does not need it.
    from apprise import Apprise, AppriseAsset, OverflowMode
    from apprise.common import PersistentStoreMode

    scheme = url.partition("://")[0] if "://" in url else ""
    name = f"alert URL {number} ({scheme}://)" if re.fullmatch(r"[a-zA-Z0-9]{1,20}", scheme) else f"alert URL {number}"
    try:
        most, title = MAX_BODY, message.subject
        channels = Apprise(asset=AppriseAsset(storage_mode=PersistentStoreMode.MEMORY))
        if not channels.add(url):
            return f"{name} is not one that Apprise understands; do: compare it with Apprise's page of that service"
        for channel in channels:
            # Of a message that is too long the service gets less, unless the URL asks for several messages.
            if "overflow=" not in url:
                channel.overflow_mode = OverflowMode.TRUNCATE
                # Where a service has no titles, Apprise puts ours above the body, with a line end or two.
                if channel.title_maxlen <= 0:
                    title = shorten(title, channel.body_maxlen - len(message.last_line) - 4)
                most = min(most, channel.body_maxlen - len(title) - 4)
        sent = channels.notify(
            body=message.body(most),
            title=title,
            notify_type=APPRISE_TYPES[message.severity],
            body_format="text",
            timeout=PATIENCE_S,
        )
    except Exception as error:  # whatever one channel does, the others get the alert, and no URL is shown
        return f"{name}: {type(error).__name__}; do: check that the service is up"
    return "" if sent else f"{name}: the service did not take the message; do: check that it is up and the URL is valid"


@contextmanager
def _logging_disabled() -> Iterator[None]:
    """Apprise and the libraries below it log URLs, and the task's log is shown on Airflow's page."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
