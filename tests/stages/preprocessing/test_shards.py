"""A day in shards is the day: the same bytes and counts, whatever its rows are and however many shards it has."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA_HEADER, DS, SCHEMA, Day, Run, field, flock, graded, in_order, read_csv, sheep, to_csv
from hypothesis import given
from hypothesis import strategies as st
from stagekit import Publication
from stagekit.shards import Shard

from csv_input import CsvFile
from row_shards import OwnRows
from table_schema import Field
from tests.hostile import BAD_INPUT, DONE, RUNS, tables

MODEL = "models/2026-11-01"
ANY = ("--max-rejected", "1")
PLACES = {"prepare": f"processed/{DS}", "features": f"features/{DS}", "label": f"labels/{DS}"}
FILES = {
    "prepare": ["train_data.csv", "rejected.csv"],
    "features": ["features.csv", "rejected.csv"],
    "label": ["labels.csv", "rejected.csv"],
}
# Two dozen good rows, and rows with each kind of fault, some of which take more than one row or file to see.
GOOD = [sheep(number) for number in range(24)]
FAULTS = [
    sheep(3),  # a duplicate
    [*sheep(4)[:4], "9", *sheep(4)[5:]],  # the same key with other content
    [*sheep(30)[:4], "many", *sheep(30)[5:]],
    ["", *sheep(31)[1:]],  # no key
    ["no key", *sheep(32)[1:]],
    [*sheep(33)[:7], "says \"hm\",\nand more"],
    sheep(34)[:5],  # malformed
    sheep(35),  # no target
    [*sheep(36)[:4], "many", *sheep(36)[5:]],
]  # fmt: skip
DATA = to_csv([*DATA_HEADER, "other"], [[*row, "x"] for row in [*GOOD[:9], *FAULTS, *GOOD[9:]]])
TARGETS = [graded(number) for number in [*reversed(range(24)), 30, 31, 33, 36, 40]]
TARGET = to_csv(["tag", "grade"], [*TARGETS, graded(7), ["tag-8", "C"], ["tag-33", "Z"], ["", "A"]])
# Rows with every kind of fault, and of more new classes than a result names.
NEW_CLASSES = to_csv(["tag", "grade"], [*TARGETS, *([f"tag-{n}", f"class {n % 37}"] for n in range(100, 190))])
# Without quotes a shard reads no more of the other rows than their keys.
PLAIN = "".join(line for line in DATA.splitlines(keepends=True) if '"' not in line and "and more" not in line)
HALF_QUOTED = DATA.replace("farm 7", 'farm "7', 1)
TURNED = in_order(PLAIN, [*DATA_HEADER[::-1], "other"])


def in_shards(day: Day, command: str, shards: int, *options: str) -> Run:
    """Make the shards, then the day of them; returns the run that failed, or the last."""
    for shard in range(1, shards + 1) if shards > 1 else []:
        run = day.run(command, "--shards", str(shards), "--shard", str(shard), *options)
        if run.code != DONE:
            return run
    return day.run(command, "--shards", str(shards), *options)


def check_same(day: Day, command: str, shards: int, *options: str) -> bool:
    """Do a step without shards and with them; returns whether it can be done."""
    whole = day.run(command, *options)
    folder = day.file(PLACES[command])
    files = {name: (folder / name).read_bytes() for name in FILES[command]} if whole.code == DONE else {}
    merged = in_shards(day, command, shards, *options)
    assert merged.code == whole.code, merged.log
    assert {**merged.result, "seconds": 0} == {**whole.result, "seconds": 0}
    assert {name: (folder / name).read_bytes() for name in files} == files
    assert day.leftovers() == []
    return whole.code == DONE


@pytest.mark.parametrize(
    ("data", "shards"), [(DATA, 1), (DATA, 8), (PLAIN, 2), (PLAIN, 3), (PLAIN, 8), (HALF_QUOTED, 3), (TURNED, 3)]
)
def test_day_with_faults_is_the_same_in_shards(day: Day, data: str, shards: int) -> None:
    day.publish(data, TARGET)
    assert check_same(day, "prepare", shards, *ANY)
    assert day.run("split").code == DONE
    day.publish_model()
    assert check_same(day, "features", shards, "--model", MODEL, *ANY)
    made = json.loads(day.file(f"features/{DS}/_meta.json").read_text())["steps"]["features"]["inputs"]
    assert (f"shards/{DS}-features-2of{shards}/features.csv" in made) is (shards > 1)


def publish_scored(day: Day, target: str | bytes, schema: dict[str, Any] = SCHEMA) -> None:
    """A model, and a day that it has scored, with these labels."""
    day.publish(*flock(60))
    assert (day.run("prepare").code, day.run("split").code) == (DONE, DONE)
    day.publish_model()
    with Publication(day.root, f"predictions/{DS}", "predict", parameters={"model": MODEL}) as publication:
        publication.path("predictions.csv").write_text("tag,prediction\n")
    day.publish(DATA, target, schema)


@pytest.mark.parametrize("target", [TARGET, NEW_CLASSES, "tag,grade\n", TARGET.replace("tag-7,", 'tag-7,"', 1)])
@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("shards", [2, 8])
def test_labels_with_faults_are_the_same_in_shards(day: Day, target: str, partial: bool, shards: int) -> None:
    fields = [{**f, "partial": partial} if f["role"] == "target" else f for f in SCHEMA["fields"]]
    publish_scored(day, target, {**SCHEMA, "fields": fields})
    assert check_same(day, "label", shards)
    made = json.loads(day.file(f"labels/{DS}/_meta.json").read_text())["steps"]["label"]["inputs"]
    assert f"shards/{DS}-labels-2of{shards}/labels.csv" in made


@RUNS
@given(target=st.one_of(tables(TARGET), tables(NEW_CLASSES)), shards=st.sampled_from([2, 3, 8]))
def test_any_labels_are_the_same_in_shards(day: Day, target: bytes, shards: int) -> None:
    publish_scored(day, target)
    check_same(day, "label", shards)


def test_labels_are_in_the_shard_of_their_features(day: Day) -> None:
    publish_scored(day, TARGET)
    day.publish(*flock(60))
    assert in_shards(day, "features", 4, "--model", MODEL).code == DONE
    assert in_shards(day, "label", 4).code == DONE
    samples = set()
    for shard in range(1, 5):
        found = [day.file(f"shards/{DS}-{kind}-{shard}of4") for kind in ("features", "labels")]
        keys = [{row["tag"] for row in read_csv(folder / f"{folder.name[11:-5]}.csv")} for folder in found]
        assert keys[0] == keys[1] != set()
        samples |= {json.loads((folder / "counts.json").read_text())["hash_sample"] for folder in found}
    assert len(samples) == 1


def test_day_without_labels_has_none_in_shards(day: Day) -> None:
    publish_scored(day, TARGET)
    with Publication(day.root, f"raw/{DS}", "generate") as publication:
        publication.path("data.csv").write_text(DATA)
    for options in (["--shard", "1"], []):
        run = day.run("label", "--shards", "2", *options)
        assert (run.code, run.result["labels"]) == (DONE, None)
    assert not day.file(f"shards/{DS}-labels-1of2").exists()


def test_labels_are_not_made_of_shards_of_an_earlier_delivery(day: Day, files: dict[str, Path]) -> None:
    publish_scored(day, TARGET)
    assert in_shards(day, "label", 2).code == DONE
    files["target.csv"].write_text(to_csv(["tag", "grade"], [["tag-1", "C"], ["tag-2", "D"]]))
    assert day.run("import-target", "--target", str(files["target.csv"]), reuse=True).code == DONE
    run = day.run("label", "--shards", "2")
    assert run.code == BAD_INPUT
    assert "labels-1of2/labels.csv was made with another raw/2026-11-21/target-2.csv" in run.log
    assert in_shards(day, "label", 2).code == DONE


def test_shard_has_the_same_bytes_each_time(day: Day) -> None:
    day.publish(DATA, TARGET)
    found = set()
    for _ in range(4):
        assert day.run("prepare", "--shards", "2", "--shard", "1", "--force", *ANY).code == DONE
        found.add(day.file(f"shards/{DS}-processed-1of2/counts.json").read_bytes())
    assert len(found) == 1


@RUNS
@given(
    data=st.one_of(tables(DATA), tables(PLAIN)),
    target=st.one_of(st.just(TARGET.encode()), tables(TARGET)),
    shards=st.sampled_from([2, 3, 8]),
)
def test_any_day_is_the_same_in_shards(day: Day, data: bytes, target: bytes, shards: int) -> None:
    day.publish(data, target)
    check_same(day, "prepare", shards, *ANY)


def test_limit_counts_the_rows_of_the_day(day: Day) -> None:
    """Most shards have a larger share of bad rows than the day, or a smaller one."""
    day.publish(DATA, TARGET)
    bad = day.run("prepare").code, in_shards(day, "prepare", 8)
    assert (bad[0], bad[1].code) == (BAD_INPUT, BAD_INPUT)
    assert "rows of raw/2026-11-21/data.csv are rejected" in bad[1].log


def test_keys_of_any_type_meet(day: Day) -> None:
    """Equal keys are written in different ways here, in both files."""
    fields = [field("number", "integer", "key"), field("at", "datetime", "key"), *SCHEMA["fields"][1:]]
    schema = {**SCHEMA, "fields": fields, "primaryKey": ["number", "at"]}
    header = ["number", "at", *DATA_HEADER[1:]]
    keys = [(f"{n}.0" if n % 2 else str(n), f"2026-11-0{1 + n % 9}T00:00:00") for n in range(40)]
    rows = [[*key, *sheep(n)[1:]] for n, key in enumerate(keys)]
    again = [[str(n), f"2026-11-0{1 + n % 9}T01:00:00+01:00", *sheep(n)[1:]] for n in (1, 2, 3)]
    targets = [[str(n), at, graded(n)[1]] for n, (_, at) in enumerate(keys)]
    day.publish(to_csv(header, [*rows, *again]), to_csv(["number", "at", "grade"], targets), schema)
    assert check_same(day, "prepare", 5, *ANY)
    assert len(day.rows(f"processed/{DS}/train_data.csv")) == 40


def test_shards_share_the_rows(day: Day) -> None:
    day.publish(*flock(600))
    assert in_shards(day, "prepare", 4).code == DONE
    rows = [len(day.rows(f"shards/{DS}-processed-{n}of4/lines.csv")) for n in range(1, 5)]
    assert sum(rows) == 600
    assert min(rows) > 100


def test_day_is_not_made_of_other_shards(day: Day) -> None:
    day.publish(*flock(60))
    run = day.run("prepare", "--shards", "2")
    assert (run.code, "shards/2026-11-21-processed-1of2 is not ready" in run.log) == (4, True)
    assert in_shards(day, "prepare", 2).code == DONE
    again = day.run("prepare", "--shards", "2", reuse=True)
    assert again.code == DONE
    day.publish(*flock(61))
    run = day.run("prepare", "--shards", "2")
    assert run.code == BAD_INPUT
    assert "processed-1of2/train_data.csv was made with another raw/2026-11-21/data.csv" in run.log
    assert "do: run the same command with --shard 1" in run.log


def test_day_is_not_made_of_shards_with_more_labels(day: Day, files: dict[str, Path]) -> None:
    day.publish(*flock(60))
    files["target.csv"].write_text(to_csv(["tag", "grade"], [["tag-1", "C"], ["tag-2", "C"]]))
    arrived = ("--arrived", "2099-11-26")
    assert day.run("import-target", "--target", str(files["target.csv"]), *arrived, reuse=True).code == DONE
    as_of = ("--as-of", "2098-11-21")
    assert in_shards(day, "prepare", 2).code == DONE
    run = day.run("prepare", "--shards", "2", *as_of)
    assert run.code == BAD_INPUT
    assert "was made with raw/2026-11-21/target-2.csv, which the day is not made from" in run.log
    assert in_shards(day, "prepare", 2, *as_of).code == DONE


@pytest.mark.parametrize("options", [["--shard", "1"], ["--shards", "2", "--shard", "3"], ["--shards", "257"]])
def test_shard_that_cannot_be_is_refused(day: Day, options: list[str]) -> None:
    day.publish(*flock(12))
    try:
        code: Any = day.run("prepare", *options).code
    except SystemExit as error:
        code = error.code
    assert code == 2


def test_unique_field_beside_the_key_is_refused(day: Day) -> None:
    fields = [{**f, "constraints": {"unique": True}} if f["name"] == "memo" else f for f in SCHEMA["fields"]]
    day.publish(*flock(12), {**SCHEMA, "fields": fields})
    run = day.run("prepare", "--shards", "2", "--shard", "1")
    assert run.code == BAD_INPUT
    assert "declares memo unique" in run.log


def test_window_of_days_is_prepared_in_shards(day: Day) -> None:
    for ds in ("2026-11-20", DS):
        day.publish(*flock(60), ds=ds)
    run = in_shards(day, "prepare", 2, "--days", "3")
    assert (run.code, run.result["days"]) == (DONE, ["2026-11-20", DS])
    assert len(day.rows("processed/2026-11-20/train_data.csv")) == 60


def resident() -> int:
    """The bytes of memory that this process has."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) << 10


