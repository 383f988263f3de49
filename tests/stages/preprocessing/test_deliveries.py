"""Labels that come later than the data, in several deliveries; and what was known at a time."""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from conftest import DS, Day, field, flock, graded, put, to_csv
from hypothesis import given
from hypothesis import strategies as st
from stagekit import Publication, read_partition
from stagekit.as_of import moment
from stagekit.call import Call
from stagekit.shards import Shard

from tests.hostile import RUNS

ROWS = 40
COUNTS_FILE = "counts.json"
TIMES = [f"2026-11-{day}T04:00:00Z" for day in (22, 23, 24, 25)]


def deliver(
    day: Day, files: dict[str, Path], labels: dict[int, str], *options: str, name: str = "later.csv", ds: str = DS
) -> Any:
    path = files["target.csv"].with_name(name)
    path.write_text(to_csv(["tag", "grade"], [[f"tag-{number}", grade] for number, grade in labels.items()]))
    return day.run("import-target", "--target", str(path), *options, reuse=True, ds=ds)


def import_data(day: Day, files: dict[str, Path], ds: str = DS) -> None:
    arguments = put(files, *flock(ROWS))
    at = arguments.index("--target")
    assert day.run("import", *arguments[:at], *arguments[at + 2 :], ds=ds).code == 0


def learnt(day: Day, ds: str = DS) -> dict[int, str]:
    """The labels that training would learn from."""
    rows = day.rows(f"processed/{ds}/train_data.csv")
    return {int(row["tag"].removeprefix("tag-")): row["grade"] for row in rows}


def prepare(day: Day, *options: str) -> Any:
    return day.run("prepare", "--max-rejected", "1", *options, reuse=True)


def test_labels_come_after_the_data_in_two_deliveries(day: Day, files: dict[str, Path]) -> None:
    import_data(day, files)
    run = prepare(day)
    assert run.code == 4
    assert f"partition raw/{DS} has no target.csv yet" in run.log
    assert "train on an earlier day, one whose labels are there" in run.log
    run = deliver(day, files, dict.fromkeys(range(20), "A"))
    assert (run.code, run.result["file"], run.result["rows"]) == (0, "target.csv", {"target.csv": 20})
    first = day.file(f"raw/{DS}/target.csv").read_bytes()
    assert prepare(day).code == 0
    assert learnt(day) == dict.fromkeys(range(20), "A")
    run = deliver(day, files, dict.fromkeys(range(20, ROWS), "B"))
    assert (run.code, run.result["file"]) == (0, "target-2.csv")
    assert day.file(f"raw/{DS}/target.csv").read_bytes() == first
    run = prepare(day)
    assert learnt(day) == {**dict.fromkeys(range(20), "A"), **dict.fromkeys(range(20, ROWS), "B")}
    assert list(run.result["deliveries"]) == ["target-2.csv", "target.csv"]
    mark = json.loads(day.file(f"processed/{DS}/_meta.json").read_text())
    assert {f"raw/{DS}/target.csv", f"raw/{DS}/target-2.csv"} < mark["steps"]["prepare"]["inputs"].keys()
    assert day.run("split", reuse=True).code == 0
    assert [path for path in day.leftovers() if not path.startswith("mine/")] == []


def test_labels_that_were_taken_in_from_elsewhere_are_a_delivery(day: Day, files: dict[str, Path]) -> None:
    import_data(day, files)
    assert day.run("import-target").code == 2
    assert day.run("import-target", "--incoming").code == 4
    with Publication(day.root, f"incoming/{DS}", "ingest-target") as publication:
        publication.path("target").write_text(flock(ROWS)[1])
    assert day.run("import-target", "--incoming", "--target", str(files["target.csv"])).code == 2
    run = day.run("import-target", "--incoming")
    assert (run.code, run.result["file"], run.result["rows"]) == (0, "target.csv", {"target.csv": ROWS})
    assert prepare(day).result["rows_out"] == ROWS


