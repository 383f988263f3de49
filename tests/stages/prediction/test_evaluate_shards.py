"""A scored day in shards is evaluated as the day: the same bytes and the same result, whatever its labels are."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from zlib import crc32

import pytest
from conftest import DAY, EARLIER_DAY, Result, World, csv_text, load_fixture, written
from hypothesis import given
from hypothesis import strategies as st
from scored import EVALUATION, LENIENT, MODEL
from stagekit import Partition, read_partition

import labels
from tests.hostile import RUNS

SHARDS = 3
ORDERS = ("00000", 'a "b",\nc')
COUNTS = {"malformed": 1, "missing": 2, "unreadable": 3, "repeated": 4}
Rows = Sequence[Sequence[Any]]


def publish_in_shards(
    world: World, name: str, header: list[str], rows: Rows, inputs: list[Partition], **recorded: Any
) -> None:
    """Publish a table of the day with its shards, as `preprocessing` does: the last shard has no rows."""
    (kind, _), shards = name.split("/"), []
    rejected = {"rejected.csv": "file,line,reason,row\ntarget.csv,7,why,x\n"}
    for number in range(1, SHARDS + 1):
        mine = {line: row for line, row in enumerate(rows, start=2) if _shard(row) == number}
        files = {f"{kind}.csv": written(header, mine.values()), "lines.csv": written(["line"], [[n] for n in mine])}
        place = f"shards/{DAY}-{kind}-{number}of{SHARDS}"
        files |= {**rejected, "counts.json": json.dumps({"hash_sample": 5})}
        world.publish(place, kind, files, inputs, **recorded)
        shards.append(read_partition(world.root, place, [*files]))
    whole = {f"{kind}.csv": written(header, rows), **rejected}
    world.publish(name, kind, whole, [*inputs, *shards], **recorded)


def _shard(row: Sequence[Any]) -> int:
    return 1 + crc32(f"{row[0]},{row[1]}".encode()) % (SHARDS - 1)


def train(world: World, name: str, *, weights: bool, costs: Mapping[str, Any]) -> None:
    """A validated model of an earlier day."""
    world.fixture = load_fixture(name)
    encoder, (header, *lines) = world.fixture.encoder, (line.split(",") for line in world.val().splitlines())
    shop = world.fixture.features.index("shop")
    encoder["features"][shop] |= {"kind": "category", "values": [f"shop {code}" for code in range(8)]}
    if weights:
        encoder["weight"] = "drawn"
        header.insert(1, "drawn")
        lines = [[line[0], str(1 + number % 7), *line[1:]] for number, line in enumerate(lines)]
    world.train(EARLIER_DAY, val=csv_text(header, lines), encoder=json.dumps(encoder))
    assert world.run("validate", "--ds", EARLIER_DAY, "--rules-json", json.dumps({"costs": costs})).code == 0


def score(world: World, weights: Sequence[Any] = ()) -> None:
    """The day's features in shards, with these weights, and its predictions in shards."""
    rows = [[order, n, *row] for n, row in enumerate(world.fixture.rows) for order in ORDERS]
    header = ["order", "line", *(["drawn"] if weights else []), *world.fixture.features]
    if weights:
        rows = [[*row[:2], weights[n % len(weights)], *row[2:]] for n, row in enumerate(rows)]
    encoder = read_partition(world.root, MODEL, ["encoder.json"])
    counted = {"rows_in": 430, "rows_out": len(rows), "rejected": {"data.csv": 30}, "reasons": {"x: missing": 30}}
    publish_in_shards(world, f"features/{DAY}", header, rows, [encoder], result=counted)
    for shard in (*range(1, SHARDS + 1), None):
        one = ["--shard", str(shard)] if shard else []
        assert world.run("predict", "--ds", DAY, "--model", MODEL, "--shards", str(SHARDS), *one).code == 0


