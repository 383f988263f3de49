"""How a column is to be read: the choice between the readings, the reasons for it and what would be lost."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import polars as pl

from column_values import Column, Fit
from draft_keys import words_of
from readings import COMPACT_TIMES, INTEGER, MILLISECONDS, NUMBER, NUMBERS, SECONDS, TEXT, TIMES, Reading
from time_signs import TIME_WORDS, are_days_with_an_hour, numbers_like_times, text_like_a_time

# A column is read so if this share of its values fits.
NEARLY_ALL = 0.95
# Fewer values are little evidence.
FEW_VALUES = 20
SHOWN_TEXTS = 3
# No finite number has more digits before the point.
LONGEST_NUMBER = 308
# Texts that mean "missing" in a column of numbers, times or booleans.
KNOWN_MISSING = (
    *(
        "NA",
        "N/A",
        "na",
        "n/a",
        "n.a.",
        "N.A.",
        "#N/A",
        "<NA>",
        "NaN",
        "nan",
        "NAN",
        "NaT",
        "NULL",
        "Null",
        "null",
        "(null)",
    ),
    *(
        "\\N",
        "None",
        "none",
        "nil",
        "-",
        "--",
        "---",
        "–",
        "—",
        "?",
        "??",
        ".",
        "..",
        "missing",
        "Missing",
        "unknown",
        "Unknown",
    ),
    *("#NULL!", "#DIV/0!", "#VALUE!", "#REF!"),
)
# A number with something beside it that no reading knows: 12 kg, (5.00), 1.5M, 7.20-.
MARKED_NUMBER = re.compile(r"(\(?[+\u2212-]?)\d[\d.,']*\)?\s*([+\u2212-]|[^\W\d_]*)\.?")
MANY_NUMBERS, FEW_MARKS = 10, 5
AS_TIMES = "write them as YYYY-MM-DD or YYYY-MM-DDThh:mm:ss in the file"
# From 2000 on, before 2040.
EPOCH = {SECONDS: (946_684_800, 2_208_988_800), MILLISECONDS: (946_684_800_000, 2_208_988_800_000)}


@dataclass
class Choice:
    """The reading of a column, the reasons, what a person should look at, and the readings that are as likely.

    `codes` are texts that may be codes for "missing", `codes_found` is what was found of them.
    """

    reading: Reading
    why: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    undecided: str = ""
    codes: tuple[str, ...] = ()
    codes_found: str = ""
    # Texts that the schema has to list as missing.
    missing: tuple[str, ...] = ()

    @property
    def decimal_mark(self) -> str | None:
        """The mark before decimals, if the column shows it."""
        found = self.reading.field
        is_shown = found.type == "number" or (found.type in NUMBERS and found.group_char in {".", ","})
        return found.decimal_char if is_shown and not self.undecided else None


def choose(column: Column, *, is_assumed: bool, decimal_marks: Collection[str | None] = ()) -> Choice:
    """Choose the reading of a column. `decimal_marks` are those before decimals that columns of the file show."""
    if not column.readable:
        return _empty(column)
    # That numbers are seconds since 1970 takes more evidence than that they are numbers.
    fits = [fit for fit in column.fits if is_assumed or fit.reading not in EPOCH]
    best = max(fits, key=lambda fit: fit.count, default=None)
    if best is not None and not is_assumed:
        best = _special(column, best) or best
    if best is None or not (is_assumed or _is_enough(column, best)):
        return _text(column, best)
    choice = Choice(best.reading, missing=tuple(column.known.counts))
    if rivals := list(_rivals(column, best, decimal_marks)):
        choice.undecided = _dilemma(column, best, rivals)
    choice.why += [*_evidence(column, best, is_assumed), *_notes(column, best)]
    choice.warnings += _losses(column, best)
    if codes := best.extremes.suspects(column.most_distinct):
        choice.codes = tuple(best.extremes.texts[code] for code in codes)
        choice.codes_found = best.extremes.describe(codes, best.count)
    return choice


def _empty(column: Column) -> Choice:
    if not column.filled:
        return Choice(TEXT, ["no value at all"])
    shown = _listed(column.known.counts, column.known.lines)
    return Choice(TEXT, [f"only texts that usually mean missing: {shown}"])


def _is_enough(column: Column, fit: Fit) -> bool:
    return fit.count >= NEARLY_ALL * column.readable and not _codes(fit)


def _codes(fit: Fit) -> list[str]:
    """The texts that begin with a zero, as codes do and numbers do not, if the reading is one of numbers."""
    return [text for text in fit.misfits.counts if fit.reading.field.type in NUMBERS and re.match(r"[+-]?0\d", text)]


def _special(column: Column, best: Fit) -> Fit | None:
    """Whole numbers that are times written without marks, or seconds since 1970 if the column's name says so."""
    if best.reading not in (INTEGER, NUMBER):
        return None
    for fit in column.fits:
        if fit.count < best.count:
            continue
        if (
            best.reading is INTEGER
            and fit.reading.assume in COMPACT_TIMES
            and column.least[:2] >= "19"
            and column.greatest[:2] <= "20"
        ):
            return fit
        if _is_epoch(column, fit.reading) and TIME_WORDS.search(words_of(column.name)):
            return fit
    return None