def test_data_that_comes_again_says_how_labels_that_came_since_are_kept(day: Day, files: dict[str, Path]) -> None:
    put(files, *flock(ROWS))

    def ingest(file: str, text: str) -> None:
        with Publication(day.root, f"incoming/{DS}", "ingest" if file == "data" else "ingest-target") as publication:
            publication.path(file).write_text(text)

    again = ("import", "--incoming", "--schema", str(files["schema.json"]))
    ingest("data", flock(ROWS)[0])
    assert day.run(*again).code == 0
    ingest("target", flock(ROWS)[1])
    assert day.run("import-target", "--incoming").code == 0
    deliver(day, files, {1: "B"}, "--arrived", TIMES[2])
    ingest("data", flock(ROWS + 1)[0])
    run = day.run(*again)
    assert run.code == 2
    assert "copy its labels elsewhere, remove that folder, run this again, and add the copies" in run.log
    assert f"target-2.csv ({TIMES[2]})" in run.log
    assert "with --target;" not in run.log
    copies = shutil.copytree(day.file(f"raw/{DS}"), day.root / "mine" / "copies")
    shutil.rmtree(day.file(f"raw/{DS}"))
    assert day.run(*again).code == 0
    for file in ("target.csv", "target-2.csv"):
        assert day.run("import-target", "--target", str(copies / file), reuse=True).code == 0
    assert prepare(day).result["rows_out"] == ROWS
    assert learnt(day)[1] == "B"


def test_newest_label_of_a_key_counts(day: Day, files: dict[str, Path]) -> None:
    import_data(day, files)
    deliver(day, files, dict.fromkeys(range(ROWS), "A"))
    deliver(day, files, {3: "B", 5: "C"})
    run = prepare(day)
    assert learnt(day) == {**dict.fromkeys(range(ROWS), "A"), 3: "B", 5: "C"}
    assert (run.result["rejected"]["target.csv"], run.result["superseded"]) == (0, 2)


SCHEMA_OF_NUMBERS: dict[str, Any] = {
    "fields": [field("id", "integer", "key"), field("x", "number", "feature"), field("y", "integer", "target")]
}
ALL_KEYS = range(8)
DATA_OF_NUMBERS = to_csv(["id", "x"], [[key, key / 2] for key in ALL_KEYS])
# Rows of a delivery: key and label, each good, missing or unreadable; or a malformed row.
BAD_ROWS = ["", "1", "1,1,1", '1,"1"2', ",1", "?,1", ",", "x,", "1,?"]

# A quote that is never closed, in a line with too few fields.
UNCLOSED = '"1'


def publish_deliveries(
    day: Day, texts: Sequence[str], *, partial: bool = False, ds: str = DS, header: str = "id,y"
) -> None:
    """A raw day of SCHEMA_OF_NUMBERS with these deliveries of rows, the oldest first."""
    *others, target = SCHEMA_OF_NUMBERS["fields"]
    shutil.rmtree(day.root / "raw" / ds, ignore_errors=True)
    day.publish(DATA_OF_NUMBERS, None, {"fields": [*others, {**target, "partial": partial}]}, ds=ds)
    for number, text in enumerate(texts, start=1):
        arrived = {"arrived": f"2026-11-{21 + number // 24}T{number % 24:02d}:00:00Z"}
        with Publication(day.root, f"raw/{ds}", f"deliver-{number}", parameters=arrived) as publication:
            publication.path(f"target-{number}.csv" if number > 1 else "target.csv").write_text(f"{header}\n{text}")


@pytest.fixture
def numbers_day(day: Day) -> Day:
    """A day that a model with the classes 0 and 1 has scored."""
    publish_deliveries(day, ["".join(f"{key},{key % 2}\n" for key in ALL_KEYS)])
    for command in ("prepare", "split"):
        run = day.run(command)
        assert run.code == 0, run.log
    day.publish_model()
    with Publication(day.root, f"predictions/{DS}", "predict", parameters={"model": "models/2026-11-01"}) as scored:
        scored.path("predictions.csv").write_text("not read here")
    return day


# The kinds of rows that are rejected.
WRONG = ("malformed", "missing", "unreadable", "contradictory", "repeated")


def kind_of(row: str) -> tuple[str | None, str]:
    """The key of a row, if it can be read, and what the row is."""
    cells = row.split(",")
    if len(cells) != 2 or '"' in row:
        return None, "malformed"
    key, name = cells[0] if cells[0].isdecimal() else None, cells[1]
    if not name:
        return key, "missing"
    return key, "good" if key and name in ("0", "1") else "unreadable"


