"""infer-schema: what is believed of a column, why, what does not fit, and what is left to a person."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import DS, Day, Run, field, put, to_csv

# A column of 100 values, or fewer that are repeated; line 2 is the first.
SURE, ONE_TO_100 = "sure", [str(number) for number in range(1, 101)]


def draft(
    day: Day, files: dict[str, Path], table: list[list[Any]], *options: str, target: str = "y"
) -> tuple[Run, Any]:
    """Draft a schema of one file with the label inside; returns the run and the document, None if there is none."""
    put(files, "", "")
    files["schema.json"].unlink()
    files["data.csv"].write_text(to_csv(table[0], table[1:]))
    named = ["--data", str(files["data.csv"]), *(["--target-column", target] if target else [])]
    run = day.run("infer-schema", *named, "--out", str(files["schema.json"]), *options, ds=None)
    assert "Traceback" not in run.log
    path = files["schema.json"]
    return run, json.loads(path.read_text()) if path.exists() else None


def table_of(values: list[str], name: str = "x", rows: int = 100) -> list[list[Any]]:
    return [["id", name, "y"], *([n, values[n % len(values)], "ab"[n % 2]] for n in range(rows))]


def drafted(schema: Any, name: str = "x") -> dict[str, Any]:
    return next(f for f in schema["fields"] if f["name"] == name)


NUMBER, WHOLE = {"type": "number", "role": "feature"}, {"type": "integer", "role": "feature"}
COMMA = {**NUMBER, "decimalChar": ","}
TIME, DATE = {"type": "datetime", "role": "time"}, {"type": "date", "role": "time"}
MINUTES = [f"2026-11-{1 + n % 28:02d} {n % 24:02d}:{n % 60:02d}" for n in range(100)]
BRITISH = [f"{1 + n % 28:02d}/{1 + n % 12:02d}/2026" for n in range(100)]
AMERICAN = [f"{1 + n % 12:02d}/{1 + n % 28:02d}/2026 {1 + n % 12:02d}:30 {'AP'[n % 2]}M" for n in range(100)]

CASES: dict[str, tuple[list[str], dict[str, Any], list[str], list[str]]] = {
    "one NA": (
        [*ONE_TO_100[:3], "NA", *ONE_TO_100[4:]],
        WHOLE,
        ["99 of 99 values are whole numbers", "'NA' in line 5: taken as missing", SURE],
        ["NA"],
    ),
    "a blank before each": (
        [f" {n}.5" for n in range(100)],
        NUMBER,
        ["100 of 100 values", "blanks around 100 values"],
        [],
    ),
    "decimal comma": ([f"{n},5" for n in range(100)], COMMA, ["numbers with ',' before decimals", SURE], []),
    "decimal comma, points between thousands": (
        [f"{n}.{n}00,5" for n in range(1, 10)],
        {**COMMA, "groupChar": "."},
        ["'.' between thousands"],
        [],
    ),
    "dollars": ([f"${n}" for n in range(100)], {**WHOLE, "bareNumber": False}, ["a currency or percent sign"], []),
    "euros": ([f"{n},50 €" for n in range(100)], {**COMMA, "bareNumber": False}, ["a currency or percent sign"], []),
    "dash": (["-", *ONE_TO_100], WHOLE, ["'-' in line 2: taken as missing"], ["-"]),
    "question mark": (["1.5", "?"], NUMBER, ["'?' in line 3 (50 times): taken as missing"], ["?"]),
    "nan": (["1.5", "nan", "2"], NUMBER, ["'nan' in line 3"], ["nan"]),
    "times without seconds": (MINUTES, {**TIME, "format": "%Y-%m-%d %H:%M"}, ["times of the form %Y-%m-%d %H:%M"], []),
    "dd/mm/yyyy": (BRITISH, {**DATE, "format": "%d/%m/%Y"}, ["not %m/%d/%Y, because of '13/01/2026' in line 14"], []),
    "mm/dd/yyyy AM/PM": (AMERICAN, {**TIME, "format": "%m/%d/%Y %I:%M %p"}, ["of the form %m/%d/%Y %I:%M %p"], []),
    "dd.mm.yyyy": (["03.04.2026", "05.06.2026"], {**DATE, "format": "%d.%m.%Y"}, ["of the form %d.%m.%Y"], []),
    "yyyymmdd": (
        [f"202611{1 + n % 28:02d}" for n in range(100)],
        {**DATE, "format": "%Y%m%d"},
        ["dates of the form %Y%m%d", "--assume 'x=integer'"],
        [],
    ),
    "yyyymmddhhmmss": (
        [f"202611211011{n % 60:02d}" for n in range(100)],
        {**TIME, "format": "%Y%m%d%H%M%S"},
        ["times of the form %Y%m%d%H%M%S", "--assume 'x=integer'"],
        [],
    ),
    "yyyymmddhhmm": (
        [f"2026112110{n % 60:02d}" for n in range(100)],
        {**TIME, "format": "%Y%m%d%H%M"},
        ["times of the form %Y%m%d%H%M", "--assume 'x=integer'"],
        [],
    ),
    "ISO with offset": (["2026-11-21T10:11:12+00:00"], TIME, ["times (YYYY-MM-DDThh:mm:ss)"], []),
    "blank and offset": (
        ["2026-11-21 10:11:12+00:00", "2026-11-22 10:11:12+01:00"],
        {**TIME, "format": "%Y-%m-%d %H:%M:%S%z"},
        ["of the form %Y-%m-%d %H:%M:%S%z"],
        [],
    ),
    "fractions in some": (
        ["2026-11-21 10:11:12", "2026-11-21 10:11:12.25"],
        {**TIME, "format": "%Y-%m-%d %H:%M:%S%.f"},
        ["%S%.f"],
        [],
    ),
    "commas between thousands": (
        ["1,234", "5", "1,234,567"],
        {**WHOLE, "groupChar": ","},
        ["whole numbers with ',' between thousands"],
        [],
    ),
    "a name of UTC": (
        [f"2026-11-21 10:11:{n % 60:02d} UTC" for n in range(100)],
        {**TIME, "format": "%Y-%m-%d %H:%M:%S UTC"},
        ["of the form %Y-%m-%d %H:%M:%S UTC", SURE],
        [],
    ),
    "a long dash": (["–", *ONE_TO_100], WHOLE, ["'–' in line 2: taken as missing"], ["–"]),
    "thousands and decimals": (["1,234.5", "5"], {**NUMBER, "groupChar": ","}, ["',' between thousands"], []),
    "blanks between thousands": (["1 234", "5"], {**WHOLE, "groupChar": " "}, ["' ' between thousands"], []),
    "percent": (["5%", "7.5 %"], {**NUMBER, "bareNumber": False}, ["a currency or percent sign"], []),
    "postcodes": (
        ["01234", "56789"],
        {"type": "string", "role": "feature"},
        ["'01234' in line 2 begins with a zero"],
        [],
    ),
    "numbers as they are": (["1.234", "5.67"], NUMBER, ["numbers", SURE], []),
    "three decimals, some below 1": (["1.234", "0.567"], NUMBER, ["numbers", SURE], []),
    "missing everywhere": (["NA"], {"type": "string", "role": "ignore"}, ["usually mean missing: 'NA' in line 2"], []),
}


@pytest.mark.parametrize("name", CASES)
def test_column_is_drafted_with_its_reasons(day: Day, files: dict[str, Path], name: str) -> None:
    values, expected, reasons, missing = CASES[name]
    run, schema = draft(day, files, table_of(values))
    assert run.code == 0, run.log
    found = drafted(schema)
    for reason in reasons:
        assert reason in found["description"]
        assert reason in run.log
    del found["description"]
    assert found == {"name": "x", **expected}
    assert schema["missingValues"] == ["", *missing]


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name][1]["role"] != "ignore"])
def test_draft_costs_no_row(day: Day, files: dict[str, Path], name: str) -> None:
    run, _ = draft(day, files, table_of(CASES[name][0]))
    assert run.result["ignored"] == []
    named = ["--data", str(files["data.csv"]), "--schema", str(files["schema.json"])]
    assert day.run("import", *named).code == 0
    run = day.run("prepare", "--max-rejected", "0")
    assert (run.code, run.result["rows_out"]) == (0, 100), run.log


AMBIGUOUS = {
    "dates": (
        ["03/04/2026", "05/06/2026"],
        "'03/04/2026' is 2026-04-03 (%d/%m/%Y) or 2026-03-04 (%m/%d/%Y)",
        "%m/%d/%Y",
    ),
    "times": (
        ["03/04/2026 10:00", "05/06/2026 11:00"],
        "2026-04-03 10:00:00 (%d/%m/%Y %H:%M) or 2026-03-04 10:00:00 (%m/%d/%Y %H:%M)",
        "%d/%m/%Y %H:%M",
    ),
    "two digits": (["03/04/05", "05/06/07"], "have 3 readings", "%y/%m/%d"),
    "points": (["1.013", "5", "2.000"], "'1.013' is 1.013 (number) or 1013 (decimal-comma)", "decimal-comma"),
    "thousands": (["1,234", "5", "2,000"], "'1,234' is 1234 (decimal-point) or 1.234 (decimal-comma)", "decimal-comma"),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_two_readings_are_left_to_a_person(day: Day, files: dict[str, Path], name: str) -> None:
    values, message, format_ = AMBIGUOUS[name]
    run, schema = draft(day, files, table_of(values))
    assert (run.code, schema) == (3, None)
    assert "x: all 100 values have" in run.log
    assert message in run.log
    assert f"--assume 'x={format_}'" in run.log
    assert not list(files["data.csv"].parent.glob(".draft-*"))
    run, schema = draft(day, files, table_of(values), "--assume", f"x={format_}")
    assert run.code == 0, run.log
    assert "as --assume says" in drafted(schema)["description"]


def test_dates_that_are_the_same_either_way_are_no_dilemma(day: Day, files: dict[str, Path]) -> None:
    assert draft(day, files, table_of(["03/03/2026", "04/04/2026"]))[0].code == 0


@pytest.mark.parametrize(("other", "code"), [(",25", 3), (".25", 0)])
def test_decimals_of_another_column_say_what_a_point_is(
    day: Day, files: dict[str, Path], other: str, code: int
) -> None:
    rows = [[n, f"{n}.500", f"{n}{other}", "ab"[n % 2]] for n in range(1, 101)]
    run, schema = draft(day, files, [["id", "x", "z", "y"], *rows])
    assert run.code == code, run.log
    if code:
        assert "'1.500' is 1.5 (number) or 1500 (decimal-comma)" in run.log
    else:
        assert drafted(schema)["type"] == "number"
        assert SURE in drafted(schema)["description"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("created_at", {**TIME, "format": "epoch"}), ("eventTime", {**TIME, "format": "epoch"}), ("amount", WHOLE)],
)
@pytest.mark.parametrize("fraction", ["", ".0"])
def test_seconds_since_1970_are_known_by_the_name(
    day: Day, files: dict[str, Path], name: str, expected: Any, fraction: str
) -> None:
    expected = {**expected, "type": "number"} if fraction and expected == WHOLE else expected
    run, schema = draft(day, files, table_of([f"{1_790_000_000 + n}{fraction}" for n in range(100)], name))
    found = drafted(schema, name)
    del found["description"]
    assert found == {"name": name, **expected}
    assert "from 2026-09-21 14:13:20 to 2026-09-21 14:14:59" in run.log
    other = "epoch" if name == "amount" else "number" if fraction else "integer"
    assert f"--assume '{name}={other}'" in run.log


def test_few_values_that_do_not_fit_are_named(day: Day, files: dict[str, Path]) -> None:
    run, schema = draft(day, files, table_of([*ONE_TO_100[:6], "abc", *ONE_TO_100[7:]]))
    assert drafted(schema)["type"] == "integer"
    warning = "x: 99 of 100 values are whole numbers, but not 'abc' in line 8: prepare rejects 1 row"
    assert any(warning in text for text in run.result["warnings"])
    assert f"WARNING preprocessing infer-schema: {warning}" in run.log


def test_many_values_that_do_not_fit_make_a_text(day: Day, files: dict[str, Path]) -> None:
    run, schema = draft(day, files, table_of(["1", "2", "abc"]))
    assert drafted(schema)["type"] == "string"
    assert "only 67 of 100 values are whole numbers, not 'abc' in line 4" in run.log
    assert "--assume 'x=integer'" in run.log


@pytest.mark.parametrize("unit", ["{} kg", "{}cm", "({}.50)", "{}.5M", "\u2212{}", "{}th", "{}-", "{}.50 -"])
def test_numbers_with_something_beside_them_are_named(day: Day, files: dict[str, Path], unit: str) -> None:
    """They were texts in silence where they repeat."""
    run, schema = draft(day, files, table_of([unit.format(n) for n in range(5, 35)]))
    assert drafted(schema)["type"] == "string"
    assert f"x: nearly all are numbers with something beside them, such as '{unit.format(5)}'" in run.log


@pytest.mark.parametrize(("texts", "named"), [(255, False), (256, True)])
def test_categories_that_the_encoder_drops_are_named(day: Day, files: dict[str, Path], texts: int, named: bool) -> None:
    run, schema = draft(day, files, table_of([f"t{n}" for n in range(texts)], rows=600))
    warning = "the encoder keeps the 255 most frequent texts, others are as if missing"
    assert (f"WARNING preprocessing infer-schema: x: {warning}" in run.log) is named
    assert (warning in drafted(schema)["description"]) is named


@pytest.mark.parametrize("text", ["seat {}", "10.0.0.{}", "{}/2", "v{}", "{} Main Street", "2026-W{}"])
def test_texts_with_digits_are_no_numbers(day: Day, files: dict[str, Path], text: str) -> None:
    run, _ = draft(day, files, table_of([text.format(n) for n in range(10, 40)]))
    assert "something beside them" not in run.log


def test_different_signs_are_named(day: Day, files: dict[str, Path]) -> None:
    run, _ = draft(day, files, table_of(["$5", "7 €", "9"]))
    assert "its numbers have the signs '$' (34), '€' (33) and none (33)" in run.log


def test_digits_that_a_number_does_not_keep_are_named(day: Day, files: dict[str, Path]) -> None:
    run, _ = draft(day, files, table_of([f"{10**20 + number}" for number in range(100)]))
    assert "x: '100000000000000000001' has more digits than a number keeps" in " ".join(run.result["warnings"])
    run, _ = draft(day, files, table_of([f"{2**60 + number}" for number in range(50)]))
    assert f"x: '{2**60 + 1}' has more digits" in " ".join(run.result["warnings"])
    kept, _ = draft(day, files, table_of([f"{2**60}", "1.5", f"{10**22}"]))
    assert kept.result["warnings"] == []


CODES: dict[str, tuple[list[str], str, list[str]]] = {
    "far below": (["-999", *ONE_TO_100[:8]], "12 (12.0%) are -999, and the others lie from 1 to 8", ["", "-999"]),
    "far above": (["9999", *ONE_TO_100[:8]], "12 (12.0%) are 9999", ["", "9999"]),
    "two of a survey": (["98", "99", "1", "2", "3"], "20 (20.0%) are 98 and 20 (20.0%) are 99", ["", "98", "99"]),
    "fractions": (["-999.0", "NA", "0.5", "1.5"], "of 75 values, 25 (33.3%) are -999.0", ["", "NA", "-999.0"]),
    "decimal commas": (["-999,0", "1,5", "2,25"], "are -999,0, and the others lie from 1.5 to 2.25", ["", "-999,0"]),
    "two below zero": (["-8", "-9", *ONE_TO_100[:7]], "11 (11.0%) are -9 and", ["", "-9", "-8"]),
    "alone below zero": (["-1", *ONE_TO_100[:9], "5000"], "are -1, and the others lie from 1 to 5000", ["", "-1"]),
    "the last day": (
        ["9999-12-31", "2026-11-21", "2026-11-22"],
        "are 9999-12-31, and the others lie from 2026-11-21 to 2026-11-22",
        ["", "9999-12-31"],
    ),
}
# Numbers that only look like codes, of 300 rows.
NO_CODES = {
    "ages": [str(n) for n in range(18, 100)],
    "temperatures": [str(n) for n in (-2, -1, *range(12))],
    "just below zero": [*ONE_TO_100, "-1"],
    "signs": ["-1", "0", "1"],
    "flags": ["-1", "0"],
    "changes": [str(n) for n in range(-20, 30)],
    "one of them": [*ONE_TO_100, *map(str, range(299)), "9999"],
    "large numbers": ["999", "12", "5000", "77"],
}


@pytest.mark.parametrize("name", CODES)
def test_number_that_may_mean_missing_is_named(day: Day, files: dict[str, Path], name: str) -> None:
    values, found, missing = CODES[name]
    run, schema = draft(day, files, table_of(values))
    advice = f'a code for missing? If so, add "missingValues": {json.dumps(missing)} to this field'
    warnings = [text for text in run.result["warnings"] if advice in text]
    assert len(warnings) == 1, run.log
    assert found in warnings[0]
    assert advice in drafted(schema)["description"]
    # The advice is right: then these values, and no others, are missing.
    drafted(schema)["missingValues"] = missing
    files["schema.json"].write_text(json.dumps(schema))
    named = ["--data", str(files["data.csv"]), "--schema", str(files["schema.json"])]
    assert day.run("import", *named).code == 0
    assert day.run("prepare", "--max-rejected", "0").code == 0
    expected = sum(text in missing for text in (values[n % len(values)] for n in range(100)))
    assert sum(row["x"] == "" for row in day.rows("processed/2026-11-21/train_data.csv")) == expected


@pytest.mark.parametrize("name", NO_CODES)
def test_number_that_is_like_the_others_is_no_code(day: Day, files: dict[str, Path], name: str) -> None:
    run, _ = draft(day, files, table_of(NO_CODES[name], rows=300))
    assert run.code == 0, run.log
    assert "a code for missing" not in run.log


def test_what_is_ignored_is_named(day: Day, files: dict[str, Path]) -> None:
    rows = [[n, f"name {n}", "", 7000 + n, n % 5, "ab"[n % 2]] for n in range(100)]
    run, schema = draft(day, files, [["id", "who", "nothing", "account_id", "x", "y"], *rows])
    assert run.result["ignored"] == ["who", "nothing", "account_id"]
    assert [drafted(schema, name)["role"] for name in run.result["ignored"]] == ["ignore"] * 3
    for name, reason in (
        ("who", "no text repeats"),
        ("nothing", "no value at all"),
        ("account_id", "named like a key"),
    ):
        assert f"WARNING preprocessing infer-schema: {name}: ignored: {reason}" in run.log


CHANCE = random.Random(0)
HEX = [f"{CHANCE.getrandbits(40):010x}" for _ in range(600)]
CUSTOMERS = [str(CHANCE.randint(1, 600)) for _ in range(2000)]
MANY = [str(CHANCE.randint(1, 3000)) for _ in range(10_000)]
# A column by its name, with the role that it gets and the evidence for it.
IDENTIFIERS = {
    "customer_id": (CUSTOMERS, "entity", "different values in 2,000 rows are evenly spread from"),
    "accountNumber": ([str(100_000 + int(text) * 37) for text in CUSTOMERS], "entity", "evenly spread from"),
    "client key": ([HEX[int(text) - 1] for text in CUSTOMERS], "entity", "have 10 characters each"),
    "member_no": ([f"m-{text}" for text in CUSTOMERS], "entity", "have the form 'm-#', # for digits"),
    "user id": (["" if n % 50 == 0 else text for n, text in enumerate(CUSTOMERS)], "ignore", "evenly spread from"),
    "patient": (MANY, "feature", "different values in 10,000 rows are evenly spread"),
    "sorted_id": (sorted(MANY, key=int), "entity", "in 10,000 rows are whole numbers in order, in even steps"),
    "descending no": (sorted(MANY, key=int, reverse=True), "entity", "are whole numbers in order, in even steps"),
    "device": ([f"D{int(text):05d}" for text in MANY], "feature", "have the form 'D#', # for digits"),
}


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_column_whose_values_identify_something_is_no_silent_feature(
    day: Day, files: dict[str, Path], name: str
) -> None:
    values, role, evidence = IDENTIFIERS[name]
    run, schema = draft(day, files, table_of(values, name, rows=len(values)))
    assert run.code == 0, run.log
    assert drafted(schema, name)["role"] == role
    assert evidence in drafted(schema, name)["description"]
    assert ("evenly spread from" in drafted(schema, name)["description"]) is ("evenly spread from" in evidence)
    assert evidence in next(
        line for line in run.log.splitlines() if f" WARNING preprocessing infer-schema: {name}: " in line
    )


NO_IDENTIFIERS = {
    "age": [str(round(min(95, max(0, CHANCE.gauss(45, 18))))) for _ in range(400)],
    "number of visits": [str(int(CHANCE.expovariate(1 / 40))) for _ in range(1000)],
    "no_of_employees": [str(int(CHANCE.lognormvariate(4, 1.5))) for _ in range(3000)],
    "price index": [str(round(CHANCE.gauss(100, 20))) for _ in range(1000)],
    "amount": [str(int(CHANCE.lognormvariate(7, 1.2))) for _ in range(10_000)],
    "sorted amount": sorted((str(int(CHANCE.lognormvariate(9, 2))) for _ in range(20_000)), key=int),
    "zip": [f"{8001 + CHANCE.randrange(80):05d}" for _ in range(3000)],
    "store_id": [str(CHANCE.randint(1, 40)) for _ in range(1000)],
    "year": [str(CHANCE.randint(1950, 2025)) for _ in range(400)],
    "weight_key": [f"{CHANCE.random() * 100:.2f}" for _ in range(1000)],
}


@pytest.mark.parametrize("name", NO_IDENTIFIERS)
def test_column_of_measured_values_is_no_identifier(day: Day, files: dict[str, Path], name: str) -> None:
    run, schema = draft(day, files, table_of(NO_IDENTIFIERS[name], name, rows=len(NO_IDENTIFIERS[name])))
    assert run.code == 0, run.log
    assert drafted(schema, name)["role"] == "feature"
    assert "different values in" not in run.log


def in_order(draw: Callable[[], float], descending: bool = False) -> list[str]:
    return [str(number) for number in sorted((int(draw()) for _ in range(20_000)), reverse=descending)]


SORTED = {
    "no_of_employees": in_order(lambda: CHANCE.lognormvariate(4, 1.5)),
    "no of sales": in_order(lambda: CHANCE.lognormvariate(9, 2)),
    "number": in_order(lambda: CHANCE.expovariate(1 / 50_000)),
    "key figure": in_order(lambda: abs(CHANCE.gauss(0, 10_000))),
    "credit_index": in_order(lambda: CHANCE.gauss(6000, 1000), descending=True),
    "price index": in_order(lambda: CHANCE.lognormvariate(9, 2), descending=True),
}


@pytest.mark.parametrize("name", SORTED)
def test_sorted_column_of_measured_values_stays_a_feature_and_is_named(
    day: Day, files: dict[str, Path], name: str
) -> None:
    """Any whole numbers in order were ignored, or the entity, if the column was named like a key."""
    run, schema = draft(day, files, table_of(SORTED[name], name, rows=20_000))
    assert run.code == 0, run.log
    assert drafted(schema, name)["role"] == "feature"
    assert "in 20,000 rows are whole numbers in order, as those of identifiers" in run.log


def test_entity_that_is_named_is_the_only_one(day: Day, files: dict[str, Path]) -> None:
    rows = [[f"k{n}", customer, f"s{n % 9}", n % 5, "ab"[n % 2]] for n, customer in enumerate(CUSTOMERS)]
    run, schema = draft(day, files, [["id", "customer_id", "shop", "x", "y"], *rows], "--entity", "shop")
    assert run.code == 0, run.log
    assert drafted(schema, "shop")["role"] == "entity"
    assert drafted(schema, "customer_id")["role"] == "ignore"


@pytest.mark.parametrize(
    ("rows", "different", "long", "role"),
    [
        (300, 150, True, "ignore"),
        (300, 140, True, "ignore"),  # because prepare may reject a tenth of the rows
        (300, 130, True, "feature"),
        (300, 290, False, "feature"),
        (49, 40, True, "feature"),
        (25_000, 24_000, True, "ignore"),
        (25_000, 9_000, True, "feature"),
    ],
)
def test_draft_has_no_free_text_that_split_refuses(
    day: Day, files: dict[str, Path], rows: int, different: int, long: bool, role: str
) -> None:
    # The last rows repeat one text; where the draft takes a feature, prepare rejects as many of them as it may.
    start = "a sheep that was seen near number " if long else ""
    bad = rows // 10 if role == "feature" else 0
    table = [[n, start + str(min(n, different - 1)), n % 5 if n < rows - bad else "", "ab"[n % 2]] for n in range(rows)]
    run, schema = draft(day, files, [["id", "note", "x", "y"], *table])
    assert drafted(schema, "note")["role"] == role, drafted(schema, "note")["description"]
    assert ("note: ignored: its texts are long, 3" in run.log) is (role == "ignore")
    schema["fields"] = [f | {"constraints": {"required": True}} if f["name"] == "x" else f for f in schema["fields"]]
    files["schema.json"].write_text(json.dumps(schema))
    assert day.run("import", "--data", str(files["data.csv"]), "--schema", str(files["schema.json"])).code == 0
    prepared = day.run("prepare")
    assert (prepared.code, prepared.result["rows_out"]) == (0, rows - bad)
    split = day.run("split")
    assert split.code == 0, split.log


def test_missing_text_of_numbers_is_named_where_it_is_a_text_too(day: Day, files: dict[str, Path]) -> None:
    rows = [[n, ["1", "NA"][n % 2], ["NA", "ZA", "DE"][n % 3], "ab"[n % 2]] for n in range(99)]
    run, _ = draft(day, files, [["id", "x", "country", "y"], *rows])
    assert "country: 'NA' in line 2 (33 in all) is missing here too" in run.log


KEYS = {
    "named id": (["x", "id"], lambda n: [n % 3, n], ["id"], "named like a key"),
    "named customerId": (["x", "customerId"], lambda n: [n % 3, f"c{n}"], ["customerId"], "named like a key"),
    "first column": (["ref", "x"], lambda n: [f"r{n}", n % 3], ["ref"], "the first column"),
    "id that repeats": (["id", "x"], lambda n: [n % 50, n % 3], ["row"], "made up by import, the number of the row"),
    "id that is missing once": (["id", "x"], lambda n: [n or "", n % 3], ["row"], "made up by import"),
    "id that is a blank once": (["id", "x"], lambda n: [n or " ", n % 3], ["row"], "made up by import"),
    "numbers with fractions": (["size", "x"], lambda n: [n / 7, n % 3], ["row"], "made up by import"),
    "name taken": (["row", "x"], lambda n: [n % 50, n % 3], ["row_number"], "made up by import"),
}


@pytest.mark.parametrize("name", KEYS)
def test_key_is_proposed_or_made_up(day: Day, files: dict[str, Path], name: str) -> None:
    header, row, key, reason = KEYS[name]
    run, schema = draft(day, files, [[*header, "y"], *([*row(n), "ab"[n % 2]] for n in range(100))])
    assert (run.result["key"], schema["primaryKey"]) == (key, key)
    found = drafted(schema, key[0])
    assert found.get("rowNumber", False) is (found["description"].startswith("made up"))
    assert reason in found["description"]
    assert reason in run.log
    assert day.run("import", "--data", str(files["data.csv"]), "--schema", str(files["schema.json"])).code == 0
    assert (day.run("prepare").code, day.run("split").code) == (0, 0)


TARGETS: dict[str, tuple[list[Any], str, Any]] = {
    "fraud is rarer": (["legit"] * 9 + ["fraud"], "string", "fraud"),
    "zeros are rarer": (["1", "1", "0"], "integer", 0),
    "as frequent": (["no", "yes"], "string", "yes"),
    "booleans": (["True", "False", "False"], "boolean", True),
    "1.0 is 1": (["0.0", "1.0", "0"], "integer", 1),
    "fractions": (["0.5", "1.5", "1.5"], "string", "0.5"),
    "codes": (["01", "02", "02"], "string", "01"),
    "three": (["a", "b", "c"], "string", None),
}


@pytest.mark.parametrize("name", TARGETS)
def test_positive_class_is_the_rarer_one(day: Day, files: dict[str, Path], name: str) -> None:
    labels, kind, positive = TARGETS[name]
    rows = [[n, n % 7, labels[n % len(labels)]] for n in range(90)]
    run, schema = draft(day, files, [["id", "x", "y"], *rows])
    found = drafted(schema, "y")
    assert (found["type"], found["role"], found.get("positiveClass")) == (kind, "target", positive)
    assert run.result.get("positive_class") == positive
    if positive is not None:
        assert f"the positive class is {positive}" in run.log
    assert day.run("import", "--data", str(files["data.csv"]), "--schema", str(files["schema.json"])).code == 0
    assert (day.run("prepare").code, day.run("split").code) == (0, 0)
    if positive is not None:
        encoder = json.loads(day.file("processed/2026-11-21/encoder.json").read_text())
        assert encoder["target"]["classes"][1] == (str(positive).lower() if kind == "boolean" else str(positive))


def test_target_of_numbers_is_refused(day: Day, files: dict[str, Path]) -> None:
    run, schema = draft(day, files, [["id", "x", "y"], *([n, n % 7, n / 3] for n in range(90))])
    assert (run.code, schema) == (3, None)
    assert "the target y has 90 different values in 90 rows" in run.log


@pytest.mark.parametrize("nothing", ["", "  ", "\u00a0"])
@pytest.mark.parametrize("keeps_partial", [True, False])
def test_rows_without_a_label_may_come_in_the_draft(
    day: Day, files: dict[str, Path], nothing: str, keeps_partial: bool
) -> None:
    """A label of blanks alone was no label to the draft and a class of its own to `prepare`."""
    run, schema = draft(day, files, [["id", "x", "y"], *([n, n % 7, ["a", "b", nothing][n % 3]] for n in range(90))])
    assert 'y: 30 of 90 rows have no label: the draft has "partial": true, so the others train' in run.log
    target = drafted(schema, "y")
    assert target["partial"] is True
    assert "constraints" not in target
    assert 'so "partial" is true: labels may come later or never' in target["description"]
    if not keeps_partial:
        del target["partial"]
        files["schema.json"].write_text(json.dumps(schema))
    run = day.run("import", "--data", str(files["data.csv"]), "--schema", str(files["schema.json"]))
    assert (run.code, run.result["unlabelled"]) == (0, {"target.csv": 30})
    assert ("30 of 90 rows of target.csv have no label" in "".join(run.result.get("warnings", []))) is not keeps_partial
    run = day.run("prepare")
    assert run.code == (0 if keeps_partial else 3)
    if keeps_partial:
        counts = (run.result["rows_out"], run.result["unlabelled"], run.result["rejected"])
        assert counts == (60, 30, {"data.csv": 0, "target.csv": 0})
    else:
        assert 'add "partial": true to the target in schema.json' in run.log


@pytest.mark.parametrize("key", ["{}", "00{}"])
@pytest.mark.parametrize("absent", [0, 30])
def test_rows_that_the_targets_file_lacks_may_come_in_the_draft(
    day: Day, files: dict[str, Path], key: str, absent: int
) -> None:
    """`prepare` rejected them, although their labels may only be late."""
    keys = [key.format(n) for n in range(90)]
    labels = [[one, "ab"[n % 2]] for n, one in enumerate(keys[absent + 1 :])]
    put(
        files,
        to_csv(["id", "x"], [[one, n % 7] for n, one in enumerate(keys)]),
        to_csv(["id", "y"], [*labels, [keys[absent], "" if absent else "a"]]),
    )
    named = [f"--{name}={files[f'{name}.csv']}" for name in ("data", "target")]
    run = day.run("infer-schema", *named, f"--out={files['schema.json']}", "--force", ds=None)
    target = drafted(json.loads(files["schema.json"].read_text()), "y")
    assert target.get("partial", False) is bool(absent)
    if absent:
        data, labels = files["data.csv"], files["target.csv"]
        lacking = f"1 of 60 rows have no label and 30 of 90 rows of {data} are not in {labels}"
        assert f'y: {lacking}: the draft has "partial": true' in run.log
        assert f'{lacking}, so "partial" is true' in target["description"]
    assert day.run("import", *named, f"--schema={files['schema.json']}").code == 0
    run = day.run("prepare")
    assert (run.code, run.result["rows_out"]) == (0, 59 if absent else 90)
    assert run.result["rejected"] == {"data.csv": 0, "target.csv": 0}


def test_rows_that_all_have_a_label_need_no_partial(day: Day, files: dict[str, Path]) -> None:
    _, schema = draft(day, files, [["id", "x", "y"], *([n, n % 7, "ab"[n % 2]] for n in range(90))])
    assert "partial" not in drafted(schema, "y")


def test_class_that_may_mean_missing_is_named(day: Day, files: dict[str, Path]) -> None:
    run, _ = draft(day, files, [["id", "x", "y"], *([n, n % 7, ["a", "b", "?"][n % 3]] for n in range(90))])
    assert "y: '?' is a class; if it means missing, name it with --missing '?'" in run.log


@pytest.mark.parametrize(("options", "rows_out"), [((), 90), (("--missing=unknown",), 87)])
def test_class_is_not_missing_because_a_column_of_numbers_writes_missing_so(
    day: Day, files: dict[str, Path], options: tuple[str, ...], rows_out: int
) -> None:
    """What --missing names is missing in a target of texts too."""
    rows = [[n, "none" if n < 40 else n, "unknown" if n % 30 == 0 else ["none", "mild"][n % 2]] for n in range(90)]
    run, schema = draft(day, files, [["id", "size", "y"], *rows], *options)
    named = ["unknown"] * bool(options)
    assert schema["missingValues"] == ["", *named, "none"]
    assert drafted(schema, "y")["missingValues"] == ["", *named]
    assert drafted(schema, "size")["type"] == "integer"
    assert "y: 'none' is a class; if it means missing, name it with --missing 'none'" in run.log
    assert "only one class" not in run.log
    assert day.run("import", "--data", str(files["data.csv"]), "--schema", str(files["schema.json"])).code == 0
    assert day.run("prepare").result["rows_out"] == rows_out
    assert day.run("split").code == 0


@pytest.mark.parametrize("text", ["NA", "?", "null"])
@pytest.mark.parametrize("classes", [("0", "1"), ("1.0", "2.0"), ("true", "false")])
def test_text_that_is_no_class_of_numbers_is_missing_or_a_class(
    day: Day, files: dict[str, Path], classes: tuple[str, str], text: str
) -> None:
    """It ended in a traceback."""
    rows = [[n, n % 7, text if n % 30 == 0 else classes[n % 2]] for n in range(90)]
    run, schema = draft(day, files, [["id", "x", "y"], *rows])
    target = drafted(schema, "y")
    is_class = target["type"] == "string"
    assert (f"y: {text!r} is a class" if is_class else "y: 3 of 90 rows have no label") in run.log
    assert (text in target.get("missingValues", schema["missingValues"])) is not is_class
    assert day.run("import", "--data", str(files["data.csv"]), "--schema", str(files["schema.json"])).code == 0
    assert day.run("prepare").result["rows_out"] == (90 if is_class else 87)


@pytest.mark.parametrize("inside", [True, False])
def test_constant_and_copy_of_the_target_are_warned_of(day: Day, files: dict[str, Path], inside: bool) -> None:
    rows = [[n, "same", n % 2, n % 7, "ab"[n % 2]] for n in range(90)]
    header = ["id", "constant", "copy", "x", "y"]
    if inside:
        run, schema = draft(day, files, [header, *rows])
    else:
        put(files, to_csv(header[:4], (row[:4] for row in rows)), to_csv(["id", "y"], (row[::4] for row in rows)))
        named = [text for name in ("data", "target") for text in (f"--{name}", str(files[f"{name}.csv"]))]
        run = day.run("infer-schema", *named, "--out", str(files["schema.json"]), "--force", ds=None)
        schema = json.loads(files["schema.json"].read_text())
    for name, warning in (("constant", "always 'same'"), ("copy", "equals the target ('0' is 'a', '1' is 'b')")):
        assert warning in drafted(schema, name)["description"]
        assert f"WARNING preprocessing infer-schema: {name}: {warning}" in run.log


def test_keys_that_are_written_in_two_ways_are_named(day: Day, files: dict[str, Path]) -> None:
    rows = [[f"{n:03d}", n % 7] for n in range(60)]
    options = put(files, to_csv(["id", "x"], rows), to_csv(["id", "y"], [[n, n % 2] for n in range(60)]))
    named = [*options[:4], "--out", str(files["schema.json"]), "--force"]
    run = day.run("infer-schema", *named, ds=None)
    assert run.code == 3
    assert "the same id is '000' in the data and '0' in the target" in run.log
    assert "--assume 'id=integer'" in run.log
    assert day.run("infer-schema", *named, "--assume", "id=integer", ds=None).code == 0
    assert (day.run("import", *options).code, day.run("prepare").result["rows_out"]) == (0, 60)


def test_schema_without_a_target_is_a_warning(day: Day, files: dict[str, Path]) -> None:
    run, schema = draft(day, files, [["id", "x"], *([n, n % 7] for n in range(90))], target="")
    assert (run.code, run.result["target"]) == (0, None)
    assert "no target is named" in run.log
    assert [f["role"] for f in schema["fields"]] == ["key", "feature"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--assume", "x=%d"], "cannot be followed"),
        (["--assume", "x=klingon"], "'klingon' is unknown"),
        (["--assume", "z=integer"], "there is no column 'z'"),
        (["--entity", "z"], "there is no column 'z'"),
    ],
)
def test_wrong_usage_is_explained(day: Day, files: dict[str, Path], options: list[str], message: str) -> None:
    run, schema = draft(day, files, table_of(ONE_TO_100), *options)
    assert (run.code, schema) == (2, None)
    assert message in run.log


def test_draft_of_any_container(day: Day, files: dict[str, Path]) -> None:
    put(files, "", "")
    text = (
        to_csv(["id", "größe", "y"], [[n, f"{n},5", "ab"[n % 2]] for n in range(100)])
        .replace('"', "")
        .replace(",5,", ".5,")
    )
    text = text.replace(",", ";").replace(".5;", ",5;")
    files["data.csv"].write_bytes(gzip.compress(text.encode("utf-16")))
    named = ["--data", str(files["data.csv"]), "--target-column", "y", "--out", str(files["schema.json"]), "--force"]
    assert day.run("infer-schema", *named, ds=None).code == 0
    found = drafted(json.loads(files["schema.json"].read_text()), "größe")
    assert (found["type"], found["decimalChar"]) == ("number", ",")


def test_result_line_is_bounded(day: Day, files: dict[str, Path]) -> None:
    header = ["id", *(f"c{number}" for number in range(60)), "y"]
    run, _ = draft(day, files, [header, *([n, *[""] * 60, "ab"[n % 2]] for n in range(20))])
    assert len(run.result["warnings"]) == 21
    assert run.log.count("WARNING preprocessing infer-schema: c59: ignored") == 1
    assert run.result["warnings"][-1].startswith("and 4")


def test_classes_of_one_row_are_named_before_split_refuses_them(day: Day, files: dict[str, Path]) -> None:
    run, _ = draft(day, files, [["id", "x", "y"], *([n, n % 7, "ab"[n % 2] if n < 80 else f"c{n}"] for n in range(87))])
    assert run.code == 0
    shown = "c80, c81, c82, c83, c84 and 2 more"
    assert f"y: these classes have only one row, so `split` refuses the file: {shown}" in run.log
    assert day.run("import", "--data", str(files["data.csv"]), "--schema", str(files["schema.json"])).code == 0
    assert day.run("prepare").code == 0
    split = day.run("split")
    assert split.code == 3
    assert f"these have only one row: {shown}" in split.log


@pytest.mark.parametrize("other", ["Chip", "chip ", "chip\u00a0", "\uff43hip", "ch\u200bip"])
def test_texts_that_look_alike_are_named(day: Day, files: dict[str, Path], other: str) -> None:
    ways, labels = ["chip", other, "online"], ["no", "No", "yes"]
    table = [["id", "way", "y"], *([n, ways[n % 3], labels[n // 33]] for n in range(99))]
    run, _ = draft(day, files, table)
    alike = "look alike and count as different texts: make them equal in the file if they mean the same"
    first, second = sorted(["chip", other])
    assert run.result["warnings"] == [
        f"way: {first!r} (33) and {second!r} (33) {alike}",
        f"y: 'No' (33) and 'no' (33) {alike}",
    ]


@pytest.mark.parametrize("name", ["Churned ", "churn", "CHURNED"])
def test_column_of_nearly_the_name_is_shown(day: Day, files: dict[str, Path], name: str) -> None:
    run, _ = draft(day, files, [["id", "x", name], [1, 2, "a"]], target="churned")
    assert run.code == 2
    assert f"do: write {name!r} if that is meant, or remove the lines before the header" in run.log


@pytest.mark.parametrize(
    ("mark", "options", "hint"),
    [
        (":", [], "if its columns are separated by ':', add --delimiter :"),
        ("^", [], "if its columns are separated by '^', add --delimiter '^'"),
        (",", ["--delimiter", ";"], "if its columns are separated by ',', add --delimiter ,"),
        ("\t", ["--delimiter", ";"], "if its columns are separated by '\\t', add --delimiter tab"),
    ],
)
@pytest.mark.parametrize("command", ["infer-schema", "import"])
def test_likely_delimiter_of_a_file_with_one_column_is_named(
    day: Day, files: dict[str, Path], command: str, mark: str, options: list[str], hint: str
) -> None:
    put(
        files,
        "",
        "",
        {"fields": [field("id", "integer", "key"), field("x", "integer", "feature"), field("y", "string", "target")]},
    )
    table = to_csv(["id", "x", "y"], [[n, n % 7, "ab"[n % 2]] for n in range(30)]).replace(",", mark)
    files["data.csv"].write_text(table)
    named = {
        "infer-schema": ["--target-column", "y", "--out", str(files["schema.json"]), "--force"],
        "import": ["--schema", str(files["schema.json"])],
    }[command]
    run = day.run(
        command, "--data", str(files["data.csv"]), *named, *options, ds=None if command == "infer-schema" else DS
    )
    assert run.code in (2, 3)
    assert run.log.rstrip().endswith(hint)


@pytest.mark.parametrize(
    "table", [[["y"], *(["a"], ["b"])], [["id", "who", "y"], *([n, f"n{n}", "ab"[n % 2]] for n in range(60))]]
)
def test_file_without_a_column_to_learn_from_is_a_warning(
    day: Day, files: dict[str, Path], table: list[list[Any]]
) -> None:
    run, _ = draft(day, files, table)
    assert run.code == 0
    warning = next(one for one in run.result["warnings"] if one.startswith(str(files["data.csv"])))
    assert "has no column to learn from beside key and target: add one to the file, or give one that" in warning


@pytest.mark.parametrize("name", ["*", "^x$", "^.*$"])
def test_column_whose_name_is_a_pattern_is_refused(day: Day, files: dict[str, Path], name: str) -> None:
    run, schema = draft(day, files, [["id", name, "y"], [1, 2, "a"], [2, 3, "b"]])
    found = f"names {name}, a pattern for several columns; expected: names other than * and ^...$; do: rename"
    assert (run.code, schema) == (3, None)
    assert found in run.log
    files["schema.json"].write_text(
        json.dumps(
            {"fields": [field("id", "integer", "key"), field("y", "string", "target"), field("x", "number", "feature")]}
        )
    )
    files["data.csv"].write_text(to_csv(["id", "x", name, "y"], [[1, 2, 3, "a"], [2, 3, 4, "b"]]))
    run = day.run("import", "--data", str(files["data.csv"]), "--schema", str(files["schema.json"]))
    assert run.code == 3
    assert found in run.log


@pytest.mark.parametrize("name", ["a b", '"q"', "é", "x$", "^x", "**", "[0]", "{x}:1"])
def test_column_keeps_its_odd_name(day: Day, files: dict[str, Path], name: str) -> None:
    run, schema = draft(day, files, table_of(["1", "2"], name))
    assert run.code == 0, run.log
    assert drafted(schema, name)["type"] == "integer"


def test_lines_before_the_header_are_named(day: Day, files: dict[str, Path]) -> None:
    run, _ = draft(day, files, [["Sales of 2026"], ["id", "x", "y"], [1, 2, "a"]])
    assert run.code == 2
    assert "it has Sales of 2026; do: correct the name, or remove the lines before the header" in run.log


# Each form with a month, a day or an hour of two digits in place of {}.
UNREAD_TIMES = [
    "2026-W{}",
    "2026-W{}-3",
    "2026W{}",
    "{}:00:00",
    "{}:05",
    "{}:30 PM",
    "14h{}",
    "2026-11-{}T24:00:00",
    "2026-{}",
    "{}/2026",
    "Q1 20{}",
    "20{}-Q4",
    "{} März 2026",
    "{} de noviembre de 2026",
    "{} ноября 2026",
    "{}-Nov",
    "November {}th, 2026",
    "2026年11月{}日",
    "2026-1{}",
    "2026-11-{} 10:11 EST",
    "2026-11-{}T10:11:12+01:00[Europe/Berlin]",
    "2026-11-{} 10:11:12,123",
    "{}.11.2026 10:11 Uhr",
    "{}/11/2026 - 10:11",
    "10:11 {}/11/2026",
    "Sat Nov {} 10:11:12 2026",
]


@pytest.mark.parametrize("form", UNREAD_TIMES)
def test_times_in_a_form_that_no_reading_knows_are_named(day: Day, files: dict[str, Path], form: str) -> None:
    texts = [form.format(number) for number in (10, 11, 12, "NA")]
    run, schema = draft(day, files, table_of([*texts[:3], "NA"]))
    assert drafted(schema)["type"] == "string"
    found = f"its texts look like times, such as {texts[0]!r}, and no reading knows their form"
    assert found in drafted(schema)["description"]
    assert run.result["warnings"][0] == (
        f"x: {found}: drafted as texts; write them as YYYY-MM-DD or YYYY-MM-DDThh:mm:ss in the file, or name their "
        "form, such as --assume 'x=%d/%m/%Y'; write an hour, a week or a month alone as a number"
    )


NO_TIMES = ["A-2026-{}", "2026-00{}", "10.11.12.{}", "Maria {}", "Monday", "20-{}", "2012-555-12{}", "T{}", "00:1B:{}"]


@pytest.mark.parametrize("form", NO_TIMES)
def test_other_texts_are_not_taken_for_times(day: Day, files: dict[str, Path], form: str) -> None:
    run, schema = draft(day, files, table_of([form.format(number) for number in (10, 11, 12)]))
    assert drafted(schema)["type"] == "string"
    assert "warnings" not in run.result or "look like times" not in str(run.result["warnings"])


# The first and the last of 100 numbers, and what they are as dates.
NUMBERS_AS_TIMES = {
    "order_date": ("44197", 1, "the days of a spreadsheet, from 2021-01-01 to 2021-04-10"),
    "saledate": ("44197.25", 1, "the days of a spreadsheet, from 2021-01-01 to 2021-04-10"),
    "createdAt": ("1767225600000000", 86_400_000_000, "microseconds since 1970, from 2026-01-01 to 2026-04-10"),
    "ts": ("1767225600000000000", 86_400_000_000_000, "nanoseconds since 1970, from 2026-01-01 to 2026-04-10"),
}


@pytest.mark.parametrize("name", NUMBERS_AS_TIMES)
def test_numbers_that_may_be_times_are_named(day: Day, files: dict[str, Path], name: str) -> None:
    first, step, times = NUMBERS_AS_TIMES[name]
    whole, point, fraction = first.partition(".")
    values = [f"{int(whole) + step * number}{point}{fraction}" for number in range(100)]
    run, schema = draft(day, files, table_of([*values, "-1"], name, rows=303))
    assert drafted(schema, name)["type"] == ("number" if point else "integer")
    as_times = "write them as YYYY-MM-DD or YYYY-MM-DDThh:mm:ss in the file"
    sentence = f"{name}: these numbers could be {times}: drafted as numbers; if they are times, {as_times}"
    assert sentence in run.result["warnings"]
    run, _ = draft(day, files, table_of(values, "kilos"))
    assert "could be" not in run.log
    run, _ = draft(day, files, table_of(values, name), "--assume", f"{name}=number")
    assert "could be" not in run.log


@pytest.mark.parametrize(
    ("name", "texts", "times"),
    [
        ("period", ["202511", "202512", "202601"], "a year and a month in one number"),
        ("date", ["21.11", "1.12", "2.01"], "a day and a month"),
        # As seconds since 1970 they would be in 2034.
        ("time", ["2026112114", "2026112115", "2026112200"], "a year, month, day and hour in one number"),
        ("h", ["2026112114", "2026112115", "2026112200"], "a year, month, day and hour in one number"),
    ],
)
def test_parts_of_a_time_in_one_number_are_named(
    day: Day, files: dict[str, Path], name: str, texts: list[str], times: str
) -> None:
    run, schema = draft(day, files, table_of(texts, name))
    assert drafted(schema, name)["type"] in ("integer", "number")
    (warning,) = run.result["warnings"]
    assert warning.startswith(f"{name}: these numbers could be {times}")


# --- columns that begin with other texts than they go on with ---

AGES, DAYS = [str(18 + n % 70) for n in range(20_000)], [f"2026-11-{1 + n % 28:02d}" for n in range(20_000)]


def begun(texts: list[str], number: int, text: str) -> list[list[Any]]:
    """A table of so many rows; the first ones have another text."""
    return table_of([text] * number + texts[number:], rows=len(texts))


@pytest.mark.parametrize("number", [20, 60, 300, 600])
@pytest.mark.parametrize(("texts", "text", "kind"), [(AGES, "n.d.", WHOLE), (DAYS, "offen", DATE)])
def test_first_rows_do_not_decide_how_a_column_is_read(
    day: Day, files: dict[str, Path], texts: list[str], text: str, kind: dict[str, Any], number: int
) -> None:
    """A file that is sorted, or was begun by hand, has its odd texts in the first rows."""
    run, schema = draft(day, files, begun(texts, number, text))
    assert {key: drafted(schema)[key] for key in kind} == kind
    (warning,) = run.result["warnings"]
    assert f"{20_000 - number} of 20000 values are" in warning
    assert f"'{text}' in line 2 ({number} times)" in warning


def test_assumed_reading_is_kept_whatever_the_first_rows_are(day: Day, files: dict[str, Path]) -> None:
    """Even if it fits few values, or none: the warning says how many `prepare` rejects."""
    for texts, number, kind, format_ in ((AGES, 19_990, WHOLE, "integer"), (DAYS, 19_990, DATE, "date")):
        run, schema = draft(day, files, begun(texts, number, "offen"), f"--assume=x={format_}")
        assert {key: drafted(schema)[key] for key in kind} == kind
        assert "as --assume says" in drafted(schema)["description"]
        assert any("x: 10 of 20000 values are" in warning for warning in run.result["warnings"])
    run, schema = draft(day, files, begun(AGES, 20_000, "offen"), "--assume=x=integer")
    assert drafted(schema)["type"] == "integer"
    assert "x: 0 of 20000 values are whole numbers, but not 'offen' in line 2" in run.result["warnings"][-1]


@pytest.mark.parametrize("options", [(), ("--assume=x=decimal-comma",)], ids=["drafted", "assumed"])
def test_first_batch_does_not_decide_how_a_column_is_read(
    day: Day, files: dict[str, Path], options: tuple[str, ...]
) -> None:
    """More than a batch is one text; what the draft says then is of all rows."""
    wide, rows, number = "w" * 250, 160_000, 70_000
    table = [["id", "x", "w", "y"], *([n, "offen" if n < number else f"{n},5", wide, "ab"[n % 2]] for n in range(rows))]
    run, schema = draft(day, files, table, *options)
    said = " ".join(run.result["warnings"])
    assert "x: " + "only " * (not options) + "90000 of 160000 values are numbers with ',' before decimals" in said
    assert "'offen' in line 2" in said
    assert drafted(schema)["type"] == ("number" if options else "string")
