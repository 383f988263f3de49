"""Old files go, their marks stay: what needs such a file afterwards says so, and the same step makes it again."""

import json
import os
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from stagekit import NotReady, Partition, Publication, publish, read_partition, tidy
from stagekit.call import Call
from stagekit.lineage import Reader

OLD, NEW = "2026-08-30", "2026-08-31"


@pytest.fixture(autouse=True)
def _one_call_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stagekit.cli.end_on_signals", lambda: None)
    monkeypatch.setenv("ML_IMAGE", "airflow-ml-x:1")
    set_clock(monkeypatch, OLD)


def set_clock(monkeypatch: pytest.MonkeyPatch, day: str) -> None:
    """What is published from now on was made on this day."""
    monkeypatch.setattr("stagekit.publication.gmtime", lambda: time.strptime(day, "%Y-%m-%d"))


def write(root: Path, name: str, *inputs: Partition) -> bool:
    """Publish data.csv in a partition, as a command does; returns whether that was done before."""
    done: list[str] = []

    def work(publication: Publication) -> dict[str, Any]:
        publication.path("data.csv").write_text(f"of {name}\n")
        done.append(name)
        return {"partition": name}

    call = Call("x", "make", {})
    publish(Namespace(data_dir=root, force=False, explain=False, call=call), name, "make", work, inputs=inputs)
    return not done


def publish_days(root: Path) -> None:
    for day in (OLD, NEW):
        for kind in ("raw", "models"):
            write(root, f"{kind}/{day}")
        write(root, f"processed/{day}", read_partition(root, f"raw/{day}", ["data.csv"]))


