"""What each request is answered with: the whole list of what there is to ask for."""

import re
from dataclasses import dataclass

import h11

import pages
from days import Days, NotThere, Unpublished, is_day

DAY_PATH = re.compile(r"/([0-9]{4}-[0-9]{2}-[0-9]{2})(/(?:index\.html)?)?")
# A page names its own style by hash in a policy of its own; both policies hold.
PAGE_STYLE, LIST_STYLE = "'unsafe-inline'", f"'sha256-{pages.STYLE_HASH}'"
ALWAYS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),
    ("Connection", "close"),
)


@dataclass(frozen=True)
class Answer:
    """A status, its headers and its content; `reason` is for the log where something was refused."""

    status: int
    headers: list[tuple[str, str]]
    content: bytes
    reason: str = ""

    @classmethod
    def of(
        cls, status: int, kind: str, content: bytes, *, style: str = "'none'", reason: str = "", **more: str
    ) -> "Answer":
        """An answer with the headers that every one has."""
        policy = f"default-src 'none'; style-src {style}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        headers = [("Content-Type", f"{kind}; charset=utf-8"), ("Content-Security-Policy", policy), *ALWAYS]
        headers += [(name.replace("_", "-"), value) for name, value in more.items()]
        if status != 304:
            headers.append(("Content-Length", str(len(content))))
        return cls(status, headers, content, reason)

    @classmethod
    def plain(cls, status: int, text: str, **more: str) -> "Answer":
        """An answer in words; from status 400 on they are told in the log too."""
        return cls.of(status, "text/plain", f"{text}\n".encode(), reason=text if status >= 400 else "", **more)


def answer(days: Days, hosts: frozenset[str], request: h11.Request) -> Answer:
    """The answer to a request."""
    headers = dict(request.headers)
    if host_name(headers.get(b"host", b"").decode("latin-1")) not in hosts:
        # A page elsewhere could let its name lead to this machine and read what a browser then shows it.
        return Answer.plain(421, f"this service is not asked for by that name; expected: {', '.join(sorted(hosts))}")
    if request.method not in (b"GET", b"HEAD"):
        return Answer.plain(405, "the reports are only read; expected: GET or HEAD", Allow="GET, HEAD")
    path = request.target.decode("ascii").partition("?")[0]
    if path == "/":
        return Answer.of(200, "text/html", pages.index(days.summaries()), style=LIST_STYLE)
    if path == "/healthz":
        return Answer.plain(200, "ok")
    return _day(days, path, headers.get(b"if-none-match", b"").decode("latin-1"))


def host_name(header: str) -> str:
    """The name in a Host header, without the port."""
    return re.sub(r":[0-9]*$", "", header.strip().lower())


def _day(days: Days, path: str, known: str) -> Answer:
    match = DAY_PATH.fullmatch(path)
    if not match or not is_day(match[1]):
        return Answer.plain(404, "there is nothing here; expected: / or a day such as /2026-11-21/")
    if not match[2]:
        return Answer.plain(308, "the page of a day ends in a slash", Location=f"/{match[1]}/")
    try:
        page = days.page(match[1])
    except NotThere:
        return Answer.plain(404, f"{match[1]} has no report; the Dag monitor makes it")
    except Unpublished as error:
        return Answer.plain(503, f"{error}; it is being published, or was edited: try again", Retry_After="5")
    tag = f'"{page.sha256}"'
    if known == tag:
        return Answer.of(304, "text/html", b"", style=PAGE_STYLE, ETag=tag)
    return Answer.of(200, "text/html", page.content, style=PAGE_STYLE, ETag=tag)
