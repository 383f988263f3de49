"""The walk over marks: which steps made a file, from what, and what has changed since."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from stagekit import META, Publication, read_partition
from stagekit.lineage import Lineage, Reader, answer

BASE_IMAGE = Path(__file__).parents[2] / "base-image"
RAW, PROCESSED, MODEL = "raw/2026-11-21", "processed/2026-11-21", "models/2026-11-21"
MODEL_FILE = f"{MODEL}/model.txt"


def publish(root: Path, name: str, step: str, files: Mapping[str, str], *read: str) -> None:
    """Publish files; `read` are paths of published files."""
    inputs = [read_partition(root, path.rpartition("/")[0], [path.rpartition("/")[2]]) for path in read]
    with Publication(root, name, step, inputs=inputs) as publication:
        for file, text in files.items():
            publication.path(file).write_text(text)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, from raw data on; `prepare` and `split` share a partition."""
    monkeypatch.setenv("ML_IMAGE", "airflow-ml-x:1")
    monkeypatch.setenv("ML_DAG_ID", "train_model")
    publish(tmp_path, RAW, "generate", {"data.csv": "a", "schema.json": "{}"})
    publish(tmp_path, PROCESSED, "prepare", {"train_data.csv": "b"}, f"{RAW}/data.csv", f"{RAW}/schema.json")
    publish(tmp_path, PROCESSED, "split", {"train.csv": "c"}, f"{PROCESSED}/train_data.csv", f"{RAW}/schema.json")
    publish(tmp_path, MODEL, "train", {"model.txt": "d", "encoder.json": "e"}, f"{PROCESSED}/train.csv")
    publish(tmp_path, MODEL, "validate", {"metrics.json": "f"}, MODEL_FILE)
    return tmp_path


def edit_mark(root: Path, partition: str, edit: Callable[[dict[str, Any]], object]) -> None:
    path = root / partition / META
    mark = json.loads(path.read_text())
    edit(mark)
    path.write_text(json.dumps(mark))


def steps_of(lineage: Lineage) -> list[str]:
    return [step.id for step in lineage.in_order()]


ALL = [f"{RAW}#generate", f"{PROCESSED}#prepare", f"{PROCESSED}#split", f"{MODEL}#train"]


def test_file_is_followed_back_to_raw_data_in_the_order_of_the_work(root: Path) -> None:
    lineage = Reader(root, verify=True).follow([MODEL_FILE])
    assert steps_of(lineage) == ALL
    assert lineage.problems == []
    assert lineage.unreadable == {}
    step = lineage.steps[f"{PROCESSED}#split"]
    assert step.reads == (PROCESSED, RAW)
    assert list(step.outputs) == [f"{PROCESSED}/train.csv"]
    assert (step.image["name"], step.run["dag_id"], step.call, step.command) == (
        "airflow-ml-x:1",
        "train_model",
        None,
        "",
    )
    assert lineage.files[MODEL_FILE].step == f"{MODEL}#train"


def test_command_of_a_step_is_stage_and_command(root: Path) -> None:
    call = {"stage": "training", "command": None, "arguments": {}}
    edit_mark(root, MODEL, lambda mark: mark["steps"]["train"].update(call=call))
    assert Reader(root).follow([MODEL_FILE]).steps[f"{MODEL}#train"].command == "training"


def remove(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).unlink()


