"""The Table Schema's types and constraints as polars expressions: text in, typed columns and reasons out."""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import polars as pl
from stagekit import BadInput

from csv_input import KINDS, LINE, OFFSET, REASON, TEXT, Batch
from number_texts import plain_number, written_form
from table_schema import MOST_LENGTH, NUMBER_TYPES, Field, Schema
from times import CODES, TOO_FINE, fault_of_format, to_date, to_datetime

DTYPES: Mapping[str, pl.DataType] = {
    "string": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "datetime": pl.Datetime("us"),
}
WHOLE_NUMBER = r"^([+-]?[0-9]+)\.0*$"
SAFE_INTEGER = 1 << 53  # doubles below it hold every integer
EXPECTED = {
    "integer": "is no integer of at most 64 bits",
    "number": "is no number",
    "boolean": "is no boolean",
    "date": "is no date",
    "datetime": "is no date and time",
}
WEIGHT = "which is a number above 0 in single precision"
FORMATS = {"date": "default (YYYY-MM-DD)", "datetime": "default (YYYY-MM-DDThh:mm:ss), epoch, epoch-ms"}
SHOWN_CHARACTERS, SHOWN_VALUES = 60, 20
# In place of a value of a sensitive field.
HIDDEN = "…"
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

    `rows` has LINE, OFFSET, TEXT and typed columns, `is_bad` says which of these rows break a rule. `bad` has these
    rows and the malformed records: LINE, TEXT, KINDS, REASON and the typed values.
    """

    rows: pl.DataFrame
    is_bad: pl.Series
    bad: pl.DataFrame
    lines: int

    @property
    def good(self) -> pl.DataFrame:
        """The rows that break no rule."""
        return self.rows.filter(~self.is_bad)


class FieldChecks:
    """The rules of some fields, built once and applied batch by batch.

    An empty text and one of blanks alone always mean "missing", as do the missingValues of a field, or else of the
    schema, here `missing`.
    `required` names fields that may not be missing, whatever their constraints say. Errors: BadInput if a constraint or
    format cannot be understood.
    """

    def __init__(
        self, fields: Sequence[Field], missing: Collection[str], required: Collection[str], label: str
    ) -> None:
        self._fields = fields
        self._names = [field.name for field in fields]
        self._missing = {f.name: ["", *(missing if f.missing is None else f.missing)] for f in fields}
        self._codes = {f.name: codes for f in fields if (codes := _numbers_among(self._missing[f.name], f)).len()}
        self._raw = [_present(field, self._missing[field.name]).alias(RAW + field.name) for field in fields]
        self._checks = [check for field in fields for check in _checks(field, field.name in required, label)]
        self._typed = [convert(field, pl.col(RAW + field.name)).alias(field.name) for field in fields]

    def apply(self, batch: Batch) -> Checked:
        """Type and check the rows of a batch; its malformed records join the bad rows."""
        both = self.typed(batch)
        broken = both.select(c.broken.fill_null(False).alias(f"{BROKEN}{n}") for n, c in enumerate(self._checks))
        some = broken.select(pl.any_horizontal(pl.all())).to_series()
        bad = both.filter(some).hstack(broken.filter(some))
        return Checked(
            both.select(LINE, OFFSET, TEXT, *self._names),
            some,
            pl.concat([batch.rejected, self._explained(bad)], how="diagonal").sort(LINE),
            batch.lines,
        )

    def typed(self, batch: Batch) -> pl.DataFrame:
        """The rows of a batch with the values of the fields, null where one is missing or cannot be read."""
        return self._read(batch.rows, (LINE, OFFSET, TEXT))

    def values(self, texts: pl.DataFrame) -> pl.DataFrame:
        """The values of the fields alone, from rows with their texts."""
        return self._read(texts, ()).select(self._names)

    def missing(self, texts: pl.DataFrame) -> int:
        """In how many of these rows, which have their texts, a field has no value."""
        present = pl.all_horizontal(pl.col(RAW + name).is_not_null() for name in self._names)
        return int(self._read(texts, ()).select((~present).sum()).item())

    def _read(self, texts: pl.DataFrame, beside: Sequence[str]) -> pl.DataFrame:
        # Lazy, because the optimiser then computes only once what several expressions share.
        typed = texts.lazy().select(*beside, *self._raw).with_columns(self._typed)
        return _without_codes(_read_again(typed.collect(engine="in-memory"), self._fields, self._missing), self._codes)

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


def require_followable(schema: Schema, label: str) -> None:
    """Errors: BadInput if a format, a constraint or a positive class cannot be followed, or no value fits a field."""
    FieldChecks(schema.fields, schema.missing, (), label)
    for field in schema.fields:
        missing = schema.missing if field.missing is None else field.missing
        _require_satisfiable(field, missing, f"{label}, field {field.name!r}")


def _require_satisfiable(field: Field, missing: Collection[str], at: str) -> None:
    """Errors: BadInput if no value keeps to all constraints. What a pattern matches is only known of an enum."""
    given, name = field.constraints, field.name
    if given.get("minLength", 0) > given.get("maxLength", MOST_LENGTH):
        raise _contradiction(at, f"minLength {given['minLength']} is above maxLength {given['maxLength']}")
    bounds = {bound: _literal(field, given[bound], at) for bound in ("minimum", "maximum") if bound in given}
    if len(bounds) > 1 and bounds["minimum"] > bounds["maximum"]:
        raise _contradiction(at, f"minimum {given['minimum']} is above maximum {given['maximum']}")
    if field.role == "weight":
        # 1 is a weight. If any weight is between the bounds, then so is the number there that is nearest to 1.
        nearest = min(max(1, bounds.get("minimum", 1)), bounds.get("maximum", math.inf))
        if not pl.select(_is_weight(pl.lit(nearest))).item():
            raise _contradiction(at, f"its minimum and maximum exclude every weight, {WEIGHT}")
    if "enum" not in given:
        return
    if field.type == "string" and (other := [item for item in given["enum"] if not isinstance(item, str)]):
        raise BadInput(f"{at}: its enum has {json.dumps(other[0])}", expected="texts alone", do="correct schema.json")
    codes, numbers = {"", *missing}, _numbers_among(list(missing), field).to_list()
    values = [(str(item), _literal(field, item, at)) for item in given["enum"]]
    present = [(text, value) for text, value in values if text not in codes and value not in numbers]
    if not present:
        raise _contradiction(at, "each value of its enum means missing (missingValues)")
    rows = pl.DataFrame(present, {RAW + name: pl.String(), name: DTYPES[field.type]}, orient="row")
    checks = _checks(field, required=False, label=at)
    broken = rows.select(check.broken.fill_null(False).alias(str(n)) for n, check in enumerate(checks))
    if broken.select(pl.any_horizontal(pl.all()).all()).item():
        why = (
            rows.select(check.message).item(0, 0) for check, is_so in zip(checks, broken.row(0), strict=True) if is_so
        )
        raise _contradiction(at, f"its enum and its other constraints exclude each other: {'; '.join(why)}")


def _contradiction(at: str, found: str) -> BadInput:
    return BadInput(f"{at}: {found}", expected="constraints that a value can keep to", do="correct schema.json")


def _present(field: Field, missing: Sequence[str]) -> pl.Expr:
    """The field's texts; null where one means "missing", or is of blanks alone."""
    text = pl.col(field.name)
    present = ~text.is_in(missing)
    # In other types `second_reading` removes blanks, and finds the value missing.
    return pl.when(present & text.str.contains(r"\S") if field.type == "string" else present).then(text)


