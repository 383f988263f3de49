"""prepare: what goes into train_data.csv, what into rejected.csv and why, and what is refused as a whole."""

import csv
import io
from typing import Any

import polars as pl
import pytest
from conftest import DATA_HEADER, SCHEMA, Day, field, flock, graded, in_order, sheep, to_csv, with_one_column_more
from hypothesis import given
from hypothesis import strategies as st

import checked_table
import csv_input
from tests.hostile import RUNS

DS = "2026-11-21"
OUT = f"processed/{DS}/train_data.csv"
REJECTED = f"processed/{DS}/rejected.csv"


def rejected(day: Day, path: str = REJECTED) -> list[tuple[str, int, str]]:
    return [(row["file"], int(row["line"]), row["reason"]) for row in day.rows(path)]


def test_good_rows_are_joined_by_key_in_the_order_of_the_data(day: Day) -> None:
    day.publish(*flock(50))
    run = day.run("prepare")
    assert (run.code, run.result["rows_in"], run.result["rows_out"]) == (0, 50, 50)
    rows = day.rows(OUT)
    assert list(rows[0]) == ["tag", "farm", "weighed", "kilos", "lambs", "breed", "organic", "grade"]
    for number, row in enumerate(rows):
        tag, farm, weighed, kilos, lambs, breed, organic, _ = sheep(number)
        expected = [tag, farm, weighed, kilos, lambs, breed, organic, graded(number)[1]]
        assert list(row.values()) == expected
    assert day.rows(REJECTED) == []


def test_values_are_written_in_one_canonical_form(day: Day) -> None:
    data = to_csv(
        list(reversed(DATA_HEADER)),
        [
            ["n/a", "1", "texel", "+7", "1e1", "2026-11-21T10:00:00+02:00", 'a, "b"', "a-1"],
            ["", "FALSE", "n/a", "0", "0.10", "2026-11-21T10:00:00.250Z", "two\nlines", "a-2"],
        ],
    )
    day.publish(data, to_csv(["grade", "tag"], [["A", "a-2"], ["B", "a-1"]]))
    assert day.run("prepare").code == 0
    assert [list(row.values()) for row in day.rows(OUT)] == [
        ["a-1", 'a, "b"', "2026-11-21T08:00:00", "10.0", "7", "texel", "true", "B"],
        ["a-2", "two\nlines", "2026-11-21T10:00:00.250", "0.1", "0", "", "false", "A"],
    ]


