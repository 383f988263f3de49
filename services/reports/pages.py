"""The frame of this service's own pages, its messages, and the links between days. They load nothing."""

import re
from html import escape

from style import STYLE

MOST_NAME = 80
# Characters that XML or UTF-8 cannot carry, and those that change the direction of the text after them.
UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")
BODY = b"<body>\n"
# Title and text of the errors that need no more than their status.
ERRORS = {
    404: ("Page not found", "There is no page of this address. A day has an address such as /2026-11-21/."),
    405: ("Method not allowed", "This service only reads. Expected: GET or HEAD."),
}


def page(title: str, body: str) -> bytes:
    """A whole page. `body` is HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<main>\n<h1>{escape(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    ).encode()


def message(title: str, text: str, earlier: str = "", later: str = "") -> bytes:
    """A page that says one thing, with links to the days before and after, and to all days."""
    return page(title, f"<p>{plain(text, 300)}</p>\n{_days(earlier, later)}")


def with_days(content: bytes, earlier: str, later: str) -> bytes:
    """The page of a day with links to the days before and after; as it is, if it has no line `<body>`.

    The stage that made the page cannot know which days follow.
    """
    head, body, rest = content.partition(BODY)
    return head + body + _days(earlier, later).encode() + rest if body else content


def _days(earlier: str, later: str) -> str:
    """Links to the nearest days before and after that have a report, and to all days; '' is no such day."""
    before = f'<a rel="prev" href="/{earlier}/">← {earlier}</a>\n' if earlier else ""
    after = f'<a rel="next" href="/{later}/">{later} →</a>\n' if later else ""
    return f'<div class="days">\n{before}<a href="/">All days</a>\n{after}</div>\n'


def plain(text: str, most: int = MOST_NAME) -> str:
    """A text of the data, escaped, cut to `most` characters."""
    cleaned = UNFIT.sub("\ufffd", text)
    return escape(cleaned if len(cleaned) <= most else cleaned[: most - 1] + "…")
