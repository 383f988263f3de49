"""Labels are joined by their keys, whatever the keys are."""

import pytest
from conftest import DAY, World
from hypothesis import given
from hypothesis import strategies as st
from scored import scored
from stagekit import read_partition
from stagekit.contract import read_encoder

from labels import NO_LABEL, Labels, read_counts, read_examples
from tests.hostile import RUNS


def label(world: World, rows: list[list[str]]) -> Labels:
    world.target(rows)
    partition = read_partition(world.root, f"labels/{DAY}", ["labels.csv", "rejected.csv"])
    return Labels(partition, read_encoder(read_partition(world.root, "models/2026-11-14", ["encoder.json"])))


def test_labels_of_a_day_have_counts_examples_and_codes(world: World) -> None:
    rows = [["1", "1", "1"], ["1", "1", "1"], ["2", "1", ""], ["3", "1", "lost"], ["4", "1", "0"], ["4", "1", "1"]]
    found = label(scored(world), rows)
    partition = read_partition(world.root, f"labels/{DAY}", ["labels.csv", "rejected.csv"])
    counts = {"rows": 6, "malformed": 0, "missing": 1, "unreadable": 0, "contradictory": 2, "repeated": 1}
    assert read_counts(partition) == counts
    assert read_examples(partition) == [
        "target.csv line 3: order, line: duplicate",
        "target.csv line 4: returned: missing, a value is required",
        "target.csv line 6: order, line: another label",
        "target.csv line 7: order, line: another label",
    ]
    assert (found.rows, found.new_classes) == (2, ["lost"])
    assert found.codes_of([["1", "2", "3"], ["1", "1", "1"]]).tolist() == [1, NO_LABEL, 2]


def test_counts_of_before_contradictions_were_counted_are_read(world: World) -> None:
    world = scored(world)
    world.target([])
    before = ("rows", "malformed", "missing", "unreadable", "repeated")
    world.label([], counts=dict.fromkeys(before, 3))
    mark = world.root / f"labels/{DAY}/_meta.json"
    mark.write_text(mark.read_text().replace('"contradictory"', '"other"'))
    partition = read_partition(world.root, f"labels/{DAY}", ["labels.csv"])
    assert read_counts(partition) == {**dict.fromkeys(before, 3), "contradictory": 0}


def test_target_without_a_usable_row_has_no_labels(world: World) -> None:
    found = label(scored(world), [["1", "1", ""]])
    assert found.rows == 0
    assert found.codes_of([["1"], ["1"]]).tolist() == [NO_LABEL]


@pytest.mark.parametrize("columns", [["ab", "c"], ["a", "bc"]])
def test_keys_are_columns_not_their_joined_texts(world: World, columns: list[str]) -> None:
    found = label(scored(world), [[*columns, "1"]])
    assert found.codes_of([["ab", "a"], ["c", "bc"]]).tolist() == [1 if columns[0] == k else -1 for k in ("ab", "a")]


KEYS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1), unique=True, max_size=40)


@RUNS
@given(KEYS, st.data())
def test_every_key_finds_its_own_class(world: World, keys: list[str], data: st.DataObject) -> None:
    codes = data.draw(st.lists(st.integers(0, 1), min_size=len(keys), max_size=len(keys)))
    order = data.draw(st.permutations(range(len(keys))))
    if not (world.root / "predictions").exists():
        scored(world)
    found = label(world, [[keys[n], "1", "01"[codes[n]]] for n in order])
    assert found.codes_of([keys, ["1"] * len(keys)]).tolist() == codes