@pytest.mark.parametrize("block", [200, csv_input.BLOCK_BYTES])
def test_lines_that_are_given_up_are_named(day: Day, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """After a quote that is never closed nobody can say which lines are rows; they were only counted as "quotes"."""
    monkeypatch.setattr(csv_input, "BLOCK_BYTES", block)
    data, target = flock(300)
    lines = target.splitlines()
    lines[20], lines[60] = '"tag', '"' + lines[60].replace(",", '",')
    lines[100], lines[130] = '"tag', 'tag"129,A'
    day.publish(data, "\n".join(lines) + "\n")
    run = day.run("prepare", "--max-rejected", "0.5")
    assert (run.code, run.result["rows_out"]) == (0, 300 - 40 - 31), run.log
    named = [text.partition(" given up")[0] for text in run.result["warnings"]]
    assert named == ["lines 21 to 60 of target.csv are", "lines 101 to 131 of target.csv are"]
    refused = day.run("prepare")
    assert refused.code == 3
    assert (
        "lines 101 to 131 of target.csv are given up: a quoted field that begins on line 101 or before" in refused.log
    )


@RUNS
@given(st.lists(st.floats(0, 200), min_size=2, max_size=20, unique=True))
def test_numbers_are_read_back_as_the_same_doubles(day: Day, kilos: list[float]) -> None:
    rows = [[*sheep(number)[:3], repr(value), *sheep(number)[4:]] for number, value in enumerate(kilos)]
    day.publish(to_csv(DATA_HEADER, rows), flock(len(kilos))[1])
    assert day.run("prepare").code == 0
    assert [float(row["kilos"]) for row in day.rows(OUT)] == kilos


def test_rejected_row_has_file_line_reason_and_its_own_text(day: Day) -> None:
    rows = [sheep(number) for number in range(100)]
    rows[3][3] = "heavy"
    rows[5][0], rows[5][4] = "", "-1"
    rows[6][7] = "two\nlines"
    rows[7][1] = ""
    data = to_csv(DATA_HEADER, rows).replace("tag-9,", "tag-9,too,many,")
    day.publish(data, flock(100)[1])
    run = day.run("prepare")
    assert run.code == 0
    found = day.rows(REJECTED)
    assert [(row["file"], row["line"], row["reason"]) for row in found] == [
        ("data.csv", "5", "kilos: 'heavy' is no number"),
        ("data.csv", "7", "tag: missing, a value is required; lambs: '-1' below minimum 0"),
        ("data.csv", "10", "farm: missing, a value is required"),
        ("data.csv", "12", "10 fields, expected 8"),
        ("target.csv", "92", "no data for this target row"),
        ("target.csv", "96", "no data for this target row"),
    ]
    lines = data.split("\n")
    assert [row["row"] for row in found[:4]] == [lines[4], lines[6], lines[9], lines[11]]
    assert (run.result["rejected"], run.result["rows_out"]) == ({"data.csv": 4, "target.csv": 2}, 96)
    assert run.result["reasons"] == {
        "farm: missing": 1,
        "kilos: type": 1,
        "lambs: minimum": 1,
        "no data for this target row": 2,
        "number of fields": 1,
        "tag: missing": 1,
    }


def test_first_row_of_a_key_is_kept_and_later_ones_are_rejected(day: Day) -> None:
    first, other, bad = sheep(1), sheep(1), sheep(2)
    other[3], bad[3] = "44", "?"
    rows = [sheep(0), first, first, other, bad, sheep(2), *map(sheep, range(3, 40))]
    targets = [graded(0), graded(1), graded(2), graded(0), *map(graded, range(3, 40))]
    day.publish(to_csv(DATA_HEADER, rows), to_csv(["tag", "grade"], targets))
    run = day.run("prepare")
    assert run.code == 0
    assert rejected(day) == [
        ("data.csv", 4, "tag: duplicate of line 3"),
        ("data.csv", 5, "tag: same key with other content as line 3"),
        ("data.csv", 6, "kilos: '?' is no number"),
        ("target.csv", 5, "tag: duplicate of line 2"),
    ]
    assert run.result["reasons"] == {"kilos: type": 1, "tag: contradiction": 1, "tag: duplicate": 2}
    assert "warnings" not in run.result
    assert [row["tag"] for row in day.rows(OUT)] == [f"tag-{number}" for number in range(40)]
    assert [row["grade"] for row in day.rows(OUT)] == [graded(number)[1] for number in range(40)]


@pytest.mark.parametrize("shards", [1, 3])
def test_labels_of_one_key_that_contradict_each_other_do_not_count(day: Day, shards: int) -> None:
    """The first one trained, and the other was said to be a duplicate."""
    others = [["tag-5", "C"], ["tag-9", "A"], ["tag-9", "A"], ["tag-9", "B"]]
    targets = [["tag-5", "A"], *map(graded, (n for n in range(40) if n not in (5, 9))), *others, graded(7)]
    day.publish(flock(40)[0], to_csv(["tag", "grade"], targets))
    for shard in range(1, shards + 1) if shards > 1 else []:
        assert day.run("prepare", "--shards", str(shards), "--shard", str(shard)).code == 0
    run = day.run("prepare", "--max-rejected", "0.2", "--shards", str(shards))
    assert run.code == 0, run.log
    assert rejected(day) == [
        ("data.csv", 7, "its row in target.csv was rejected (line 2)"),
        ("data.csv", 11, "its row in target.csv was rejected (line 42)"),
        ("target.csv", 2, "tag: another label is on line 41"),
        ("target.csv", 41, "tag: another label is on line 2"),
        ("target.csv", 42, "tag: another label is on line 44"),
        ("target.csv", 43, "tag: another label is on line 44"),
        ("target.csv", 44, "tag: another label is on line 42"),
        ("target.csv", 45, "tag: duplicate of line 9"),
    ]
    assert run.result["reasons"] == {"no target for this key": 2, "tag: contradiction": 5, "tag: duplicate": 1}
    assert run.result["warnings"] == [
        "5 rows of target.csv have a key that has another label too, so none of these labels counts, such as "
        "target.csv line 2: tag: another label is on line 41; correct them"
    ]
    assert len(day.rows(OUT)) == 38


def test_equal_labels_that_are_written_differently_are_no_contradiction(day: Day) -> None:
    schema = {
        "fields": [field("k", "integer", "key"), field("v", "number", "feature"), field("y", "integer", "target")]
    }
    target = [[key, key % 2, "x"] for key in range(20)] + [["3.0", "1.0", "z"]]
    day.publish(to_csv(["k", "v"], [[key, key] for key in range(20)]), to_csv(["k", "y", "note"], target), schema)
    run = day.run("prepare")
    assert (run.result["rows_out"], run.result["reasons"]) == (20, {"k: duplicate": 1})


def test_rows_without_a_partner_are_rejected_on_both_sides(day: Day) -> None:
    data, _ = flock(30)
    targets = [graded(number) for number in range(2, 30)] + [["tag-1", "Z"], ["tag-99", "A"]]
    day.publish(data, to_csv(["tag", "grade"], targets))
    assert day.run("prepare").code == 0
    assert rejected(day) == [
        ("data.csv", 2, "no target for this key"),
        ("data.csv", 3, "its row in target.csv was rejected (line 30)"),
        ("target.csv", 30, "grade: 'Z' is none of A, B, C"),
        ("target.csv", 31, "no data for this target row"),
    ]


def test_unique_field_keeps_the_first_of_each_value(day: Day) -> None:
    fields = [{**f, "constraints": {"unique": True}} if f["name"] == "memo" else f for f in SCHEMA["fields"]]
    rows = [[*sheep(number)[:7], "" if number % 2 else f"memo {number % 30}"] for number in range(40)]
    day.publish(to_csv(DATA_HEADER, rows), flock(40)[1], {**SCHEMA, "fields": fields})
    assert day.run("prepare", "--max-rejected", "0.2").code == 0
    assert rejected(day) == [
        ("data.csv", 2 + number, f"memo: 'memo {number - 30}' is not unique, it is on line {2 + number - 30}")
        for number in range(30, 40, 2)
    ]


def test_key_may_be_made_of_several_fields(day: Day) -> None:
    schema = {
        "fields": [
            field("shop", "string", "key"),
            field("day", "date", "key"),
            field("sold", "integer", "feature"),
            field("short", "boolean", "target"),
        ],
        "primaryKey": ["shop", "day"],
    }
    days = [f"2026-11-{number:02d}" for number in range(1, 11)]
    data = [[shop, day_, "3"] for shop in ("a", "b") for day_ in days]
    target = [[day_, shop, "1" if shop == "a" else "0"] for day_ in days for shop in ("b", "a")]
    data.append(["a", days[0], "3"])
    day.publish(to_csv(["shop", "day", "sold"], data), to_csv(["day", "shop", "short"], target), schema)
    assert day.run("prepare").code == 0
    assert rejected(day) == [("data.csv", 22, "shop, day: duplicate of line 2")]
    assert {(row["shop"], row["short"]) for row in day.rows(OUT)} == {("a", "true"), ("b", "false")}


KEYS = st.integers(0, 12)
DATA_ROWS = st.lists(st.tuples(KEYS, st.sampled_from(["1", "2", "?"])), min_size=1, max_size=40)
TARGET_ROWS = st.lists(st.tuples(KEYS, st.sampled_from(["A", "B", "Z"])), min_size=1, max_size=40)


IN_MEMORY = {"checked_table.PART_BYTES": checked_table.PART_BYTES}
ON_DISK = {"checked_table.PART_BYTES": 40, "spill.FLUSH_BYTES": 500, "spill.SHELF_BYTES": 100}
# As if all keys had one hash: only the keys themselves distinguish rows.
HASHES_COLLIDE = {"polars.Expr.hash": lambda _: pl.lit(7, pl.UInt64)}


@pytest.mark.parametrize("changed", [IN_MEMORY, ON_DISK, HASHES_COLLIDE], ids=["memory", "disk", "hashes collide"])
@RUNS
@given(data=DATA_ROWS, target=TARGET_ROWS, block=st.integers(5, 60))
def test_join_agrees_with_an_oracle_however_the_work_is_cut(
    day: Day, changed: dict[str, Any], data: list[tuple], target: list[tuple], block: int
) -> None:
    schema = {
        "fields": [
            field("k", "integer", "key"),
            field("v", "integer", "feature"),
            field("y", "string", "target", enum=["A", "B"]),
        ]
    }
    day.publish(to_csv(["k", "v"], data), to_csv(["k", "y"], target), schema)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("csv_input.BLOCK_BYTES", block)
        for name, value in changed.items():
            patch.setattr(name, value)
        run = day.run("prepare", "--max-rejected", "1")

    def firsts(rows: list[tuple], good: str) -> dict[int, tuple[int, str]]:
        kept: dict[int, tuple[int, str]] = {}
        for line, (key, value) in enumerate(rows, 2):
            if value in good:
                kept.setdefault(key, (line, value))
        return kept

    labels = {key: {value for other, value in target if other == key and value in "AB"} for key, _ in target}
    of_data, of_target = firsts(data, "12"), firsts(target, "AB")
    of_target = {key: first for key, first in of_target.items() if len(labels[key]) == 1}
    expected = [
        (str(k), v, of_target[k][1]) for k, (_, v) in sorted(of_data.items(), key=lambda i: i[1]) if k in of_target
    ]
    if not expected:
        assert run.code == 3
        return
    assert [tuple(row.values()) for row in day.rows(OUT)] == expected
    accepted_lines = {of_data[int(key)][0] for key, _, _ in expected}
    all_keys = {key for key, _ in data}
    used_lines = {line for key, (line, _) in of_target.items() if key in all_keys}
    lines = {(file, line) for file, line, _ in rejected(day)}
    assert lines == {("data.csv", n) for n in range(2, len(data) + 2) if n not in accepted_lines} | {
        ("target.csv", n) for n in range(2, len(target) + 2) if n not in used_lines
    }


@pytest.mark.parametrize(
    ("bad_rows", "options", "code"),
    [
        (10, [], 0),
        (11, [], 3),
        (11, ["--max-rejected", "0.11"], 0),
        (1, ["--max-rejected", "0"], 3),
        (99, ["--max-rejected", "1"], 0),
    ],
)
def test_more_rejected_rows_than_allowed_fail_the_day(day: Day, bad_rows: int, options: list[str], code: int) -> None:
    rows = [[*sheep(number)[:4], "-5" if number < bad_rows else "5", *sheep(number)[5:]] for number in range(100)]
    day.publish(to_csv(DATA_HEADER, rows), flock(100)[1])
    run = day.run("prepare", *options)
    assert run.code == code
    if code:
        assert f"{bad_rows} of 100 rows of raw/{DS}/data.csv are rejected" in run.log
        assert f"lambs: minimum ({bad_rows})" in run.log
        assert "data.csv line 2: lambs: '-5' below minimum 0" in run.log
        assert "--max-rejected" in run.log
        assert not day.file(f"processed/{DS}").exists()


def test_all_rows_rejected_fail_the_day_whatever_is_allowed(day: Day) -> None:
    rows = [[*sheep(number)[:3], "inf", *sheep(number)[4:]] for number in range(10)]
    day.publish(to_csv(DATA_HEADER, rows), flock(10)[1])
    run = day.run("prepare", "--max-rejected", "1")
    assert run.code == 3
    assert "10 of 10 rows" in run.log
    assert "kilos: 'inf' is no finite number" in run.log
    assert not day.file(f"processed/{DS}").exists()


def mangled(data: str, target: str, kind: str) -> tuple[Any, Any]:
    raw = data.encode()
    return {
        "empty file": (b"", target),
        "header only": (data.split("\n")[0] + "\n", target),
        "header only, target": (data, "tag,grade\n"),
        "column missing": (data.replace("kilos", "pounds", 1), target),
        "columns of another file": (target, data),
        "not UTF-8": (raw.replace(b"farm 3", b"farm \xe9", 1), target),
        "not UTF-8, target": (data, target.encode().replace(b"A", b"\xc0", 1)),
        "NUL byte": (raw.replace(b"farm 3", b"farm \0", 1), target),
        "long line": (raw + b"x" * (100 << 20) + b"\n", target),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "messages"),
    [
        ("empty file", ["raw/2026-11-21/data.csv is empty (0 bytes)", "expected: a header line"]),
        ("header only", ["raw/2026-11-21/data.csv has a header but no rows"]),
        ("header only, target", ["raw/2026-11-21/target.csv has a header but no rows"]),
        ("column missing", ["data.csv lacks kilos and has unknown pounds", "expected: the columns tag, farm"]),
        ("columns of another file", ["data.csv lacks farm", "has unknown grade"]),
        ("not UTF-8", ["data.csv has the byte 0xe9, which is no UTF-8, at byte ", "on line 5"]),
        ("not UTF-8, target", ["target.csv has the byte 0xc0"]),
        ("NUL byte", ["data.csv has a NUL byte at byte ", "on line 5"]),
        ("long line", ["the record that begins on line 22 of raw/2026-11-21/data.csv is longer than 1,048,576 bytes"]),
    ],
)
def test_file_that_cannot_be_read_fails_the_day(day: Day, kind: str, messages: list[str]) -> None:
    day.publish(*mangled(*flock(20), kind))
    run = day.run("prepare")
    assert run.code == 3
    assert all(message in run.log for message in messages)
    assert "do: " in run.log
    assert not day.file(f"processed/{DS}").exists()