@pytest.mark.parametrize(
    ("change", "path", "kind", "text"),
    [
        (lambda r: (r / MODEL_FILE).write_text("dd"), MODEL_FILE, "edited", "was edited: its sha256 is "),
        (lambda r: (r / MODEL_FILE).write_text("D"), MODEL_FILE, "edited", "was edited: its sha256 is "),
        (remove(f"{PROCESSED}/train.csv"), f"{PROCESSED}/train.csv", "gone", "is gone, but its mark is there"),
        (remove(f"{RAW}/{META}"), f"{RAW}/data.csv", "no mark", f"there is no {RAW}/{META}"),
        (lambda r: (r / RAW / META).write_text("{"), f"{RAW}/data.csv", "damaged", f"{RAW}/{META} is damaged ("),
        (
            lambda r: edit_mark(r, RAW, lambda mark: mark["outputs"].pop("data.csv")),
            f"{RAW}/data.csv",
            "not published",
            f"is on disk, but the mark of {RAW} does not name it",
        ),
        (
            lambda r: edit_mark(r, RAW, lambda mark: mark["steps"].clear()),
            f"{RAW}/data.csv",
            "no record",
            "its mark has no record of the step generate that wrote it",
        ),
        (
            lambda r: publish(r, RAW, "generate", {"data.csv": "other", "schema.json": "{}"}),
            f"{RAW}/data.csv",
            "published again",
            "was published again with other bytes: this step read ca978112ca1b, its mark now says d9298a10d1b0",
        ),
        (
            lambda r: edit_mark(r, RAW, lambda mark: mark.update(partition="raw/2026-11-20")),
            f"{RAW}/data.csv",
            "damaged",
            "is the mark of another partition",
        ),
    ],
)
def test_what_is_wrong_is_a_problem_of_the_file(
    root: Path, change: Callable[[Path], None], path: str, kind: str, text: str
) -> None:
    change(root)
    problems = [problem for where, problem in Reader(root, verify=True).follow([MODEL_FILE]).problems if where == path]
    assert problems
    assert problems[0].kind == kind
    assert text in problems[0].text


def test_without_verification_files_are_not_read(root: Path) -> None:
    (root / MODEL_FILE).unlink()
    assert Reader(root).follow([MODEL_FILE]).problems == []


def test_walk_may_end_where_other_bytes_were_published(root: Path) -> None:
    publish(root, RAW, "import", {"data.csv": "other"})
    assert f"{RAW}#import" in steps_of(Reader(root).follow([MODEL_FILE]))
    lineage = Reader(root).follow([MODEL_FILE], past_changes=False)
    assert f"{RAW}#import" not in steps_of(lineage)
    assert f"{RAW}/data.csv" not in lineage.files
    assert [where for where, problem in lineage.problems if problem.kind == "published again"] == [f"{RAW}/data.csv"]
    read = {read.path: read.sha256 for step in lineage.steps.values() for read in step.inputs}
    assert f"{RAW}/data.csv" in read


@pytest.mark.parametrize("path", ["/etc/passwd", "../x/data.csv", "data.csv", "raw/\0/data.csv", "raw/\ud800/data.csv"])
def test_input_outside_of_the_data_is_not_followed(root: Path, path: str) -> None:
    edit_mark(root, MODEL, lambda mark: mark["steps"]["train"]["inputs"].update({path: "0" * 64}))
    lineage = Reader(root, verify=True).follow([MODEL_FILE])
    assert [problem.kind for where, problem in lineage.problems if where == path] == ["outside"]
    assert set(ALL) <= set(steps_of(lineage))
    assert json.dumps(lineage.to_document())


def test_loop_of_damaged_marks_ends(root: Path) -> None:
    edit_mark(root, RAW, lambda mark: mark["steps"]["generate"]["inputs"].update({MODEL_FILE: "0" * 64}))
    assert sorted(steps_of(Reader(root).follow([MODEL_FILE]))) == sorted(ALL)


def test_long_chain_of_steps_is_followed_to_its_end(root: Path) -> None:
    record = json.loads((root / RAW / META).read_text())["steps"]["generate"]
    marks = {
        f"raw/{number}": {
            "version": 1,
            "partition": f"raw/{number}",
            "outputs": {"a": {"sha256": "", "size": 0, "step": "make"}},
            "steps": {"make": {**record, "inputs": {f"raw/{number + 1}/a": ""}}},
        }
        for number in range(3000)
    }
    lineage = Reader(root, marks=marks).follow(["raw/0/a"])
    assert steps_of(lineage)[0] == "raw/2999#make"
    assert len(lineage.steps) == 3000
    assert Reader(root, marks=marks, most_partitions=10).follow(["raw/0/a"]).unreadable["raw/10"].text == (
        "not looked at: more than 10 partitions"
    )


