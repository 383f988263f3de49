"""A day that is there already, as the same order would make it, is found without Faker."""

import json
import subprocess
from pathlib import Path

import pytest
from feed import DS, STAGE, arguments, generate, read_day, run

SMALL = ("--rows", "300")


def test_same_order_again_makes_no_table(tmp_path: Path) -> None:
    first, again = run(tmp_path, *SMALL), run(tmp_path, *SMALL)
    assert (first.code, again.code) == (0, 0)
    assert ["making 300 payments" in done.log for done in (first, again)] == [True, False]
    assert f"raw/{DS} (step generate) is up to date: made " in again.log
    expected = {name: value for name, value in first.result.items() if name != "seconds"}
    assert {**expected, "cached": True} == {name: value for name, value in again.result.items() if name != "seconds"}


def test_faker_is_loaded_for_work_only(tmp_path: Path) -> None:
    python, script = STAGE
    command = [python, "-X", "importtime", script, *arguments(tmp_path, *SMALL)]
    loaded = [subprocess.run(command, text=True, capture_output=True, check=True).stderr for _ in range(2)]
    assert ["faker.providers" in modules for modules in loaded] == [True, False]


def test_rows_by_date_are_the_same_order_as_long_as_the_date_is(tmp_path: Path) -> None:
    assert "cached" not in run(tmp_path).result
    assert run(tmp_path).result["cached"] is True
    assert "cached" not in run(tmp_path, ds="2026-11-22").result


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--rows", "301"), "--rows 300 then, 301 now"),
        ((*SMALL, "--seed", "43"), "--seed 42 then, 43 now"),
        ((*SMALL, "--dirty", "0"), "--dirty 0.015 then, 0.0 now"),
    ],
)
def test_another_order_is_made(tmp_path: Path, options: tuple[str, ...], expected: str) -> None:
    run(tmp_path, *SMALL)
    again = run(tmp_path, *options)
    assert "cached" not in again.result
    assert f"doing it again: {expected}" in again.log


def test_edited_or_lost_file_is_made_again(tmp_path: Path) -> None:
    before = generate(tmp_path, *SMALL).files
    (tmp_path / "raw" / DS / "data.csv").write_bytes(before["data.csv"].replace(b"chip", b"CHIP"))
    (tmp_path / "raw" / DS / "schema.json").unlink()
    again = run(tmp_path, *SMALL)
    assert "output data.csv has sha256 " in again.log
    assert "output schema.json is gone" in again.log
    assert read_day(tmp_path).files == before


def test_explain_makes_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, *SMALL, "--explain").result["explain"] == {"hit": False, "changed": ["it was not done before"]}
    assert list(tmp_path.iterdir()) == []
    run(tmp_path, *SMALL)
    mark = tmp_path / "raw" / DS / "_meta.json"
    before = mark.read_bytes()
    assert run(tmp_path, *SMALL, "--explain").result["explain"]["hit"] is True
    assert mark.read_bytes() == before
    assert json.loads(before)["steps"]["generate"]["result"]["rows"] == 300


def test_force_makes_the_same_bytes(tmp_path: Path) -> None:
    before = generate(tmp_path, *SMALL).files
    forced = run(tmp_path, *SMALL, "--force")
    assert "making 300 payments" in forced.log
    assert "cached" not in forced.result
    assert read_day(tmp_path).files == before