def test_columns_that_the_schema_does_not_name_are_reported_and_not_used(day: Day) -> None:
    data, target = flock(50)
    day.publish(data, target)
    assert not {"extra_columns", "warnings"} & day.run("prepare").result.keys()
    plain = day.file(f"processed/{DS}/train_data.csv").read_bytes()
    day.publish(with_one_column_more(data, "wool"), with_one_column_more(target, "butcher"))
    run = day.run("prepare")
    assert run.code == 0, run.log
    assert run.result["extra_columns"] == {"data.csv": ["wool"], "target.csv": ["butcher"]}
    assert run.result["warnings"] == [
        f"{file} has columns that schema.json does not name, they are not used: {name}"
        for file, name in (("data.csv", "wool"), ("target.csv", "butcher"))
    ]
    assert run.log.count("WARNING preprocessing prepare: data.csv has columns") == 1
    assert day.file(f"processed/{DS}/train_data.csv").read_bytes() == plain


def test_columns_in_another_order_are_reported_and_read_by_their_names(day: Day) -> None:
    data, target = flock(50)
    day.publish(data, target)
    assert "warnings" not in day.run("prepare").result
    plain = day.file(f"processed/{DS}/train_data.csv").read_bytes()
    day.publish(in_order(data, ["tag", "weighed", "farm", *DATA_HEADER[3:]]), in_order(target, ["grade", "tag"]))
    run = day.run("prepare")
    assert run.code == 0, run.log
    said = "data.csv has its columns in another order than schema.json: number 2 is weighed, not farm; "
    assert run.result["warnings"] == [f"{said}they are read by their names"]
    assert run.log.count(f"WARNING preprocessing prepare: {said}") == 1
    assert day.file(f"processed/{DS}/train_data.csv").read_bytes() == plain