def _is_epoch(column: Column, reading: Reading) -> bool:
    limits = EPOCH.get(reading)
    if not limits or are_days_with_an_hour(_texts(column)):
        return False
    least, greatest = (text.partition(".")[0] for text in (column.least, column.greatest))
    if len(least) != len(greatest) or not least.isdecimal() or not greatest.isdecimal():
        return False
    return limits[0] <= int(least) and int(greatest) < limits[1]


def _rivals(column: Column, best: Fit, decimal_marks: Collection[str | None]) -> Iterator[Fit]:
    """The readings that fit as well and give other values."""
    if best.reading is INTEGER or best.reading in EPOCH or best.reading.assume in COMPACT_TIMES:
        return
    seen = {best.reading.assume}
    for fit in column.fits:
        differs = best.reading in fit.differs or fit.reading in best.differs
        # A text that is a number already is one. But 1.013 may be one thousand thirteen, if no other column shows that
        # the file has points before decimals.
        has_points = "." in decimal_marks and "," not in decimal_marks
        overruled = best.reading is NUMBER and (has_points or fit.reading.field.group_char != ".")
        if fit.count == best.count and differs and not overruled and fit.reading.assume not in seen:
            seen.add(fit.reading.assume)
            yield fit


def _dilemma(column: Column, best: Fit, rivals: list[Fit]) -> str:
    text = rivals[0].differs.get(best.reading) or best.differs[rivals[0].reading]
    fits = [best, *rivals]
    meanings = " or ".join(f"{_shown(fit.reading, text)} ({fit.reading.assume})" for fit in fits)
    options = " or ".join(f"--assume '{column.name}={fit.reading.assume}'" for fit in fits)
    return f"{column.name}: all {best.count} values have {len(fits)} readings: {text!r} is {meanings}; choose {options}"


def _shown(reading: Reading, text: str) -> str:
    return str(reading.values(pl.Series([text])).item())


def _evidence(column: Column, fit: Fit, is_assumed: bool) -> Iterator[str]:
    yield f"{fit.count} of {column.readable} values are {fit.reading.what}"
    if column.known.counts:
        yield f"{_listed(column.known.counts, column.known.lines)}: taken as missing"
    if column.filled < column.rows:
        yield f"empty in {_rows(column.rows - column.filled)}"
    if column.padded:
        yield f"blanks around {column.padded} values are left out"
    for other in (*column.fits, *column.given_up):
        if other.count < fit.count and {fit.reading.field.type, other.reading.field.type} <= {*TIMES}:
            text = next(iter(other.misfits.counts))
            yield f"not {other.reading.assume}, because of {text!r} in line {other.misfits.lines[text]}"
    if is_assumed:
        yield "as --assume says"
    elif fit.count < column.readable or column.readable < FEW_VALUES:
        few = f"little evidence, only {_number(column.readable, 'value')}"
        yield "likely" if column.readable >= FEW_VALUES else few
    else:
        yield "sure"


def _notes(column: Column, fit: Fit) -> Iterator[str]:
    if fit.reading.assume in COMPACT_TIMES:
        yield f"as whole numbers: --assume '{column.name}=integer'"
    if fit.reading in EPOCH:
        first, last = (_shown(fit.reading, text) for text in (column.least, column.greatest))
        numbers = INTEGER if column.least.isdecimal() and column.greatest.isdecimal() else NUMBER
        yield f"from {first} to {last}, because of its name; as numbers: --assume '{column.name}={numbers.assume}'"


def _losses(column: Column, fit: Fit) -> Iterator[str]:
    """What is lost, or may be, when the column is read so."""
    bad = column.readable - fit.count
    if bad:
        shown = _listed(fit.misfits.counts, fit.misfits.lines)
        yield (
            f"{column.name}: {fit.count} of {column.readable} values are {fit.reading.what}, but not {shown}: prepare "
            f"rejects {_rows(bad)}; --missing TEXT takes a text as missing, --assume '{column.name}=string' reads texts"
        )
    units = [] if fit.reading.field.bare_number else sorted(unit for unit in column.units if unit)
    without = column.units.get("", 0)
    if len(units) > 1 or (units and without):
        shown = ", ".join(f"{unit!r} ({column.units[unit]})" for unit in units[:SHOWN_TEXTS])
        beside = f" and none ({without})" if without else ""
        yield f"{column.name}: its numbers have the signs {shown}{beside}, and the signs are left out: is it one unit?"
    if fit.reading in (INTEGER, NUMBER) and (text := next(filter(_has_too_many_digits, column.values.counts), None)):
        yield (
            f"{column.name}: {text!r} has more digits than a number keeps: values become equal; if they are codes, "
            f"--assume '{column.name}=string' reads them as texts"
        )
    if fit.reading in (INTEGER, NUMBER) and (epoch := next((one for one in EPOCH if _is_epoch(column, one)), None)):
        first, last = (_shown(epoch, text) for text in (column.least, column.greatest))
        yield (
            f"{column.name}: these numbers could be {epoch.what}, from {first} to {last}; "
            f"--assume '{column.name}={epoch.assume}' reads them so"
        )
    if times := _numbers_like_times(column, fit):
        yield f"{column.name}: these numbers could be {times}: drafted as numbers; if they are times, {AS_TIMES}"


