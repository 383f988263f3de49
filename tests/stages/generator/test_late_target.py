"""Labels that come days after the data: the same bytes, as a step of their own."""

import json
from pathlib import Path
from typing import Any

import pytest
from feed import DS, generate, run

BEFORE, SMALL = "2026-11-20", ("--rows", "300")


def mark(root: Path, ds: str = DS) -> dict[str, Any]:
    return dict(json.loads((root / "raw" / ds / "_meta.json").read_text()))


def files(root: Path, ds: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "raw" / ds).iterdir() if path.name != "_meta.json"}


@pytest.mark.parametrize("days", [1, 2])
def test_labels_come_days_later_with_the_bytes_that_they_always_have(tmp_path: Path, days: int) -> None:
    later, late = f"2026-11-{20 + days}", tmp_path / "late"
    with_labels = generate(tmp_path / "together", *SMALL, "--seed", "7", ds=BEFORE).files
    first = run(late, *SMALL, "--seed", "7", "--label-delay", str(days), ds=BEFORE)
    assert (first.code, first.result["delivered"]) == (0, None)
    assert files(late, BEFORE).keys() == {"data.csv", "schema.json"}
    # Other rows and another seed: the labels are those of the data that is there.
    second = run(late, "--rows", "200", "--label-delay", str(days), ds=later)
    assert second.code == 0, second.log
    assert second.result["delivered"]["partition"] == f"raw/{BEFORE}"
    assert files(late, BEFORE) == with_labels
    assert files(late, later).keys() == {"data.csv", "schema.json"}
    again = run(late, "--rows", "200", "--label-delay", str(days), ds=later)
    assert (again.result["cached"], again.result["delivered"]["cached"]) == (True, True)


def test_each_step_is_recorded_as_if_it_had_been_called_for_itself(tmp_path: Path) -> None:
    """So a rerun of one makes nothing else."""
    run(tmp_path, *SMALL, "--label-delay", "1", ds=BEFORE)
    run(tmp_path, *SMALL, "--label-delay", "1")
    steps = mark(tmp_path, BEFORE)["steps"]
    calls = {
        name: (record["call"]["arguments"]["ds"], record["call"]["arguments"]["only"]) for name, record in steps.items()
    }
    assert calls == {"generate": (BEFORE, "data"), "generate-target": (BEFORE, "target")}
    assert {record["call"]["arguments"]["label_delay"] for record in steps.values()} == {0}
    assert steps["generate-target"]["inputs"].keys() == {f"raw/{BEFORE}/data.csv"}
    before = files(tmp_path, BEFORE)
    done = run(tmp_path, "--only", "target", "--force", ds=BEFORE)
    assert (done.code, files(tmp_path, BEFORE)) == (0, before)


def test_labels_that_are_there_are_left_alone(tmp_path: Path) -> None:
    generate(tmp_path, *SMALL)
    before = mark(tmp_path)
    done = run(tmp_path, "--only", "target")
    assert (done.code, done.result["cached"], mark(tmp_path)) == (0, True, before)


def test_labels_need_data_of_ours(tmp_path: Path) -> None:
    missing = run(tmp_path, "--only", "target")
    assert (missing.code, f"partition raw/{DS} is not ready" in missing.log) == (4, True)
    run(tmp_path, *SMALL, "--only", "data")
    path = tmp_path / "raw" / DS / "_meta.json"
    content = mark(tmp_path)
    content["steps"]["generate"]["parameters"] = {"files": {}}
    path.write_text(json.dumps(content))
    foreign = run(tmp_path, "--only", "target")
    assert (foreign.code, "does not say with which rows, seed and dirt" in foreign.log) == (3, True)
    both = run(tmp_path, *SMALL, "--only", "data", "--label-delay", "1")
    assert (both.code, "--label-delay and --only are both given" in both.log) == (2, True)
