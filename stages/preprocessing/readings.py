"""The ways in which the values of a column may be read: a field of a Table Schema each, the simplest first."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import polars as pl
from stagekit import UsageError

from checks import DTYPES, convert
from missing_codes import Extremes, extremes
from number_texts import form_of as form_of_number
from number_texts import is_plain
from table_schema import FALSE_VALUES, NUMBER_TYPES, TIME_TYPES, TRUE_VALUES, TYPES, Field
from times import HOURS, fault_of_format
from times import form_of as form_of_time

TEXT_COLUMN = "text"
NUMBERS, TIMES = NUMBER_TYPES, TIME_TYPES
# What may be between thousands beside the point and the comma: blanks of three widths, two apostrophes.
OTHER_GROUPS = (" ", "\u00a0", "\u202f", "'", "\u2019")
MARKS = ((".", ","), (",", ""), (",", "."), *((decimal, group) for group in OTHER_GROUPS for decimal in ".,"))
# With points between them, nobody writes the month first.
DAYS = (
    *("%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%Y"),
    *("%d/%m/%y", "%m/%d/%y", "%y/%m/%d", "%d-%m-%y", "%m-%d-%y", "%y-%m-%d", "%d.%m.%y"),
    *("%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y"),
)
CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S%.f", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p")
OFFSETS = ("", "%z", " %z", " UTC")
OTHER_TIMES = ("%Y%m%d%H%M", "%Y%m%d%H%M%S", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%S%z", "%a, %d %b %Y %H:%M:%S %z")
# What --assume knows beside the types and patterns.
WORDS = ("epoch", "epoch-ms", "decimal-comma", "decimal-point")
# What of a format stands for digits alone. The default format has separators, so something is left of it.
CODE = re.compile(r"%[A-Za-z]|epoch|-ms")
LEADING_ZERO = r"^[^0-9]*0[0-9]"


@dataclass(frozen=True, eq=False)
class Reading:
    """One way to read values. `what` names it for people, `assume` is what --assume calls it.

    A number that begins with a zero, such as 007, is a code, unless `reads_codes`.
    """

    field: Field
    what: str
    assume: str
    reads_codes: bool = False

    @property
    def base(self) -> "Reading | None":
        """A simpler reading with the same value for each text that it can read."""
        if self.field.type not in NUMBERS or self.reads_codes or self is INTEGER:
            return None
        return (
            NUMBER if self.field.type == "number" and self.field.decimal_char == "." and self is not NUMBER else INTEGER
        )

    @cached_property
    def form(self) -> re.Pattern[str] | None:
        """A form that each text has which this reading can read, for a quick look; None if there is none."""
        field = self.field
        if field.type in TIMES:
            return re.compile(form_of_time(field.format)) if "%" in field.format else None
        if field.type not in NUMBERS or is_plain(field):
            return None
        # Python does not know the currency signs as a class, which are among what is no letter and no digit.
        form = form_of_number(field, fractions=field.type == "number")
        return re.compile(form.replace(r"\p{Sc}", r"\W"))

    def values(self, texts: pl.Series) -> pl.Series:
        """The values of texts without blanks around them; null where a text is none."""
        return texts.to_frame(TEXT_COLUMN).select(_value(self)).to_series()


class Values:
    """The values of some texts by reading, each computed once. The texts have no blanks around them."""

    def __init__(self, texts: pl.Series) -> None:
        self.texts = texts
        self._values: dict[Reading, pl.Series] = {}
        # Many readings share the values of a simpler one.
        self._extremes: dict[int, Extremes] = {}

    def of(self, reading: Reading) -> pl.Series:
        """The value of each text; null where it is none."""
        if reading not in self._values:
            base = self.of(reading.base) if reading.base else None
            if base is None or base.null_count() == base.len():
                self._values[reading] = reading.values(self.texts)
            elif not base.null_count():
                self._values[reading] = base
            else:
                unread = base.is_null().arg_true()
                read = reading.values(self.texts.gather(unread))
                self._values[reading] = base.cast(read.dtype).scatter(unread, read)
        return self._values[reading]

    def extremes(self, reading: Reading) -> Extremes:
        """The extremes of the values, and the usual codes for "missing" among them."""
        values = self.of(reading)
        if id(values) not in self._extremes:
            self._extremes[id(values)] = extremes(reading.field.type, self.texts, values)
        return self._extremes[id(values)]

    def fitting(self, readings: Iterable[Reading], share: float) -> list[Reading]:
        """The readings that fit at least this share of the texts, and one text."""
        least = max(share * self.texts.len(), 1)
        return [reading for reading in readings if self.of(reading).count() >= least]

    def difference(self, one: Reading, other: Reading) -> str | None:
        """The first text with two values."""
        left, right = self.of(one), self.of(other)
        if left is right:
            return None
        dtype = pl.Float64() if one.field.type in NUMBERS else pl.Datetime("us")
        differ = (left.cast(dtype) != right.cast(dtype)).fill_null(False)
        return str(self.texts.filter(differ)[0]) if differ.any() else None


def of_the_look(readings: Iterable[Reading], texts: pl.Series) -> list[Reading]:
    """The readings that are not out of the question for some texts. To see that is a hundred times as fast as to read.

    polars compiles the expression of a form for each column again, Python once.
    """
    look = "".join(texts)
    if not any(character.isdigit() for character in look):
        return [reading for reading in readings if reading.field.type == "boolean"]
    if look.isdigit():
        return [one for one in readings if one.field.type not in TIMES or not CODE.sub("", one.field.format)]
    different = texts.unique().to_list()
    return [one for one in readings if one.form is None or any(map(one.form.match, different))]


@cache
def _value(reading: Reading) -> pl.Expr:
    """The value of each text in the column TEXT_COLUMN."""
    text, field = pl.col(TEXT_COLUMN), reading.field
    value = convert(field, text)
    if field.type in NUMBERS:
        if not reading.reads_codes:
            value = pl.when(~text.str.contains(LEADING_ZERO)).then(value)
        if field.group_char:  # 0,123 are no thousands
            value = pl.when(~text.str.contains(rf"^[^0-9]*0[{field.group_char}]")).then(value)
    if field.type == "number":
        value = pl.when(value.is_finite()).then(value)
    return value.cast(DTYPES[field.type])


def _field(kind: str, **properties: object) -> Field:
    return replace(Field("", kind, "", "default", {}, TRUE_VALUES, FALSE_VALUES), **properties)  # type: ignore[arg-type]


TEXT = Reading(_field("string"), "texts", "string")
BOOLEAN = Reading(
    _field("boolean", true_values=TRUE_VALUES[:3], false_values=FALSE_VALUES[:3]), "true or false", "boolean"
)
INTEGER = Reading(_field("integer"), "whole numbers", "integer")
NUMBER = Reading(_field("number"), "numbers", "number")
SECONDS = Reading(_field("datetime", format="epoch"), "seconds since 1970", "epoch")
MILLISECONDS = Reading(_field("datetime", format="epoch-ms"), "milliseconds since 1970", "epoch-ms")
# Times of digits alone.
COMPACT_TIMES = ("%Y%m%d", "%Y%m%d%H%M", "%Y%m%d%H%M%S")


@cache
def all_readings() -> tuple[Reading, ...]:
    """Every reading, the simplest first. Texts are not among them: what fits none of these is a text."""
    return (BOOLEAN, *_numbers(), *_times(), SECONDS, MILLISECONDS)


def _numbers() -> list[Reading]:
    found = [INTEGER, NUMBER]
    for bare in (True, False):
        for decimal, group in (*MARKS,) if bare else ((".", ""), *MARKS):
            assume = "decimal-comma" if decimal == "," else "decimal-point"
            for kind in NUMBERS if group or not bare else NUMBERS[1:]:
                field = _field(kind, decimal_char=decimal, group_char=group, bare_number=bare)
                found.append(Reading(field, _name_of_numbers(field), assume))
    return found


def _name_of_numbers(field: Field) -> str:
    parts = [
        f"{field.decimal_char!r} before decimals"
        if field.type == "number" and (field.group_char or field.decimal_char == ",")
        else "",
        f"{field.group_char!r} between thousands" if field.group_char else "",
        "a currency or percent sign" if not field.bare_number else "",
    ]
    kind = "whole numbers" if field.type == "integer" else "numbers"
    return f"{kind} with {' and '.join(part for part in parts if part)}"


def _times() -> list[Reading]:
    found = [Reading(_field("date"), "dates (YYYY-MM-DD)", "date")]
    found.append(Reading(_field("datetime"), "times (YYYY-MM-DDThh:mm:ss)", "datetime"))
    found += [of_pattern(day) for day in DAYS]
    found += [of_pattern(f"{day} {clock}") for day in DAYS for clock in CLOCKS]
    iso = [f"%Y-%m-%d{between}{clock}" for between in " T" for clock in CLOCKS]
    found += [of_pattern(f"{moment}{offset}") for offset in OFFSETS for moment in iso]
    return [*found, *map(of_pattern, OTHER_TIMES)]


def of_pattern(pattern: str) -> Reading:
    """Dates or times of a form such as %d/%m/%Y."""
    kind = "datetime" if any(code in pattern for code in HOURS) else "date"
    return Reading(
        _field(kind, format=pattern), f"{kind}s of the form {pattern}".replace("datetimes", "times"), pattern
    )


def assumed(format_: str) -> list[Reading]:
    """The readings that a FORMAT of --assume allows. Errors: UsageError if it is unknown."""
    if "%" in format_:
        reading = of_pattern(format_)
        if fault := fault_of_format(reading.field.type, format_):
            raise UsageError(f"--assume: the format {format_!r} cannot be followed: {fault}", do="correct it")
        return [reading]
    if format_ == TEXT.assume:
        return [TEXT]
    allowed = [reading for reading in all_readings() if format_ in (reading.assume, reading.field.type)]
    found = [replace(reading, reads_codes=True) for reading in allowed]
    if not found:
        raise UsageError(
            f"--assume: {format_!r} is unknown",
            expected=f"one of {', '.join((*TYPES, *WORDS))}, or a pattern such as %d/%m/%Y",
            do="correct it",
        )
    return found


def field_document(name: str, reading: Reading, role: str, why: Sequence[str]) -> dict[str, Any]:
    """A field of a Table Schema that is read in this way; `why` are the reasons."""
    field = reading.field
    document: dict[str, Any] = {"name": name, "type": field.type}
    if field.format != "default":
        document["format"] = field.format
    if field.decimal_char != ".":
        document["decimalChar"] = field.decimal_char
    if field.group_char:
        document["groupChar"] = field.group_char
    if not field.bare_number:
        document["bareNumber"] = False
    document["role"] = role
    if role in ("key", "target"):
        document["constraints"] = {"required": True}
    document["description"] = "; ".join(why)
    return document
