"""`make lineage`: every file leads back to the raw data and the images, and whatever changed since is named."""

import json
import re
import shutil
from argparse import Namespace
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from airflow_ml.common import AirflowMlError
from airflow_ml.data import Data
from airflow_ml.lineage import diff, show
from airflow_ml.lineage.compare import compare
from airflow_ml.lineage.read import data_path, image_ids, read_lineage
from stagekit import tidy

from .conftest import DAY, FOUND, RUN, STEPS, Command, Pipeline

PREDICTIONS = f"predictions/{DAY}/predictions.csv"


def data_of(pipeline: Pipeline) -> Data:
    return Data(str(pipeline.root), "10001:10001", "4g")


def unwrapped(tree: str) -> str:
    """A tree without its branches and line ends."""
    return " ".join(re.sub("[│├└─]", " ", tree).split())


def test_tree_leads_back_to_the_raw_data_and_every_image(pipeline: Pipeline, command: Command) -> None:
    code, tree, _ = command("lineage", PREDICTIONS)
    assert code == 0
    for step, stage, *_ in STEPS:
        assert len(re.findall(rf"└── made by {step}, 20", tree)) == 1, "each step is shown once"
        assert f"airflow-ml-{stage}:0123456789ab, id 555555555555, revision abc1234, on this engine" in unwrapped(tree)
    assert f"raw/{DAY}/data.csv   2 rows" in tree
    assert "Dag run train_model, manual__1, task any, try 1" in unwrapped(tree)
    assert tree.endswith("12 files, 7 steps, 4 images: no file has changed since it was published or read.\n")


def test_tree_of_one_step_looks_like_this(pipeline: Pipeline, command: Command) -> None:
    pipeline.step("generate", seed=7, parameters={"rows": 2, "share": 0.5}, run=dict.fromkeys(RUN, ""))
    _, tree, _ = command("lineage", f"raw/{DAY}/target.csv")
    output = pipeline.mark(f"raw/{DAY}")["outputs"]["target.csv"]
    started = pipeline.mark(f"raw/{DAY}")["steps"]["generate"]["started"]
    assert tree.splitlines() == [
        f"raw/{DAY}/target.csv   2 rows, 76 bytes, sha256 {output['sha256'][:12]}, as published",
        f"└── made by generate, {started}",
        "        image       airflow-ml-generator:0123456789ab, id 555555555555, revision abc1234, on this engine",
        f"        call        --ds={DAY} --rows=2 --seed=7 --share=0.5",
        "        Dag run     none, by hand",
        "",
        "1 file, 1 step, 1 image: no file has changed since it was published or read.",
    ]


def test_branches_of_the_tree_hang_together(pipeline: Pipeline, command: Command) -> None:
    """Below every branch that goes on, the line leads down to the next one."""
    lines = command("lineage", PREDICTIONS)[1].splitlines()
    for number, line in enumerate(lines):
        column = line.find("├")
        if column >= 0:
            following = next(later for later in lines[number + 1 :] if later[column : column + 1] != "│")
            assert following[column : column + 1] in ("├", "└")


def test_partition_is_shown_whole(pipeline: Pipeline, command: Command) -> None:
    code, text, _ = command("lineage", f"models/{DAY}", "--format", "json")
    assert code == 0
    assert json.loads(text)["targets"] == [f"models/{DAY}/{f}" for f in ("encoder.json", "metrics.json", "model.txt")]


def test_json_holds_all_that_the_marks_say(pipeline: Pipeline, command: Command) -> None:
    shown = json.loads(command("lineage", PREDICTIONS, "--format", "json")[1])
    assert shown["as_published"] is True
    assert shown["problems"] == []
    assert next(iter(shown["steps"])) == f"raw/{DAY}#generate", "upstream first"
    assert list(shown["steps"])[-1] == f"predictions/{DAY}#predict"
    for name, step in shown["steps"].items():
        partition, _, step_name = name.partition("#")
        record = pipeline.mark(partition)["steps"][step_name]
        assert {path: read["sha256"] for path, read in step["inputs"].items()} == record["inputs"]
        assert {key: step[key] for key in ("call", "parameters", "seed", "versions", "run")} == {
            key: record[key] for key in ("call", "parameters", "seed", "versions", "run")
        }
        assert {key: step["image"][key] for key in ("name", "id", "revision")} == record["image"]
    for path, file in shown["files"].items():
        assert file["sha256"] == pipeline.mark(path.rpartition("/")[0])["outputs"][path.rpartition("/")[2]]["sha256"]


