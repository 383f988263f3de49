"""label: every row of target.csv becomes a label, in the words of the model, or a rejected row with a reason."""

import json
from collections import Counter
from typing import Any

import pytest
from conftest import DS, SCHEMA, Day, field, flock, graded, to_csv, with_one_column_more
from hypothesis import given
from hypothesis import strategies as st
from stagekit import Publication

from tests.hostile import RUNS

MODEL = "models/2026-11-01"
OUT = f"labels/{DS}/labels.csv"
REJECTED = f"labels/{DS}/rejected.csv"
TAGS = ["tag", "grade"]

# A shop's days: a key of two fields with types of their own, and a flag to predict.
SHOPS: dict[str, Any] = {
    "fields": [
        field("shop", "integer", "key"),
        {**field("day", "date", "key"), "format": "%d/%m/%Y"},
        field("weight", "number", "feature"),
        {**field("sold", "boolean", "target"), "trueValues": ["yes"], "falseValues": ["no"]},
    ],
    "missingValues": ["", "NA"],
}


def train(day: Day, data: str, target: str, schema: dict[str, Any]) -> None:
    """Publish a model of this data, and predictions that it made for the day."""
    day.publish(data, target, schema)
    for command in ("prepare", "split"):
        run = day.run(command)
        assert run.code == 0, run.log
    day.publish_model(MODEL)
    score(day)


def score(day: Day, model: Any = MODEL) -> None:
    with Publication(day.root, f"predictions/{DS}", "predict", parameters={"model": model}) as publication:
        publication.path("predictions.csv").write_text("tag,prediction\n")


@pytest.fixture
def sheep_day(day: Day) -> Day:
    train(day, *flock(120), SCHEMA)
    return day


@pytest.fixture
def shop_day(day: Day) -> Day:
    rows = [[n, f"{1 + n % 28:02d}/11/2026", n / 7] for n in range(60)]
    sold = [[n, f"{1 + n % 28:02d}/11/2026", "no" if n % 3 else "yes"] for n in range(60)]
    train(day, to_csv(["shop", "day", "weight"], rows), to_csv(["shop", "day", "sold"], sold), SHOPS)
    return day


def publish_target(day: Day, target: str | bytes, schema: Any = SCHEMA, data: str = "not read here\n") -> None:
    day.publish(data, target, schema)


def labels(day: Day) -> list[tuple[str, ...]]:
    return [tuple(row.values()) for row in day.rows(OUT)]


def test_columns_that_the_schema_does_not_name_are_a_warning(sheep_day: Day) -> None:
    publish_target(sheep_day, with_one_column_more(flock(120)[1], "butcher"))
    run = sheep_day.run("label")
    assert run.code == 0, run.log
    assert run.result["extra_columns"] == {"target.csv": ["butcher"]}
    assert run.result["warnings"] == [
        "target.csv has columns that schema.json does not name, they are not used: butcher"
    ]


@pytest.mark.parametrize("partial", [True, False])
def test_row_without_a_label_is_no_fault_where_labels_are_partial(sheep_day: Day, partial: bool) -> None:
    fields = [{**f, "partial": partial} if f["role"] == "target" else f for f in SCHEMA["fields"]]
    target = [["tag", "grade"], *([f"tag-{n}", "" if n < 60 else "A"] for n in range(110)), ["tag-110", "A", "1"]]
    publish_target(sheep_day, to_csv(target[0], target[1:]), {**SCHEMA, "fields": fields})
    run = sheep_day.run("label")
    result = run.result
    assert (result["rows"], result["labels"], result["malformed"]) == (111, 50, 1)
    warning = f"60 of 111 rows of raw/{DS}/target.csv have no label, so they count as wrong rows; "
    warning += 'if labels may come later or never, add "partial": true to the target in schema.json'
    assert result.get("warnings", []) == ([] if partial else [warning])
    assert len(sheep_day.rows(REJECTED)) == (1 if partial else 61)
    assert (result["missing"], result.get("unlabelled")) == ((0, 60) if partial else (60, None))


