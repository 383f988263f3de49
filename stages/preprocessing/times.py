"""Dates and times: which formats a field may have, and texts to values. Times become UTC without an offset.

A format is `default` (ISO 8601 as XML Schema has it), `epoch` or `epoch-ms` (seconds or milliseconds since 1970), or a
pattern of the codes below, which mean what they mean to strptime. polars reads some of these codes in another way, and
is lenient (`%Y` reads 26 as the year 26, `%Z` is passed over), so a regular expression made from the pattern decides
first which texts are of its form.
"""

import re
from collections.abc import Iterator
from datetime import date, datetime

import polars as pl

DEFAULT, SECONDS, MILLISECONDS = "default", "epoch", "epoch-ms"
# XML Schema's dateTime: seconds are required; a fraction and an offset are not.
ISO_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
# From the year 1 on, so that only an offset can lead out of what a value can be.
ISO_YEAR = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
ISO_SECONDS = rf"{ISO_YEAR}-[0-9]{{2}}-[0-9]{{2}}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
ISO_DATETIME = rf"^{ISO_SECONDS}(\.[0-9]{{1,9}})?(Z|[+-][0-9]{{2}}:[0-9]{{2}})?$"
# Values have microseconds. The zeros of a finer fraction carry nothing.
TOO_FINE = r"\.[0-9]{6}0*[1-9]"

FRACTION, OFFSET_CODE = "%.f", "%z"
NAME, TWO_DIGITS = "[A-Za-z]+", "[0-9]{1,2}"
# Each code of a pattern, with the texts that it stands for. Python's `.%f` is `%.f` to polars.
CODES = {
    "%Y": "[0-9]{4}",
    "%y": "[0-9]{2}",
    "%m": TWO_DIGITS,
    "%d": TWO_DIGITS,
    "%e": TWO_DIGITS,
    "%j": "[0-9]{1,3}",
    "%b": NAME,
    "%B": NAME,
    "%h": NAME,
    "%a": NAME,
    "%A": NAME,
    "%H": TWO_DIGITS,
    "%I": TWO_DIGITS,
    "%M": "[0-5]?[0-9]",
    "%S": "[0-5]?[0-9]",
    "%p": "[AaPp][Mm]",
    FRACTION: r"(?:\.[0-9]{1,9})?",
    OFFSET_CODE: "(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)",
    "%%": "%",
}
DIGITS = {"%Y": 4, "%y": 2, "%m": 2, "%d": 2, "%e": 2, "%j": 3, "%H": 2, "%I": 2, "%M": 2, "%S": 2}
SHORT_FORMS = {".%f": FRACTION, "%F": "%Y-%m-%d", "%T": "%H:%M:%S", "%R": "%H:%M", "%D": "%m/%d/%y"}
HOURS = {"%H", "%I", "%M", "%S", "%p", FRACTION, OFFSET_CODE}
SHORT = re.compile(r"%%|\.%f|%[FTRD]")
TOKEN = re.compile(r"%\.f|%.?|\s+|.", re.DOTALL)
EPOCH_TEXT = r"^[+-]?[0-9]+(\.[0-9]*)?([eE][+]?[0-9]+)?$"
FIRST, LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)
PROBES = (datetime(2026, 11, 21, 22, 11, 12, 120034), datetime(2004, 2, 29, 0, 5, 6), datetime(1999, 1, 3, 12, 0, 1))


def fault_of_format(kind: str, pattern: str) -> str:
    """Why a field of this type (date or datetime) cannot have this format; an empty text if it can."""
    if pattern == DEFAULT or (kind == "datetime" and pattern in (SECONDS, MILLISECONDS)):
        return ""
    tokens = _tokens(pattern)
    codes = {token for token in tokens if token.startswith("%")}
    if not codes:
        return "it has no code such as %Y"
    if unknown := sorted(codes - CODES.keys()):
        return f"{unknown[0]} is not read here"
    if kind == "date" and codes & HOURS:
        return "a date has no hours, so they would be lost; the type datetime has them"
    return (
        "" if all(_reads_back(kind, pattern, probe) for probe in PROBES) else "it does not hold a whole date and time"
    )


def _reads_back(kind: str, pattern: str, probe: datetime) -> bool:
    """Whether a time that is written in the format is read as the same time, to the precision of what was written."""
    text = _written(pattern, probe)
    second = probe.replace(microsecond=0)
    kept = (probe, second, second.replace(second=0), second.replace(second=0, minute=0, hour=0))
    expected = [time for time in kept if _written(pattern, time) == text][-1]
    value = to_date if kind == "date" else to_datetime
    try:
        read = pl.select(value(pl.lit(text), pattern)).item()
    except pl.exceptions.PolarsError:
        return False
    return bool(read == (expected.date() if kind == "date" else expected))


