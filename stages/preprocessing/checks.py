"""The Table Schema's types and constraints as polars expressions: text in, typed columns and reasons out."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl
from stagekit import BadInput

from csv_input import KINDS, LINE, OFFSET, REASON, TEXT, Batch
from table_schema import Field

DTYPES: Mapping[str, pl.DataType] = {
    "string": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "datetime": pl.Datetime("us"),
}
# XML Schema's dateTime: seconds are required; a fraction and an offset are not.
WHOLE_NUMBER = r"^([+-]?[0-9]+)\.0*$"
SAFE_INTEGER = 1 << 53  # doubles below it hold every integer
ISO_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
ISO_SECONDS = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
ISO_DATETIME = rf"^{ISO_SECONDS}(\.[0-9]{{1,9}})?(Z|[+-][0-9]{{2}}:[0-9]{{2}})?$"
EXPECTED = {
    "integer": "is no integer of at most 64 bits",
    "number": "is no number",
    "boolean": "is no boolean",
    "date": "is no date",
    "datetime": "is no date and time",
}
SHOWN_CHARACTERS, SHOWN_VALUES = 60, 20
RAW, BROKEN = "\0raw ", "\0broken "


@dataclass(frozen=True)
class Check:
    """One rule: the word under which it is counted, which rows break it, and the message for such a row."""

    kind: str
    broken: pl.Expr
    message: pl.Expr


@dataclass(frozen=True)
class Checked:
    """The checked rows of a batch of `lines` lines.

    `good` has LINE, OFFSET, TEXT and typed columns; `bad` has LINE, TEXT, KINDS, REASON and the typed values.
    """

    good: pl.DataFrame
    bad: pl.DataFrame
    lines: int


class FieldChecks:
    """The rules of some fields, built once and applied batch by batch.

    An empty text always means "missing", as do the schema's missingValues. `required` names fields that may not
    be missing, whatever their constraints say. Errors: BadInput if a constraint or format cannot be understood.
    """

    def __init__(
        self, fields: Sequence[Field], missing: Collection[str], required: Collection[str], label: str
    ) -> None:
        self._fields = fields
        self._names = [field.name for field in fields]
        absent = ["", *missing]
        self._raw = [pl.when(~pl.col(name).is_in(absent)).then(pl.col(name)).alias(RAW + name) for name in self._names]
        self._typed = [convert(field, pl.col(RAW + field.name)).alias(field.name) for field in fields]
        self._checks = [check for field in fields for check in _checks(field, field.name in required, label)]

    def apply(self, batch: Batch) -> Checked:
        """Type and check the rows of a batch; its malformed records join the bad rows."""
        # Lazy, because the optimiser then computes only once what several expressions share.
        typed = batch.rows.lazy().select(LINE, OFFSET, TEXT, *self._raw).with_columns(self._typed)
        both = _with_equal_numbers(typed.collect(engine="in-memory"), self._fields)
        broken = both.select(c.broken.fill_null(False).alias(f"{BROKEN}{n}") for n, c in enumerate(self._checks))
        some = broken.select(pl.any_horizontal(pl.all())).to_series()
        bad = both.filter(some).hstack(broken.filter(some))
        return Checked(
            both.select(LINE, OFFSET, TEXT, *self._names).filter(~some),
            pl.concat([batch.rejected, self._explained(bad)], how="diagonal").sort(LINE),
            batch.lines,
        )

    def _explained(self, bad: pl.DataFrame) -> pl.DataFrame:
        """These rows, each of which breaks a rule, with the reasons. A rule that no row breaks takes no time."""
        met = [(pl.col(f"{BROKEN}{n}"), check) for n, check in enumerate(self._checks) if bad[f"{BROKEN}{n}"].any()]
        if not met:
            return bad.select(LINE, TEXT, *self._names)
        bad = bad.rechunk()  # polars' concat_str panics on an empty chunk
        kinds = pl.concat_list(pl.when(broken).then(pl.lit(check.kind)) for broken, check in met)
        reasons = (pl.when(broken).then(check.message) for broken, check in met)
        return bad.select(
            LINE,
            TEXT,
            kinds.list.drop_nulls().alias(KINDS),
            pl.concat_str(reasons, separator="; ", ignore_nulls=True).alias(REASON),
            *self._names,
        )


def convert(field: Field, text: pl.Expr) -> pl.Expr:
    """Text to the field's type; null where the text is no such value. Times become UTC without an offset."""
    if field.type in ("integer", "number"):
        return text.cast(DTYPES[field.type], strict=False)
    if field.type == "boolean":
        true, false = text.is_in(field.true_values), text.is_in(field.false_values)
        return pl.when(true).then(True).when(false).then(False)
    if field.type == "date":
        return _date(text, field.format)
    if field.type == "datetime":
        return _datetime(text, field.format)
    return text