def test_partial_is_no_remedy_where_it_is_set(sheep_day: Day) -> None:
    fields = [{**f, "partial": True} if f["role"] == "target" else f for f in SCHEMA["fields"]]
    publish_target(sheep_day, to_csv(["tag", "grade"], [["", ""], ["tag-1", "A"]]), {**SCHEMA, "fields": fields})
    run = sheep_day.run("label")
    assert (run.result["missing"], run.result.get("warnings")) == (1, None)


def test_each_key_gets_its_class(sheep_day: Day) -> None:
    run = sheep_day.run("label")
    assert run.code == 0, run.log
    assert list(sheep_day.rows(OUT)[0]) == TAGS
    assert labels(sheep_day) == [tuple(graded(number)) for number in reversed(range(120))]
    names = ("partition", "model", "rows", "labels", "malformed", "missing", "unreadable", "contradictory", "repeated")
    assert tuple(run.result[name] for name in names) == (f"labels/{DS}", MODEL, 120, 120, 0, 0, 0, 0, 0)
    assert (run.result["new_class_rows"], run.result["new_classes"]) == (0, {})
    assert sheep_day.leftovers() == []


def test_keys_are_the_text_of_features_csv(shop_day: Day) -> None:
    rows = [["+7", "01/11/2026", "no"], ["007", "02/11/2026", "yes"]]
    publish_target(
        shop_day,
        to_csv(["shop", "day", "sold"], rows),
        SHOPS,
        to_csv(["shop", "day", "weight"], [["+7", "01/11/2026", "1"]]),
    )
    assert shop_day.run("label").code == 0
    assert labels(shop_day) == [("7", "2026-11-01", "false"), ("7", "2026-11-02", "true")]
    assert shop_day.run("features", "--model", MODEL).code == 0
    assert [(row["shop"], row["day"]) for row in shop_day.rows(f"features/{DS}/features.csv")] == [("7", "2026-11-01")]


@pytest.mark.parametrize("broken", [0, 57, 119])
def test_quote_that_is_never_closed_costs_label_and_prepare_the_same_rows(sheep_day: Day, broken: int) -> None:
    """`prepare` lost one row, and the figures of the day most of them."""
    data, target = flock(120)
    lines = target.splitlines()
    tag, grade = lines[1 + broken].split(",")
    lines[1 + broken] = f'{tag},"{grade}'
    publish_target(sheep_day, "\n".join([*lines, ""]), data=data)
    assert sheep_day.run("prepare").code == 0
    assert sheep_day.run("label").code == 0
    prepared, labelled = (
        [(row["line"], row["reason"]) for row in sheep_day.rows(path) if row["file"] == "target.csv"]
        for path in (f"processed/{DS}/rejected.csv", REJECTED)
    )
    assert prepared == labelled
    assert [line for line, _ in labelled] == [str(2 + broken)]
    used = {row["tag"] for row in sheep_day.rows(f"processed/{DS}/train_data.csv")}
    assert used == {tag for tag, _ in labels(sheep_day)} == {f"tag-{n}" for n in range(120)} - {tag}


def test_every_row_is_counted_once_by_what_is_wrong_with_it(shop_day: Day) -> None:
    rows = [
        "yes,20/11/2026,7",
        "yes,21/11/2026,7",
        "no,21/11/2026,07",
        "yes,20/11/2026,07",
        "NA,22/11/2026,7",
        "maybe,22/11/2026,8",
        "no,2026-11-22,9",
        "no,,9",
        "no,22/11/2026,NA",
        "no,22/11/2026",
        'no,22/11/2026,"8"9',
        "NA,never,x",
    ]
    publish_target(shop_day, "\n".join(["sold,day,shop", *rows]) + "\n", SHOPS)
    run = shop_day.run("label")
    assert run.code == 0, run.log
    names = ("rows", "labels", "malformed", "missing", "unreadable", "contradictory", "repeated")
    counted = {name: run.result[name] for name in names}
    assert tuple(counted.values()) == (12, 1, 2, 2, 4, 2, 1)
    assert labels(shop_day) == [("7", "2026-11-20", "true")]
    assert [(row["line"], row["row"]) for row in shop_day.rows(REJECTED)] == [
        (str(line), text) for line, text in enumerate(rows[1:], 3)
    ]
    reasons = [row["reason"] for row in shop_day.rows(REJECTED)]
    assert reasons[:4] == [
        "shop, day: another label is on line 4",
        "shop, day: another label is on line 3",
        "shop, day: duplicate of line 2",
        "sold: missing, a value is required",
    ]
    assert run.result["warnings"][0].startswith(
        "2 rows of target.csv have a key that has another label too, so none of these labels counts, such as "
        "target.csv line 3: shop, day: another label is on line 4"
    )
    mark = json.loads(shop_day.file(f"labels/{DS}/_meta.json").read_text())
    recorded = mark["steps"]["label"]
    assert {name: recorded["result"][name] for name in counted} == counted
    assert recorded["inputs"].keys() == {
        f"raw/{DS}/target.csv", f"raw/{DS}/schema.json", f"{MODEL}/encoder.json", f"predictions/{DS}/predictions.csv"
    }  # fmt: skip
    assert mark["outputs"]["labels.csv"]["rows"] == 1


