"""The Table Schema's rules, compared with an oracle in plain Python that was written from the specification.

What other programs take or crash on is in test_lenient_input.
"""

import json
import math
import re
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import SCHEMA, field, without_entity
from hypothesis import given
from hypothesis import strategies as st
from stagekit import BadInput

from checks import Checked, FieldChecks
from csv_input import KINDS, LINE, OFFSET, REASON, REJECTED, TEXT, Batch
from table_schema import differences, parse_schema, read_schema

BAD = object()
TRUE, FALSE = ("true", "True", "TRUE", "1"), ("false", "False", "FALSE", "0")


def schema_of(tested: dict[str, Any], **top: Any) -> dict[str, Any]:
    fields = [field("k", "string", "key"), tested, field("other", "number", "feature"), field("y", "string", "target")]
    return {"fields": fields, **top}


def check(tested: dict[str, Any], values: list[str], **top: Any) -> Checked:
    schema = parse_schema(schema_of(tested, **top), "schema.json")
    name = tested["name"]
    lines = range(2, 2 + len(values))
    columns = {LINE: lines, OFFSET: lines, TEXT: values, "k": [f"key {line}" for line in lines], name: values}
    rows = pl.DataFrame(
        columns, schema={LINE: pl.Int64, OFFSET: pl.Int64, TEXT: pl.String, "k": pl.String, name: pl.String}
    )
    checks = FieldChecks(schema.of(["k", name]), schema.missing, ["k"], "schema.json")
    return checks.apply(Batch(rows, pl.DataFrame(schema=REJECTED)))


def oracle_value(tested: dict[str, Any], text: str) -> Any:
    """The typed value, or BAD. Blanks around a value are no part of it, except in a text; alone they are missing."""
    text = text if tested["type"] == "string" else text.strip()
    match tested["type"]:
        case "string":
            return text
        case "integer":
            return oracle_integer(text)
        case "number":
            number = float(text) if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text) else None
            return number if number is not None and math.isfinite(number) else BAD
        case "boolean":
            return {1: True, 0: False}.get(oracle_integer(text), BAD) if text not in TRUE + FALSE else text in TRUE
        case "date":
            try:
                return date.fromisoformat(text) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else BAD
            except ValueError:
                return BAD
    return oracle_datetime(text)


def oracle_integer(text: str) -> Any:
    """Also a number with a zero fraction; with an exponent only if a double holds it exactly."""
    if re.fullmatch(r"[+-]?[0-9]+(\.0*)?", text):
        whole = int(text.partition(".")[0])
        return whole if -(2**63) <= whole < 2**63 else BAD
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][+-]?[0-9]+", text):
        number = float(text)
        return int(number) if number.is_integer() and abs(number) < 2**53 else BAD
    return BAD


def oracle_datetime(text: str) -> Any:
    parts = re.fullmatch(
        r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?(Z|([+-])([0-9]{2}):([0-9]{2}))?", text
    )
    if not parts:
        return BAD
    try:
        value = datetime.strptime(parts[1], "%Y-%m-%dT%H:%M:%S")
        if value.second >= 60:
            return BAD
        value += timedelta(microseconds=int((parts[2] or ".0")[1:].ljust(6, "0")[:6]))
        if parts[4]:
            offset = timedelta(hours=int(parts[5]), minutes=int(parts[6]))
            zone = timezone(offset if parts[4] == "+" else -offset)
            value = value.replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None)
        return value
    except (ValueError, OverflowError):
        return BAD


def is_missing(tested: dict[str, Any], text: str, missing: tuple[str, ...]) -> bool:
    if text in missing or not text.strip() or (tested["type"] != "string" and text.strip() in missing):
        return True
    numbers = (
        {oracle_value(tested, code) for code in missing} - {BAD} if tested["type"] in ("integer", "number") else ()
    )
    return oracle_value(tested, text) in numbers


def oracle_accepts(tested: dict[str, Any], text: str, missing: tuple[str, ...]) -> bool:
    constraints = tested.get("constraints", {})
    if is_missing(tested, text, missing):
        return not constraints.get("required", False)
    value = oracle_value(tested, text)
    if value is BAD:
        return False

    def bound(raw: Any) -> Any:
        return raw if isinstance(raw, bool) else oracle_value(tested, str(raw))

    return all(
        {
            "required": lambda _: True,
            "minimum": lambda limit: value >= bound(limit),
            "maximum": lambda limit: value <= bound(limit),
            "enum": lambda allowed: any(value == bound(item) for item in allowed),
            "pattern": lambda pattern: re.fullmatch(pattern, text) is not None,
            "minLength": lambda least: len(text) >= least,
            "maxLength": lambda most: len(text) <= most,
        }[name](constraint)
        for name, constraint in constraints.items()
    )