def _with_equal_numbers(rows: pl.DataFrame, fields: Sequence[Field]) -> pl.DataFrame:
    """The same rows; equal numbers are equal values, however they are spelt.

    An integer or a boolean that was not read is read as a number with a zero fraction, such as `1.0` or `1e0`: programs
    write integers so when one of them is missing. The number -0 becomes 0.
    """
    new = []
    for field in fields:
        values, texts = rows[field.name], rows[RAW + field.name]
        if field.type == "number" and (zeros := values == 0).any():
            new.append(pl.select(pl.when(zeros).then(0.0).otherwise(values).alias(field.name)).to_series())
        elif field.type in ("integer", "boolean") and values.null_count() > texts.null_count():
            unread = (values.is_null() & texts.is_not_null()).arg_true()
            new.append(values.scatter(unread, _equal_values(field, texts.gather(unread))))
    return rows.with_columns(new)


def _equal_values(field: Field, texts: pl.Series) -> pl.Series:
    """The integer or boolean that equals the number in each text; null if there is none."""
    whole = _whole_numbers(texts)
    if field.type == "integer":
        return whole
    true, false = (_numbers_of(names) for names in (field.true_values, field.false_values))
    is_true, is_false = (pl.lit(whole).is_in(numbers) for numbers in (true - false, false - true))
    return pl.select(pl.when(is_true).then(True).when(is_false).then(False)).to_series()


def _numbers_of(names: Collection[str]) -> set[int]:
    return set(_whole_numbers(pl.Series(names, dtype=pl.String)).drop_nulls())


def _whole_numbers(texts: pl.Series) -> pl.Series:
    """Texts such as 7, 7.0 and 7e0 as integers; null for all others."""
    text = pl.lit(texts)
    double = pl.when(text.str.contains("[eE]")).then(text).cast(pl.Float64, strict=False)
    whole = (double == double.round()) & (double.abs() < SAFE_INTEGER)
    written = text.cast(pl.Int64, strict=False), text.str.extract(WHOLE_NUMBER).cast(pl.Int64, strict=False)
    return pl.select(pl.coalesce(*written, pl.when(whole).then(double).cast(pl.Int64))).to_series()


def _date(text: pl.Expr, pattern: str) -> pl.Expr:
    if pattern == "default":
        value = pl.when(text.str.contains(ISO_DATE)).then(text.str.to_date("%Y-%m-%d", strict=False))
    else:
        value = text.str.to_date(pattern, strict=False)
    return pl.when(value.is_between(date.min, date.max)).then(value)


def _datetime(text: pl.Expr, pattern: str) -> pl.Expr:
    def parse(part: pl.Expr, pattern: str) -> pl.Expr:
        zone = "UTC" if "%z" in pattern else None
        # polars' cache of parsed texts takes longer than parsing them again.
        value = part.str.to_datetime(pattern, strict=False, time_unit="us", time_zone=zone, cache=False)
        return value.dt.replace_time_zone(None)

    if pattern == "default":
        iso = pl.when(text.str.contains(ISO_DATETIME)).then(text)
        whole_utc = iso.str.len_bytes() <= len("YYYY-MM-DDThh:mm:ssZ")  # the usual case, read four times as fast
        usual = parse(pl.when(whole_utc).then(iso).str.head(len("YYYY-MM-DDThh:mm:ss")), "%Y-%m-%dT%H:%M:%S")
        other = pl.when(~whole_utc).then(iso)
        fraction = parse(other.str.strip_suffix("Z"), "%Y-%m-%dT%H:%M:%S%.f")
        value = pl.coalesce(usual, fraction, parse(other, "%Y-%m-%dT%H:%M:%S%.f%z"))
    else:
        value = parse(text, pattern)
    return pl.when(value.is_between(datetime.min, datetime.max)).then(value)


def _checks(field: Field, required: bool, label: str) -> list[Check]:
    at = f"{label}, field {field.name!r}"
    return [*_presence_and_type(field, required, at), *_values(field, at), *_texts(field, at)]


def _check(field: Field, kind: str, broken: pl.Expr, problem: str) -> Check:
    shown = pl.col(RAW + field.name).str.slice(0, SHOWN_CHARACTERS)
    message = pl.concat_str(pl.lit(f"{field.name}: '"), shown, pl.lit(f"' {problem}"))
    return Check(f"{field.name}: {kind}", broken, message)