def expected_of(deliveries: Sequence[Sequence[str]], *, partial: bool) -> tuple[dict[int, str], Counter[str]]:
    """The label of each key, and how many rows are what, of deliveries, the newest first."""
    deciding: dict[str, int] = {}
    for wanted in ({"good"}, {"missing", "unreadable"}):
        for number, rows in enumerate(deliveries):
            for key, kind in map(kind_of, rows):
                if key and kind in wanted:
                    deciding.setdefault(key, number)
    labels: dict[int, str] = {}
    counts: Counter[str] = Counter(dict.fromkeys([*WRONG, "superseded", "unlabelled"], 0))
    good = {
        key: {row.split(",")[1] for row in deliveries[number] if kind_of(row) == (key, "good")}
        for key, number in deciding.items()
    }
    for number, rows in enumerate(deliveries):
        for row in rows:
            key, kind = kind_of(row)
            is_old = number > deciding[key] if key else any(row in later for later in deliveries[:number])
            if is_old:
                counts["superseded"] += 1
            elif key and kind == "missing" and partial:
                counts["unlabelled"] += 1
            elif kind != "good":
                counts[kind] += 1
            elif key and len(good[key]) > 1:
                counts["contradictory"] += 1
            elif key and int(key) in labels:
                counts["repeated"] += 1
            elif key:
                labels[int(key)] = row.split(",")[1]
    return labels, counts


some_rows = st.one_of(
    st.tuples(st.sampled_from(ALL_KEYS), st.sampled_from(["0", "1", "0", "1", "", "?"])).map(
        lambda row: f"{row[0]},{row[1]}"
    ),
    st.sampled_from(BAD_ROWS),
)


@RUNS
@given(
    deliveries=st.lists(st.lists(some_rows, max_size=10), min_size=1, max_size=4),
    cumulative=st.booleans(),
    partial=st.booleans(),
    unclosed=st.booleans(),
    shards=st.sampled_from([1, 1, 3]),
)
def test_deliveries_agree_with_an_oracle_whatever_they_repeat(
    numbers_day: Day, deliveries: list[list[str]], cumulative: bool, partial: bool, unclosed: bool, shards: int
) -> None:
    """Each row of each delivery is a label, or is counted once by what it is; for training and for the evaluation."""
    if cumulative:
        deliveries = list(accumulate(deliveries))
    if unclosed:
        deliveries = [[*rows, UNCLOSED] for rows in deliveries]
    publish_deliveries(numbers_day, ["".join(f"{row}\n" for row in rows) for rows in deliveries], partial=partial)
    expected, counts = expected_of(deliveries[::-1], partial=partial)
    wrong = sum(counts[kind] for kind in WRONG)
    names = [f"target-{number}.csv" if number else "target.csv" for number in (0, *range(2, len(deliveries) + 1))]
    delivered = dict(zip(names, deliveries, strict=True))
    run = numbers_day.run("label")
    assert run.code == 0, run.log
    result = Counter({kind: run.result.get(kind, 0) for kind in counts})
    assert (result, run.result["labels"]) == (counts, len(expected))
    assert {int(row["id"]): row["y"] for row in numbers_day.rows(f"labels/{DS}/labels.csv")} == expected
    rejected = numbers_day.rows(f"labels/{DS}/rejected.csv")
    assert len(rejected) == wrong
    assert [row["row"] for row in rejected] == [delivered[row["file"]][int(row["line"]) - 2] for row in rejected]
    of_shards = ("--shards", str(shards))
    is_empty = not any(deliveries)
    labelled = [numbers_day.file(f"labels/{DS}/{file}").read_bytes() for file in ("labels.csv", "rejected.csv")]
    for shard in range(1, shards + 1) if shards > 1 else []:
        assert numbers_day.run("label", *of_shards, "--shard", str(shard)).code == 0
        found = numbers_day.run("prepare", "--max-rejected", "1", *of_shards, "--shard", str(shard))
        assert found.code == (3 if is_empty and not partial else 0), found.log
    assert {**numbers_day.run("label", *of_shards).result, "seconds": 0} == {**run.result, "seconds": 0}
    for file, content in zip(("labels.csv", "rejected.csv"), labelled, strict=True):
        assert numbers_day.file(f"labels/{DS}/{file}").read_bytes() == content
    run = numbers_day.run("prepare", "--max-rejected", "1", *of_shards)
    assert run.code == (0 if expected else 4 if partial and not is_empty else 3), run.log
    if expected:
        rows = numbers_day.rows(f"processed/{DS}/train_data.csv")
        assert {int(row["id"]): row["y"] for row in rows} == expected
        assert (run.result["rejected"]["target.csv"], run.result.get("superseded", 0)) == (wrong, counts["superseded"])
        of_target = [row for row in numbers_day.rows(f"processed/{DS}/rejected.csv") if row["file"] != "data.csv"]
        assert of_target == rejected


