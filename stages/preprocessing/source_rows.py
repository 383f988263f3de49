"""The rows of a table in any container: the texts of its columns, and what was malformed."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl
from stagekit import BadInput

from csv_input import LINE, LOST, REASON

SHOWN_EXAMPLES = 5


@dataclass(frozen=True)
class Rows:
    """Some rows of a table: `texts` has LINE and the columns, missing values are null; `malformed` as in a Batch.

    `content` is their text as CsvWriter would write it, if the file has it already.
    """

    texts: pl.DataFrame
    malformed: pl.DataFrame
    content: bytes | None = None


class SourceTable(Protocol):
    """A table whose header has been read. `form` says what it is in; `is_plain`: in what the other commands read.

    `named` are the columns of the header that have no name in the file.
    """

    label: str
    header: list[str]
    named: list[str]
    form: str
    is_plain: bool

    def rows(self) -> Iterator[Rows]:
        """All rows in order. Errors: BadInput if the file as such cannot be read."""


@dataclass
class Malformed:
    """The malformed rows of a table: how many for each reason, and some examples."""

    label: str
    columns: int
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    good: int = 0

    @property
    def count(self) -> int:
        return self.reasons.total()

    def add(self, rows: Rows) -> None:
        """Count the rows. Lines without any character are counted, but show nothing."""
        self.good += rows.texts.height
        if rows.malformed.height:
            self.reasons.update(dict(sorted(rows.malformed[REASON].value_counts().iter_rows())))
            for line, reason in rows.malformed.select(LINE, REASON).head(SHOWN_EXAMPLES).iter_rows():
                if len(self.examples) < SHOWN_EXAMPLES:
                    self.examples.append(f"line {line}: {reason}")

    def require_rows_of_the_header(self) -> None:
        """Errors: BadInput if most rows have another number of fields than the header."""
        if not self.reasons:
            return
        reason, rows = self.reasons.most_common(1)[0]
        if 2 * rows <= self.count + self.good:
            return
        hint = "look at the header and at the lines named"
        if reason == LOST:
            hint = "correct the quote in the first of these lines, or in a line before"
        if reason.startswith(f"{self.columns + 1} fields"):
            hint = (
                "remove the delimiter too many at the end of the rows, or give the header the name that it lacks, "
                "such as that of a row number in front"
            )
        raise BadInput(
            f"{rows:,} of {self.count + self.good:,} rows of {self.label} do not fit its header: {reason}; "
            f"{'; '.join(self.examples)}",
            expected=f"{self.columns} fields in each row, as the header has",
            do=f"{hint}; if the delimiter is another one, name it with --delimiter",
        )
