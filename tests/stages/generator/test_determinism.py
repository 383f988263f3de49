"""The same order gives the same bytes, whatever else is different; another order gives others."""

from pathlib import Path

import pytest
from feed import DS, Day, generate, read_day, run_in_process

ORDER = ("--rows", "4000", "--seed", "7", "--dirty", "0.05")
OTHER_SEED = tuple("8" if word == "7" else word for word in ORDER)


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> Day:
    return generate(tmp_path_factory.mktemp("ordered"), *ORDER)


@pytest.mark.parametrize(
    ("options", "env"),
    [
        ((), {}),
        (("--processes", "3"), {}),
        ((), {"PYTHONHASHSEED": "1", "TZ": "Pacific/Auckland", "LANG": "C"}),
    ],
    ids=["again", "three processes", "another environment"],
)
def test_same_order_gives_the_same_bytes(
    ordered: Day, tmp_path: Path, options: tuple[str, ...], env: dict[str, str]
) -> None:
    assert run_in_process(tmp_path, *ORDER, *options, env=env).code == 0
    assert read_day(tmp_path).files == ordered.files


def test_same_order_over_an_old_partition_gives_the_same_bytes(ordered: Day, tmp_path: Path) -> None:
    generate(tmp_path, "--rows", "100")
    assert generate(tmp_path, *ORDER).files == ordered.files


@pytest.mark.parametrize(("ds", "order"), [("2026-11-22", ORDER), (DS, OTHER_SEED)], ids=["day", "seed"])
def test_other_order_gives_other_payments(ordered: Day, tmp_path: Path, ds: str, order: tuple[str, ...]) -> None:
    other = generate(tmp_path, *order, ds=ds)
    same = len(set(other.lines) & set(ordered.lines))
    assert same < len(ordered.lines) / 100


def test_dirt_leaves_the_other_rows_as_they_are(clean_day: Day, dirty_day: Day) -> None:
    same = sum(clean == dirty for clean, dirty in zip(clean_day.lines, dirty_day.lines, strict=True))
    assert same >= 0.7 * len(clean_day.lines)
