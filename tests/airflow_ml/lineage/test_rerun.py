"""The parts of `make rerun` that need no engine; tests/images/test_lineage.py runs the whole."""

import json
from pathlib import Path
from typing import Any

import pytest
from airflow_ml.common import AirflowMlError
from airflow_ml.data import Data
from airflow_ml.lineage import rerun, scratch, volume
from airflow_ml.lineage.graph import Lineage, Step, command_line
from airflow_ml.lineage.read import read_lineage
from hypothesis import given
from hypothesis import strategies as st

from .conftest import DAY, Command, Pipeline

ID = "sha256:" + "5" * 64


def lineage_of(pipeline: Pipeline, target: str) -> Lineage:
    return read_lineage(Data(str(pipeline.root), "10001:10001", "4g"), target)


def step_of(record: dict[str, Any], name: str = "split") -> Step:
    image = {"name": "airflow-ml-x:0123456789ab", "id": ID, "revision": "abc1234"}
    return Step("processed/2026-11-21", name, {"image": image, "parameters": {}, **record}, (), {})


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("split", {"ds": DAY, "val_part": 0.1, "seed": 0}, ["split", f"--ds={DAY}", "--val-part=0.1", "--seed=0"]),
        (None, {"ds": DAY, "rows": None, "dirty": 1e-05}, [f"--ds={DAY}", "--dirty=1e-05"]),
        ("act", {"flag": True, "other": False, "model": ""}, ["act", "--flag"]),
        (None, {"param": ["a=1", "b=x y"]}, ["--param=a=1", "--param=b=x y"]),
        (None, {"params_json": '{"num_leaves": 3}', "params": None}, ['--params-json={"num_leaves": 3}']),
    ],
)  # fmt: skip
def test_call_becomes_the_command_line_again(command: str | None, arguments: dict[str, Any], words: list[str]) -> None:
    call = {"stage": "any", "command": command, "arguments": arguments}
    assert command_line(step_of({"call": json.loads(json.dumps(call))})) == words


def test_parameters_from_a_file_outside_of_the_data_come_from_the_mark() -> None:
    arguments = {"ds": DAY, "params": {"file": "/own/params.json"}, "params_json": None, "param": ["num_leaves=7"]}
    record = {
        "call": {"stage": "training", "command": None, "arguments": arguments},
        "parameters": {"num_leaves": 7, "learning_rate": 0.1, "num_threads": 2},
    }
    words = command_line(step_of(record, "train"))
    assert words[0] == f"--ds={DAY}"
    assert json.loads(words[1].removeprefix("--params-json=")) == {"num_leaves": 7, "learning_rate": 0.1}
    assert len(words) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (None, "does not record how the step split was called"),
        ({"stage": None, "command": None, "arguments": None}, "does not record how"),
        ({"stage": "x", "command": "act", "arguments": {"keys": {"file": "/own/k"}}}, "was given the file /own/k from"),
    ],
)
def test_call_that_the_mark_does_not_hold_whole_is_refused(call: Any, message: str) -> None:
    with pytest.raises(AirflowMlError, match=message) as error:
        command_line(step_of({"call": call}))
    assert "do: " in str(error.value)


def test_plan_holds_the_step_that_made_the_file_or_all(pipeline: Pipeline) -> None:
    lineage = lineage_of(pipeline, f"predictions/{DAY}/predictions.csv")
    assert [step.name for step in rerun.plan(lineage, everything=False)] == ["predict"]
    names = [step.name for step in rerun.plan(lineage, everything=True)]
    assert sorted(names) == sorted(["generate", "prepare", "split", "train", "validate", "features", "predict"])
    for before, after in [("generate", "prepare"), ("prepare", "split"), ("split", "train"), ("train", "validate"),
                          ("train", "features"), ("validate", "predict"), ("features", "predict")]:  # fmt: skip
        assert names.index(before) < names.index(after)


def test_plan_of_a_partition_holds_its_steps_in_order(pipeline: Pipeline) -> None:
    lineage = lineage_of(pipeline, f"models/{DAY}")
    assert [step.name for step in rerun.plan(lineage, everything=False)] == ["train", "validate"]


def test_imported_files_are_an_origin(pipeline: Pipeline, command: Command) -> None:
    pipeline.edit_mark(
        f"raw/{DAY}",
        lambda m: (m["steps"].update({"import": m["steps"].pop("generate")}),
                   [output.update(step="import") for output in m["outputs"].values()]),
    )  # fmt: skip
    lineage = lineage_of(pipeline, f"processed/{DAY}/train.csv")
    assert [step.name for step in rerun.plan(lineage, everything=True)] == ["prepare", "split"]
    code, _, err = command("rerun", f"raw/{DAY}/data.csv")
    assert code == 3
    assert "it was imported" in err