def test_digest_changes_with_the_lineage_alone(root: Path) -> None:
    before = Reader(root).follow([MODEL_FILE]).digest
    (root / "processed" / "unrelated.txt").write_text("x")
    assert Reader(root).follow([MODEL_FILE]).digest == before
    publish(root, RAW, "generate", {"data.csv": "other", "schema.json": "{}"})
    assert Reader(root).follow([MODEL_FILE]).digest != before


def test_given_mark_is_taken_and_its_files_are_not_looked_at(root: Path) -> None:
    mark = json.loads((root / MODEL / META).read_text())
    (root / MODEL_FILE).unlink()
    (root / MODEL / META).unlink()
    lineage = Reader(root, marks={MODEL: mark}, verify=True).follow([MODEL_FILE])
    assert (steps_of(lineage), lineage.problems) == (ALL, [])
    damaged = Reader(root, marks={MODEL: {"version": 1}}).follow([MODEL_FILE])
    assert damaged.unreadable[MODEL].text.startswith(f"{MODEL}/{META} is damaged (")


# As a program
def lines_of(root: Path, *targets: str, **request: Any) -> list[dict[str, Any]]:
    given = json.dumps({"root": str(root), "targets": targets, **request})
    environment = {**os.environ, "PYTHONPATH": str(BASE_IMAGE)}
    command = [sys.executable, "-m", "stagekit.lineage"]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True, env=environment)
    return [json.loads(line) for line in done.stdout.splitlines()]


def ask(root: Path, *targets: str, **request: Any) -> dict[str, Any]:
    [found] = lines_of(root, *targets, **request)
    return found


def test_program_says_before_its_answer_how_far_it_is(root: Path) -> None:
    total, *done, found = lines_of(root, MODEL, progress=True)
    size = sum((root / path).stat().st_size for path in found["files"])
    assert total == {"total": size}
    assert sum(line["done"] for line in done) == size
    assert len(done) == len(found["files"]) == 7
    assert found == ask(root, MODEL)


def test_program_answers_with_targets_steps_in_order_marks_and_problems(root: Path) -> None:
    (root / MODEL_FILE).write_text("edited")
    found = ask(root, MODEL, f"{RAW}/data.csv")
    assert found["targets"] == [
        {"name": MODEL, "partition": MODEL, "files": ["encoder.json", "metrics.json", "model.txt"]},
        {"name": f"{RAW}/data.csv", "partition": RAW, "files": ["data.csv"]},
    ]
    assert list(found["steps"]) == [*ALL, f"{MODEL}#validate"]
    train = found["steps"][f"{MODEL}#train"]
    assert train["inputs"][0]["path"] == f"{PROCESSED}/train.csv"
    assert train["record"] == found["marks"][MODEL]["steps"]["train"]
    assert sorted(found["marks"]) == sorted([MODEL, PROCESSED, RAW])
    assert [[path, problem["kind"]] for path, problem in found["problems"]] == [[MODEL_FILE, "edited"]]
    assert ask(root, MODEL, verify=False)["problems"] == []


@pytest.mark.parametrize(
    ("target", "problem", "near"),
    [
        ("models/2026-11-22", "is not there", MODEL),
        (f"{MODEL}/modl.txt", f"is not there; {MODEL}/{META} names encoder.json, metrics.json, model.txt", MODEL_FILE),
        (f"{MODEL}/own.txt", "is there, but its mark does not name it", MODEL_FILE),
        ("raw/own", "is there, but was never published", None),
        ("../etc", "no path below the data folder", None),
        ("", "no path below the data folder", None),
        ("x" * 300, "no path below the data folder", None),
        ("raw/" + "x/" * 2000, "no path below the data folder", None),
    ],
)
def test_target_that_was_never_published_has_near_names(
    root: Path, target: str, problem: str, near: str | None
) -> None:
    (root / MODEL / "own.txt").write_text("x")
    (root / "raw" / "own").mkdir()
    (found,) = answer({"root": str(root), "targets": [target]})["targets"]
    assert problem in found["problem"]
    assert near is None or near in found["near"]


def test_target_may_end_in_the_name_of_the_mark(root: Path) -> None:
    assert Reader(root).resolve(f"{MODEL}/{META}") == Reader(root).resolve(f"{MODEL}/") == Reader(root).resolve(MODEL)
