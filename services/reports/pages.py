"""The HTML of this service's own pages: the list of days and messages. They load nothing."""

import base64
import hashlib
import re
from collections.abc import Sequence
from html import escape

from days import Summary

MOST_NAME = 80
# Characters that XML or UTF-8 cannot carry, and those that change the direction of the text after them.
UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")
STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --soft: #51606f; --paper: #fff; --back: #f3f5f8; --line: #dde3e9;
  --link: #0b57c2; --good: #0f6638; --good-back: #e4f5ea; --poor: #a3211a; --poor-back: #fdeae8;
  --fair: #7a4800; --fair-back: #fdf1d9; }
@media screen and (prefers-color-scheme: dark) { :root {
  --ink: #e7ebef; --soft: #a6b2be; --paper: #161c23; --back: #0e1318;
  --line: #2b353f; --link: #8ab8ff; --good: #7ddba2; --good-back: #12301f; --poor: #ff9b92; --poor-back: #3a1816;
  --fair: #f0b85a; --fair-back: #33270f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); overflow-wrap: anywhere;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 46rem; margin: 0 auto; padding: 1.75rem 1rem 3rem; }
h1 { font-size: clamp(1.6rem, 5vw, 2.1rem); line-height: 1.2; margin: 0 0 1rem; letter-spacing: -0.02em; }
a { color: var(--link); } :focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
ol { list-style: none; margin: 0; padding: 0; }
li { display: grid; grid-template-columns: 7.5rem 1fr auto; gap: 0 1rem; align-items: baseline;
  background: var(--paper); border: 1px solid var(--line); border-radius: .6rem; padding: .7rem 1rem;
  margin: 0 0 .5rem; }
li a { font-weight: 600; font-variant-numeric: tabular-nums; }
.note { color: var(--soft); font-size: .9rem; } .empty { color: var(--soft); }
.state { border-radius: 1rem; padding: 0 .65rem; font-size: .875rem; white-space: nowrap; }
.good { color: var(--good); background: var(--good-back); }
.fair { color: var(--fair); background: var(--fair-back); } .bad { color: var(--poor); background: var(--poor-back); }
@media (max-width: 30rem) { li { grid-template-columns: 1fr auto; } li .note { grid-row: 2; grid-column: 1 / -1; } }
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
# Title and text of the errors that need no more than their status.
ERRORS = {
    404: ("Page not found", "There is no page of this address. A day has an address such as /2026-11-21/."),
    405: ("Method not allowed", "This service only reads. Expected: GET or HEAD."),
}


def index(days: Sequence[Summary]) -> bytes:
    """The page that lists the days."""
    lines = "\n".join(map(_line, days))
    nothing = '<p class="empty">No day has a report yet. The Dag monitor makes them.</p>'
    return _page("Reports of the days", f"<ol>\n{lines}\n</ol>" if days else nothing)


def message(title: str, text: str) -> bytes:
    """A page that says one thing, with a link to the list of days."""
    return _page(title, f'<p>{_plain(text, 300)}</p>\n<p><a href="/">All days</a></p>')


def _page(title: str, body: str) -> bytes:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<main>\n<h1>{escape(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    ).encode()


def _line(day: Summary) -> str:
    link = f'<a href="/{day.ds}/">{day.ds}</a>'
    facts = [
        f"{day.rows:,} rows" if day.rows is not None else "",
        f"<bdi>{_plain(day.model)}</bdi>" if day.model else "",
        f"version <bdi>{_plain(day.version)}</bdi>" if day.version else "",
    ]
    return f'<li>{link} <span class="note">{", ".join(filter(None, facts))}</span> {_state(day)}</li>'


def _state(day: Summary) -> str:
    """The state of a day. It is good only if metrics and drift were measured and no threshold was crossed."""
    if day.breaches is None:
        return '<span class="state note">not known</span>'
    if day.breaches:
        return f'<span class="state bad"><span aria-hidden="true">◆</span> {day.breaches} crossed</span>'
    if not day.is_measured:
        return '<span class="state fair"><span aria-hidden="true">▲</span> partly measured</span>'
    return '<span class="state good"><span aria-hidden="true">●</span> good</span>'


def _plain(text: str, most: int = MOST_NAME) -> str:
    """A text of the data, escaped, cut to `most` characters."""
    cleaned = UNFIT.sub("\ufffd", text)
    return escape(cleaned if len(cleaned) <= most else cleaned[: most - 1] + "…")