@pytest.mark.parametrize(("good", "unreadable", "code"), [(15, 45, 0), (15, 1, 0), (0, 45, 4), (0, 0, 4)])
def test_labels_that_have_come_and_cannot_be_used_are_named(day: Day, good: int, unreadable: int, code: int) -> None:
    """45 of 60 labels could not be read, and all that was said is that 985 rows have none."""
    fields = [{**f, "partial": True} if f["role"] == "target" else f for f in SCHEMA["fields"]]
    labels = ["Z"] * unreadable + [graded(number)[1] for number in range(good)]
    target = [[f"tag-{number}", label] for number, label in enumerate(labels + [""] * (1000 - len(labels)))]
    day.publish(flock(1000)[0], to_csv(["tag", "grade"], target), {**SCHEMA, "fields": fields})
    run = day.run("prepare")
    assert run.code == code, run.log
    none, example = f"none of 1,000 rows of raw/{DS}/data.csv has a label", "target.csv line 2: grade: 'Z' is none of A"
    if code and unreadable:
        assert f"{none} that can be used; 45 labels have come; 45 rows are rejected: grade: enum (45); " in run.log
        assert example in run.log
        assert "do: correct the rejected rows, add labels" in run.log
    elif code:
        assert f"{none} yet;" in run.log
        assert "do: add labels" in run.log
    else:
        rest, *more = run.result["warnings"]
        assert rest.startswith(f"{1000 - good} of 1,000 rows of raw/{DS}/data.csv")
        warned = [f"45 of 60 labels that have come (75.0%) cannot be used, such as {example}, B, C"]
        assert more == (warned if unreadable > 1 else [])