def _presence_and_type(field: Field, required: bool, at: str) -> Iterator[Check]:
    raw, value = pl.col(RAW + field.name), pl.col(field.name)
    if required or field.constraints.get("required"):
        missing = pl.lit(f"{field.name}: missing, a value is required")
        yield Check(f"{field.name}: missing", raw.is_null(), missing)
    if field.type != "string":
        _require_format(field, at)
        yield _check(field, "type", raw.is_not_null() & value.is_null(), _expected(field))
    if field.type == "number":
        yield _check(field, "not finite", ~value.is_finite(), "is no finite number")


def _values(field: Field, at: str) -> Iterator[Check]:
    value, constraints = pl.col(field.name), field.constraints
    finite = value.is_finite() if field.type == "number" else pl.lit(True)
    if "minimum" in constraints:
        least = _literal(field, constraints["minimum"], f"{at}, minimum")
        yield _check(field, "minimum", finite & (value < least), f"below minimum {constraints['minimum']}")
    if "maximum" in constraints:
        most = _literal(field, constraints["maximum"], f"{at}, maximum")
        yield _check(field, "maximum", finite & (value > most), f"above maximum {constraints['maximum']}")
    if "enum" in constraints:
        allowed = pl.Series([_literal(field, item, f"{at}, enum") for item in constraints["enum"]])
        problem = f"is none of {', '.join(map(str, constraints['enum'][:SHOWN_VALUES]))}"
        yield _check(field, "enum", ~value.is_in(allowed.cast(DTYPES[field.type]).implode()), problem)


def _texts(field: Field, at: str) -> Iterator[Check]:
    raw, constraints = pl.col(RAW + field.name), field.constraints
    if "pattern" in constraints:
        whole = rf"\A(?:{constraints['pattern']})\z"
        _require_pattern(whole, constraints["pattern"], at)
        yield _check(field, "pattern", ~raw.str.contains(whole), f"does not match {constraints['pattern']}")
    if "minLength" in constraints:
        least = constraints["minLength"]
        yield _check(field, "minLength", raw.str.len_chars() < least, f"is shorter than {least} characters")
    if "maxLength" in constraints:
        most = constraints["maxLength"]
        yield _check(field, "maxLength", raw.str.len_chars() > most, f"is longer than {most} characters")


def _expected(field: Field) -> str:
    if field.type in ("date", "datetime"):
        example = "YYYY-MM-DD" if field.type == "date" else "YYYY-MM-DDThh:mm:ss"
        return f"{EXPECTED[field.type]} of the form {example if field.format == 'default' else field.format}"
    if field.type == "boolean":
        return f"{EXPECTED[field.type]}, which is one of {', '.join(field.true_values + field.false_values)}"
    return EXPECTED[field.type]


def _literal(field: Field, value: Any, at: str) -> Any:
    """A constraint's value as the field's type. Errors: BadInput if it is no such value."""
    flag = isinstance(value, bool)
    typed = value if flag and field.type == "boolean" else pl.select(convert(field, pl.lit(str(value)))).item()
    if typed is None and field.type in ("integer", "boolean"):
        typed = _equal_values(field, pl.Series([str(value)])).item()
    if typed is None:
        raise BadInput(f"{at}: {value!r} {_expected(field)}", expected=f"a value of type {field.type}", do="correct it")
    return typed


def _require_pattern(pattern: str, shown: str, at: str) -> None:
    try:
        for text in (shown, pattern):  # an unbalanced parenthesis would end our own group
            pl.select(pl.lit("").str.contains(text))
    except pl.exceptions.ComputeError:
        raise BadInput(
            f"{at}: the pattern {shown!r} is not understood",
            expected="a regular expression without look-around and back-references",
            do="write it so, or use enum",
        ) from None


def _require_format(field: Field, at: str) -> None:
    """Errors: BadInput unless a day that is written in the field's format can be read back."""
    if field.format == "default" or field.type not in ("date", "datetime"):
        return
    day = datetime(2026, 11, 21, 10, 11, 12)
    try:
        text = day.strftime(field.format.replace("%z", "+0000").replace("%.f", ".5").replace("%f", "500000"))
        read = pl.select(convert(field, pl.lit(text))).item()
    except (pl.exceptions.PolarsError, ValueError):
        read = None
    if read is None or (read.year, read.month, read.day) != (2026, 11, 21):
        raise BadInput(
            f"{at}: the format {field.format!r} is not understood",
            expected="a pattern that holds a whole date, such as %d/%m/%Y or %Y-%m-%d %H:%M:%S",
            do="correct the format, or use the default one",
        )