@pytest.mark.parametrize(("third", "counted", "counts"), [("B", [("tag-1", "B")], (1, 0, 2)), ("C", [], (1, 3, 0))])
def test_readable_rows_of_a_key_count_once_or_contradict_each_other(
    sheep_day: Day, third: str, counted: list[tuple[str, str]], counts: tuple[int, int, int]
) -> None:
    publish_target(sheep_day, to_csv(TAGS, [["tag-1", ""], ["tag-1", "B"], ["tag-1", third], ["tag-1", "B"]]))
    run = sheep_day.run("label")
    assert labels(sheep_day) == counted
    assert tuple(run.result[name] for name in ("missing", "contradictory", "repeated")) == counts


def test_class_that_the_model_does_not_know_is_counted(sheep_day: Day) -> None:
    """Also one that the constraints of the schema do not allow: it is news, not a wrong row."""
    publish_target(sheep_day, to_csv(TAGS, [["tag-1", "B"], ["tag-2", "D"], ["tag-3", "E,F"], ["tag-4", "D"]]))
    run = sheep_day.run("label")
    assert labels(sheep_day) == [("tag-1", "B"), ("tag-2", "D"), ("tag-3", "E,F"), ("tag-4", "D")]
    assert (run.result["new_class_rows"], run.result["new_classes"]) == (3, {"D": 2, "E,F": 1})


def test_result_line_stays_short_whatever_the_classes_are(sheep_day: Day) -> None:
    publish_target(sheep_day, to_csv(TAGS, [[f"tag-{n}", f"class {n} " + "x" * 1000] for n in range(500)]))
    run = sheep_day.run("label")
    assert (run.result["new_class_rows"], len(run.result["new_classes"])) == (500, 20)
    assert len(json.dumps(run.result)) < 4000
    assert len(labels(sheep_day)) == 500


@pytest.mark.parametrize(
    ("kind", "known", "seen", "expected"),
    [
        ("integer", ["0", "1"], ["+1", "00", "7"], ["1", "0", "7"]),
        ("integer", ["0", "1"], ["1.0", "0.0", "1e0", "7.0"], ["1", "0", "1", "7"]),
        ("integer", ["0.0", "1.0"], ["1", "0"], ["1", "0"]),
        ("boolean", ["0", "1"], ["1.0", "0.0", "1e0"], ["true", "false", "true"]),
        ("boolean", ["0.0", "1.0"], ["1", "false"], ["true", "false"]),
        ("number", ["0.5", "-0"], ["5e-1", "0", "1e300"], ["0.5", "0.0", "1e+300"]),
        ("boolean", ["true", "false"], ["1", "FALSE"], ["true", "false"]),
        ("date", ["2026-11-01", "2026-11-02"], ["2026-11-02", "2026-11-03"], ["2026-11-02", "2026-11-03"]),
        (
            "datetime",
            ["2026-11-01T00:00:00Z", "2026-11-01T12:00:00.5Z"],
            ["2026-11-01T13:00:00.500+01:00", "2026-11-01T00:00:00"],
            ["2026-11-01T12:00:00.500", "2026-11-01T00:00:00"],
        ),
        ("string", ["a,b", ' "'], ["a,b", ' "', "a"], ["a,b", ' "', "a"]),
    ],
)
def test_classes_are_compared_by_value(
    day: Day, kind: str, known: list[str], seen: list[str], expected: list[str]
) -> None:
    schema = {"fields": [field("id", "integer", "key"), field("x", "number", "feature"), field("y", kind, "target")]}
    rows = to_csv(["id", "y"], [[n, known[n % 2]] for n in range(40)])
    train(day, to_csv(["id", "x"], [[n, n] for n in range(40)]), rows, schema)
    publish_target(day, to_csv(["id", "y"], list(enumerate(seen))), schema)
    run = day.run("label")
    assert run.code == 0, run.log
    assert [name for _, name in labels(day)] == expected
    classes = json.loads(day.file(f"{MODEL}/encoder.json").read_text())["target"]["classes"]
    assert run.result["new_class_rows"] == sum(name not in classes for name in expected)