@pytest.mark.parametrize("partial", [True, False])
def test_day_with_a_part_of_its_labels_trains_on_them_if_its_schema_allows_it(day: Day, partial: bool) -> None:
    fields = [{**f, "partial": partial} if f["role"] == "target" else f for f in SCHEMA["fields"]]
    labels = [["tag-0", ""], *(graded(number) for number in range(1, 40))]
    day.publish(flock(100)[0], to_csv(["tag", "grade"], labels), {**SCHEMA, "fields": fields})
    run = day.run("prepare")
    assert run.code == (0 if partial else 3)
    remedy = 'if labels may come later or never, add "partial": true to the target in schema.json'
    assert (remedy in run.log) is not partial
    if partial:
        assert (run.result["rows_in"], run.result["rows_out"], run.result["unlabelled"]) == (100, 39, 61)
        assert (run.result["rejected"], run.result["reasons"]) == ({"data.csv": 0, "target.csv": 0}, {})
        # Warnings are also in MLflow and on the report page.
        (warning,) = run.result["warnings"]
        assert warning.startswith("61 of 100 rows of raw/2026-11-21/data.csv (61.0%) have no label: ")
        assert run.log.count(f"WARNING preprocessing prepare: {warning}") == 1
        assert [row["tag"] for row in day.rows(f"processed/{DS}/train_data.csv")] == [f"tag-{n}" for n in range(1, 40)]
        assert day.rows(f"processed/{DS}/rejected.csv") == []


