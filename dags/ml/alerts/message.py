"""An alert as text that reads well in a mail, a chat and a terminal. Reads and writes nothing.

What a container or a data file says is hostile until shown otherwise: it stays on its own lines, without control
characters, and within bounds.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

# Telegram takes 4,096 characters, most services more.
MAX_BODY, MAX_TITLE, MAX_FACT, MAX_LINE = 3800, 200, 1200, 240
# Before a line that a container printed: nothing that a stage prints looks like one of our own.
QUOTED = "| "
CUT = " [...]"


class Severity(StrEnum):
    """How soon a person must act. The first word of an alert's subject, so that a channel can filter by it."""

    CRITICAL = "critical"  # a run that no person started failed or is late: its day is missing until somebody acts
    ERROR = "error"  # a run that a person started failed, and that person waits for it
    WARNING = "warning"  # nothing is lost: a threshold is crossed, or the arguments of a run by hand are wrong
    QUESTION = "question"  # nothing is wrong: a run waits for the answer of a person


@dataclass(frozen=True)
class Message:
    """One alert: how severe it is, what happened, the facts by name, the last lines that the task logged, the page.

    :param page: the address where a person looks next
    """

    severity: Severity
    title: str
    facts: dict[str, str]
    page: str
    lines: tuple[str, ...] = field(default=())

    @property
    def subject(self) -> str:
        """The severity in brackets and the title, on one line."""
        return shorten(plain(f"[{self.severity}] {self.title}"), MAX_TITLE)

    @property
    def last_line(self) -> str:
        """The address of the page, for people."""
        return f"Page: {plain(self.page)}"

    def body(self, most: int = MAX_BODY) -> str:
        """The facts, as many of the last lines as there is room for, and the address of the page as the last line.

        :param most: how many characters a service takes
        """
        page = self.last_line
        facts = [f"{name}: {shorten(plain(value), MAX_FACT)}" for name, value in self.facts.items() if value]
        room = max(0, min(most, MAX_BODY) - len(page) - 1)
        text = "\n".join(facts)[:room]
        shown = _that_fit([QUOTED + shorten(plain(line), MAX_LINE) for line in self.lines], room - len(text) - 30)
        return "\n".join([text, *(["", "Last lines:", *shown, ""] if shown else []), page])


def plain(text: str) -> str:
    """One line, without the characters that move a cursor, colour text, end a line or turn its direction."""
    return "".join(" " if char.isspace() else char for char in text if not _moves(char)).rstrip()


def _moves(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} and not char.isspace()


def shorten(text: str, most: int) -> str:
    """The text, cut in its middle where it is too long: its beginning and its end both matter."""
    if len(text) <= most:
        return text
    if most <= len(CUT):
        return text[: max(0, most)]
    head = (most - len(CUT)) * 2 // 3
    return text[:head] + CUT + text[len(text) - (most - len(CUT) - head) :]


def _that_fit(lines: Iterable[str], room: int) -> list[str]:
    kept: list[str] = []
    for line in reversed(list(lines)):
        room -= len(line) + 1
        if room < 0:
            break
        kept.insert(0, line)
    return kept