def test_mermaid_graph_has_every_file_step_and_edge(pipeline: Pipeline, command: Command) -> None:
    graph = command("lineage", PREDICTIONS, "--format", "mermaid")[1]
    lines = graph.splitlines()
    assert lines[0] == "flowchart LR"
    shown = json.loads(command("lineage", PREDICTIONS, "--format", "json")[1])
    nodes = dict(re.findall(r'^  ([fs]\d+)(?:\[|\(\[)"([^"]+)<br>', graph, re.MULTILINE))
    assert sorted(nodes.values()) == sorted([*shown["files"], *(name.partition("#")[2] for name in shown["steps"])])
    edges = re.findall(r"^  (\w+) --> (\w+)$", graph, re.MULTILINE)
    reads = sum(len(step["inputs"]) for step in shown["steps"].values())
    writes = sum(file["made_by"] is not None for file in shown["files"].values())
    assert len(set(edges)) == len(edges) == reads + writes
    assert {name for edge in edges for name in edge} == set(nodes)
    assert "classDef" not in graph


def test_mermaid_marks_what_has_a_problem_and_escapes_names(pipeline: Pipeline, command: Command) -> None:
    pipeline.step("generate", seed=8)
    graph = command("lineage", PREDICTIONS, "--format", "mermaid")[1]
    assert '-. "published again" .->' in graph
    (bad,) = re.findall(r"^  class (\S+) bad$", graph, re.MULTILINE)
    assert re.search(rf'{bad.split(",")[0]}\["raw/{DAY}/data.csv', graph)
    assert show._label('a"b<c>#1') == "a#quot;b#lt;c#gt;#35;1"


def edit(path: Path, text: str) -> None:
    path.write_text(text)