def test_day_of_rows_without_any_label_yet_is_not_ready(day: Day) -> None:
    fields = [{**f, "partial": True} if f["role"] == "target" else f for f in SCHEMA["fields"]]
    day.publish(flock(10)[0], to_csv(["tag", "grade"], [[f"tag-{n}", ""] for n in range(10)]), {"fields": fields})
    run = day.run("prepare")
    assert run.code == 4
    assert f"none of 10 rows of raw/{DS}/data.csv has a label yet" in run.log


PARTIAL = {**SCHEMA, "fields": [{**f, "partial": True} if f["role"] == "target" else f for f in SCHEMA["fields"]]}


def test_one_wrong_row_does_not_make_a_day_without_labels_a_bad_one(day: Day) -> None:
    """No label is known yet, so the day has to wait."""
    data = to_csv(DATA_HEADER, [sheep(number) for number in [*range(99), 0]])
    day.publish(data, to_csv(["tag", "grade"], [[f"tag-{n}", ""] for n in range(99)]), PARTIAL)
    run = day.run("prepare")
    assert run.code == 4, run.log
    assert f"none of 100 rows of raw/{DS}/data.csv has a label yet" in run.log


def test_labels_that_are_all_unreadable_are_a_fault_of_their_own_file(day: Day) -> None:
    day.publish(flock(10)[0], to_csv(["tag", "grade"], [[f"tag-{n}", "Z"] for n in range(10)]), PARTIAL)
    run = day.run("prepare")
    assert run.code == 3
    assert f"10 of 10 rows of raw/{DS}/target.csv are rejected" in run.log


@pytest.mark.parametrize(("labels", "wrong", "code"), [(5, 1, 0), (600, 150, 3)])
def test_wrong_rows_of_the_target_are_a_share_of_all_its_rows(day: Day, labels: int, wrong: int, code: int) -> None:
    """One wrong row is no reason to refuse a day of which few labels are known yet."""
    rows = [[f"tag-{n}", "Z" if n < wrong else "ABC"[n % 3] if n < labels + wrong else ""] for n in range(1000)]
    day.publish(flock(1000)[0], to_csv(["tag", "grade"], rows), PARTIAL)
    run = day.run("prepare")
    assert run.code == code, run.log
    assert (f"{wrong} of 1000 rows of raw/{DS}/target.csv are rejected" in run.log) is (code == 3)


def test_partial_is_no_remedy_where_it_is_set(day: Day) -> None:
    """Rows with two faults, of which one is the label, stay wrong ones."""
    rows = [["", ""] if n < 5 else [f"tag-{n}", "A"] for n in range(20)]
    day.publish(flock(20)[0], to_csv(["tag", "grade"], rows), PARTIAL)
    run = day.run("prepare")
    assert run.code == 3
    assert f"5 of 20 rows of raw/{DS}/target.csv are rejected" in run.log
    assert '"partial": true' not in run.log


