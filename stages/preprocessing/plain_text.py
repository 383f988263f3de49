"""Text in any encoding and with any delimiter, as what `csv_input` reads: UTF-8 with commas.

A file with another delimiter keeps its records and quotes: the delimiter and the comma change places, byte by byte. Who
reads a value changes them back.
"""

import codecs
import csv
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from stagekit import BadInput

from container_options import UTF_8
from containers import Container
from csv_input import COMMA

DELIMITERS = {COMMA: "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
# The longer mark first: that of UTF-32 begins with that of UTF-16.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# How many records decide which delimiter fits the header.
RECORDS_LOOKED_AT = 200


@dataclass(frozen=True)
class TextForm:
    """How the text of a file is written. `mark` is its byte order mark, which is no text."""

    encoding: str
    delimiter: str
    mark: bytes = b""

    @property
    def is_plain(self) -> bool:
        """Whether `csv_input` reads it as it is."""
        return self.encoding == UTF_8 and self.delimiter == COMMA

    def __str__(self) -> str:
        return f"{self.encoding}, {DELIMITERS.get(self.delimiter, 'delimiter ' + repr(self.delimiter))}"


def recognise(container: Container, delimiter: str | None, encoding: str | None, wanted: Collection[str]) -> TextForm:
    """How the text of a file is written: as the options say, otherwise as its first bytes show.

    `wanted` are the columns that the file should have; if it is empty, the records decide which delimiter it is.
    Errors: BadInput that says what was found and which option reads it.
    """
    head = container.head()
    found, mark = _encoding(head, encoding, container.label)
    text = head[len(mark) :].decode(found, errors="replace")
    _require_line_ends(text, container.label)
    header = text.partition("\n")[0].rstrip("\r")
    if re.fullmatch(r'"?sep=.?"?', header, re.IGNORECASE):
        raise BadInput(
            f"{container.label} begins with {header!r}, which Excel reads and which is no header",
            expected="the names of the columns on the first line",
            do="remove the first line, such as by: tail -n +2",
        )
    if header.count('"') % 2:
        raise BadInput(
            f"the header of {container.label} is not CSV on one line: {header[-60:]!r} ends inside quotes",
            expected="column names without a line break, and each quote closed",
            do="rename that column",
        )
    return TextForm(found, delimiter or _delimiter(text, header, wanted, container.label), mark)


def write_plain(container: Container, form: TextForm, path: Path) -> None:
    """Write the text to a file as UTF-8 with commas. Errors: BadInput if it is not in its encoding."""
    swap = bytes.maketrans((form.delimiter + COMMA).encode(), (COMMA + form.delimiter).encode())
    with path.open("wb") as file:
        for piece in _utf8(container, form):
            file.write(piece if form.delimiter == COMMA else piece.translate(swap))


def _utf8(container: Container, form: TextForm) -> Iterator[bytes]:
    """The text in UTF-8. What is to be in UTF-8 already is not checked: `csv_input` does that."""
    pieces = container.pieces()
    first = next(pieces, b"")[len(form.mark) :]
    if form.encoding == UTF_8:
        yield first
        yield from pieces
        return
    decoder, lines = codecs.getincrementaldecoder(form.encoding)(), 1
    try:
        for piece in chain([first], pieces):
            text = decoder.decode(piece)
            lines += text.count("\n")
            yield text.encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise BadInput(
            f"{container.label} is not in {form.encoding}: {error} (after line {lines})",
            expected=f"text in {form.encoding}",
            do="name its encoding with --encoding",
        ) from None


def _encoding(head: bytes, given: str | None, label: str) -> tuple[str, bytes]:
    """The encoding and the byte order mark."""
    for mark, name in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            if given and given not in (name, name[:6]):
                raise BadInput(
                    f"{label} begins with the byte order mark of {name}, and --encoding says {given}",
                    expected="one of them",
                    do="leave out --encoding",
                )
            return name, mark
    if not given and (name := _utf16_without_mark(head)):
        raise BadInput(
            f"{label} looks like UTF-16 without a byte order mark",
            expected="text in UTF-8, or with a byte order mark",
            do=f"add --encoding {name}",
        )
    return given or UTF_8, b""


def _utf16_without_mark(head: bytes) -> str:
    """utf-16-le or utf-16-be if every other byte of the first line is 0; else empty."""
    line = head[: head.find(b"\n") + 1] or head[:1000]
    half = len(line) // 2
    if half and line[1::2].count(0) > 0.8 * half and not line[::2].count(0):
        return "utf-16-le"
    if half and line[::2].count(0) > 0.8 * half and not line[1::2].count(0):
        return "utf-16-be"
    return ""


def _require_line_ends(text: str, label: str) -> None:
    if "\n" not in text and "\r" in text.rstrip("\r"):
        raise BadInput(
            f"the lines of {label} end with a carriage return alone, as on old Macintosh computers",
            expected="lines that end with a line feed, or with carriage return and line feed",
            do="save the file with other line ends, such as by: tr '\\r' '\\n'",
        )


def _delimiter(text: str, header: str, wanted: Collection[str], label: str) -> str:
    """The delimiter with which the header has most of the wanted columns; without these, the one that fits the rows."""
    columns = {delimiter: _split(header, delimiter) for delimiter in DELIMITERS}
    if wanted:
        found = {delimiter: len({*names} & {*wanted}) for delimiter, names in columns.items()}
        if max(found.values()):
            return max(found, key=lambda delimiter: found[delimiter])
    several = [delimiter for delimiter, names in columns.items() if len(names) > 1]
    if len(several) < 2:
        return several[0] if several else COMMA
    fitting = {delimiter: _records_that_fit(text, delimiter, len(columns[delimiter])) for delimiter in several}
    best = [delimiter for delimiter in several if fitting[delimiter] == max(fitting.values())]
    if len(best) > 1:
        names = " and at each ".join(DELIMITERS[one] for one in best)
        raise BadInput(
            f"the header of {label} can be split at each {names}: {header[:80]!r}",
            expected="one delimiter that fits header and rows",
            do=f"name it with --delimiter, such as --delimiter '{best[0]}'",
        )
    return best[0]


def _records_that_fit(text: str, delimiter: str, columns: int) -> float:
    """The share of the first records that have as many fields as the header."""
    lines = text.split("\n")[1:-1][:RECORDS_LOOKED_AT] or text.split("\n")[1:2]
    records = [_split(line.rstrip("\r"), delimiter) for line in lines]
    return sum(len(record) == columns for record in records) / max(len(records), 1)


def _split(line: str, delimiter: str) -> list[str]:
    return next(iter(csv.reader([line], delimiter=delimiter)), [])
