"""Where the records of a CSV file end. A quote opens a quoted field only where a field begins (RFC 4180).

A quote elsewhere opens nothing: it damages its record, which ends where it would end without that quote. It is in
dispute what belongs to a record if a quoted field goes over several lines and its closing quote is not at the end of a
field, or if there is none within LONGEST_FIELD. A line inside such quotes must never become a record, and a sound
record must not be given up without need. These rules decide:

1. The quote was never closed, and only its own line is damaged, if this line has as many fields as the header, and if
   the next quote opens another field, or is far, or is in a line that has as many fields, too.
2. Otherwise, if the next quote is near and opens no other field, the record is damaged and goes on after that quote.
3. Otherwise the lines up to the next quote are lost: nobody can say whether they are inside. The line of the next quote
   is lost too, unless that quote opens another field.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, field

LONGEST_FIELD = 1 << 20
QUOTE, LINE_END = b'"', b"\n"
QUOTE_OR_LINE_END = re.compile(rb'["\n]')
QUOTED_PART = re.compile(rb'"[^"]*"')
# Any number of quoted fields with all that is before them, but only where they belong. It never goes back: it is fast.
SOUND_FIELDS = re.compile(rb'(?:[^"]*+(?<![^,\n])"[^"]{0,%d}+(?:""[^"]*+)*+"(?=[,\n]|\r\n|\r?\Z))*+' % LONGEST_FIELD)
BEFORE_FIELD, AFTER_FIELD = {b"", b",", b"\n"}, {b"", b",", b"\n"}

Range = tuple[int, int]


@dataclass
class Cut:
    """The records of a piece of a file, up to `end`; it is 0 if no record ends in the piece. Ranges are in bytes.

    `joined` are the records of several lines, `lost` the lines that belong to no record. `inside` says that the lines
    after `end` are lost, too, up to the next quote. `damaged` is False if all records are as RFC 4180 has them.
    """

    end: int = 0
    joined: list[Range] = field(default_factory=list)
    lost: list[Range] = field(default_factory=list)
    inside: bool = False
    damaged: bool = True


def cut_records(piece: bytes, columns: int, *, last: bool, inside: bool) -> Cut:
    """Cut a piece of a file that begins with a record, or, if `inside`, with a lost line.

    `last`: the file ends with the piece. `joined` of sound records is left out: count their quotes to join their lines.
    """
    if not inside and (end := _end_of_sound_records(piece, last)):
        return Cut(end, damaged=False)
    return cut_damaged_records(piece, columns, last=last, inside=inside)


def cut_damaged_records(piece: bytes, columns: int, *, last: bool, inside: bool) -> Cut:
    """The same from quote to quote, with all records of several lines in `joined`."""
    return _Scan(piece, columns, last, inside).cut


def _end_of_sound_records(piece: bytes, last: bool) -> int:
    """Where the last whole record ends, if the quotes of most of the piece are where they belong; 0 if not."""
    quote, sound = piece.find(QUOTE), 0
    if quote >= 0 and (fields := SOUND_FIELDS.match(piece)):
        sound = fields.end()
        quote = piece.find(QUOTE, sound)
    if quote < 0 and last:
        return len(piece)
    end = piece.rfind(LINE_END, 0, quote if quote >= 0 else len(piece)) + 1
    # Quotes are even up to `sound` and none follows before `quote`, so those after `end` say whether it is inside.
    quotes = piece.count(QUOTE, end, sound)
    while quotes % 2:  # that line end is inside a quoted field: one line back
        before = piece.rfind(LINE_END, 0, end - 1) + 1
        quotes += piece.count(QUOTE, before, end)
        end = before
    return end if 2 * end >= len(piece) else 0


class _OutOfSightError(Exception):
    """The end of a record is not in this piece."""


class _Scan:
    """Goes through a piece from one quote to the next."""

    def __init__(self, piece: bytes, columns: int, last: bool, inside: bool) -> None:
        self._piece, self._columns, self._last = piece, columns, last
        self.cut = Cut()
        with suppress(_OutOfSightError):
            self._go_through(inside)

    def _go_through(self, inside: bool) -> None:
        cut = self.cut
        if inside:
            cut.end = self._leave_quotes(0, 0)
        while not cut.inside and (quote := self._piece.find(QUOTE, cut.end)) >= 0:
            cut.end = max(self._piece.rfind(LINE_END, cut.end, quote) + 1, cut.end)
            cut.end = self._record(cut.end, cut.end)
        if not cut.inside:
            cut.end = len(self._piece) if self._last else max(self._piece.rfind(LINE_END) + 1, cut.end)

    def _record(self, start: int, at: int, *, lost: bool = False) -> int:
        """Note the record of `start`, from the field that begins at `at` on; returns where the next one starts."""
        opens = not lost
        while True:
            if opens and self._piece.startswith(QUOTE, at):
                close = self._closing_quote(at)
                disputed = self._is_disputed(at, close)
                if disputed and (end := self._decide(start, at, close, lost)) is not None:
                    return end
                at = close + 1
            found = QUOTE_OR_LINE_END.search(self._piece, at)
            if not found and not self._last:
                raise _OutOfSightError
            if not found or found.group() == LINE_END:
                return self._note(start, found.end() if found else len(self._piece), lost)
            opens = self._piece[found.start() - 1 : found.start()] == b"," or found.start() == start
            at = found.start() if opens else found.end()

    def _decide(self, start: int, at: int, close: int, lost: bool) -> int | None:
        """Where the next record starts after a quoted field in dispute; None if the record goes on after `close`."""
        end, near = self._line_end(at), close >= 0
        stray = near and not self._opens_field(close)
        line = self._piece.rfind(LINE_END, at, close) + 1 if near else 0
        whole = not lost and self._fields(start, at) + self._piece.count(b",", at, end) == self._columns
        if whole and not (stray and self._piece.count(b",", line, self._line_end(close)) + 1 != self._columns):
            return self._note(start, end, lost)
        if stray:
            return None
        return self._note(start, line, lost=True) if near else self._leave_quotes(start, at + 1)

    def _leave_quotes(self, start: int, at: int) -> int:
        """Note the lines from `start` on as lost until quotes end that were open at `at`; returns where they end."""
        close = self._next_quote(at)
        if close < 0:
            if self._last:
                return self._note(start, len(self._piece), lost=True)
            return self._stay_inside(start, self._piece.rfind(LINE_END, 0, -2) + 1)
        line = max(self._piece.rfind(LINE_END, start, close) + 1, start)
        if self._opens_field(close) and not self._ends_field(close):
            return self._note(start, line, lost=True)
        try:
            return self._record(start, close + 1, lost=True)
        except _OutOfSightError:
            return self._stay_inside(start, line)

    def _stay_inside(self, start: int, end: int) -> int:
        if end <= start:
            raise _OutOfSightError
        self.cut.inside = True
        return self._note(start, end, lost=True)

    def _note(self, start: int, end: int, lost: bool) -> int:
        if lost and end > start:
            self.cut.lost.append((start, end))
        elif not lost and self._piece.find(LINE_END, start, end - 1) >= 0:
            self.cut.joined.append((start, end))
        return end

    def _is_disputed(self, at: int, close: int) -> bool:
        return close < 0 or (not self._ends_field(close) and self._piece.find(LINE_END, at, close) >= 0)

    def _closing_quote(self, at: int) -> int:
        """The quote that closes the field whose quote is `at`; -1 if there is none within LONGEST_FIELD."""
        close = self._next_quote(at + 1)
        if close < 0 and not self._last and len(self._piece) - at <= LONGEST_FIELD + 3:
            raise _OutOfSightError
        return close if close - at <= LONGEST_FIELD else -1  # the same answer wherever the piece ends

    def _next_quote(self, at: int) -> int:
        """The first quote from `at` on that is not one of a pair; -1 if there is none."""
        while (quote := self._piece.find(QUOTE, at)) >= 0:
            if not self._piece.startswith(QUOTE, quote + 1):
                return quote if self._last or quote + 2 < len(self._piece) else -1  # what follows must be in sight
            at = quote + 2
        return -1

    def _ends_field(self, quote: int) -> bool:
        after = self._piece[quote + 1 : quote + 3]
        return after[:1] in AFTER_FIELD or after in (b"\r\n", b"\r")

    def _opens_field(self, quote: int) -> bool:
        return self._piece[max(quote - 1, 0) : quote] in BEFORE_FIELD

    def _line_end(self, at: int) -> int:
        end = self._piece.find(LINE_END, at) + 1
        if not end and not self._last:
            raise _OutOfSightError
        return end or len(self._piece)

    def _fields(self, start: int, at: int) -> int:
        """How many fields of a record begin up to `at`."""
        return QUOTED_PART.sub(b"", self._piece[start:at]).count(b",") + 1