def test_other_faults_count_where_labels_are_partial(day: Day) -> None:
    fields = [{**f, "partial": True} if f["role"] == "target" else f for f in SCHEMA["fields"]]
    rows = [[*sheep(n)[:4], "-5" if n < 15 else "1", *sheep(n)[5:]] for n in range(100)]
    day.publish(
        to_csv(DATA_HEADER, rows), to_csv(["tag", "grade"], map(graded, range(40))), {**SCHEMA, "fields": fields}
    )
    run = day.run("prepare")
    assert run.code == 3
    assert f"15 of 100 rows of raw/{DS}/data.csv are rejected" in run.log


def test_partition_that_is_not_there_is_not_ready(day: Day) -> None:
    run = day.run("prepare")
    assert run.code == 4
    assert "partition raw/2026-11-21 is not ready" in run.log


def test_files_without_a_mark_are_not_ready_and_import_is_named(day: Day) -> None:
    day.file(f"raw/{DS}").mkdir(parents=True)
    day.file(f"raw/{DS}/data.csv").write_text(flock(5)[0])
    run = day.run("prepare")
    assert run.code == 4
    assert "it holds data.csv but no _meta.json" in run.log
    assert "preprocessing import" in run.log


@pytest.mark.parametrize("file", ["data.csv", "target.csv", "schema.json"])
def test_torn_partition_is_refused(day: Day, file: str) -> None:
    day.publish(*flock(20))
    with day.file(f"raw/{DS}/{file}").open("a") as torn:
        torn.write("\n")
    run = day.run("prepare")
    assert run.code == 3
    assert f"raw/{DS}/{file} has" in run.log
    assert "as its mark says" in run.log


def test_again_gives_the_same_bytes(day: Day) -> None:
    day.publish(*flock(300))
    outputs = []
    for _ in range(2):
        assert day.run("prepare").code == 0
        outputs.append([day.file(path).read_bytes() for path in (OUT, REJECTED)])
    assert outputs[0] == outputs[1]
    assert day.leftovers() == []


def test_column_names_of_our_own_are_free_for_everybody(day: Day) -> None:
    names = ["line", "text", "row", "reason", "batch", "part", "group", "count", "len", "record", "literal"]
    schema = {
        "fields": [
            field("index", "string", "key"),
            *(field(name, "string", "feature") for name in names),
            field("code", "string", "target"),
        ]
    }
    data = to_csv(["index", *names], [[str(n), *(f"v{n % 3}" for _ in names)] for n in range(40)])
    target = to_csv(["index", "code"], [[str(n), "xy"[n % 2]] for n in range(40)])
    day.publish(data, target, schema)
    assert day.run("prepare").code == 0
    assert day.run("split").code == 0
    assert day.rows(OUT)[4] == {"index": "4", **dict.fromkeys(names, "v1"), "code": "x"}


def test_every_row_is_accounted_for_with_its_text(day: Day) -> None:
    rows = [sheep(number % 37) for number in range(90)]
    rows[11][3] = 'so "heavy", it\nbroke'
    data = to_csv(DATA_HEADER, rows)
    day.publish(data, flock(37)[1])
    assert day.run("prepare", "--max-rejected", "1").code == 0
    texts = "\n".join([row["row"] for row in day.rows(REJECTED) if row["file"] == "data.csv"])
    assert len(list(csv.reader(io.StringIO(texts)))) + len(day.rows(OUT)) == 90


@pytest.mark.parametrize("block", [1 << 14, 8 << 20])
def test_bad_rows_far_apart_are_rejected_one_by_one(day: Day, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Of every kind that only a comparison shows, and of those that a row shows by itself."""
    monkeypatch.setattr("csv_input.BLOCK_BYTES", block)
    rows, target = [sheep(number) for number in range(8000)], [graded(number) for number in range(8000)]
    rows[1001][3], rows[5001][3], rows[2000], rows[6000] = "heavy", "-5", sheep(3), sheep(4)
    target[1500][1], target[6500][1], target[3000], target[7000] = "Z", "Y", ["tag-900000", "A"], ["tag-900001", "A"]
    day.publish(to_csv(DATA_HEADER, rows), to_csv(["tag", "grade"], target))
    run = day.run("prepare")
    assert run.code == 0, run.log
    lines = {(row["file"], int(row["line"])) for row in day.rows(REJECTED)}
    assert lines == {("data.csv", 2 + n) for n in (1001, 5001, 2000, 6000, 1500, 6500, 3000, 7000)} | {
        ("target.csv", 2 + n) for n in (1500, 6500, 3000, 7000, 2000, 6000)
    }
    assert run.result["rows_out"] == 7992
