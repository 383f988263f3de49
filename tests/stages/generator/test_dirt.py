"""Dirty rows: the result line counts each kind, and the files hold exactly as many."""

from pathlib import Path

import pytest
from feed import Day, generate, run, violations

BROKEN = ("malformed_time", "missing_value", "out_of_range", "unknown_value", "wrong_type")


@pytest.fixture(scope="module")
def dirt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Day, dict[str, int]]:
    root = tmp_path_factory.mktemp("dirt")
    order = ("--rows", "6000", "--dirty", "0.4")
    return generate(root, *order), dict(run(root, *order).result["dirty_rows"])


def originals(day: Day) -> list[dict[str, str]]:
    """The rows that are no copy of the row before."""
    return [row for before, row in zip([None, *day.rows], day.rows, strict=False) if row != before]


def test_every_kind_is_there(dirt: tuple[Day, dict[str, int]]) -> None:
    assert set(dirt[1]) == {*BROKEN, "duplicate_key", "duplicate_row", "row_without_target", "target_without_row"}
    assert all(count > 150 for count in dirt[1].values())
    assert 0.36 < sum(dirt[1].values()) / 6000 < 0.44


def test_duplicate_rows_are_counted(dirt: tuple[Day, dict[str, int]]) -> None:
    day, kinds = dirt
    assert len(day.rows) - len(originals(day)) == kinds["duplicate_row"]


def test_duplicate_keys_are_counted(dirt: tuple[Day, dict[str, int]]) -> None:
    rows = originals(dirt[0])
    assert len(rows) - len({row["transaction_id"] for row in rows}) == dirt[1]["duplicate_key"]


def test_broken_rows_are_counted(dirt: tuple[Day, dict[str, int]]) -> None:
    day, kinds = dirt
    broken = [row for row in originals(day) if violations(row, day.schema)]
    assert len(broken) == sum(kinds[kind] for kind in BROKEN)
    assert {column for row in broken for column in violations(row, day.schema)} == {
        *("amount", "authenticated", "card_age_days", "channel", "country", "customer_id", "distance_from_home_km"),
        *("merchant_category", "time", "transactions_last_24h"),
    }


def test_lonely_rows_and_labels_are_counted(dirt: tuple[Day, dict[str, int]]) -> None:
    day, kinds = dirt
    keys = {row["transaction_id"] for row in day.rows}
    assert len(keys - day.labels.keys()) == kinds["row_without_target"]
    assert len(day.labels.keys() - keys) == kinds["target_without_row"]
    assert len(day.labels) == day.target_rows


def test_dirt_is_little_by_default_and_can_be_none(tmp_path: Path) -> None:
    default = run(tmp_path, "--rows", "10000").result["dirty_rows"]
    none = run(tmp_path, "--rows", "10000", "--dirty", "0").result["dirty_rows"]
    assert 0.01 < sum(default.values()) / 10000 < 0.02
    assert sum(none.values()) == 0
    assert none.keys() == default.keys()


@pytest.mark.parametrize("rows", ["1", "30"])
def test_rows_may_all_be_dirty(tmp_path: Path, rows: str) -> None:
    assert sum(run(tmp_path, "--rows", rows, "--dirty", "1").result["dirty_rows"].values()) == int(rows)