# What somebody does to the data, the kind of problem, and words of what is said about which file.
DAMAGES: dict[str, tuple[Callable[[Pipeline], object], str, str, str]] = {
    "edited": (
        lambda p: edit(p.root / f"raw/{DAY}/data.csv", (p.root / f"raw/{DAY}/data.csv").read_text().upper()),
        "edited", f"raw/{DAY}/data.csv", "was edited: its sha256 is"),
    "made longer": (
        lambda p: edit(p.root / f"models/{DAY}/model.txt", "x" * 1000),
        "edited", f"models/{DAY}/model.txt", "1,000 bytes instead of 75"),
    "target edited": (
        lambda p: edit(p.root / PREDICTIONS, "x"), "edited", PREDICTIONS, "was edited"),
    "file gone": (
        lambda p: (p.root / f"processed/{DAY}/val.csv").unlink(),
        "gone", f"processed/{DAY}/val.csv", "is gone, but its mark is there"),
    "file is a folder": (
        lambda p: ((p.root / f"raw/{DAY}/data.csv").unlink(), (p.root / f"raw/{DAY}/data.csv").mkdir()),
        "gone", f"raw/{DAY}/data.csv", "is gone"),
    "partition gone": (
        lambda p: shutil.rmtree(p.root / f"raw/{DAY}"), "no mark", f"raw/{DAY}/data.csv", "there is no raw/"),
    "mark gone": (
        lambda p: (p.root / f"features/{DAY}/_meta.json").unlink(),
        "no mark", f"features/{DAY}/features.csv", "there is no features/"),
    "mark damaged": (
        lambda p: edit(p.root / f"features/{DAY}/_meta.json", "{"), "damaged", f"features/{DAY}/features.csv",
        "is damaged"),
    "mark of another shape": (
        lambda p: p.edit_mark(f"features/{DAY}", lambda m: m["steps"]["features"].update(inputs=[])),
        "damaged", f"features/{DAY}/features.csv", "is damaged"),
    "mark of another version": (
        lambda p: p.edit_mark(f"features/{DAY}", lambda m: m.update(version=9)),
        "damaged", f"features/{DAY}/features.csv", "has version 9"),
    "mark of another partition": (
        lambda p: p.edit_mark(f"raw/{DAY}", lambda m: m.update(partition="raw/2020-01-01")),
        "damaged", f"raw/{DAY}/data.csv", "is the mark of another partition, raw/2020-01-01"),
    "published again": (
        lambda p: p.step("generate", seed=8), "published again", f"raw/{DAY}/data.csv", "was published again with"),
    "no longer published": (
        # What was made from replaced files is taken off the mark; the files stay.
        lambda p: (p.step("generate", seed=8), p.step("prepare")),
        "not published", f"processed/{DAY}/train.csv", "is on disk, but the mark of processed/"),
    "never published": (
        lambda p: p.edit_mark(f"raw/{DAY}", lambda m: m["outputs"].pop("data.csv")),
        "not published", f"raw/{DAY}/data.csv", "does not name it"),
    "no record of the step": (
        lambda p: p.edit_mark(f"raw/{DAY}", lambda m: m["steps"].clear()),
        "no record", f"raw/{DAY}/schema.json", "has no record of the step generate"),
    "led out of the data": (
        lambda p: p.edit_mark(f"raw/{DAY}", lambda m: m["steps"]["generate"]["inputs"].update({"../secret": "0"})),
        "outside", "../secret", "its path leads out of the data folder"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_changed_is_named_in_the_tree_and_in_json(pipeline: Pipeline, command: Command, damage: str) -> None:
    act, kind, path, text = DAMAGES[damage]
    (pipeline.root.parent / "secret").write_text("not ours")
    act(pipeline)
    code, tree, _ = command("lineage", PREDICTIONS, "--check")
    assert code == 1
    head, _, summary = tree.rpartition("\n\n")
    assert re.search(rf"{re.escape(path)} .*\n.*!! .*{re.escape(text)}", head) or f"!! {text}" in head
    assert re.search(rf"problems?:\n(.*\n)*  {re.escape(path)} .*{re.escape(text)}", summary)
    shown = json.loads(command("lineage", PREDICTIONS, "--format", "json")[1])
    assert shown["as_published"] is False
    assert (path, kind) in {(problem["file"], problem["kind"]) for problem in shown["problems"]}


def test_problems_change_the_exit_code_only_with_check(pipeline: Pipeline, command: Command) -> None:
    edit(pipeline.root / PREDICTIONS, "x")
    assert command("lineage", PREDICTIONS)[0] == 0
    assert command("lineage", PREDICTIONS, "--check")[0] == 1


def remove(pipeline: Pipeline, *kinds: str) -> None:
    """Remove the files of the day's partitions as `tidy` does."""
    tidy.run(Namespace(data_dir=pipeline.root, before=date(9999, 1, 1), kinds=kinds, dry_run=False))


def test_what_tidy_removed_is_no_problem_and_has_its_own_exit_code(pipeline: Pipeline, command: Command) -> None:
    """After a year the lineage of each old champion ended with 1, as if somebody had changed a file."""
    remove(pipeline, "processed", "features")
    assert command("lineage", PREDICTIONS)[0] == 0
    code, tree, _ = command("lineage", PREDICTIONS, "--check")
    assert code == 4
    assert "no file that is there has changed since it was published or read." in tree
    assert "Not checked: 5 files that `tidy` removed. Their marks name their hashes." in tree
    assert re.search(rf"features/{DAY}/features.csv .*, removed \d{{4}}-\S+Z\n", tree)
    assert "!!" not in tree
    shown = json.loads(command("lineage", PREDICTIONS, "--format", "json")[1])
    assert (shown["as_published"], shown["problems"]) == (False, [])
    assert f"features/{DAY}/features.csv" in shown["removed"]
    assert len(shown["removed"]) == 5
    assert " removed\n" in command("lineage", PREDICTIONS, "--format", "mermaid")[1]


def test_problem_counts_more_than_what_tidy_removed(pipeline: Pipeline, command: Command) -> None:
    remove(pipeline, "processed")
    edit(pipeline.root / f"raw/{DAY}/data.csv", "x")
    code, tree, _ = command("lineage", PREDICTIONS, "--check")
    assert (code, "1 problem:" in tree, "Not checked: 4 files" in tree) == (1, True, True)


def test_same_bytes_published_again_are_no_problem(pipeline: Pipeline, command: Command) -> None:
    pipeline.step("generate")
    pipeline.step("prepare")
    assert command("lineage", PREDICTIONS, "--check")[0] == 0


def test_files_beside_the_way_are_not_looked_at(pipeline: Pipeline, command: Command) -> None:
    """What neither was asked for nor was read by a step on the way does not matter."""
    edit(pipeline.root / f"processed/{DAY}/rejected.csv", "x")
    assert command("lineage", PREDICTIONS, "--check")[0] == 0
    assert command("lineage", f"processed/{DAY}", "--check")[0] == 1


def test_marks_that_lead_in_a_circle_come_to_an_end(pipeline: Pipeline, command: Command) -> None:
    digest = pipeline.mark(f"predictions/{DAY}")["outputs"]["predictions.csv"]["sha256"]
    pipeline.edit_mark(f"raw/{DAY}", lambda m: m["steps"]["generate"]["inputs"].update({PREDICTIONS: digest}))
    code, tree, _ = command("lineage", PREDICTIONS)
    assert code == 0
    assert f"made by predict of predictions/{DAY}, as above" in unwrapped(tree)


def test_marks_without_a_call_are_shown_as_far_as_they_go(pipeline: Pipeline, command: Command) -> None:
    pipeline.edit_mark(f"predictions/{DAY}", lambda m: m["steps"]["predict"].pop("call"))
    code, tree, _ = command("lineage", PREDICTIONS, "--check")
    assert (code, "call        not recorded" in tree) == (0, True)


@pytest.mark.parametrize(
    ("ids", "state"),
    [
        ({"name": "sha256:" + "5" * 64, "id": "sha256:" + "5" * 64}, "on this engine\n"),
        ({"name": "sha256:" + "6" * 64, "id": None}, "another build on this engine\n"),
        ({"name": None, "id": None}, "not on this engine\n"),
        ({"name": None, "id": "sha256:" + "5" * 64}, "on this engine\n"),
    ],
)
def test_tree_says_whether_the_engine_has_the_image(pipeline: Pipeline, ids: dict[str, str | None], state: str) -> None:
    names = {"name": "airflow-ml-generator:0123456789ab", "id": "sha256:" + "5" * 64}
    lineage = read_lineage(data_of(pipeline), f"raw/{DAY}/data.csv")
    FOUND.clear()
    FOUND.update({names[key]: value for key, value in ids.items() if value})
    tree = show.tree(lineage, image_ids(lineage))
    assert state in tree
    assert ("Note: airflow-ml-generator:0123456789ab is not" in tree) is ("not on" in state or "another" in state)


@pytest.mark.parametrize("form", ["{}", "/data/{}", "{root}/{}", "{root}/../{name}/{}", "{}/", "{}/_meta.json"])
def test_path_may_be_given_in_several_forms(pipeline: Pipeline, command: Command, form: str) -> None:
    text = form.format(f"raw/{DAY}", root=pipeline.root, name=pipeline.root.name)
    assert command("lineage", text)[1] == command("lineage", f"raw/{DAY}")[1]


def test_path_may_be_relative_to_where_one_is(
    pipeline: Pipeline, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pipeline.root.parent)
    assert command("lineage", f"{pipeline.root.name}/raw/{DAY}")[0] == 0


def test_path_below_data_is_a_path_in_the_volume() -> None:
    volume = Data("data", "10001:10001", "4g")
    assert data_path(volume, f"/data/raw/{DAY}") == data_path(volume, f"raw/{DAY}") == f"raw/{DAY}"


@pytest.mark.parametrize(
    ("asked", "messages"),
    [
        (f"predictions/{DAY}/prediction.csv", ["is not there", f"near names: {PREDICTIONS}"]),
        ("predictions/2026-11-12/predictions.csv", ["is not there", PREDICTIONS]),
        ("no/such/thing/at/all", ["is not there", f"near names: features/{DAY}"]),
        (f"raw/{DAY}/notes.txt", ["is there, but its mark does not name it", "data.csv, schema.json, target.csv"]),
        ("raw/loose/data.csv", ["is there, but was never published"]),
        ("raw", ["is there, but was never published"]),
        (f"features/{DAY}/features.csv", ["is damaged"]),
        ("../secret", ["no path below the data folder"]),
        ("/etc/passwd", ["/etc/passwd is not below"]),
    ],
)
def test_file_that_cannot_be_found_says_what_is_there(
    pipeline: Pipeline, command: Command, asked: str, messages: list[str]
) -> None:
    edit(pipeline.root / f"raw/{DAY}/notes.txt", "mine")
    (pipeline.root / "raw/loose").mkdir()
    edit(pipeline.root / "raw/loose/data.csv", "mine")
    edit(pipeline.root / f"features/{DAY}/_meta.json", "[")
    code, out, err = command("lineage", asked)
    assert (code, out) == (3, "")
    assert err.startswith("error: ")
    assert "expected: " in err
    for message in messages:
        assert message in err


def test_data_that_is_not_there_says_where_it_was_looked_for(
    pipeline: Pipeline, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_DATA", str(pipeline.root / "elsewhere"))
    code, _, err = command("lineage", PREDICTIONS)
    assert code == 3
    assert f"there is no folder {pipeline.root}/elsewhere" in err
    assert "make run" in err


@pytest.mark.parametrize("arguments", [["lineage", ""], ["diff", "a", ""], ["rerun", ""]])
def test_argument_that_make_was_not_given_is_asked_for(command: Command, arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command(*arguments)


def places(value: object, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to every value inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way for key, inner in items for way in [(*at, key), *places(inner, (*at, key))]]


def describe_all(pipeline: Pipeline) -> bool:
    """Describe the predictions in every way; False if that is refused with a message."""
    try:
        lineage = read_lineage(data_of(pipeline), PREDICTIONS)
    except AirflowMlError:
        return False
    other = read_lineage(data_of(pipeline), f"features/{DAY}")
    comparison = compare(lineage, other)
    assert show.tree(lineage, {})
    assert show.mermaid(lineage)
    assert json.dumps([show.document(lineage, {}), diff.document(lineage, other, comparison)])
    assert diff.words(lineage, other, comparison)
    return True


@pytest.mark.parametrize("partition", ["raw", "predictions"])
@pytest.mark.parametrize("value", [None, [], {}, "text", -1, "gone"])
def test_mark_with_any_value_replaced_is_shown_or_refused(pipeline: Pipeline, partition: str, value: object) -> None:
    """Somebody's tool rewrote a mark: never a traceback, whatever it put where."""
    whole = pipeline.mark(f"{partition}/{DAY}")
    shown = []
    for way in places(whole):
        mark = json.loads(json.dumps(whole))
        inner = mark
        for key in way[:-1]:
            inner = inner[key]
        inner[way[-1]] = value
        if value == "gone":
            del inner[way[-1]]
        (pipeline.root / partition / DAY / "_meta.json").write_text(json.dumps(mark))
        shown.append(describe_all(pipeline))
    assert any(shown)
    assert partition == "raw" or not all(shown)


def test_old_names_of_steps_are_shown_as_they_were_recorded(pipeline: Pipeline, command: Command) -> None:
    """Marks from before the steps were renamed: `features` was made by the command `prepare --model`."""
    call = {"stage": "preprocessing", "command": "prepare", "arguments": {"ds": DAY, "model": f"/data/models/{DAY}"}}
    pipeline.edit_mark(f"features/{DAY}", lambda m: m["steps"]["features"].update(call=call))
    code, tree, _ = command("lineage", PREDICTIONS, "--check")
    assert (code, f"prepare --ds={DAY} --model=/data/models/{DAY}" in unwrapped(tree)) == (0, True)
    code, text, _ = command("diff", PREDICTIONS, PREDICTIONS)
    assert (code, text.endswith("The files are the same bytes, made in the same way.\n")) == (0, True)