def publish_labels(world: World, rows: Rows) -> None:
    """The labels in shards; of each key the first row counts."""
    world.publish(f"raw/{DAY}", "deliver", {"target.csv": written(["order", "line", "returned"], rows)})
    inputs = [
        read_partition(world.root, f"raw/{DAY}", ["target.csv"]),
        read_partition(world.root, MODEL, ["encoder.json"]),
    ]
    first = {(row[0], str(row[1])): row for row in reversed(rows)}
    known = list(first.values())
    header = ["order", "line", "returned"]
    publish_in_shards(world, f"labels/{DAY}", header, known, inputs, result={"rows": len(rows) + 10, **COUNTS})


def labels_of(world: World) -> list[list[Any]]:
    """A label for most rows, in another order than theirs, and of rows that are not there."""
    rows = [[order, n, world.fixture.classes[code]] for order in ORDERS for n, code in enumerate(world.codes())]
    return [*rows[:333:-1], ["99999", 1, "0"], *rows[:330], ["99999", 2, "never seen, not scored"]]


def evaluate(world: World, *options: str, rules: str = LENIENT) -> Result:
    return world.run("evaluate", "--ds", DAY, "--rules-json", rules, *options)


def evaluate_shards(world: World, shards: Iterable[int] = range(1, SHARDS + 1), rules: str = LENIENT) -> None:
    for shard in shards:
        found = evaluate(world, "--shards", str(SHARDS), "--shard", str(shard), rules=rules)
        assert found.code == 0, found.errors


def check_same(world: World, rules: str = LENIENT) -> dict[str, Any]:
    """Evaluate the day without shards and with them; returns what was found."""
    whole = evaluate(world, "--force", rules=rules)
    assert whole.code == 0, whole.errors
    content = (world.root / EVALUATION).read_bytes()
    evaluate_shards(world, rules=rules)
    merged = evaluate(world, "--shards", str(SHARDS), "--force", rules=rules)
    assert merged.code == 0, merged.errors
    assert (world.root / EVALUATION).read_bytes() == content
    assert {**merged.result, "seconds": 0} == {**whole.result, "seconds": 0}
    return world.json(EVALUATION)


@pytest.fixture
def day(world: World) -> World:
    train(world, "binary", weights=False, costs={})
    score(world)
    return world


@pytest.mark.parametrize(
    ("name", "weights", "costs"),
    [
        ("binary", (), {}),
        ("binary_complete", (), {"false_positive": 1, "false_negative": 5}),
        ("binary_categories", (0.5, 1, 7, 2), {"false_positive": 2, "false_negative": 30}),
        ("binary_categories", (0.5, 1, "", 2), {}),
        ("multiclass", (), {}),
    ],
)
def test_day_in_shards_has_the_same_evaluation(
    world: World, name: str, weights: tuple[Any, ...], costs: dict[str, Any]
) -> None:
    train(world, name, weights=bool(weights), costs=costs)
    score(world, weights)
    assert check_same(world)["metrics"] is None
    publish_labels(world, labels_of(world))
    found = check_same(world)
    assert found["metrics"]["rows"] == found["target"]["matched"] == 396
    assert ("cost" in found["metrics"], "weighted" in found["metrics"]) == (bool(costs), bool(weights and all(weights)))
    assert found["segments"]["parts"]
    assert found["quality"]["rows_in"] == 430
    step = json.loads((world.root / EVALUATION).with_name("_meta.json").read_text())["steps"]["evaluate"]
    assert {f"shards/{DAY}-reports-3of3/labelled.npz", f"labels/{DAY}/labels.csv"} < step["inputs"].keys()


@pytest.mark.parametrize("classes", [3, 150])
def test_new_classes_are_named_as_without_shards(day: World, classes: int) -> None:
    rows = labels_of(day)
    for number, row in enumerate(rows[:300]):
        row[2] = f"class {number % classes:03d}"
    publish_labels(day, rows)
    new = check_same(day)["target"]["new_classes"]
    assert (labels.OTHER_CLASSES in new, len(new)) == (classes == 150, min(classes, labels.MOST_NEW_CLASSES + 1))
    assert {"class 000", "class 002"} < new.keys()
    assert sum(new.values()) == 299  # one is of a row that is not there


