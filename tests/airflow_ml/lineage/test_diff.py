"""`make diff`: what differs between two runs, and in which step the difference begins."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from .conftest import DAY, VERSIONS, Command, Pipeline

OTHER = "2026-11-22"
A, B = f"predictions/{DAY}/predictions.csv", f"predictions/{OTHER}/predictions.csv"


def rows(text: str, title: str) -> list[str]:
    """The rows below a step's title."""
    lines = text.splitlines()
    start = lines.index(title) + 1
    end = next((n for n in range(start, len(lines)) if not lines[n].startswith(" ")), len(lines))
    return [" ".join(line.split()) for line in lines[start:end]]


def table(text: str, title: str) -> list[str]:
    """The rows of one of the tables at the top."""
    (header,) = (line for line in text.splitlines() if line.split()[:2] == [title, "A"])
    return rows(text, header)


def diff(pipeline: Pipeline, command: Command, a: str = A, b: str = B, **changes: dict[str, Any]) -> tuple[str, Any]:
    """The words and the object for two days, the second with changed steps."""
    pipeline.run(OTHER, **changes)
    code, text, _ = command("diff", a, b)
    assert code == 0
    return text, json.loads(command("diff", a, b, "--format", "json")[1])


def test_same_work_is_reported_as_the_same(pipeline: Pipeline, command: Command) -> None:
    code, text, _ = command("diff", A, A)
    assert (code, text) == (0, f"A  {A}\nB  {A}\n\nThe files are the same bytes, made in the same way.\n")


def test_what_a_step_said_is_no_difference(pipeline: Pipeline, command: Command) -> None:
    """A mark keeps it for the same call to say again; the files are what counts."""
    pipeline.run(OTHER)
    before = command("diff", A, B)
    for day, result in ((DAY, {"rows": 2}), (OTHER, {"rows": 3})):
        pipeline.edit_mark(f"models/{day}", lambda m, said=result: m["steps"]["train"].update(result=said))
    assert command("diff", A, B) == before
    code, shown, _ = command("lineage", A, "--format", "json")
    assert (code, "result" in shown) == (0, False)


def test_another_content_of_the_same_file_is_shown_by_its_hash(pipeline: Pipeline, command: Command) -> None:
    own = {"file": "/own/params.json", "sha256": "a" * 64}
    for day, file in ((DAY, own), (OTHER, {**own, "sha256": "b" * 64})):
        pipeline.run(day, train={"parameters": {"num_leaves": 7 if day == DAY else 8}})
        pipeline.edit_mark(f"models/{day}", lambda m, f=file: m["steps"]["train"]["call"]["arguments"].update(params=f))
    code, text, _ = command("diff", A, B)
    assert code == 0
    assert "params: /own/params.json (aaaaaaaaaaaa) | /own/params.json (bbbbbbbbbbbb)" in text


def test_another_parameter_is_shown_with_the_step_where_the_difference_begins(
    pipeline: Pipeline, command: Command
) -> None:
    text, found = diff(pipeline, command, train={"parameters": {"num_leaves": 63}})
    assert found["begins_in"] == [[f"models/{DAY}#train", f"models/{OTHER}#train"]]
    assert "\n\nThe files differ.\n\nParameters" in text
    assert table(text, "Parameters") == ["train num_leaves - 63"]
    assert "\n\nThe files:\n  predictions/{ds}/predictions.csv   sha256 " in text
    assert "The difference begins in train:\n  train   " in text
    assert f"ds {DAY} | {OTHER}, num_leaves - | 63" in text
    lines = rows(text, f"train   models/{DAY} | models/{OTHER}")
    assert lines[0] == "image the same, airflow-ml-training:0123456789ab"
    assert lines[1:3] == [f"arguments ds: {DAY} | {OTHER}", "num_leaves: - | 63"]
    assert lines[3] == "inputs the same: processed/{ds}/encoder.json, processed/{ds}/train.csv, processed/{ds}/val.csv"
    assert lines[4].startswith("outputs models/{ds}/encoder.json: ")
    downstream = rows(text, f"predict   predictions/{DAY} | predictions/{OTHER}")
    assert any(row.startswith("inputs features/{ds}/features.csv: ") for row in downstream)