def _numbers_like_times(column: Column, fit: Fit) -> str:
    """What a column of numbers may be, if its name speaks of time; empty if nothing, or if --assume has decided."""
    ends = fit.extremes
    if fit.reading.field.type not in NUMBERS or fit.reading.reads_codes or ends.least is None:
        return ""
    return numbers_like_times(column.name, ends.least, ends.greatest, _texts(column))


def _texts(column: Column) -> list[str]:
    """Different texts of a column, those left out that may mean "missing"."""
    return [text.strip() for text in column.values.counts if text.strip() not in column.known.counts]


def _has_too_many_digits(text: str) -> bool:
    """Whether a text is a whole number that no double holds exactly."""
    digits = text.strip().lstrip("+-")
    return digits.isdecimal() and len(digits) <= LONGEST_NUMBER and int(float(digits)) != int(digits)


def _text(column: Column, best: Fit | None) -> Choice:
    """A column of texts."""
    different = f"more than {column.values.most:,} different texts"
    if column.distinct is not None:
        different = _number(column.distinct, "different text")
    choice = Choice(TEXT, [f"{different} in {_rows(column.filled)}"])
    if best is not None and best.count >= 0.5 * column.readable:
        codes = _codes(best)
        text = (codes or [*best.misfits.counts])[0]
        line = best.misfits.lines[text]
        if codes:
            choice.why.append(f"{text!r} in line {line} begins with a zero, so these are codes and no numbers")
        else:
            found = (
                f"only {best.count} of {column.readable} values are {best.reading.what}, not {text!r} in line {line}"
            )
            choice.why.append(found)
            other = f"--assume '{column.name}={best.reading.assume}' rejects the rest"
            choice.warnings.append(
                f"{column.name}: {found}: drafted as texts; --missing TEXT takes a text as missing, {other}"
            )
    if column.filled < column.rows:
        choice.why.append(f"empty in {_rows(column.rows - column.filled)}")
    if not choice.warnings and (time := _text_like_a_time(column)):
        found = f"its texts look like times, such as {time!r}, and no reading knows their form"
        choice.why.append(found)
        choice.warnings.append(
            f"{column.name}: {found}: drafted as texts; {AS_TIMES}, or name their form, such as "
            f"--assume '{column.name}=%d/%m/%Y'; write an hour, a week or a month alone as a number"
        )
    if marked := _marked_number(column):
        found = f"nearly all are numbers with something beside them, such as {marked!r}"
        choice.why.append(found)
        choice.warnings.append(f"{column.name}: {found}: drafted as texts; leave that out of the file to read numbers")
    return choice


def _text_like_a_time(column: Column) -> str | None:
    return text_like_a_time(_texts(column), NEARLY_ALL)


def _marked_number(column: Column) -> str | None:
    """A text of a column of many different numbers with one of a few units or signs beside them; None if it is none."""
    texts = [*column.values.counts]
    found = {text: match.groups() for text in texts if (match := MARKED_NUMBER.fullmatch(text.strip()))}
    marked = [text for text, (before, after) in found.items() if before not in ("", "+", "-") or after]
    is_one = len(marked) > MANY_NUMBERS and len(found) >= NEARLY_ALL * len(texts)
    return marked[0] if is_one and len(set(found.values())) <= FEW_MARKS else None


def _listed(counts: dict[str, int], lines: dict[str, int]) -> str:
    """Some texts with the line of the first one each."""
    shown = [
        f"{text!r} in line {lines[text]}" + (f" ({count} times)" if count > 1 else "") for text, count in counts.items()
    ]
    return ", ".join(shown[:SHOWN_TEXTS]) + (
        f" and {len(shown) - SHOWN_TEXTS} more" if len(shown) > SHOWN_TEXTS else ""
    )


def _rows(number: int) -> str:
    return _number(number, "row")


def _number(number: int, of: str) -> str:
    return f"{number:,} {of}{'s' * (number != 1)}"