def _written(pattern: str, time: datetime) -> str:
    codes = {FRACTION: f".{time.microsecond:06d}", OFFSET_CODE: "+0000"}
    return "".join(codes.get(token) or time.strftime(token) for token in _tokens(pattern))


def _tokens(pattern: str) -> list[str]:
    """The codes, the runs of blanks and the other characters of a pattern, in its order."""
    return TOKEN.findall(SHORT.sub(lambda found: SHORT_FORMS.get(found[0], found[0]), pattern))


def to_date(text: pl.Expr, pattern: str) -> pl.Expr:
    """Text to a date; null where the text is not of the format."""
    if pattern == DEFAULT:
        value = pl.when(text.str.contains(ISO_DATE)).then(text.str.to_date("%Y-%m-%d", strict=False))
    else:
        value = _of_form(text, pattern).str.to_date(_to_polars(pattern), strict=False)
    return pl.when(value.is_between(date.min, date.max)).then(value)


def to_datetime(text: pl.Expr, pattern: str) -> pl.Expr:
    """Text to a time in UTC, in microseconds; null where the text is not of the format."""
    if pattern in (SECONDS, MILLISECONDS):
        return _since_1970(text, 1_000_000 if pattern == SECONDS else 1_000)
    return _iso(text) if pattern == DEFAULT else _inside(_parse(_of_form(text, pattern), _to_polars(pattern)))


def _iso(text: pl.Expr) -> pl.Expr:
    iso = pl.when(text.str.contains(ISO_DATETIME)).then(text)
    whole_utc = iso.str.len_bytes() <= len("YYYY-MM-DDThh:mm:ssZ")  # the usual case, read four times as fast
    usual = _parse(pl.when(whole_utc).then(iso).str.head(len("YYYY-MM-DDThh:mm:ss")), "%Y-%m-%dT%H:%M:%S")
    other = pl.when(~whole_utc).then(iso)
    fraction = _parse(other.str.strip_suffix("Z"), "%Y-%m-%dT%H:%M:%S%.f")
    return pl.coalesce(usual, fraction, _inside(_parse(other, "%Y-%m-%dT%H:%M:%S%.f%z")))


def _inside(value: pl.Expr) -> pl.Expr:
    return pl.when(value.is_between(FIRST, LAST)).then(value)


def _parse(text: pl.Expr, pattern: str) -> pl.Expr:
    zone = "UTC" if "%z" in pattern or "%#z" in pattern else None
    # polars' cache of parsed texts takes longer than parsing them again.
    value = text.str.to_datetime(pattern, strict=False, time_unit="us", time_zone=zone, cache=False)
    return value.dt.replace_time_zone(None)


def _since_1970(text: pl.Expr, microseconds: int) -> pl.Expr:
    """Whole numbers exactly, others to the nearest microsecond."""
    first, last = (int((time - datetime(1970, 1, 1)).total_seconds() * 1_000_000) for time in (FIRST, LAST))
    number = pl.when(text.str.contains(EPOCH_TEXT)).then(text)
    whole, double = number.cast(pl.Int64, strict=False), number.cast(pl.Float64, strict=False)
    inside = whole.is_between(first // microseconds, last // microseconds)
    rounded = (double * microseconds).round()
    read = (pl.when(inside).then(whole * microseconds), pl.when(rounded.is_between(first, last)).then(rounded))
    return pl.coalesce(read[0], read[1].cast(pl.Int64, strict=False)).cast(pl.Datetime("us"))


def form_of(pattern: str) -> str:
    """The regular expression of the texts that are of a pattern's form."""
    return "^" + "".join(_expressions(_tokens(pattern))) + "$"


def _of_form(text: pl.Expr, pattern: str) -> pl.Expr:
    return pl.when(text.str.contains(form_of(pattern))).then(text)


def _expressions(tokens: list[str]) -> Iterator[str]:
    """A regular expression for each token. Numbers side by side have all their digits: 2026112 is no %Y%m%d."""
    for number, token in enumerate(tokens):
        beside = tokens[max(number - 1, 0) : number] + tokens[number + 1 : number + 2]
        if token in DIGITS and any(other in DIGITS for other in beside):
            yield f"[0-9]{{{DIGITS[token]}}}"
        elif token in CODES:
            yield CODES[token]
        else:
            yield r"\s+" if token.isspace() else re.escape(token)


def _to_polars(pattern: str) -> str:
    """The pattern in the codes of polars, in which `%#z` is an offset of any form."""
    return "".join("%#z" if token == OFFSET_CODE else token for token in _tokens(pattern))