NUMBERS = ["1", "-1", "+3", "0", "-0", "007", "1.", ".5", "-", "+", ".", "1e3", "1E-2", "1e", "1e400", "-1e400", "1_0"]
NUMBERS += [
    "0x1F",
    "1,5",
    "٣",
    "²",
    "inf",
    "-inf",
    "Infinity",
    "NaN",
    "nan",
    "5e-324",
    "1d",
    " 1",
    "1 ",
    "1.0",
    "-7.00",
    "1.00000000000000000001",
    "9007199254740993.0",
    "9223372036854775807.0",
    "9223372036854775808.0",
    "12.375",
    "  ",
    "\t-2.5 ",
    "1 2",
    "\u00a07",
]
NUMBERS += ["9223372036854775807", "9223372036854775808", "-9223372036854775809", "- 1", ""]
DATES = ["2026-11-21", "2026-02-29", "2024-02-29", "2026-1-5", "20261121", "2026-13-01", "0001-01-01", "9999-12-31"]
DATES += [
    " 2026-11-21",
    "  ",
    "2026-11- 21",
    "0000-01-01",
    "+2026-01-01",
    "10000-01-01",
    "2026-11-21 ",
    "2026/11/21",
    "today",
    "",
]
HOURS = ["00:00:00", "23:59:59Z", "24:00:00", "12:60:00", "12:00:60", "1:00:00", "12:00", "12:00:00.5", "12:00:00."]
HOURS += ["12:00:00.123456789", "12:00:00+02:00", "01:00:00+02:00", "23:00:00-09:30", "12:00:00+0200"]
HOURS += ["12:00:00.25-01:00", "12:00:00ZZ", "12:00:00+24:00", "12:00:00z"]
TIMES = [f"{day}T{hour}" for day in ("2026-11-21", "0001-01-01", "9999-12-31", "2026-02-30") for hour in HOURS]
TIMES += [" 2026-11-21T12:00:00Z ", " ", "2026-11-21 12:00:00", "2026-11-21", "", "soon"]
BOOLEANS = [*TRUE, *FALSE, "1.0", "0.", "-0.00", "1e0", "2.0", "yes", "tRUE", "2", " true", ""]
STRINGS = ["", "a", "ab", "é", "€uro", "abc1", "1", "n/a", "a b", "x" * 30, "tab\t", "new\nline", "abc1\n"]
STRINGS += [" ", "\t\n", "\u00a0\u3000", " a", "a ", " n/a"]
POOLS = {
    "string": STRINGS,
    "integer": NUMBERS,
    "number": NUMBERS,
    "boolean": BOOLEANS,
    "date": DATES,
    "datetime": TIMES,
}