def test_copied_mark_names_what_is_copied_and_nothing_else(pipeline: Pipeline) -> None:
    lineage = lineage_of(pipeline, f"models/{DAY}/metrics.json")
    marks = volume.marks_of(lineage, [f"models/{DAY}/model.txt", f"processed/{DAY}/val.csv"])
    assert set(marks) == {f"models/{DAY}", f"processed/{DAY}"}
    assert set(marks[f"models/{DAY}"]["outputs"]) == {"model.txt"}
    assert set(marks[f"models/{DAY}"]["steps"]) == {"train"}
    assert set(marks[f"processed/{DAY}"]["steps"]) == {"split"}


def test_copied_marks_never_hold_the_record_of_the_step_that_reads_them(pipeline: Pipeline) -> None:
    """It would find itself there, with its result, and take its work for done."""
    for partition in ("raw", "processed", "models", "features", "predictions"):
        pipeline.edit_mark(f"{partition}/{DAY}", lambda m: [r.update(result={}) for r in m["steps"].values()])
    lineage = lineage_of(pipeline, f"predictions/{DAY}/predictions.csv")
    assert len(lineage.steps) == 7
    for step in lineage.steps.values():
        marks = volume.marks_of(lineage, [read.path for read in step.inputs])
        assert step.name not in marks.get(step.partition, {"steps": {}})["steps"]


@pytest.mark.parametrize(
    "said", ["", "no JSON", "3", '{"rows": 3}', '{"cached": true}\n{"rows": 3}', '{"cached": false}']
)
def test_step_that_did_its_work_is_compared(said: str) -> None:
    volume.require_work(step_of({}), said)


def test_step_that_did_nothing_proves_nothing() -> None:
    with pytest.raises(AirflowMlError, match=r"split of processed/2026-11-21 found its own mark .* did nothing"):
        volume.require_work(step_of({}), 'log\n{"rows": 3, "cached": true}\n')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: (p.root / f"raw/{DAY}/data.csv").write_text("x"), "was edited"),
        (lambda p: (p.root / f"raw/{DAY}/data.csv").unlink(), "is gone"),
        (lambda p: p.step("generate", seed=9), "was published again with other bytes"),
    ],
)
def test_inputs_that_are_no_longer_what_was_read_are_refused(pipeline: Pipeline, damage: Any, message: str) -> None:
    damage(pipeline)
    lineage = lineage_of(pipeline, f"processed/{DAY}/train_data.csv")
    (step,) = rerun.plan(lineage, everything=False)
    with pytest.raises(AirflowMlError, match=message) as error:
        rerun.require_inputs(lineage, step)
    assert "expected: the bytes that prepare read" in str(error.value)
    assert "DEPTH=all" in str(error.value)


def set_engine(monkeypatch: pytest.MonkeyPatch, ids: dict[str, str], planned: set[str]) -> None:
    """What an engine has: ids by name; and what a build would make."""
    found = {name: {"Id": image} for name, image in ids.items()}
    monkeypatch.setattr(rerun, "inspect_images", lambda names: {name: found[name] for name in names if name in found})
    monkeypatch.setattr(rerun, "try_build_plan", lambda: planned)


NAME = "airflow-ml-x:0123456789ab"


@pytest.mark.parametrize(
    ("recorded", "ids", "image"),
    [
        (ID, {ID: ID, NAME: ID}, ID),
        (ID, {ID: ID, NAME: "sha256:66"}, ID),
        (None, {NAME: "sha256:66"}, NAME),
    ],
)
def test_image_that_ran_is_run_by_its_id_if_that_is_known(
    monkeypatch: pytest.MonkeyPatch, recorded: str | None, ids: dict[str, str], image: str
) -> None:
    set_engine(monkeypatch, ids, set())
    recorded_image = {"name": NAME, "id": recorded, "revision": None}
    assert rerun.image_to_run(step_of({"image": recorded_image}), locked=False) == image