def test_target_is_spelt_as_the_schema_of_its_day_says(shop_day: Day) -> None:
    """Labels `true` and `false` of a model were once not found in a file that says `yes` and `no`."""
    others = [f for f in SHOPS["fields"] if f["role"] != "target"]
    plain = {**SHOPS, "fields": [*others, field("sold", "boolean", "target")]}
    rows = [["1", "01/11/2026", "true"], ["2", "02/11/2026", "0.0"]]
    publish_target(shop_day, to_csv(["shop", "day", "sold"], rows), plain)
    run = shop_day.run("label")
    assert run.code == 0, run.log
    assert [name for *_, name in labels(shop_day)] == ["true", "false"]
    for schema in ({**SHOPS, "fields": others}, {**SHOPS, "fields": [*others, field("sold", "string", "target")]}):
        publish_target(shop_day, to_csv(["shop", "day", "sold"], [["1", "01/11/2026", "yes"]]), schema)
        assert shop_day.run("label").code == 0
        assert [name for *_, name in labels(shop_day)] == ["true"]


@pytest.mark.parametrize("spelt", [["-0.0", "0"], ["0", "-0"], ["-0e5", "0.0"]])
def test_key_zero_is_one_key_with_one_spelling(day: Day, spelt: list[str]) -> None:
    fields = [field("id", "number", "key"), field("x", "number", "feature"), field("y", "string", "target")]
    rows = [[str(n), "ab"[n % 2]] for n in range(1, 20)]
    data, target = (to_csv(["id", name], [[spelt[n], "a"], *rows]) for n, name in enumerate("xy"))
    data = data.replace(",a\n", ",1\n").replace(",b\n", ",2\n")
    train(day, data, target, {"fields": fields})
    assert (day.run("label").code, day.run("features", "--model", MODEL).code) == (0, 0)
    for path in (OUT, f"features/{DS}/features.csv", f"processed/{DS}/train_data.csv"):
        assert [row["id"] for row in day.rows(path)][:2] == ["0.0", "1.0"]
    publish_target(day, to_csv(["id", "y"], [[spelt[0], "a"], [spelt[1], "a"]]), {"fields": fields})
    assert day.run("label").result["repeated"] == 1


def test_header_alone_has_no_labels(sheep_day: Day) -> None:
    publish_target(sheep_day, "tag,grade\n")
    run = sheep_day.run("label")
    assert (run.code, run.result["rows"], run.result["labels"]) == (0, 0, 0)
    assert sheep_day.file(OUT).read_text() == "tag,grade\n"
    assert sheep_day.file(REJECTED).read_text() == "file,line,reason,row\n"


def test_file_of_nothing_but_bad_rows_has_no_labels(sheep_day: Day) -> None:
    publish_target(sheep_day, "tag,grade\n1\n\n,A\n")
    run = sheep_day.run("label")
    assert (run.code, run.result["rows"], run.result["labels"]) == (0, 3, 0)
    assert len(sheep_day.rows(REJECTED)) == 3


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (b"", "target.csv is empty (0 bytes)"),
        (b"tag\nx-1\n", "lacks grade"),
        (b"tag,grade\ntag-1,\xe9\n", "which is no UTF-8"),
    ],
)
def test_file_that_cannot_be_read_is_refused(sheep_day: Day, target: bytes, message: str) -> None:
    publish_target(sheep_day, target)
    run = sheep_day.run("label")
    assert run.code == 3
    assert message in run.log
    assert not sheep_day.file("labels").exists() or not list(sheep_day.file("labels").glob("[!.]*"))