def constraints_for(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    good = [text for text in POOLS[kind] if text and oracle_value({"type": kind}, text) is not BAD]
    bounds = st.sampled_from([text for text in good if kind != "number" or "e" not in text])
    optional: dict[str, st.SearchStrategy[Any]] = {"required": st.booleans()}
    if kind == "boolean":
        optional["enum"] = st.just([True])
    else:
        optional["enum"] = st.lists(bounds, min_size=1, max_size=3)
    if kind == "string":
        optional["pattern"] = st.sampled_from(["[a-z]+", "a|ab", "abc.", "", "[^a]*", "(?:x){2,}"])
        optional["minLength"], optional["maxLength"] = st.integers(0, 4), st.integers(0, 5)
    elif kind != "boolean":
        optional["minimum"], optional["maximum"] = bounds, bounds
    return st.fixed_dictionaries({}, optional=optional)


@given(st.sampled_from(sorted(POOLS)), st.sampled_from([[""], ["", "n/a"], ["1", "2026-11-21"]]), st.data())
def test_checks_accept_what_the_specification_accepts(kind: str, missing: list[str], data: st.DataObject) -> None:
    tested = field("x", kind, "ignore", **data.draw(constraints_for(kind)))
    digits = (
        st.from_regex(r"\A[+-]?[0-9]{0,20}\.?[0-9]{0,20}(e[+-]?[0-9]{1,3})?\Z")
        if kind in ("number", "integer")
        else st.nothing()
    )
    values = data.draw(st.lists(st.sampled_from(POOLS[kind]) | digits, min_size=1, max_size=20))
    checked = check(tested, values, missingValues=missing)
    absent = ("", *missing)
    accepted = {n: text for n, text in enumerate(values, 2) if oracle_accepts(tested, text, absent)}
    assert checked.good[LINE].to_list() == list(accepted)
    typed = [None if is_missing(tested, text, absent) else oracle_value(tested, text) for text in accepted.values()]
    assert checked.good["x"].to_list() == typed
    assert checked.bad[LINE].to_list() == [n for n in range(2, 2 + len(values)) if n not in accepted]
    assert all(reason.startswith("x: ") for reason in checked.bad[REASON])


WRITTEN: list[dict[str, Any]] = [
    {"type": "number"},
    {"type": "integer"},
    {"type": "number", "decimalChar": ",", "groupChar": "."},
    {"type": "integer", "groupChar": "'", "bareNumber": False},
    {"type": "boolean", "trueValues": ["yes", "1"], "falseValues": ["no", "0.0"]},
    {"type": "date", "format": "%d/%m/%Y"},
    {"type": "datetime", "format": "epoch"},
    {"type": "string"},
]
VALUES = [
    "1",
    "1.0",
    "1,0",
    " 1",
    "-999",
    "-999,0",
    "-9.99e2",
    "-$999",
    "yes",
    "0",
    "-0",
    "21/11/2026",
    "x",
    "nan",
    " ",
    "",
]


@given(
    st.sampled_from(WRITTEN),
    st.sampled_from([[""], ["-999"], ["1", "x"]]),
    st.lists(st.sampled_from(VALUES), max_size=5),
)
def test_row_is_judged_by_itself(written: dict[str, Any], missing: list[str], values: list[str]) -> None:
    """Whatever is in the other rows of a batch. A text was missing where another row had a code for "missing"."""
    tested = {"name": "x", "role": "feature", **written, "constraints": {"required": True}}

    def judged(texts: list[str]) -> list[Any]:
        checked = check(tested, texts, missingValues=missing)
        reasons = dict(checked.bad.select(LINE, REASON).iter_rows())
        return [(str(value), reasons.get(line)) for line, value in checked.rows.select(LINE, "x").iter_rows()]

    assert judged(values) == [one for value in values for one in judged([value])]


def test_numbers_of_a_boolean_are_those_in_its_lists() -> None:
    tested = {**field("x", "boolean", "ignore"), "trueValues": ["yes", "2", "5"], "falseValues": ["no", "05", "-1.0"]}
    values = ["2.0", "-1", "-1e0", "yes", "no", "1.0", "0.0", "5", "05", "5.0"]
    checked = check(tested, values)
    assert checked.good["x"].to_list() == [True, False, False, True, False, True, False]
    assert checked.bad[TEXT].to_list() == ["1.0", "0.0", "5.0"]


def test_zero_has_one_sign() -> None:
    checked = check(field("x", "number", "ignore"), ["-0.0", "0", "-0", "-0e7", "-1", "", "-1e-400"])
    assert [str(value) for value in checked.good["x"]] == ["0.0", "0.0", "0.0", "0.0", "-1.0", "None", "0.0"]


@pytest.mark.parametrize(
    ("kind", "constraints", "value", "reason"),
    [
        ("number", {}, "abc", "x: 'abc' is no number"),
        ("number", {"minimum": 0}, "-3", "x: '-3' below minimum 0"),
        ("number", {"maximum": 2.5}, "3", "x: '3' above maximum 2.5"),
        ("number", {"minimum": 0}, "-inf", "x: '-inf' is no finite number"),
        ("number", {}, "NaN", "x: 'NaN' is no finite number"),
        ("integer", {}, "1.5", "x: '1.5' is no integer of at most 64 bits"),
        ("integer", {"required": True}, "", "x: missing, a value is required"),
        ("boolean", {}, "yes", "x: 'yes' is no boolean, which is one of true, True, TRUE, 1, false, False, FALSE, 0"),
        ("date", {}, "21.11.2026", "x: '21.11.2026' is no date of the form YYYY-MM-DD"),
        ("datetime", {}, "2026-11-21", "x: '2026-11-21' is no date and time of the form YYYY-MM-DDThh:mm:ss"),
        ("string", {"enum": ["a", "b"]}, "c", "x: 'c' is none of a, b"),
        ("string", {"pattern": "[a-z]+"}, "A", "x: 'A' does not match [a-z]+"),
        (
            "string",
            {"minLength": 2, "pattern": "[a-z]+"},
            "A",
            "x: 'A' does not match [a-z]+; x: 'A' is shorter than 2 characters",
        ),
        ("string", {"maxLength": 3}, "y" * 99, f"x: '{'y' * 60}' is longer than 3 characters"),
    ],
)
def test_reason_names_column_value_and_expectation(kind: str, constraints: dict, value: str, reason: str) -> None:
    checked = check(field("x", kind, "ignore", **constraints), [value])
    assert checked.bad[REASON].to_list() == [reason]
    assert len(checked.bad[KINDS][0]) == reason.count("; ") + 1


COMMA, GROUPS = {"decimalChar": ","}, {"groupChar": ","}
EURO = {"decimalChar": ",", "groupChar": ".", "bareNumber": False}


@pytest.mark.parametrize(
    ("kind", "properties", "values", "typed"),
    [
        ("number", COMMA, ["1,5", " -0,25 ", "7", "1,5E+03", ",5", "5,"], [1.5, -0.25, 7, 1500, 0.5, 5]),
        ("number", COMMA, ["1.5", "1,5,5", "1.000,5", ",", "inf"], BAD),
        ("number", GROUPS, ["1,234.5", "12,34,567", "1234.5", "-1,000", "1.5"], [1234.5, 1234567, 1234.5, -1000, 1.5]),
        ("number", GROUPS, ["1,5", "1,50", "1,2345", ",123", "1,,234", "1234,567", "1.234,567", "1,234,56"], BAD),
        ("number", {"groupChar": " "}, ["1 234", "1\u00a0234"], [1234, BAD]),
        ("number", {"groupChar": "'", "decimalChar": "."}, ["12'345'678.25"], [12345678.25]),
        ("integer", {"groupChar": ".", **COMMA}, ["1.234.567", "1.000,0", "1,5"], [1234567, 1000, BAD]),
        ("integer", {"groupChar": ".", **COMMA}, ["9.223.372.036.854.775.808"], BAD),
        ("number", EURO, ["1.234,50 €", "€1.234,50", "-€ 5", "€ -5", "€-5,5", "€5"], [1234.5, 1234.5, -5, -5, -5.5, 5]),
        ("number", EURO, ["5%", "12,5 %", "US$5", "EUR 5", "5 CHF", "kr 5", "5"], [5, 12.5, 5, 5, 5, 5, 5]),
        ("number", EURO, ["(5)", "5 million", "5k", "€", "--5", "-€-5", "5-", "$5$€", "5 kg", "five", "€ 5.5"], BAD),
        ("integer", {"bareNumber": False}, ["$5", "5.0 %", "5.5 %", "$1,000"], [5, 5, BAD, BAD]),
        ("number", {}, ["$5", "5%", "1,5"], BAD),
    ],
)
def test_number_is_read_as_its_field_says(kind: str, properties: dict[str, Any], values: list[str], typed: Any) -> None:
    checked = check({**field("x", kind, "ignore"), **properties}, values)
    expected = [BAD] * len(values) if typed is BAD else typed
    assert checked.good["x"].to_list() == [value for value in expected if value is not BAD]
    assert checked.bad[TEXT].to_list() == [text for text, value in zip(values, expected, strict=True) if value is BAD]


def test_limits_of_a_number_are_numbers_of_json_or_texts_like_the_data() -> None:
    tested = {**field("x", "number", "ignore", minimum=1.5, maximum="1.000,5"), **EURO}
    checked = check(tested, ["1,4", "1,5", "1.000,5", "1.000,6"])
    assert checked.good["x"].to_list() == [1.5, 1000.5]


def test_reason_names_the_form_of_numbers() -> None:
    checked = check({**field("x", "number", "ignore"), **EURO}, ["1.5"])
    assert "x: '1.5' is no number (the decimal mark ',', thousands grouped by '.', a currency" in checked.bad[REASON][0]


def test_blanks_around_a_missing_text_are_no_part_of_it() -> None:
    checked = check(field("x", "number", "ignore", required=True), [" NA", "  ", "NA "], missingValues=["", "NA"])
    assert checked.bad[REASON].to_list() == ["x: missing, a value is required"] * 3
    assert check(field("x", "string", "ignore"), [" NA"], missingValues=["NA"]).good["x"].to_list() == [" NA"]


@pytest.mark.parametrize("kind", ["integer", "number"])
def test_number_that_equals_a_missing_text_is_missing(kind: str) -> None:
    for top in ({"missingValues": ["-999"]}, {"missingValues": ["-999.0"]}):
        checked = check(field("x", kind, "feature"), ["-999", "-999.0", "-9.99e2", "-998"], **top)
        assert checked.good["x"].to_list() == [None, None, None, -998]
    assert check(field("x", "string", "feature"), ["-999.0"], missingValues=["-999"]).good["x"][0] == "-999.0"
    assert check(field("x", "number", "feature"), ["NaN"], missingValues=["nan"]).bad.height == 1


@pytest.mark.parametrize("kind", ["integer", "number"])
def test_text_that_cannot_be_read_is_not_missing_beside_a_number_that_is(kind: str) -> None:
    checked = check(field("x", kind, "feature"), ["abc", "-999.0", "7"], missingValues=["-999"])
    assert checked.good["x"].to_list() == [None, 7]
    assert checked.bad[REASON][0].startswith("x: 'abc' is no ")


def test_missing_texts_of_a_field_take_the_place_of_those_of_the_schema() -> None:
    own = {**field("x", "integer", "feature", required=True), "missingValues": ["-1"]}
    checked = check(own, ["-1", "", "0"], missingValues=["", "0"])
    assert checked.good["x"].to_list() == [0]
    assert checked.bad[REASON].to_list() == ["x: missing, a value is required"] * 2
    assert check(field("x", "integer", "feature"), ["-1", "0"], missingValues=["0"]).good["x"].to_list() == [-1, None]


NOON = datetime(2026, 11, 21, 12)


@pytest.mark.parametrize(
    ("kind", "format_", "value", "typed"),
    [
        ("date", "%d/%m/%Y", "21/11/2026", date(2026, 11, 21)),
        ("date", "%d/%m/%Y", " 1/2/2026 ", date(2026, 2, 1)),
        ("date", "%d/%m/%Y", "21/11/26", BAD),
        ("date", "%d/%m/%Y", "2026-11-21", BAD),
        ("date", "%Y%m%d", "20261121", date(2026, 11, 21)),
        ("date", "%Y%m%d", "2026112", BAD),
        ("date", "%d-%b-%y", "21-Nov-26", date(2026, 11, 21)),
        ("date", "%d-%b-%y", "21-NOV-69", date(2069, 11, 21)),
        ("date", "%d-%b-%y", "21-nov-70", date(1970, 11, 21)),
        ("date", "%A, %e. %B %Y", "Saturday, 21. November 2026", date(2026, 11, 21)),
        ("date", "%A, %e. %B %Y", "Sunday, 21. November 2026", BAD),
        ("date", "%Y.%j", "2026.325", date(2026, 11, 21)),
        ("date", "%F 00:00:00", "2026-11-21 00:00:00", date(2026, 11, 21)),
        ("datetime", "%Y-%m-%d %H:%M:%S", "2026-11-21 12:00:00", NOON),
        ("datetime", "%Y-%m-%d %H:%M:%S", "2026-11-21 12:00:60", BAD),
        ("datetime", "%d.%m.%Y %H:%M", "21.11.2026 12:00", NOON),
        ("datetime", "%m/%d/%Y %I:%M %p", "11/21/2026 12:00 PM", NOON),
        ("datetime", "%m/%d/%Y %I:%M %p", "11/21/2026 1:05 pm", datetime(2026, 11, 21, 13, 5)),
        ("datetime", "%m/%d/%Y %I:%M %p", "11/21/2026 13:05 PM", BAD),
        ("datetime", "%Y%m%d%H%M%S", "20261121120000", NOON),
        ("datetime", "%F %T.%f", "2026-11-21 12:00:00.5", NOON.replace(microsecond=500_000)),
        ("datetime", "%F %T.%f", "2026-11-21 12:00:00.000001", NOON.replace(microsecond=1)),
        ("datetime", "%F %T%.f", "2026-11-21 12:00:00", NOON),
        ("datetime", "%F %R", "2026-11-21 12:00", NOON),
        ("datetime", "%Y-%m-%dT%H:%M:%S%z", "2026-11-21T13:00:00+0100", NOON),
        ("datetime", "%F %T%z", "2026-11-21 13:00:00+01:00", NOON),
        ("datetime", "%F %T%z", "2026-11-21 13:00:00+01", NOON),
        ("datetime", "%F %T %z", "2026-11-21 12:00:00 Z", NOON),
        ("datetime", "%F %R%z", "2026-11-21 12:00", BAD),
        ("datetime", "%F %R 100%%", "2026-11-21 12:00 100%", NOON),
        ("datetime", "epoch", "1795262400", NOON),
        ("datetime", "epoch", "1795262400.0", NOON),
        ("datetime", "epoch", "1.7952624e9", NOON),
        ("datetime", "epoch", "1795262400.000001", NOON.replace(microsecond=1)),
        ("datetime", "epoch", "-1", datetime(1969, 12, 31, 23, 59, 59)),
        ("datetime", "epoch", "1795262400000", BAD),
        ("datetime", "epoch", "9" * 18, BAD),
        ("datetime", "epoch", "soon", BAD),
        ("datetime", "epoch-ms", "1795262400000", NOON),
    ],
)
def test_format_of_dates_is_followed(kind: str, format_: str, value: str, typed: Any) -> None:
    checked = check({**field("x", kind, "ignore"), "format": format_}, [value])
    assert checked.good["x"].to_list() == ([] if typed is BAD else [typed])


# What becomes of each code of strptime, in Python, in C or in polars: in a format that holds a whole date and time.
READ = {code: f"%F %T {code}" for code in ("%a", "%A", "%b", "%B", "%h", "%d", "%e", "%m", "%y", "%Y", "%j", "%%")}
READ |= {code: f"%F {code}:%M" for code in ("%H",)} | {code: f"%F {code}:%M %p" for code in ("%I",)}
READ |= {code: f"%F {code}" for code in ("%R", "%T", "%R:%S", "%T.%f", "%T%.f", "%T%z", "%I:%M %p")} | {
    "%D": "%D %T",
    "%F": "%F",
}
REFUSED = [
    "%c",
    "%C",
    "%f",
    "%3f",
    "%.3f",
    "%g",
    "%G",
    "%k",
    "%l",
    "%L",
    "%n",
    "%P",
    "%q",
    "%Q",
    "%r",
    "%s",
    "%t",
    "%u",
    "%U",
]
REFUSED += ["%v", "%V", "%w", "%W", "%x", "%X", "%Z", "%:z", "%#z", "%+", "%E", "%O", "%-d", "%"]
WITHOUT_DATE = [
    "%H:%M",
    "%Y",
    "%Y-%m",
    "%d/%m",
    "%m/%d %T",
    "%Y %A",
    "%F %I:%M",
    "%F %H",
    "%F %M:%S",
    "soon",
    "%%Y-%%m-%%d",
]


@pytest.mark.parametrize("format_", READ.values(), ids=READ.keys())
def test_code_of_strptime_is_read_as_python_writes_it(format_: str) -> None:
    for value in (datetime(2026, 11, 21, 22, 5, 0), datetime(2004, 2, 29, 12, 59, 0), datetime(1999, 1, 3)):
        text = value.strftime(format_.replace("%z", "+0000").replace("%.f", ".000000"))
        expected = (
            value
            if "H" in format_ or "T" in format_ or "R" in format_ or "I" in format_
            else datetime.combine(value, datetime.min.time())
        )
        assert check({**field("x", "datetime", "ignore"), "format": format_}, [text]).good["x"].to_list() == [expected]


@pytest.mark.parametrize(
    ("kind", "format_", "why"),
    [
        *(("datetime", f"%F %T {code}", f"{code[:2]} is not read here") for code in REFUSED),
        *(("datetime", format_, "it ") for format_ in WITHOUT_DATE),
        ("date", "%F %T", "a date has no hours"),
        ("date", "%F %z", "a date has no hours"),
        ("date", "%F %M", "a date has no hours"),
        ("date", "epoch", "it has no code"),
    ],
)
def test_format_that_does_not_read_back_what_it_writes_is_refused(kind: str, format_: str, why: str) -> None:
    with pytest.raises(BadInput) as error:
        check({**field("x", kind, "ignore"), "format": format_}, [])
    assert f"the format {format_!r} cannot be followed: {why}" in str(error.value)


@pytest.mark.parametrize(
    ("format_", "seconds"), [("default", "2026-11-21T12:00:00"), ("%F %T.%f", "2026-11-21 12:00:00")]
)
def test_times_that_differ_are_never_one_key(format_: str, seconds: str) -> None:
    """Values have microseconds: a key with a finer fraction is rejected."""
    texts = [f"{seconds}.{fraction}" for fraction in ("5", "000005", "000000500", "123456789", "1234560", "1234567")]
    checked = check({**field("x", "datetime", "key"), "format": format_}, texts)
    assert [value.microsecond for value in checked.good["x"]] == [500_000, 5, 123_456]
    assert checked.bad[TEXT].to_list() == [texts[2], texts[3], texts[5]]
    assert "has a fraction finer than a microsecond" in checked.bad[REASON][0]


def test_true_and_false_values_are_followed() -> None:
    flag = {**field("x", "boolean", "ignore"), "trueValues": ["oui"], "falseValues": ["non"]}
    checked = check(flag, ["oui", "non", "true"])
    assert checked.good["x"].to_list() == [True, False]
    assert checked.bad[LINE].to_list() == [4]


@pytest.mark.parametrize("property_", [{"partial": "yes"}, {"partial": True}])
def test_only_labels_can_be_partial(property_: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="partial is"):
        parse_schema(schema_of({**field("x", "number", "feature"), **property_}), "schema.json")


def without(name: str) -> dict[str, Any]:
    return {**SCHEMA, "fields": [f for f in SCHEMA["fields"] if f["role"] != name]}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param([], "no list of fields", id="no object"),
        pytest.param({"fields": []}, "no list of fields", id="no fields"),
        pytest.param(schema_of({"type": "string", "role": "ignore"}), "a field without a name", id="no name"),
        pytest.param(schema_of(field("x", "text", "ignore")), "field 'x': its type is 'text'", id="unknown type"),
        pytest.param(schema_of({"name": "x", "type": "string"}), "field 'x': its role is None", id="no role"),
        pytest.param(schema_of(field("k", "string", "ignore")), "fields named twice: k", id="name twice"),
        pytest.param(without("key"), "no field has the role key", id="no key"),
        pytest.param(without("target"), "0 fields have the role target", id="no target"),
        pytest.param(schema_of(field("x", "string", "target")), "2 fields have the role target", id="two targets"),
        pytest.param(schema_of(field("x", "string", "time")), "role time on type string", id="text as time"),
        pytest.param(
            schema_of(field("x", "string", "ignore", exclusiveMinimum=1)), "exclusiveMinimum", id="unknown constraint"
        ),
        pytest.param(
            schema_of(field("x", "string", "ignore", minimum=1)), "constraint minimum on type string", id="misplaced"
        ),
        pytest.param(schema_of(field("x", "string", "ignore", enum=[])), "constraint enum is []", id="empty enum"),
        pytest.param(
            schema_of(field("x", "string", "ignore", required="yes")), 'required is "yes"', id="required as text"
        ),
        *(
            pytest.param(
                schema_of({**field("x", kind, role), **properties}),
                message,
                id=" ".join(f"{n} {v}" for n, v in properties.items()),
            )
            for kind, role, properties, message in [
                ("number", "ignore", {"decimalChar": ""}, 'decimalChar is ""'),
                ("number", "ignore", {"decimalChar": None}, "decimalChar is null"),
                ("number", "ignore", {"decimalChar": "5"}, 'decimalChar is "5"'),
                ("number", "ignore", {"decimalChar": ",", "groupChar": ","}, "are both ','"),
                ("integer", "ignore", {"groupChar": "."}, "are both '.'"),
                ("integer", "ignore", {"groupChar": "e"}, 'groupChar is "e"'),
                ("integer", "ignore", {"groupChar": "--"}, 'groupChar is "--"'),
                ("number", "ignore", {"bareNumber": "no"}, 'bareNumber is "no"'),
                ("string", "ignore", {"bareNumber": False}, "it has bareNumber and the type string"),
                ("date", "ignore", {"decimalChar": ","}, "it has decimalChar and the type date"),
                ("integer", "ignore", {"rowNumber": True}, "rowNumber is true"),
                ("integer", "key", {"rowNumber": 1}, "rowNumber is 1"),
                ("string", "key", {"rowNumber": True}, "rowNumber is true"),
                ("integer", "key", {"rowNumber": True}, "rowNumber makes one key of 2"),
                ("integer", "feature", {"positiveClass": 1}, "positiveClass on the target only"),
                ("string", "feature", {"sensitive": "yes"}, 'its sensitive is "yes"; expected: true or false'),
                (
                    "string",
                    "key",
                    {"sensitive": True},
                    "its sensitive is true; expected: true or false; not true for key",
                ),
            ]
        ),
        pytest.param(
            schema_of(field("x", "string", "ignore"))
            | {
                "fields": [
                    field("k", "string", "key"),
                    field("x", "number", "feature"),
                    {**field("y", "string", "target"), "positiveClass": ["a"]},
                ]
            },
            'positiveClass is ["a"]',
            id="positive class",
        ),
        pytest.param(
            schema_of({**field("x", "string", "ignore"), "format": "email"}), "format is 'email'", id="format"
        ),
        pytest.param(
            schema_of(field("x", "string", "ignore"), primaryKey=["x"]), "primaryKey is ['x']", id="other key"
        ),
        pytest.param(
            schema_of(field("x", "string", "ignore"), missingValues="NA"), 'missingValues is "NA"', id="missing"
        ),
        pytest.param(
            schema_of({**field("x", "string", "ignore"), "missingValues": [-1]}), "missingValues is [-1]", id="codes"
        ),
        pytest.param(schema_of(field("x", "string", "ignore"), foreignKeys=[]), "foreignKeys", id="foreign keys"),
        pytest.param(schema_of(field("x", "string", "ignore", maxLength=-1)), "maxLength is -1", id="negative length"),
        pytest.param(schema_of(field("x", "number", "ignore", maximum=1e999)), "maximum is Inf", id="endless"),
    ],
)
def test_schema_that_cannot_be_followed_is_refused(document: Any, message: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_schema(document, "schema.json")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("tested", "message"),
    [
        pytest.param(field("x", "integer", "ignore", minimum="one"), "'one' is no integer", id="minimum"),
        pytest.param(field("x", "date", "ignore", enum=["2026-02-30"]), "'2026-02-30' is no date", id="enum"),
        pytest.param(
            field("x", "string", "ignore", pattern="(?=a)"), "pattern '(?=a)' is not understood", id="pattern"
        ),
    ],
)
def test_constraint_that_cannot_be_followed_is_refused(tested: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as error:
        check(tested, [])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("properties", "right"),
    [
        ({"sensitve": True}, "sensitive, a property of a field"),
        ({"Sensitive": True}, "sensitive, a property of a field"),
        ({"constraint": {"maximum": 1}}, "constraints, a property of a field"),
        ({"positiveclass": 0}, "positiveClass, a property of a field"),
        ({"missing_values": ["c1"]}, "missingValues, a property of a field"),
        ({"decimalchar": ","}, "decimalChar, a property of a field"),
        ({"partal": True}, "partial, a property of a field"),
        ({"required": True}, "required, a property of constraints"),
        ({"minimum": 1}, "minimum, a property of constraints"),
        ({"maxlength": 1}, "maxLength, a property of constraints"),
        ({"primaryKey": True}, "primaryKey, a property of the schema"),
    ],
)
def test_slip_in_the_name_of_a_property_is_refused(tmp_path: Path, properties: dict[str, Any], right: str) -> None:
    """It was passed over, and the data read otherwise: the values of a field that was meant to be sensitive leaked."""
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(schema_of({**field("x", "number", "ignore"), **properties})))
    with pytest.raises(BadInput) as error:
        read_schema(path, "raw/schema.json")
    name = next(iter(properties))
    assert str(error.value).startswith(
        f"raw/schema.json, field 'x': its property {name!r} is unknown; expected: {right}"
    )