@pytest.mark.parametrize("malformed", ["6,1,x,y", "6,1", "6"])
def test_shard_of_a_malformed_row_does_not_depend_on_its_block(numbers_day: Day, malformed: str) -> None:
    """A column that no step reads is last, and only one of the blocks has a quote."""
    rows = [f"{key},{key % 2},n\n" for key in ALL_KEYS]
    deliveries = ["".join([*rows[:-1], '7,1,"n"\n', malformed, "\n"]), "".join([*rows, malformed, "\n"])]
    publish_deliveries(numbers_day, deliveries, header="id,y,note")
    alone = numbers_day.run("prepare", "--max-rejected", "1")
    for shard in ("1", "2", "3"):
        assert numbers_day.run("prepare", "--max-rejected", "1", "--shards", "3", "--shard", shard).code == 0
    run = numbers_day.run("prepare", "--max-rejected", "1", "--shards", "3", "--force")
    for result in (alone.result, run.result):
        assert (result["rejected"]["target.csv"], result["superseded"]) == (1, 9)


@pytest.mark.parametrize("as_of", [(), ("--as-of", "2026-11-21T10:00:00Z")])
def test_feed_whose_every_delivery_is_cumulative_breaks_no_limit(numbers_day: Day, as_of: tuple[str, ...]) -> None:
    """Most rows were once rejected as repeated ones."""
    rows = ["0,1", "1,0", "2,0", "3,1", "4,0", "5,1", "6,0", "7,0"]
    publish_deliveries(numbers_day, ["".join(f"{row}\n" for row in rows[: number + 1]) for number in range(12)])
    run = numbers_day.run("prepare", *as_of)
    superseded = sum(min(8, number + 1) for number in range(10 if as_of else 12)) - 8
    assert (run.code, run.result["rejected"]["target.csv"], run.result["superseded"]) == (0, 0, superseded)
    run = numbers_day.run("label", *as_of)
    assert (run.result["labels"], run.result["repeated"], run.result["superseded"]) == (8, 0, superseded)
    assert f"{superseded} rows of target.csv are superseded by a later delivery" in run.log


@pytest.mark.parametrize("end", ["", "\n"])
def test_quote_that_is_never_closed_costs_no_label_of_another_delivery(numbers_day: Day, end: str) -> None:
    """A record never goes past the end of its delivery."""
    everything = "".join(f"{key},{key % 2}\n" for key in ALL_KEYS)
    publish_deliveries(numbers_day, [everything, f"1,0\n{UNCLOSED}{end}", f'2,1\n"2{end}'])
    expected = {str(key): str(key % 2) for key in ALL_KEYS} | {"1": "0", "2": "1"}
    run = numbers_day.run("label")
    assert {row["id"]: row["y"] for row in numbers_day.rows(f"labels/{DS}/labels.csv")} == expected
    assert (run.result["labels"], run.result["malformed"], run.result["superseded"]) == (8, 2, 2)
    run = numbers_day.run("prepare", "--max-rejected", "1")
    assert {row["id"]: row["y"] for row in numbers_day.rows(f"processed/{DS}/train_data.csv")} == expected
    assert (run.result["rejected"]["target.csv"], run.result["superseded"]) == (2, 2)


def test_unusable_row_hides_no_older_label(numbers_day: Day) -> None:
    publish_deliveries(numbers_day, ["1,1\n2,0\n3,?\n", "1,?\n2,\n3,1\n"])
    run = numbers_day.run("label")
    assert {row["id"]: row["y"] for row in numbers_day.rows(f"labels/{DS}/labels.csv")} == {
        "1": "1",
        "2": "0",
        "3": "1",
    }
    assert [run.result[kind] for kind in ("unreadable", "missing", "repeated", "superseded")] == [1, 1, 0, 1]


def test_labels_of_the_newest_delivery_that_contradict_each_other_hide_the_older_one(numbers_day: Day) -> None:
    """Nobody can say which of them is right; the delivery has put the older one in doubt."""
    publish_deliveries(numbers_day, ["1,1\n2,0\n", "1,0\n1,1\n", "2,1\n"])
    run = numbers_day.run("label")
    assert {row["id"]: row["y"] for row in numbers_day.rows(f"labels/{DS}/labels.csv")} == {"2": "1"}
    assert [run.result[kind] for kind in ("labels", "contradictory", "superseded")] == [1, 2, 2]
    assert [tuple(row.values()) for row in numbers_day.rows(f"labels/{DS}/rejected.csv")] == [
        ("target-2.csv", "2", "id: another label is on line 3 of target-2.csv", "1,0"),
        ("target-2.csv", "3", "id: another label is on line 2 of target-2.csv", "1,1"),
    ]