def test_figures_parameters_and_rows_come_first_and_hashes_last(pipeline: Pipeline, command: Command) -> None:
    pipeline.run(OTHER, generate={"seed": 7})
    for day, rows, auc in ((DAY, 20_000, 0.91), (OTHER, 19_500, 0.9)):
        result = {"rows": rows, "roc_auc": auc, "gate": {"passed": True}, "confusion": {"0": 3, "1": 4}}
        pipeline.edit_mark(f"models/{day}", lambda m, said=result: m["steps"]["validate"].update(result=said))
        pipeline.edit_mark(f"raw/{day}", lambda m, count=rows: m["outputs"]["data.csv"].update(rows=count))
    code, text, _ = command("diff", f"models/{DAY}", f"models/{OTHER}")
    assert code == 0
    assert table(text, "Figures") == ["validate roc_auc 0.91 0.9 -0.01"]
    assert table(text, "Parameters") == ["generate seed - 7"]
    assert table(text, "Rows") == ["generate raw/{ds}/data.csv 20,000 19,500 -500"]
    titles = ["Figures", "Parameters", "Rows", "The difference begins in", "The files:"]
    places = [text.index(f"\n{title}") for title in titles]
    assert places == sorted(places)
    assert text.index("sha256") > places[-1]


def test_another_seed_of_the_generator_is_where_everything_begins(pipeline: Pipeline, command: Command) -> None:
    text, found = diff(pipeline, command, generate={"seed": 7})
    assert found["begins_in"] == [[f"raw/{DAY}#generate", f"raw/{OTHER}#generate"]]
    assert "seed - | 7" in text
    order = [text.index(f"\n{step}   ") for step in ("generate", "prepare", "split", "train", "features", "predict")]
    assert order == sorted(order), "the steps come in the order of the work"
    names = [pair["a"]["step"].partition("#")[2] for pair in found["steps"]]
    assert sorted(names) == sorted(["generate", "prepare", "split", "train", "validate", "features", "predict"])
    assert "the same: raw/{ds}/schema.json" in text