@pytest.mark.parametrize(
    ("top", "right"),
    [
        ({"missingvalues": ["c1"]}, "missingValues, a property of the schema"),
        ({"primarykey": "k"}, "primaryKey, a property of the schema"),
        ({"decimalChar": ","}, "decimalChar, a property of a field"),
        ({"constraints": {}}, "constraints, a property of a field"),
    ],
)
def test_slip_in_the_name_of_a_property_of_the_schema_is_refused(
    tmp_path: Path, top: dict[str, Any], right: str
) -> None:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(schema_of(field("x", "number", "ignore"), **top)))
    with pytest.raises(BadInput, match=right):
        read_schema(path, "raw/schema.json")


DEEP = 200_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "it is no JSON", id="empty"),
        pytest.param(b"{", "it is no JSON", id="cut off"),
        pytest.param(b"\xff", "it is no JSON", id="no UTF-8"),
        pytest.param(b"\xff\xfe{\x00}\x00", "it is no JSON", id="UTF-16"),
        pytest.param(b'{"fields":' * DEEP + b"1" + b"}" * DEEP, "nested too deeply", id="deep objects"),
        pytest.param(b'{"fields": ' + b"9" * 5000 + b"}", "it is no JSON", id="huge number"),
        pytest.param(b"[]", "a list", id="no object"),
    ],
)
def test_schema_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "schema.json"
    path.write_bytes(content)
    with pytest.raises(BadInput) as error:
        read_schema(path, "raw/schema.json")
    assert str(error.value).startswith("raw/schema.json: ")
    assert message in str(error.value)