def test_limit_is_a_share_of_the_rows_that_count(numbers_day: Day) -> None:
    """Superseded rows must not make the share of wrong rows small."""
    wrong = "8,0\n9,0\n"  # no data has these keys
    all_rows = "".join(f"{key},{key % 2}\n" for key in ALL_KEYS)
    publish_deliveries(numbers_day, [f"{all_rows}{wrong}" for _ in range(10)])
    run = numbers_day.run("prepare")
    assert run.code == 3
    assert f"2 of 10 rows of raw/{DS}/target.csv are rejected (20.0%)" in run.log


def test_same_delivery_again_is_no_other_and_keeps_its_time(day: Day, files: dict[str, Path]) -> None:
    import_data(day, files)
    deliver(day, files, {1: "A"}, "--arrived", TIMES[0])
    run = deliver(day, files, {1: "A"}, name="copy.csv")
    assert (run.result["cached"], run.result["file"], run.result["arrived"]) == (True, "target.csv", TIMES[0])
    assert not day.file(f"raw/{DS}/target-2.csv").exists()


def test_time_of_arrival_is_now_unless_it_is_given(day: Day, files: dict[str, Path]) -> None:
    import_data(day, files)
    deliver(day, files, {1: "A", 2: "B"})
    mark = json.loads(day.file(f"raw/{DS}/_meta.json").read_text())
    arrived = mark["steps"]["import-target"]["started"]
    assert prepare(day, "--as-of", arrived).code == 0
    assert learnt(day) == {1: "A", 2: "B"}
    run = prepare(day, "--as-of", DS)
    assert run.code == 4
    assert f"no label of raw/{DS} had arrived by {DS}T23:59:59Z" in run.log
    assert f"the first delivery arrived at {arrived}" in run.log


def test_later_delivery_does_not_touch_what_was_known_before(day: Day, files: dict[str, Path]) -> None:
    import_data(day, files)
    deliver(day, files, dict.fromkeys(range(ROWS), "A"), "--arrived", TIMES[0])
    prepare(day, "--as-of", TIMES[1])
    deliver(day, files, {1: "B"}, "--arrived", TIMES[2])
    assert prepare(day, "--as-of", TIMES[1]).result["cached"] is True


def some_deliveries(most: int) -> st.SearchStrategy[list[tuple[str, dict[int, str]]]]:
    """Deliveries of labels, each with its time of arrival; no two are the same."""
    labels = st.dictionaries(st.integers(0, ROWS - 1), st.sampled_from("ABC"), min_size=1, max_size=12)
    one = st.tuples(st.sampled_from(TIMES), labels)
    return st.lists(one, min_size=1, max_size=most, unique_by=lambda one: json.dumps(one[1], sort_keys=True))


@RUNS
@given(
    deliveries=some_deliveries(4),
    as_of=st.sampled_from(["2026-11-21", *TIMES, "2026-11-23T03:59:59Z", "2026-11-23T05:00:00+01:00"]),
)
def test_no_label_that_came_later_is_used(
    day: Day, files: dict[str, Path], deliveries: Sequence[tuple[str, dict[int, str]]], as_of: str
) -> None:
    """Whatever was delivered in whatever order: training sees the newest label that had arrived, and no other."""
    shutil.rmtree(day.root / "raw", ignore_errors=True)
    import_data(day, files)
    for arrived, labels in deliveries:
        assert deliver(day, files, labels, "--arrived", arrived).code == 0
    known: dict[int, str] = {}
    for arrived, labels in sorted(deliveries, key=lambda one: one[0]):  # stable: of one time, the later delivery counts
        known |= labels if arrived <= moment(as_of) else {}
    run = prepare(day, "--as-of", as_of)
    assert run.code == (0 if known else 4)
    if known:
        assert learnt(day) == known
        marks = {ds: json.loads(day.file(f"{ds}/{DS}/_meta.json").read_text()) for ds in ("raw", "processed")}
        read = [path.rpartition("/")[2] for path in marks["processed"]["steps"]["prepare"]["inputs"]]
        steps = [marks["raw"]["steps"][marks["raw"]["outputs"][file]["step"]] for file in read if "target" in file]
        assert steps
        assert all(step["parameters"]["arrived"] <= moment(as_of) for step in steps)


BEFORE, ON_TIME = ["2026-11-19", "2026-11-20"], "2026-11-21T02:00:00Z"