def test_without_target_nothing_is_published(sheep_day: Day) -> None:
    for path in sheep_day.file(f"raw/{DS}").iterdir():
        path.unlink()
    run = sheep_day.run("label")
    assert (run.code, run.result["labels"]) == (0, None)
    assert "no labels" in run.log
    sheep_day.publish(flock(10)[0], None)
    run = sheep_day.run("label")
    assert (run.code, run.result["labels"], run.result["model"]) == (0, None, MODEL)


def test_day_that_is_not_scored_is_not_ready(day: Day) -> None:
    day.publish(*flock(20))
    run = day.run("label")
    assert run.code == 4
    assert f"partition predictions/{DS} is not ready" in run.log


def test_predictions_that_name_no_model_are_refused(sheep_day: Day) -> None:
    score(sheep_day, None)
    run = sheep_day.run("label")
    assert run.code == 3
    assert f"the mark of predictions/{DS} has the model None" in run.log


@pytest.mark.parametrize("key", ["code", "class", "label", "target", "file", "line", "reason", "row", "value"])
def test_key_can_have_any_name(day: Day, key: str) -> None:
    """Keys named `code` or `class` were once columns of labels.csv, and such a day could not be monitored."""
    schema = {"fields": [field(key, "integer", "key"), field("x", "number", "feature"), field("y", "string", "target")]}
    rows = to_csv([key, "y"], [[n, "ab"[n % 2]] for n in range(20)])
    train(day, to_csv([key, "x"], [[n, n] for n in range(20)]), rows, schema)
    run = day.run("label")
    assert run.code == 0, run.log
    assert (day.rows(OUT)[3], len(labels(day))) == ({key: "3", "y": "b"}, 20)


# A text of blanks alone is missing. Python takes four more characters for blanks than Unicode does.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8).filter(str.strip)


@RUNS
@given(rows=st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ABCDE")), max_size=40), block=st.integers(5, 60))
def test_labels_agree_with_an_oracle_however_the_work_is_cut(
    sheep_day: Day, rows: list[tuple[int, str]], block: int
) -> None:
    publish_target(sheep_day, to_csv(TAGS, [[f"tag-{n}", grade] for n, grade in rows]))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("csv_input.BLOCK_BYTES", block), ("checked_table.PART_BYTES", 40), ("spill.FLUSH_BYTES", 500)
        ):  # fmt: skip
            patch.setattr(name, value)
        run = sheep_day.run("label")
    found: dict[int, set[str]] = {}
    for number, grade in rows:
        found.setdefault(number, set()).add(grade)
    first = {number: grade for number, (grade, *others) in found.items() if not others}
    assert labels(sheep_day) == [(f"tag-{n}", grade) for n, grade in first.items()]
    contradictory = sum(number not in first for number, _ in rows)
    assert (run.result["contradictory"], run.result["repeated"]) == (
        contradictory, len(rows) - len(first) - contradictory
    )  # fmt: skip
    assert run.result["new_classes"] == Counter(grade for grade in first.values() if grade not in "ABC")


@RUNS
@given(keys=st.lists(TEXTS, unique=True, min_size=4, max_size=20))
def test_any_text_can_be_a_key_and_a_class(day: Day, keys: list[str]) -> None:
    schema = {"fields": [field("k", "string", "key"), field("x", "number", "feature"), field("y", "string", "target")]}
    rows = [[key, keys[n % 2]] for n, key in enumerate(keys)]
    train(day, to_csv(["k", "x"], [[key, n] for n, key in enumerate(keys)]), to_csv(["k", "y"], rows), schema)
    assert day.run("label").code == 0
    assert labels(day) == [tuple(row) for row in rows]