LABELS = st.tuples(st.sampled_from(ORDERS), st.integers(0, 205), st.sampled_from(["0", "1", "1", "2", "lost", "é,\n"]))


@RUNS
@given(st.lists(LABELS, max_size=40))
def test_any_labels_give_the_same_evaluation(world: World, rows: list[tuple[str, int, str]]) -> None:
    if not (world.root / "features").exists():
        train(world, "binary", weights=False, costs={})
        score(world)
    publish_labels(world, rows)
    check_same(world)


def test_rules_of_the_shards_are_those_of_the_day(day: World) -> None:
    evaluate_shards(day)
    found = evaluate(day, "--shards", str(SHARDS), rules='{"segments": []}')
    assert (found.code, "reports-1of3/counts.json was made with another rules" in found.errors) == (3, True)


def test_evaluated_shards_of_other_labels_are_refused(day: World) -> None:
    publish_labels(day, labels_of(day))
    evaluate_shards(day)
    publish_labels(day, labels_of(day)[:200])
    found = evaluate(day, "--shards", str(SHARDS))
    assert found.code == 3
    assert f"was made with another shards/{DAY}-labels-1of3/labels.csv" in found.errors


def test_labels_that_came_since_are_refused(day: World) -> None:
    evaluate_shards(day)
    publish_labels(day, labels_of(day))
    found = evaluate(day, "--shards", str(SHARDS))
    assert found.code == 3
    assert f"was made with another shards/{DAY}-labels-1of3/labels.csv" in found.errors


def test_day_that_was_not_scored_in_shards_is_not_ready(world: World) -> None:
    train(world, "binary", weights=False, costs={})
    world.prepare(MODEL)
    assert world.run("predict", "--ds", DAY, "--model", MODEL).code == 0
    found = evaluate(world, "--shards", str(SHARDS), "--shard", "1")
    assert found.code == 4
    assert f"partition shards/{DAY}-predictions-1of3 is not ready" in found.errors
    assert "or `evaluate` in as many as it was scored in" in found.errors
    found = evaluate(world, "--shards", str(SHARDS))
    assert (found.code, f"features/{DAY} was not made from shards/{DAY}-features-1of3" in found.errors) == (3, True)


def test_labels_without_shards_are_refused(day: World) -> None:
    day.publish(f"raw/{DAY}", "deliver", {"target.csv": csv_text(["order", "line", "returned"], [["00000", 1, 1]])})
    day.label([["00000", 1, 1]])
    found = evaluate(day, "--shards", str(SHARDS), "--shard", "1")
    assert found.code == 4
    assert f"do: run `preprocessing label --ds {DAY} --shards 3 --shard 1`" in found.errors


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"hash_sample": 5}, "{labels} has the labels of other rows than {features}: their images may put rows"),
        ({}, "an older image has made {features}, which does not say how: their images may put rows"),
    ],
)
def test_labels_by_another_hash_are_refused(day: World, counts: dict[str, int], expected: str) -> None:
    """They would be in another shard than their rows, and missed."""
    publish_labels(day, labels_of(day))
    place, features = (f"shards/{DAY}-{kind}-1of3" for kind in ("labels", "features"))
    there = {path.name: path.read_text() for path in (day.root / features).glob("*.csv")}
    day.publish(features, "features", {**there, "counts.json": json.dumps(counts)})
    inputs = [read_partition(day.root, f"raw/{DAY}", ["target.csv"]), read_partition(day.root, MODEL, ["encoder.json"])]
    files = {"labels.csv": "order,line,returned\n", "counts.json": '{"hash_sample": 6}'}
    day.publish(place, "labels", files, inputs)
    found = evaluate(day, "--shards", str(SHARDS), "--shard", "1")
    assert found.code == 3
    assert expected.format(labels=place, features=features) in found.errors
