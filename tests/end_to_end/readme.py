"""The commands of README.md with what it shows of their output, as a person reads them; figures may be others."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

FENCED = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMPT, MORE = "$ ", "..."
ADDRESS = re.compile(r"http://localhost:(\d+)[^\s,`]*")
# What differs between two installations or two times, and what stands for it; days are the same.
DIFFERS = {
    "...": r".*",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z",
    r"\d{4}-\d\d-\d\d": "",
    r"(?<=//localhost:)\d+": r"\d+",
    r"\b[0-9a-f]{12,}\b": r"[0-9a-f]{12,}",
    r"\d[\d,]*(?:\.\d+)?": r"\d[\d,]*(?:\.\d+)?",
    r" {2,}": r" {2,}",
}
PART = re.compile("|".join(f"({re.escape(found) if found == MORE else found})" for found in DIFFERS))
PATTERNS = list(DIFFERS.values())


@dataclass(frozen=True)
class Step:
    """A command, and the lines that the README shows below it; `...` stands for what it leaves out."""

    command: str
    shown: tuple[str, ...]


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a document: language and content."""
    return ((match[1], match[2]) for match in FENCED.finditer(text))


def steps(text: str) -> list[Step]:
    """Every command of the blocks of a document that show a console, in order."""
    found = []
    for language, content in blocks(text):
        for part in f"\n{content}".split(f"\n{PROMPT}")[1:] if language == "console" else ():
            command, *shown = part.replace("\\\n", "").rstrip("\n").split("\n")
            found.append(Step(command, tuple(shown)))
    return found


def pattern_of(line: str) -> re.Pattern[str]:
    """What a line may be elsewhere: the same words, with other figures, times, ids and ports."""
    pattern, end = "", 0
    for match in PART.finditer(line):
        pattern += re.escape(line[end : match.start()]) + (PATTERNS[(match.lastindex or 1) - 1] or re.escape(match[0]))
        end = match.end()
    return re.compile(pattern + re.escape(line[end:]))


def first_difference(shown: Sequence[str], printed: Sequence[str]) -> str | None:
    """The first line that is shown and not printed there, or printed and not shown; None if all fits."""
    rest, skips = list(printed), False
    for line in shown:
        if line == MORE:
            skips = True
            continue
        pattern = pattern_of(line)
        while rest and not pattern.fullmatch(rest[0]) and skips:
            rest.pop(0)
        if not rest or not pattern.fullmatch(rest[0]):
            return f"the README shows {line!r}; printed is {rest[0] if rest else 'nothing more'!r}"
        rest.pop(0)
        skips = False
    return None if skips or not rest or not shown else f"the README does not show {rest[0]!r}"
