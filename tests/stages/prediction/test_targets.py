"""Targets are joined by what their texts mean, by the types of the model's schema."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stagekit.contract import Encoder, Feature

from targets import NO_TARGET, Targets

SCHEMA = {
    "missingValues": ["", "NA"],
    "fields": [
        {"name": "shop", "type": "integer", "role": "key"},
        {"name": "day", "type": "date", "format": "%d/%m/%Y", "role": "key"},
        {"name": "weight", "type": "number", "role": "feature"},
        {"name": "sold", "type": "boolean", "trueValues": ["yes"], "falseValues": ["no"], "role": "target"},
    ],
}
ENCODER = Encoder(("shop", "day"), "sold", ("false", "true"), (Feature("weight", "weight", "number"),), SCHEMA)


def read(folder: Path, *rows: str) -> Targets:
    path = folder / "target.csv"
    path.write_text("\n".join(["sold,day,shop", *rows]) + "\n")
    return Targets(path, "raw/x/target.csv", ENCODER)


def test_typed_keys_and_classes_meet_what_preprocessing_wrote(tmp_path: Path) -> None:
    found = read(tmp_path, "yes,21/11/2026,7", "no,22/11/2026,007", "yes,21/11/2026,+8")
    codes = found.codes_of([["7", "7", "8", "8"], ["2026-11-21", "2026-11-22", "2026-11-21", "2026-11-22"]])
    assert codes.tolist() == [1, 0, 1, NO_TARGET]


def test_rows_of_no_use_are_counted_by_reason(tmp_path: Path) -> None:
    found = read(
        tmp_path, "yes,21/11/2026,7", "no,21/11/2026,07", "NA,22/11/2026,7", "maybe,22/11/2026,8", "no,2026-11-22,9",
        "no,,9", "no,22/11/2026,NA", "no,22/11/2026",
    )  # fmt: skip
    assert found.rows == 8
    assert found.counts == {"repeated": 1, "missing": 1, "unreadable": 4, "malformed": 1}
    assert found.usable == 1
    assert found.codes_of([["7"], ["2026-11-21"]]).tolist() == [1]  # the first of the two


def test_file_with_a_header_alone_has_no_targets(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert (found.rows, found.usable) == (0, 0)
    assert found.codes_of([["7"], ["2026-11-21"]]).tolist() == [NO_TARGET]


@pytest.mark.parametrize("columns", [["ab", "c"], ["a", "bc"]])
def test_keys_are_columns_not_their_texts_in_a_row(tmp_path: Path, columns: list[str]) -> None:
    encoder = Encoder(("one", "two"), "y", ("0", "1"), (Feature("x", "x", "number"),), {"fields": []})
    path = tmp_path / "target.csv"
    path.write_text("one,two,y\n" + ",".join(columns) + ",1\n")
    found = Targets(path, "target.csv", encoder)
    assert found.codes_of([["ab", "a"], ["c", "bc"]]).tolist() == [1 if columns[0] == k else -1 for k in ("ab", "a")]


KEYS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters='",\r\n\0'), min_size=1), unique=True, max_size=40
)


@given(KEYS, st.data())
def test_every_key_finds_its_own_class(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str], data: st.DataObject
) -> None:
    encoder = Encoder(("id",), "y", ("a", "b", "c"), (Feature("x", "x", "number"),), {"fields": []})
    codes = data.draw(st.lists(st.integers(0, 2), min_size=len(keys), max_size=len(keys)))
    order = data.draw(st.permutations(range(len(keys))))
    path = tmp_path_factory.mktemp("targets") / "target.csv"
    lines = [f'"{keys[n]}",{"abc"[codes[n]]}' for n in order]
    path.write_text("\n".join(["id,y", *lines]) + "\n", encoding="utf-8")
    assert Targets(path, "target.csv", encoder).codes_of([keys]).tolist() == codes