def changed(name: str, **properties: Any) -> dict[str, Any]:
    return {**SCHEMA, "fields": [{**f, **(properties if f["name"] == name else {})} for f in SCHEMA["fields"]]}


@pytest.mark.parametrize(
    ("ours", "found"),
    [
        pytest.param(SCHEMA, [], id="same"),
        pytest.param(json.loads(json.dumps(without("target"))), [], id="no target"),
        pytest.param(without_entity(), [], id="role of a field that the model does not use"),
        pytest.param(changed("kilos", title="Weight"), [], id="title"),
        pytest.param(changed("memo", type="integer", constraints={}), [], id="ignored field"),
        pytest.param(
            changed("lambs", type="number"), ["field 'lambs': type is 'number' here, 'integer' in the model"], id="type"
        ),
        pytest.param(changed("breed", role="ignore"), ["field 'breed' of the model is not here"], id="role"),
        pytest.param(changed("memo", role="feature"), [], id="one more, which the model does not need"),
        pytest.param(
            changed("memo", role="key") | {"primaryKey": ["tag", "memo"]},
            ["the key 'memo' is not in the model"],
            id="one more key",
        ),
        pytest.param(
            {**SCHEMA, "missingValues": [""]}, ["missingValues are [''] here, ['', 'n/a'] in the model"], id="missing"
        ),
        pytest.param(
            changed("kilos", missingValues=["0"]),
            ["field 'kilos': missing is ('0',) here, None in the model"],
            id="missing in one field",
        ),
    ],
)
def test_differences_are_those_that_matter_to_a_model(ours: dict[str, Any], found: list[str]) -> None:
    here, there = parse_schema(ours, "raw", scoring=True), parse_schema(SCHEMA, "model")
    assert differences(here, there) == found
