"""What is seen of a column while its file is read: which readings fit, what does not and where, which values repeat."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from csv_input import LINE
from missing_codes import Extremes
from readings import NUMBERS, TEXT_COLUMN, TIMES, Reading, Values, of_the_look

FIRST, COUNT = "first", "count"
# A reading that fits fewer of some values is given up. The values are from the whole first batch: the first rows of a
# file that is sorted, or was begun by hand, are not like the others.
LEAST_SHARE, FEW, SAMPLE = 0.5, 20, 500
# How many different texts are kept: those that do not fit a reading, and the values of a column.
MOST_MISFITS, MOST_VALUES = 50, 1000
# How many hashes estimate the number of different values: then five standard errors are less than this share of it.
MOST_HASHES, ESTIMATE_ERROR = 10_000, 0.05


@dataclass
class Texts:
    """Some different texts with their numbers and first lines. `is_complete` is False if there were more."""

    most: int
    counts: Counter[str] = field(default_factory=Counter)
    lines: dict[str, int] = field(default_factory=dict)
    is_complete: bool = True

    def add(self, frame: pl.DataFrame) -> None:
        """Count the texts of a frame (TEXT_COLUMN, LINE), as long as there is room."""
        found = frame.group_by(TEXT_COLUMN).agg(pl.len().alias(COUNT), pl.col(LINE).min().alias(FIRST)).sort(FIRST)
        self.is_complete = self.is_complete and found.height <= self.most
        for text, count, line in found.head(self.most).iter_rows():
            if text in self.counts or len(self.counts) < self.most:
                self.counts[text] += count
                self.lines.setdefault(text, line)
            else:
                self.is_complete = False


@dataclass
class Fit:
    """How a reading fits so far. `differs` has a text that it reads in another way, by reading."""

    reading: Reading
    count: int = 0
    misfits: Texts = field(default_factory=lambda: Texts(MOST_MISFITS))
    differs: dict[Reading, str] = field(default_factory=dict)
    extremes: Extremes = field(default_factory=Extremes)


class Column:
    """A column after some batches. `known_missing` are texts that mean "missing" where the other values are numbers.

    If the right reading is `certain` to be among the `readings`, they are not all given up.
    """

    def __init__(
        self,
        name: str,
        readings: Sequence[Reading],
        missing: Sequence[str],
        known_missing: Sequence[str],
        *,
        certain: bool = False,
    ) -> None:
        self.name, self._missing, self._known = name, missing, known_missing
        self._candidates: Sequence[Reading] = readings
        self._certain = certain
        self._sampled = False
        # Readings that fit a later batch, of a column that no reading fitted before.
        self._late: list[Reading] = []
        self.fits: list[Fit] = []
        self.given_up: list[Fit] = []
        self.rows = self.filled = self.padded = 0
        # As they are in the file, and those that may mean "missing", without blanks around them.
        self.values, self.known = Texts(MOST_VALUES), Texts(len(known_missing))
        self.repeats = False
        # The least hashes of the values, and how many characters all values have.
        self._hashes = pl.Series(dtype=pl.UInt64)
        self.characters = 0
        # The first and the last text in the order of texts, of those that are not missing.
        self.least = self.greatest = ""
        self.units: Counter[str] = Counter()

    def look_at(self, texts: pl.DataFrame) -> None:
        """Take in the values of a batch (LINE and the columns)."""
        self.rows += texts.height
        # Each query on a frame looks at all of its columns, and there may be thousands.
        raw = pl.DataFrame([texts[LINE], texts[self.name].alias(TEXT_COLUMN)])
        bare = pl.col(TEXT_COLUMN).str.strip_chars()
        raw = raw.filter((bare != "") & ~bare.is_in(self._missing))
        self.filled += raw.height
        self._note_values(raw)
        stripped = raw.with_columns(bare)
        self.padded += (stripped[TEXT_COLUMN] != raw[TEXT_COLUMN]).sum()
        is_known = stripped[TEXT_COLUMN].is_in(self._known)
        self.known.add(stripped.filter(is_known))
        self._fit(stripped.filter(~is_known))

    def another_look(self) -> "Column | None":
        """The column before its first batch, if a reading came up that the batches before were not read in."""
        if not self._late or self._is_read:
            return None
        possible = [*(fit.reading for fit in self.fits), *self._late]
        readings = [reading for reading in self._candidates if reading in possible]
        column = Column(self.name, readings, self._missing, self._known)
        column.fits, column._sampled = [Fit(reading) for reading in readings], True
        return column

    @property
    def _is_read(self) -> bool:
        """Whether a reading fits so many of the values so far that it is not given up."""
        return any(fit.count >= LEAST_SHARE * self.readable for fit in self.fits)

    @property
    def readable(self) -> int:
        """How many values are none of the texts that may mean "missing"."""
        return self.filled - self.known.counts.total()

    @property
    def distinct(self) -> int | None:
        """How many different values there are; None if there are too many to be counted."""
        return len(self.values.counts) if self.values.is_complete else None

    @property
    def most_distinct(self) -> float:
        """How many different values there are, or an estimate that is hardly ever too low.

        The estimate is that of Bar-Yossef et al. (2002), "Counting distinct elements in a data stream".
        """
        hashes = int(self._hashes.len())
        if hashes < MOST_HASHES:
            return hashes
        return (1 + ESTIMATE_ERROR) * (MOST_HASHES - 1) * 2**64 / int(self._hashes[-1])

    def _note_values(self, raw: pl.DataFrame) -> None:
        texts = raw[TEXT_COLUMN]
        self.characters += texts.str.len_chars().sum()
        self._hashes = pl.concat([self._hashes, texts.hash()]).unique().sort().head(MOST_HASHES)
        if self.values.is_complete:
            self.values.add(raw)
            self.repeats = self.repeats or any(count > 1 for count in self.values.counts.values())
        self.repeats = self.repeats or bool(raw[TEXT_COLUMN].is_duplicated().any())

    def _fit(self, stripped: pl.DataFrame) -> None:
        if not stripped.height:
            return
        if not self._sampled:
            self._sample(_some(stripped, SAMPLE))
        elif not self._is_read:
            _, chosen = self._promising(_some(stripped, SAMPLE))
            known = [*(fit.reading for fit in self.fits), *self._late]
            self._late += [reading for reading in chosen if reading not in known]
        self.least = min(filter(None, (self.least, stripped[TEXT_COLUMN].min())))
        self.greatest = max(self.greatest, stripped[TEXT_COLUMN].max())
        read = Values(stripped[TEXT_COLUMN])
        for fit in self.fits:
            values = read.of(fit.reading)
            fit.count += values.count()
            fit.extremes.add(read.extremes(fit.reading))
            if values.null_count():
                fit.misfits.add(stripped.filter(values.is_null()))
        self._compare(read)
        if any(not fit.reading.field.bare_number for fit in self.fits):
            units = stripped[TEXT_COLUMN].str.replace_all(r"[0-9.,'’+\s\u00a0\u202f-]", "").str.slice(0, 10)
            self.units.update(dict(units.value_counts().iter_rows()))

    def _sample(self, sample: pl.DataFrame) -> None:
        """Decide on some values which readings are looked at."""
        read = Values(sample[TEXT_COLUMN])
        if self._certain:
            possible = chosen = read.fitting(self._candidates, 0) or self._candidates
        else:
            possible, chosen = self._promising(sample)
        self.fits, self._sampled = [Fit(reading) for reading in chosen], True
        for reading in possible:
            if reading not in chosen:
                fit = Fit(reading)
                fit.misfits.add(sample.filter(read.of(reading).is_null()))
                self.given_up.append(fit)

    def _promising(self, sample: pl.DataFrame) -> tuple[Sequence[Reading], Sequence[Reading]]:
        """The readings that fit one of a few values, and those of them that fit enough of the sample."""
        few = _some(sample, FEW)[TEXT_COLUMN]
        possible = Values(few).fitting(of_the_look(self._candidates, few), 0)
        return possible, Values(sample[TEXT_COLUMN]).fitting(possible, LEAST_SHARE)

    def _compare(self, read: Values) -> None:
        """Note where two readings that are still possible give different values."""
        for family in (NUMBERS, TIMES):
            fits = [fit for fit in self.fits if fit.reading.field.type in family and fit.count]
            for number, fit in enumerate(fits):
                for before in fits[:number]:
                    if before.reading not in fit.differs and not _are_akin(before.reading, fit.reading):
                        text = read.difference(before.reading, fit.reading)
                        if text is not None:
                            fit.differs[before.reading] = text


def _some(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """So many rows at most, the same ones each time, in their order. Evenly spaced ones could all be alike."""
    if rows.height <= most:
        return rows
    return rows[sorted(random.Random(0).sample(range(rows.height), most))]


def _are_akin(one: Reading, other: Reading) -> bool:
    """Whether two readings of numbers read each text that both can read in the same way."""
    if one.field.type in TIMES:
        return False
    return one.field.decimal_char == other.field.decimal_char and one.field.group_char != "." != other.field.group_char