def run(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert tidy.main(["--data-dir", str(root), "--before", NEW, *arguments]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def there(root: Path) -> set[str]:
    return {str(path.parent.relative_to(root)) for path in root.glob("*/*/data.csv")}


def test_only_old_files_that_can_be_made_again_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish_days(tmp_path)
    everything = there(tmp_path)
    size = (tmp_path / f"processed/{OLD}/data.csv").stat().st_size
    counted = run(tmp_path, capsys, "--dry-run")
    assert there(tmp_path) == everything
    assert (counted["removed"], counted["partitions"], counted["bytes"]) == (False, {"processed": 1}, size)
    removed = run(tmp_path, capsys)
    assert there(tmp_path) == everything - {f"processed/{OLD}"}
    assert (removed["removed"], removed["files"], removed["bytes"]) == (True, 1, size)
    assert run(tmp_path, capsys)["files"] == 0


def test_marks_stay_and_say_what_was_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish_days(tmp_path)
    write(tmp_path, f"models/{OLD}", read_partition(tmp_path, f"processed/{OLD}", ["data.csv"]))
    run(tmp_path, capsys)
    with pytest.raises(NotReady, match=r"was removed on \S+ to save space"):
        read_partition(tmp_path, f"processed/{OLD}", ["data.csv"])
    whole = Reader(tmp_path).follow([f"models/{OLD}/data.csv"])
    assert f"raw/{OLD}/data.csv" in whole.files
    assert not whole.problems
    checked = Reader(tmp_path, verify=True).follow([f"models/{OLD}/data.csv"])
    assert [(path, problem.kind) for path, problem in checked.problems] == [(f"processed/{OLD}/data.csv", "removed")]


def test_same_step_makes_a_removed_file_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish_days(tmp_path)
    raw = read_partition(tmp_path, f"raw/{OLD}", ["data.csv"])
    before = (tmp_path / f"processed/{OLD}/data.csv").read_bytes()
    assert write(tmp_path, f"processed/{OLD}", raw)
    run(tmp_path, capsys)
    assert not write(tmp_path, f"processed/{OLD}", raw)
    assert (read_partition(tmp_path, f"processed/{OLD}", ["data.csv"]) / "data.csv").read_bytes() == before
    assert "removed" not in json.loads((tmp_path / f"processed/{OLD}/_meta.json").read_text())["outputs"]["data.csv"]


def test_tidying_that_was_killed_is_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The mark says that the file is removed, but it is still there."""
    publish_days(tmp_path)
    file = tmp_path / f"processed/{OLD}/data.csv"
    os.link(file, tmp_path / "copy")
    run(tmp_path, capsys)
    (tmp_path / "copy").rename(file)
    assert run(tmp_path, capsys)["files"] == 1
    assert not file.exists()


def test_days_in_shadow_and_shards_of_days_go_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish_days(tmp_path)
    shards = [f"shards/{OLD}-features-1of2", f"shards/{OLD}-processed-2of2"]
    for name in (*shards, f"shards/{NEW}-features-1of2"):
        write(tmp_path, name)
    for name in (f"shadows/{OLD}-v7", f"shadows/{OLD}-v12", f"shadows/{NEW}-v7", f"models/{OLD}-v7"):
        write(tmp_path, name)
    everything = there(tmp_path)
    assert run(tmp_path, capsys)["partitions"] == {"processed": 1, "shadows": 2, "shards": 2}
    assert everything - there(tmp_path) == {
        *(f"processed/{OLD}", f"shadows/{OLD}-v7", f"shadows/{OLD}-v12"),
        *shards,
    }
    with pytest.raises(NotReady, match=r"was removed on \S+ to save space"):
        read_partition(tmp_path, f"shadows/{OLD}-v7", ["data.csv"])


def test_files_of_an_old_day_that_were_made_just_now_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backfill makes them; they went with the next tidying, before anybody had read them."""
    publish_days(tmp_path)
    set_clock(monkeypatch, NEW)
    write(tmp_path, f"features/{OLD}", read_partition(tmp_path, f"raw/{OLD}", ["data.csv"]))
    assert run(tmp_path, capsys, "--dry-run")["partitions"] == {"processed": 1}
    assert run(tmp_path, capsys)["partitions"] == {"processed": 1}
    assert f"features/{OLD}" in there(tmp_path)


def test_unreadable_mark_is_named_and_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish_days(tmp_path)
    (tmp_path / f"processed/{OLD}/_meta.json").write_text("{")
    assert run(tmp_path, capsys)["unreadable"] == [f"processed/{OLD}"]
    assert f"processed/{OLD}" in there(tmp_path)


def test_model_goes_by_name_unless_a_step_has_read_it_since(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each training left a model for ever. The one in production may be the oldest of all."""
    unused, scoring, chosen = "models/2026-08-01", "models/2026-08-02", "models/2026-08-03-v7"
    for name in (unused, scoring, chosen):
        write(tmp_path, name)
    write(tmp_path, f"predictions/{OLD}", read_partition(tmp_path, unused, ["data.csv"]))
    write(tmp_path, "registry/production", read_partition(tmp_path, chosen, ["data.csv"]))
    set_clock(monkeypatch, NEW)
    write(tmp_path, f"predictions/{NEW}", read_partition(tmp_path, scoring, ["data.csv"]))
    assert run(tmp_path, capsys)["partitions"] == {}
    counted = run(tmp_path, capsys, "--kinds", "models,predictions", "--dry-run")["partitions"]
    assert counted == {"models": 1, "predictions": 1}
    assert run(tmp_path, capsys, "--kinds", "models")["partitions"] == {"models": 1}
    assert {scoring, chosen} <= there(tmp_path)
    with pytest.raises(NotReady, match=rf"{unused}/data.csv was removed on \S+ to save space"):
        read_partition(tmp_path, unused, ["data.csv"])


@pytest.mark.parametrize("kinds", ["registry", "processed,registry", "../raw", ""])
def test_registry_and_paths_are_refused(tmp_path: Path, kinds: str) -> None:
    with pytest.raises(SystemExit) as ended:
        tidy.main(["--data-dir", str(tmp_path), "--before", NEW, "--kinds", kinds])
    assert ended.value.code == 2


def test_raw_data_goes_only_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish_days(tmp_path)
    assert run(tmp_path, capsys, "--kinds", "raw")["partitions"] == {"raw": 1}
    assert there(tmp_path) == {f"raw/{NEW}", f"models/{OLD}", f"models/{NEW}", f"processed/{OLD}", f"processed/{NEW}"}


def test_mark_that_names_a_file_elsewhere_removes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It removed the file: the model in production, for example."""
    publish_days(tmp_path)
    path = tmp_path / f"processed/{OLD}/_meta.json"
    mark = json.loads(path.read_text())
    mark["outputs"][f"../../models/{OLD}/data.csv"] = mark["outputs"]["data.csv"]
    path.write_text(json.dumps(mark))
    everything = there(tmp_path)
    assert run(tmp_path, capsys)["unreadable"] == [f"processed/{OLD}"]
    assert there(tmp_path) == everything