def window(day: Day, files: dict[str, Path], deliveries: Sequence[tuple[str, dict[int, str]]]) -> None:
    """Three days; the labels of the first and the last came on time, those of the one between in these deliveries."""
    shutil.rmtree(day.root / "raw", ignore_errors=True)
    for ds in [*BEFORE, DS]:
        import_data(day, files, ds)
    whole = dict(enumerate("AABC" * (ROWS // 4)))
    for ds, arrived, labels in [(BEFORE[0], ON_TIME, whole), (DS, ON_TIME, whole)] + [
        (BEFORE[1], *one) for one in deliveries
    ]:
        assert deliver(day, files, labels, "--arrived", arrived, ds=ds).code == 0


def bound(as_of: str | None) -> list[str]:
    return ["--as-of", as_of] if as_of else []


def test_day_that_prepare_leaves_out_does_not_train_on_what_was_prepared_before(
    day: Day, files: dict[str, Path]
) -> None:
    window(day, files, [("2026-11-26T04:00:00Z", dict.fromkeys(range(ROWS), "A"))])
    assert prepare(day, "--days", "3").result["days"] == [*BEFORE, DS]
    run = prepare(day, "--days", "3", "--as-of", DS)
    assert list(run.result["left_out"]) == [BEFORE[1]]
    run = day.run("split", "--days", "3", "--as-of", DS)
    assert (run.code, run.result["days"]) == (0, [BEFORE[0], DS])
    made = f"processed/{BEFORE[1]}/train_data.csv was made without --as-of"
    assert run.result["left_out"] == {BEFORE[1]: made}
    run = day.run("split", "--days", "3")
    assert run.code == 3
    assert f"processed/{DS}/train_data.csv was made with --as-of {DS}T23:59:59Z" in run.log
    assert "do: run `preprocessing prepare` without --as-of again" in run.log


@RUNS
@given(
    deliveries=some_deliveries(3),
    runs=st.lists(
        st.tuples(st.sampled_from([None, "2026-11-21", *TIMES]), st.sampled_from([1, 3])), min_size=1, max_size=3
    ),
    as_of=st.sampled_from([None, "2026-11-21", *TIMES]),
)
def test_no_label_that_came_later_is_in_a_window(
    day: Day,
    files: dict[str, Path],
    deliveries: Sequence[tuple[str, dict[int, str]]],
    runs: Sequence[tuple[str | None, int]],
    as_of: str | None,
) -> None:
    """Whatever runs have prepared the days before, `split` takes the labels of its own time or says that it cannot."""
    window(day, files, deliveries)
    for other, days in runs:
        for ds in [*BEFORE, DS]:
            day.run("prepare", "--max-rejected", "1", "--days", str(days), *bound(other), reuse=True, ds=ds)
    until = moment(as_of) if as_of else "9999"
    known: dict[int, str] = {}
    for arrived, labels in sorted(deliveries, key=lambda one: one[0]):
        known |= labels if arrived <= until else {}
    run = day.run("split", "--days", "3", *bound(as_of), reuse=True)
    assert run.code == (0 if runs[-1][0] == as_of else 3), run.log
    if run.code == 0:
        assert run.result["days"] == [BEFORE[0], *([BEFORE[1]] if known else []), DS]
        assert not known or learnt(day, BEFORE[1]) == known


def test_day_whose_labels_turn_out_to_have_come_later_is_refused(day: Day, files: dict[str, Path]) -> None:
    arguments = put(files, *flock(ROWS))
    assert day.run("import", *arguments, "--arrived", TIMES[0]).code == 0
    assert prepare(day, "--as-of", TIMES[1]).code == 0
    assert day.run("import", *arguments, "--arrived", TIMES[2]).code == 0
    run = day.run("split", "--as-of", TIMES[1])
    assert run.code == 3
    assert f"was made from raw/{DS}/target.csv, which arrived at {TIMES[2]}" in run.log


def test_day_that_newer_labels_spoil_does_not_train_on_older_ones(day: Day, files: dict[str, Path]) -> None:
    window(day, files, [(ON_TIME, dict(enumerate("AABC" * (ROWS // 4))))])
    assert day.run("prepare", "--days", "3").result["days"] == [*BEFORE, DS]
    assert deliver(day, files, dict.fromkeys(range(ROWS), "?"), ds=BEFORE[1]).code == 0
    assert list(day.run("prepare", "--days", "3", reuse=True).result["left_out"]) == [BEFORE[1]]
    run = day.run("split", "--days", "3")
    assert (run.code, run.result["days"]) == (0, [BEFORE[0], DS])
    assert f"raw/{BEFORE[1]}/target-2.csv has arrived since" in run.result["left_out"][BEFORE[1]]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (["tag", "mark"], "lacks grade"),
        (["tag", "grade"], "no key of"),
    ],
)
def test_delivery_that_does_not_belong_to_the_data_is_refused(
    day: Day, files: dict[str, Path], header: list[str], message: str
) -> None:
    import_data(day, files)
    path = files["target.csv"].with_name("other.csv")
    path.write_text(to_csv(header, [["tag-9999", "A"]]))
    run = day.run("import-target", "--target", str(path))
    assert run.code == 3
    assert message in run.log
    assert [path for path in day.leftovers() if not path.startswith("mine/")] == []


def test_columns_of_a_later_delivery_may_have_another_order_and_more(day: Day, files: dict[str, Path]) -> None:
    import_data(day, files)
    deliver(day, files, {1: "A"})
    path = files["target.csv"].with_name("other.csv")
    path.write_bytes(b"grade;note;tag\r\nB;seen;tag-2\r\nC;;tag-3")
    run = day.run("import-target", "--target", str(path), reuse=True)
    assert run.code == 0
    assert day.file(f"raw/{DS}/target-2.csv").read_text() == "tag,grade\ntag-2,B\ntag-3,C\n"
    prepare(day)
    assert learnt(day) == {1: "A", 2: "B", 3: "C"}


def test_labels_of_a_day_without_data_wait_for_it(day: Day, files: dict[str, Path]) -> None:
    run = deliver(day, files, {1: "A"})
    assert run.code == 4
    assert f"partition raw/{DS} is not ready" in run.log


def test_label_reads_all_deliveries_or_those_of_a_time(day: Day, files: dict[str, Path]) -> None:
    assert day.run("import", *put(files, *flock(ROWS)), "--arrived", TIMES[1]).code == 0
    assert [day.run(command).code for command in ("prepare", "split")] == [0, 0]
    day.publish_model()
    with Publication(day.root, f"predictions/{DS}", "predict", parameters={"model": "models/2026-11-01"}) as scored:
        scored.path("predictions.csv").write_text("not read here")
    assert deliver(day, files, {0: "C"}, "--arrived", TIMES[2]).code == 0

    def labels(*options: str) -> dict[str, str]:
        assert day.run("label", *options, reuse=True).code == 0
        return {row["tag"]: row["grade"] for row in day.rows(f"labels/{DS}/labels.csv")}

    before = dict(graded(number) for number in range(ROWS))
    assert labels() == {**before, "tag-0": "C"}
    assert labels("--as-of", TIMES[1]) == before
    assert labels("--as-of", TIMES[0]) == {}


def evaluate(day: Day, ds: str, *options: str) -> None:
    """What `monitor` leaves of a day: the labels, and an evaluation that was made from them."""
    assert day.run("label", *options, ds=ds).code == 0
    inputs = [read_partition(day.root, f"labels/{ds}", ["labels.csv"])] if day.file(f"labels/{ds}").is_dir() else []
    with Publication(day.root, f"reports/{ds}", "evaluate", inputs=inputs) as report:
        report.path("evaluation.json").write_text("{}")


def score(day: Day, ds: str, shards: int = 1) -> None:
    raw = read_partition(day.root, f"raw/{ds}", ["data.csv"])
    with Publication(day.root, f"features/{ds}", "features", inputs=[raw]) as features:
        features.path("features.csv").write_text("not read here")
    for shard in range(1, shards + 1) if shards > 1 else []:
        assert day.run("label", "--shards", str(shards), "--shard", str(shard), ds=ds).code == 0
        labels = read_partition(day.root, Shard(shard, shards).place(f"labels/{ds}"), [COUNTS_FILE])
        for kind in ("features", "predictions"):
            with Publication(day.root, Shard(shard, shards).place(f"{kind}/{ds}"), kind) as of_shard:
                shutil.copy(labels / COUNTS_FILE, of_shard.path(COUNTS_FILE))
    call = Call("prediction", "predict", {"shards": shards})
    parameters = {"model": "models/2026-11-01"}
    with Publication(day.root, f"predictions/{ds}", "predict", parameters=parameters, call=call) as scored:
        scored.path("predictions.csv").write_text("not read here")


@pytest.fixture
def scored_days(day: Day, files: dict[str, Path]) -> Day:
    """Three scored and evaluated days; the labels of the last two are still to come."""
    day.publish(*flock(ROWS))
    assert [day.run(command).code for command in ("prepare", "split")] == [0, 0]
    day.publish_model()
    for ds in SCORED:
        if ds != DS:
            day.publish(flock(ROWS)[0], ds=ds)
        score(day, ds)
        evaluate(day, ds)
    return day


SCORED = [DS, "2026-11-22", "2026-11-23"]


def late(day: Day, *options: str, ds: str = "2026-11-30") -> list[str]:
    run = day.run("late-labels", *options, ds=ds)
    assert run.code == 0, run.log
    return [one["ds"] for one in run.result["days"]]


def deliver_to(day: Day, files: dict[str, Path], ds: str, labels: dict[int, str]) -> None:
    path = files["target.csv"].with_name("later.csv")
    path.write_text(to_csv(["tag", "grade"], [[f"tag-{number}", grade] for number, grade in labels.items()]))
    assert day.run("import-target", "--target", str(path), ds=ds, reuse=True).code == 0


def test_day_is_late_from_a_delivery_until_it_is_evaluated_with_it(scored_days: Day, files: dict[str, Path]) -> None:
    day, (_, second, third) = scored_days, SCORED
    assert late(day) == []
    deliver_to(day, files, third, {1: "A"})
    deliver_to(day, files, second, {1: "A"})
    run = day.run("late-labels", ds="2026-11-30")
    assert [one["ds"] for one in run.result["days"]] == [second, third]
    assert (late(day, "--most", "1"), late(day, ds=second)) == ([third], [second])
    assert day.run("late-labels", "--most", "1", ds=third).result["more"] == 1
    first_labels = {one["labels"] for one in run.result["days"] if one["ds"] == second}
    assert day.run("label", ds=second).code == 0
    assert late(day) == [second, third]  # labelled, and not evaluated yet
    evaluate(day, second)
    assert late(day) == [third]
    deliver_to(day, files, second, {2: "B"})
    (again, _) = day.run("late-labels", ds="2026-11-30").result["days"]
    assert (again["ds"], {again["labels"]} & first_labels) == (second, set())
    evaluate(day, second, "--as-of", "2026-11-22")
    assert late(day) == [third]  # somebody asked for the labels of a past time


def test_late_day_that_was_scored_in_shards_says_in_how_many(scored_days: Day, files: dict[str, Path]) -> None:
    for ds, shards in zip(SCORED[1:], (1, 4), strict=True):
        deliver_to(scored_days, files, ds, {1: "A"})
        score(scored_days, ds, shards)
    days = scored_days.run("late-labels", ds="2026-11-30").result["days"]
    assert [one.get("shards") for one in days] == [None, 4]
    for kind, counts in (("features", {}), ("features", {"hash_sample": 1}), ("predictions", None)):
        place = Shard(1, 4).place(f"{kind}/{SCORED[2]}")
        if counts is None:
            shutil.rmtree(scored_days.file(place))
        else:  # of an older image, or of one with another hash
            with Publication(scored_days.root, place, kind) as shard:
                shard.path(COUNTS_FILE).write_text(json.dumps(counts))
        days = scored_days.run("late-labels", ds="2026-11-30").result["days"]
        assert [one.get("shards") for one in days] == [None, None], (kind, counts)


def test_day_that_cannot_be_evaluated_again_is_left_out_with_the_reason(
    scored_days: Day, files: dict[str, Path]
) -> None:
    day, (_, second, third) = scored_days, SCORED
    for ds in (second, third):
        deliver_to(day, files, ds, {1: "A"})
    day.publish(flock(ROWS + 1)[0], flock(ROWS + 1)[1], ds=second)
    mark = day.file(f"features/{third}/_meta.json")
    mark.write_text(mark.read_text().replace('"size"', '"removed": "2026-11-29T04:00:00Z", "size"'))
    run = day.run("late-labels", ds="2026-11-30")
    assert (run.code, run.result["days"]) == (0, [])
    assert f"{second} has other data than it was scored from" in run.log
    assert f"{third} has labels that its evaluation lacks, but no features.csv any more" in run.log
    mark.write_text("{")
    assert f"{third} is left out: features/{third}/_meta.json is damaged" in day.run("late-labels", ds="2026-11-30").log


def test_late_labels_are_found_without_reading_data(scored_days: Day, files: dict[str, Path]) -> None:
    deliver_to(scored_days, files, SCORED[1], {1: "A"})
    for path in scored_days.root.glob("*/*/*.csv"):
        path.unlink()
    assert late(scored_days) == [SCORED[1]]