@pytest.mark.parametrize(
    ("recorded", "revision", "ids", "planned", "messages"),
    [
        (ID, "abc1234", {}, set(), ["id 555555555555, is not on this engine", "build revision abc1234: git worktree"]),
        (None, "abc1234-dirty", {}, set(), ["changes that were not committed (abc1234-dirty)", "../abc1234 abc1234"]),
        (None, None, {}, set(), [f"build the revision whose tag is {NAME}", "ran by hand"]),
        (ID, "abc1234", {}, {f"build {NAME}"}, ["./build_images.sh --stage x: this working copy makes that very tag"]),
        (ID, "abc1234", {NAME: "sha256:66"}, {f"keep  {NAME}"}, ["under that tag is 66, built another time", "load"]),
    ],
)
def test_image_that_is_gone_says_what_to_build(
    monkeypatch: pytest.MonkeyPatch,
    recorded: str | None,
    revision: str | None,
    ids: dict[str, str],
    planned: set[str],
    messages: list[str],
) -> None:
    set_engine(monkeypatch, ids, planned)
    image = {"name": NAME, "id": recorded, "revision": revision}
    with pytest.raises(AirflowMlError) as error:
        rerun.image_to_run(step_of({"image": image}), locked=False)
    for message in [*messages, "expected: the image that made processed/2026-11-21", "IMAGES=locked"]:
        assert message in str(error.value)


def test_step_that_ran_outside_of_any_image_is_refused() -> None:
    with pytest.raises(AirflowMlError, match="ran outside of any image"):
        rerun.image_to_run(step_of({"image": {"name": None, "id": None, "revision": None}}), locked=False)


TEXTS = st.lists(st.sampled_from([b"a", b"b", b"\n", b"\xff"]), max_size=40).map(b"".join)


@given(TEXTS, TEXTS, st.integers(1, 7))
def test_first_difference_is_found_wherever_it_is(
    tmp_path_factory: pytest.TempPathFactory, a: bytes, b: bytes, block: int
) -> None:
    """However the files fall into blocks; checked against the definition."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "a").write_bytes(a)
    (folder / "b").write_bytes(b)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "BLOCK", block)
        different = scratch.first_difference(folder / "a", folder / "b")
    if a == b:
        assert different is None
        return
    at = next((n for n in range(min(len(a), len(b))) if a[n] != b[n]), min(len(a), len(b)))
    start = a.rfind(b"\n", 0, at) + 1
    lines = [None if not text[start:] else text[start:].split(b"\n")[0].decode(errors="replace") for text in (a, b)]
    assert different == {"byte": at + 1, "line": a.count(b"\n", 0, at) + 1, "published": lines[0], "made": lines[1]}


def test_seed_empties_copies_and_verifies(pipeline: Pipeline, tmp_path: Path) -> None:
    data = tmp_path / "scratch"
    (data / "old").mkdir(parents=True)
    (data / "file").write_text("old")
    path = f"raw/{DAY}/data.csv"
    right = pipeline.mark(f"raw/{DAY}")["outputs"]["data.csv"]["sha256"]
    assert scratch.seed(pipeline.root, data, {path: right}, {f"raw/{DAY}": {"version": 1}}) == {"wrong": None}
    left = sorted(str(p.relative_to(data)) for p in data.rglob("*") if p.is_file())
    assert left == [f"raw/{DAY}/_meta.json", path]
    assert scratch.seed(pipeline.root, data, {path: "0" * 64}, {}) == {"wrong": path}


def test_comparison_finds_same_missing_different_and_incomparable(pipeline: Pipeline, tmp_path: Path) -> None:
    data, day = tmp_path / "scratch", f"raw/{DAY}"
    (data / day).mkdir(parents=True)
    outputs = {f"{day}/{file}": output for file, output in pipeline.mark(day)["outputs"].items()}
    (data / day / "schema.json").write_text("schema")
    (data / day / "data.csv").write_text("data.csv\nother\n")
    found = scratch.compare(pipeline.root, data, {path: output["sha256"] for path, output in outputs.items()})
    assert found[f"{day}/schema.json"]["made"] == found[f"{day}/schema.json"]["published"]
    assert found[f"{day}/target.csv"]["made"] is None
    assert (found[f"{day}/data.csv"]["difference"]["byte"], found[f"{day}/data.csv"]["difference"]["line"]) == (10, 2)
    files = [rerun.Remade(path, **entry) for path, entry in sorted(found.items())]
    made = rerun.Rerun(step_of({}, "generate"), "airflow-ml-x:1", files)
    report = "\n".join(rerun.report(made))
    assert "DIFFERS" in report
    assert "from byte 10 in line 2 on\n      published  " in report
    assert "      made       other" in report
    assert "was not made this time" in report
    assert rerun.verdict([made]).startswith("NOT the same bytes: 1 of 3 files are. The first to differ: generate, raw")
    (pipeline.root / day / "data.csv").write_text("edited")
    again = scratch.compare(pipeline.root, data, {f"{day}/data.csv": outputs[f"{day}/data.csv"]["sha256"]})
    assert again[f"{day}/data.csv"]["difference"] is None
    unknown = rerun.Rerun(step_of({}), "x", [rerun.Remade("a", **again[f"{day}/data.csv"])])
    assert "the published file is not as its mark says" in "\n".join(rerun.report(unknown))