def convert(field: Field, text: pl.Expr) -> pl.Expr:
    """Text to the field's type; null where the text is no such value. Times become UTC without an offset."""
    if field.type in NUMBER_TYPES:
        return plain_number(field, text).cast(DTYPES[field.type], strict=False)
    if field.type == "boolean":
        true, false = text.is_in(field.true_values), text.is_in(field.false_values)
        return pl.when(true).then(True).when(false).then(False)
    if field.type == "date":
        return to_date(text, field.format)
    if field.type == "datetime":
        return to_datetime(text, field.format)
    return text


def _read_again(rows: pl.DataFrame, fields: Sequence[Field], missing: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """The same rows; a text that is no value is read once more (see `second_reading`). -0 becomes 0."""
    columns: dict[str, pl.Series] = {}
    for field in (field for field in fields if field.type != "string"):
        values, texts = rows[field.name], rows[RAW + field.name]
        if values.null_count() > texts.null_count():
            unread = (values.is_null() & texts.is_not_null()).arg_true()
            read = second_reading(field, texts.gather(unread), missing[field.name])
            # Usually each of them is no value still, and nothing is copied.
            if (changed := read[0].is_null() | read[1].is_not_null()).any():
                places, new = unread.filter(changed), (series.filter(changed) for series in read)
                texts, values = (old.scatter(places, part) for old, part in zip((texts, values), new, strict=True))
                columns |= {RAW + field.name: texts, field.name: values}
        if field.type == "number" and (zeros := values == 0).any():
            columns[field.name] = pl.select(pl.when(zeros).then(0.0).otherwise(values)).to_series()
    # All at once: each query on a frame looks at all of its columns.
    return rows.with_columns(column.alias(name) for name, column in columns.items())


def _without_codes(rows: pl.DataFrame, codes: Mapping[str, pl.Series]) -> pl.DataFrame:
    """The same rows; a number that equals a text that means "missing" is missing, too: where -999 is, so is -999.0."""
    # No value is no code: a text that cannot be read must stay for the check of its type.
    found = {field: rows[field].is_in(numbers.implode()).fill_null(False) for field, numbers in codes.items()}
    return rows.with_columns(
        pl.when(~is_code).then(name).alias(name)
        for field, is_code in found.items()
        if is_code.any()
        for name in (field, RAW + field)
    )


def _numbers_among(texts: Sequence[str], field: Field) -> pl.Series:
    """The finite values of some texts in a field of numbers; empty for another field."""
    if field.type not in NUMBER_TYPES:
        return pl.Series(dtype=pl.Float64)
    values = second_reading(field, pl.Series(texts, dtype=pl.String), ())[1].drop_nulls()
    return values.filter(values.is_finite())


def second_reading(field: Field, texts: pl.Series, missing: Collection[str]) -> tuple[pl.Series, pl.Series]:
    """Texts that `convert` does not read, null where one is missing, and their values.

    Blanks around a value are no part of it. Equal numbers are equal values: an integer or a boolean is also a number
    with a zero fraction, such as `1.0` or `1e0`, as programs write integers when one of them is missing.
    """
    text = pl.col(TEXT)
    bare = text.str.strip_chars()
    present = ~bare.is_in(["", *(code.strip() for code in missing)])
    value = convert(field, bare)
    if field.type in ("integer", "boolean"):
        value = pl.coalesce(value, _equal_value(field, bare))
    read = texts.to_frame(TEXT).select(pl.when(present).then(text), value=pl.when(present).then(value))
    return read.to_series(0), read.to_series(1)


def _equal_value(field: Field, text: pl.Expr) -> pl.Expr:
    """The integer or boolean that equals the number in each text; null if there is none."""
    whole = _whole_number(plain_number(field, text))
    if field.type == "integer":
        return whole
    true, false = (_numbers_of(tuple(names)) for names in (field.true_values, field.false_values))
    return pl.when(whole.is_in(true - false)).then(True).when(whole.is_in(false - true)).then(False)


@cache
def _numbers_of(names: tuple[str, ...]) -> frozenset[int]:
    texts = pl.Series(names, dtype=pl.String)
    return frozenset(pl.select(_whole_number(pl.lit(texts))).to_series().drop_nulls())


def _whole_number(text: pl.Expr) -> pl.Expr:
    """Texts such as 7, 7.0 and 7e0 as integers; null for all others."""
    double = pl.when(text.str.contains("[eE]")).then(text).cast(pl.Float64, strict=False)
    whole = (double == double.round()) & (double.abs() < SAFE_INTEGER)
    written = text.cast(pl.Int64, strict=False), text.str.extract(WHOLE_NUMBER).cast(pl.Int64, strict=False)
    return pl.coalesce(*written, pl.when(whole).then(double).cast(pl.Int64))


def _checks(field: Field, required: bool, label: str) -> list[Check]:
    at = f"{label}, field {field.name!r}"
    return [*_presence_and_type(field, required, at), *_values(field, at), *_texts(field, at)]


def _check(field: Field, kind: str, broken: pl.Expr, problem: str) -> Check:
    value = pl.col(RAW + field.name)
    shown = pl.lit(HIDDEN) if field.sensitive else value.str.slice(0, SHOWN_CHARACTERS)
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
    if field.type == "datetime" and field.role == "key":  # two times must not become one key
        yield _check(field, "precision", raw.str.contains(TOO_FINE), "has a fraction finer than a microsecond")
    if field.type == "number":
        yield _check(field, "not finite", ~value.is_finite(), "is no finite number")


def _values(field: Field, at: str) -> Iterator[Check]:
    value, constraints = pl.col(field.name), field.constraints
    if field.positive_class is not None:
        positive_class(field, at)
    finite = value.is_finite() if field.type == "number" else pl.lit(True)
    if field.role == "weight":
        yield _check(field, "weight", finite & ~_is_weight(value), f"is no weight, {WEIGHT}")
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


def _is_weight(value: pl.Expr) -> pl.Expr:
    single = value.cast(pl.Float32)  # as LightGBM has weights
    return (single > 0) & single.is_finite()


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
    form = written_form(field) if field.type in NUMBER_TYPES else ""
    return f"{EXPECTED[field.type]} ({form})" if form else EXPECTED[field.type]


def _literal(field: Field, value: Any, at: str) -> Any:
    """A value of the schema as the field's type: a text is read like the data, a number is one of JSON.

    Errors: BadInput if it is no such value.
    """
    flag = isinstance(value, bool)
    if field.type in NUMBER_TYPES and isinstance(value, int | float):
        field = field.as_written()
    typed = value if flag and field.type == "boolean" else pl.select(convert(field, pl.lit(str(value)))).item()
    if typed is None and field.type != "string":
        typed = second_reading(field, pl.Series([str(value)]), ())[1].item()
    if typed is None:
        raise BadInput(f"{at}: {value!r} {_expected(field)}", expected=f"a value of type {field.type}", do="correct it")
    return typed


def positive_class(field: Field, label: str) -> pl.Series:
    """The one value of a target that is the positive class. Errors: BadInput if it is no such value."""
    value = _literal(field, field.positive_class, f"{label}, positiveClass")
    return pl.Series([value], dtype=DTYPES[field.type])


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
    """Errors: BadInput unless what is written in the field's format is read back as the same date or time."""
    if field.type in ("date", "datetime") and (fault := fault_of_format(field.type, field.format)):
        raise BadInput(
            f"{at}: the format {field.format!r} cannot be followed: {fault}",
            expected=f"{FORMATS[field.type]}, or a pattern of these codes: {' '.join(CODES)}",
            do="correct the format, or make the field a string",
        )