def test_another_image_is_shown_by_its_tag_and_versions(
    pipeline: Pipeline, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.run(OTHER)
    monkeypatch.setattr(VERSIONS[0], "version", "2.6.0")
    pipeline.step("split", OTHER, tag="ba9876543210", noise=1)
    _, text, _ = command("diff", f"processed/{DAY}/train.csv", f"processed/{OTHER}/train.csv")
    lines = rows(text, f"split   processed/{DAY} | processed/{OTHER}")
    assert lines[0] == "image airflow-ml-preprocessing:0123456789ab | airflow-ml-preprocessing:ba9876543210"
    assert "versions numpy: 2.5.5 | 2.6.0" in lines
    assert "The difference begins in split:" in text


def test_image_of_one_tag_and_another_id_was_built_twice(pipeline: Pipeline, command: Command) -> None:
    text, found = diff(pipeline, command, train={"id": "sha256:" + "6" * 64, "noise": 1})
    lines = rows(text, f"train   models/{DAY} | models/{OTHER}")
    built_twice = "airflow-ml-training:0123456789ab, the same content built twice: id 555555555555 | 666666666666"
    assert lines[0] == f"image {built_twice}"
    (pair,) = (pair for pair in found["steps"] if pair["a"]["step"] == f"models/{DAY}#train")
    assert [change["kind"] for change in pair["differences"]] == ["image", "argument"]


def test_image_whose_id_nobody_recorded_is_no_difference(pipeline: Pipeline, command: Command) -> None:
    """By hand only the tag is known, and it names the content."""
    text, _ = diff(pipeline, command, train={"id": "", "revision": "", "noise": 1})
    assert rows(text, f"train   models/{DAY} | models/{OTHER}")[0].startswith("image the same")


def test_same_bytes_made_in_another_way_are_still_the_same(pipeline: Pipeline, command: Command) -> None:
    text, found = diff(pipeline, command, train={"tag": "ba9876543210"})
    assert found["same_bytes"] is True
    assert found["begins_in"] == []
    assert "The files are the same bytes, although they were not made in the same way." in text
    assert "begins in" not in text
    assert rows(text, f"train   models/{DAY} | models/{OTHER}") == [
        "read and made the same bytes, although: image airflow-ml-training:0123456789ab |"
        f" airflow-ml-training:ba9876543210, ds {DAY} | {OTHER}"
    ]


def test_other_bytes_for_no_recorded_reason_are_called_that(pipeline: Pipeline, command: Command) -> None:
    """The same day, step, image, inputs and parameters, and yet other bytes."""
    kept = pipeline.root.parent / "kept.json"
    shutil.copy(pipeline.root / f"models/{DAY}/_meta.json", kept)
    pipeline.step("train", noise=1)
    _, text, _ = command("diff", str(kept), f"models/{DAY}")
    assert "The difference begins in train:" in text
    assert "nothing that the marks record explains it; `make rerun` shows" in text


def test_kept_mark_is_compared_with_what_replaced_it(pipeline: Pipeline, command: Command) -> None:
    kept = pipeline.root.parent / "kept.json"
    shutil.copy(pipeline.root / f"raw/{DAY}/_meta.json", kept)
    pipeline.step("generate", seed=9)
    _, text, _ = command("diff", str(kept), f"raw/{DAY}")
    assert f"A  raw/{DAY}: data.csv, schema.json, target.csv" in text
    assert "The difference begins in generate:" in text
    assert "seed - | 9" in text
    assert "Note" not in text, "the files on disk are not those that the kept mark speaks of"


def test_file_that_is_no_mark_is_refused(pipeline: Pipeline, command: Command, tmp_path: Path) -> None:
    other = tmp_path.parent / f"{tmp_path.name}.json"
    other.write_text("{}")
    code, _, err = command("diff", str(other), A)
    assert code == 3
    assert "is no commit mark" in err
    assert "expected: a copy of a _meta.json" in err


def test_cause_that_was_published_over_is_reported_as_lost(pipeline: Pipeline, command: Command) -> None:
    pipeline.run(OTHER, generate={"seed": 7})
    pipeline.step("generate", OTHER, seed=8)
    _, text, _ = command("diff", f"processed/{DAY}/train_data.csv", f"processed/{OTHER}/train_data.csv")
    assert "Further back cannot be seen: raw/{ds}/data.csv as B read it is no longer there" in text
    assert "\ngenerate " not in text
    assert f"Note, B: raw/{OTHER}/data.csv was published again" in text


def test_input_on_one_side_only_is_shown(pipeline: Pipeline, command: Command) -> None:
    pipeline.run(OTHER)
    pipeline.step("prepare", OTHER, noise=1)
    pipeline.edit_mark(f"processed/{OTHER}", lambda m: m["steps"]["prepare"]["inputs"].pop(f"raw/{OTHER}/target.csv"))
    _, text, _ = command("diff", f"processed/{DAY}/train_data.csv", f"processed/{OTHER}/train_data.csv")
    assert f"raw/{DAY}/target.csv: only in A" in text
    assert "The difference begins in prepare" in text


def test_partitions_with_other_files_say_which_are_on_one_side(pipeline: Pipeline, command: Command) -> None:
    pipeline.run(OTHER)
    pipeline.edit_mark(f"models/{OTHER}", lambda m: m["outputs"].pop("metrics.json"))
    _, text, _ = command("diff", f"models/{DAY}", f"models/{OTHER}")
    assert f"  models/{DAY}/metrics.json   only in A" in text
    assert "  models/{ds}/model.txt   the same bytes" in text


def test_files_of_different_kinds_are_compared_as_they_are(pipeline: Pipeline, command: Command) -> None:
    _, text, _ = command("diff", f"processed/{DAY}/train.csv", f"processed/{DAY}/val.csv")
    assert f"processed/{DAY}/train.csv | processed/{DAY}/val.csv   sha256 " in text