def test_rows_of_a_shard_keep_no_other_rows_in_memory(tmp_path: Path) -> None:
    """A shard of 20,000,000 rows had all their texts in memory, and was killed."""
    path, rows = tmp_path / "data.csv", 4_000_000
    lines = (f'{row},"{row}, a text that is longer than a few letters"\n' for row in range(rows))
    path.write_text("key,text\n" + "".join(lines))
    key = Field("key", "integer", "key", "default", {}, ("true",), ("false",))
    own, file = OwnRows(Shard(1, 8), [key], [""]), CsvFile(path, "data.csv")
    before = resident()
    held = [own.parse(file, block)[0].rows for block in file.blocks()]
    assert sum(frame.height for frame in held) == pytest.approx(rows / 8, rel=0.05)
    assert resident() - before < path.stat().st_size


def test_earlier_day_with_the_shards_of_another_run_is_used(day: Day) -> None:
    for ds in ("2026-11-20", DS):
        day.publish(*flock(60), ds=ds)
    assert in_shards(day, "prepare", 2, "--days", "2").code == DONE
    day.publish(*flock(61), ds="2026-11-20")
    run = day.run("prepare", "--shards", "2", "--days", "2")
    assert (run.code, run.result["days"]) == (DONE, ["2026-11-20", DS])
    assert "2026-11-20 is prepared without shards: shards/2026-11-20-processed-1of2/train_data.csv was made" in run.log
    assert len(day.rows("processed/2026-11-20/train_data.csv")) == 61
    day.publish(*flock(61))
    assert day.run("prepare", "--shards", "2", "--days", "2").code == BAD_INPUT


def test_reason_why_an_earlier_day_has_no_shards_is_that_of_its_rows(day: Day) -> None:
    day.publish("tag\ntag-1\n", flock(60)[1], ds="2026-11-20")
    day.publish(*flock(60))
    run = in_shards(day, "prepare", 2, "--days", "2")
    assert (run.code, run.result["days"]) == (DONE, [DS])
    assert "raw/2026-11-20/data.csv" in run.result["left_out"]["2026-11-20"]
