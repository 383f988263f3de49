"""The step cache: the same work is not done twice, and nothing else is ever taken for it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stagekit import LATER, META, Publication, cache, option, read_partition, run_stage

from .conftest import DAY, IMAGE, MADE, OPTIONS, SOURCE, Stage, command_of


def test_same_call_again_is_answered_from_the_mark(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DAG_ID", "train_model")
    monkeypatch.setenv("ML_RUN_ID", "scheduled__1")
    first = stage.fit()
    again = stage.hit()
    assert again.line.pop("cached") is True
    assert again.line.pop("seconds") >= 0
    first.line.pop("seconds")
    assert again.line == first.line
    assert (
        f"{MADE} (step fit) is up to date: made {stage.record()['started']} by run scheduled__1 of the Dag "
        in again.log
    )
    assert "--force" in again.log


def test_who_calls_and_how_much_is_logged_make_no_difference(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.fit()
    for name in ("ML_RUN_ID", "ML_TASK_ID", "ML_TRY_NUMBER", "ML_REVISION", "ML_IMAGE_ID"):
        monkeypatch.setenv(name, "other")
    stage.hit("--verbose", "--share", "0.10", "--seed=0")


def test_first_call_says_nothing_of_doing_it_again(stage: Stage) -> None:
    assert "doing it" not in stage.fit().log


# What may change between two calls. Each returns the words that name it in the log.
def other_image(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ML_IMAGE", "airflow-ml-demo:bbbbbbbbbbbb")
    return f"image {IMAGE} then, airflow-ml-demo:bbbbbbbbbbbb now"


def other_build(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    stage.edit_mark(lambda mark: mark["steps"]["fit"]["image"].update(id="sha256:" + "5" * 64))
    monkeypatch.setenv("ML_IMAGE_ID", "sha256:" + "6" * 64)
    return "image id sha256:555555555555… then, sha256:666666666666… now"


def no_image(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("ML_IMAGE")
    return "it runs outside of an image"


def other_input(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    then = read_partition(stage.root, SOURCE, ["data.csv"]).hashes[f"{SOURCE}/data.csv"]
    stage.publish_source("b\n")
    now = read_partition(stage.root, SOURCE, ["data.csv"]).hashes[f"{SOURCE}/data.csv"]
    return f"input {SOURCE}/data.csv has changed ({then[:12]}… then, {now[:12]}… now)"


def other_parameter(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    stage.extra["threshold"] = 0.5
    return "threshold null then, 0.5 now"


def other_default(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    stage.edit_mark(lambda mark: mark["steps"]["fit"]["parameters"].update(share=0.2))
    return "share 0.2 then, 0.1 now"


def other_seed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    stage.options["seed"] = 7
    return "seed 0 then, 7 now"


def no_seed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    stage.options["seed"] = None
    return "seed 0 then, null now"


def edited_output(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    (stage.root / MADE / "notes.txt").write_text("NOTES\n")
    return "output notes.txt has sha256 "


def longer_output(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    (stage.root / MADE / "notes.txt").write_text("longer notes\n")
    return "output notes.txt has 13 bytes (6 bytes when it was published)"


def deleted_output(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    (stage.root / MADE / "model.txt").unlink()
    return "output model.txt is gone"


def output_of_another_step(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    with Publication(stage.root, MADE, "import") as publication:
        publication.path("notes.txt").write_text("notes\n")
    return "its result was not kept"


def no_result(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    stage.edit_mark(lambda mark: mark["steps"]["fit"].pop("result"))
    return "its result was not kept"


def older_mark(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    stage.edit_mark(lambda mark: mark["steps"]["fit"].pop("call"))
    return f"the record of fit in {MADE}/_meta.json is not complete"


CHANGES = [
    other_image, other_build, no_image, other_input, other_parameter, other_default, other_seed, no_seed, edited_output,
    longer_output, deleted_output, output_of_another_step, no_result,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_is_named_and_the_work_is_done(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, change: Callable[[Stage, pytest.MonkeyPatch], str]
) -> None:
    stage.fit()
    words = change(stage, monkeypatch)
    assert stage.call("--explain").line["explain"]["changed"][0].startswith(words)
    assert f"doing it again: {words}" in stage.fit().log
    if change is not no_image:
        stage.hit()


def test_record_that_is_not_complete_is_no_hit(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.fit()
    words = older_mark(stage, monkeypatch)
    assert stage.call("--explain").line["explain"] == {"hit": False, "changed": [words]}
    stage.fit()
    stage.hit()


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_damaged_mark_is_no_hit(stage: Stage, text: str) -> None:
    stage.fit()
    (stage.root / MADE / META).write_text(text)
    stage.fit()
    stage.hit()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--share=0.2"], "--share 0.1 then, 0.2 now"),
        (["--seed=3"], "--seed 0 then, 3 now"),
        (["--note=x"], "--note null then, x now"),
        (["--share=0.2", "--seed=3"], "--seed 0 then, 3 now, --share 0.1 then, 0.2 now"),
    ],
)
def test_changed_argument_is_named_once(stage: Stage, arguments: list[str], words: str) -> None:
    stage.fit()
    assert stage.fit(*arguments).log.splitlines()[-1].endswith(f"doing it again: {words}")
    stage.hit(*arguments)


def test_another_command_of_the_stage_is_another_step_of_work(stage: Stage) -> None:
    stage.fit()
    commands = [command_of(name, stage.act, options=OPTIONS) for name in ("fit", "other")]
    arguments = ["fit", "--ds", DAY, "--data-dir", str(stage.root)]
    assert run_stage("demo", "Demonstrates.", commands, arguments) == 0
    assert stage.work == 2


def test_changes_are_listed_in_the_order_of_the_work(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.fit()
    changed = [other_input(stage, monkeypatch), "--share 0.1 then, 0.2 now", other_image(stage, monkeypatch)]
    assert f"doing it again: {', '.join(changed)}\n" in stage.fit("--share=0.2").log


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20))
NESTED = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))


@given(values=st.tuples(NESTED, NESTED))
def test_parameters_are_the_same_only_if_they_are_the_same_json(stage: Stage, values: tuple[Any, Any]) -> None:
    """To Python 1, 1.0 and True are equal; what a stage makes of them need not be."""
    shutil.rmtree(stage.root / MADE, ignore_errors=True)
    first, second = values
    stage.extra = {"value": first}
    stage.fit()
    stage.hit()
    stage.extra = {"value": second}
    if json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True):
        stage.hit()
    else:
        stage.fit()


@pytest.mark.parametrize(("first", "second"), [(1, 1.0), (1, True), (0, False), (0.0, -0.0), ("1", 1), (None, "")])
def test_values_that_python_takes_for_equal_are_different(stage: Stage, first: object, second: object) -> None:
    stage.extra = {"value": first}
    stage.fit()
    stage.extra = {"value": second}
    stage.fit()


@given(data=st.data())
def test_any_changed_byte_of_an_output_is_no_hit(stage: Stage, data: st.DataObject) -> None:
    stage.call()
    path = stage.root / MADE / data.draw(st.sampled_from(["model.txt", "notes.txt"]))
    good = path.read_bytes()
    place = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda other: other != good[place]))
    path.write_bytes(good[:place] + bytes([byte]) + good[place + 1 :])
    stage.fit()
    assert path.read_bytes() == good
    stage.hit()


@given(text=st.text(alphabet="ab\n", max_size=4))
def test_any_other_input_is_no_hit(stage: Stage, text: str) -> None:
    stage.publish_source("b\n")
    stage.call()
    stage.publish_source(text)
    stage.hit() if text == "b\n" else stage.fit()


def test_content_of_a_file_from_outside_counts(stage: Stage, tmp_path: Path) -> None:
    own = tmp_path / "params.json"
    own.write_text("{}")
    stage.fit("--params", str(own))
    stage.hit("--params", str(own))
    own.write_text('{"num_leaves": 7}')
    assert f"doing it again: --params {own} (44136fa355b3…) then, {own} (" in stage.fit("--params", str(own)).log
    assert "num_leaves" not in (stage.root / MADE / META).read_text()


@pytest.mark.parametrize("kind", ["folder", "missing", "pipe"])
def test_what_cannot_be_read_whole_is_never_the_same(stage: Stage, tmp_path: Path, kind: str) -> None:
    own = tmp_path / "own"
    if kind == "folder":
        own.mkdir()
    if kind == "pipe":
        os.mkfifo(own)
    stage.fit("--params", str(own))
    assert f"--params: what {own} holds is not known" in stage.fit("--params", str(own)).log


def test_parameters_that_never_came_publish_nothing(stage: Stage) -> None:
    stage.options = {"parameters": LATER, "seed": None}
    done = stage.call()
    assert (done.code, (stage.root / MADE).exists()) == (1, False)
    assert "its work did not call set_parameters()" in done.log


# Force and explain
def test_force_does_the_work_and_makes_the_same_bytes(stage: Stage) -> None:
    stage.fit()
    before = {name: (stage.root / MADE / name).read_bytes() for name in ("model.txt", "notes.txt")}
    stage.fit("--force")
    assert {name: (stage.root / MADE / name).read_bytes() for name in before} == before
    stage.hit()  # the option itself is not recorded
    assert "force" not in stage.record()["call"]["arguments"]


def derive(stage: Stage) -> None:
    """Another step of the partition, as `prediction validate` is in `models`."""
    model = read_partition(stage.root, MADE, ["model.txt"])
    with Publication(stage.root, MADE, "validate", inputs=[model]) as publication:
        publication.path("metrics.json").write_text("{}")


def test_what_was_made_from_it_stays_valid_on_a_hit_and_on_the_same_bytes_by_force(stage: Stage) -> None:
    stage.fit()
    derive(stage)
    stage.hit()
    stage.fit("--force")
    assert read_partition(stage.root, MADE, ["metrics.json"])
    stage.fit("--seed=1")
    assert "metrics.json" not in read_partition(stage.root, MADE, []).meta["outputs"]


def test_step_that_is_added_keeps_the_results_of_the_others(stage: Stage) -> None:
    stage.fit()
    derive(stage)
    assert stage.record()["result"] == {"model": MADE, "share": 0.1}
    stage.hit()


def test_explain_says_what_would_be_done_and_does_nothing(stage: Stage) -> None:
    def explain(*arguments: str) -> tuple[dict[str, Any], str]:
        work, files = stage.work, stage.files()
        done = stage.call("--explain", *arguments)
        assert (done.code, stage.work, stage.files()) == (0, work, files)
        return done.line["explain"], done.log

    assert explain()[0] == {"hit": False, "changed": ["it was not done before"]}
    assert not (stage.root / MADE).parent.exists()
    stage.fit()
    found, log = explain()
    assert found == {"hit": True, "changed": []}
    assert "is up to date" in log
    found, log = explain("--share=0.5")
    assert found == {"hit": False, "changed": ["--share 0.1 then, 0.5 now"]}
    assert "would do it: --share 0.1 then, 0.5 now" in log


def test_explain_without_its_inputs_waits_as_the_work_would(stage: Stage) -> None:
    shutil.rmtree(stage.root / SOURCE)
    assert stage.call("--explain").code == 4


def test_force_and_explain_exclude_each_other(stage: Stage) -> None:
    with pytest.raises(SystemExit, match="2"):
        stage.call("--force", "--explain")


def test_command_that_publishes_nothing_may_have_such_options_of_its_own(tmp_path: Path) -> None:
    seen = []

    def act(args: Any) -> dict[str, Any]:
        seen.append(args.force)
        return {}

    command = command_of(
        "draft", act, options=[option("--force", action="store_true")], needs_ds=False, publishes=False
    )
    assert run_stage("demo", "Demonstrates.", [command], ["--force", "--data-dir", str(tmp_path)]) == 0
    assert seen == [True]
    with pytest.raises(SystemExit, match="2"):
        run_stage("demo", "Demonstrates.", [command], ["--explain"])


def test_publication_that_does_not_reuse_is_always_done(stage: Stage) -> None:
    stage.options["reuse"] = False
    stage.fit()
    assert stage.call("--explain").line["explain"] == {"hit": False, "changed": ["it is done every time"]}
    stage.fit()


# What is kept
def test_result_is_recorded_with_the_outputs(stage: Stage) -> None:
    stage.result = {"rows": {"train": 2}, "curve": [0.1, None]}
    stage.fit()
    assert stage.record()["result"] == {"model": MADE, "share": 0.1, **stage.result}


def test_command_that_fails_after_publishing_need_not_publish_again(stage: Stage) -> None:
    def fail() -> None:
        raise ValueError("oops")

    stage.after = fail
    assert stage.call().code == 1
    stage.after = lambda: None
    stage.hit()


def test_mark_keeps_the_result_of_what_another_process_published_since(stage: Stage) -> None:
    def other() -> None:
        child = os.fork()
        if child == 0:
            stage.after = lambda: None
            os._exit(stage.call("--share=0.9").code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    stage.after = other
    stage.fit()
    assert stage.record()["result"]["share"] == 0.9
    stage.after = lambda: None
    stage.hit("--share=0.9")
    stage.fit()


# Others at work
def test_outputs_replaced_after_they_were_read_are_no_hit(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.fit()
    real, replaced = cache.damage, []

    def replace_after(path: Path, output: Any) -> Any:
        found = real(path, output)
        if not replaced:
            replaced.append(path)
            with Publication(stage.root, MADE, "fit") as publication:
                publication.path("model.txt").write_text("other")
        return found

    monkeypatch.setattr(cache, "damage", replace_after)
    before = stage.work
    done = stage.call()
    assert (done.code, stage.work, "cached" in done.line) == (0, before + 1, False)
    assert replaced


def test_same_call_by_many_at_once_ends_well_for_all(stage: Stage) -> None:
    """Some do the work, some find it done; the partition is whole at each moment and at the end."""
    expected = stage.fit().line
    children = []
    for number in range(8):
        child = os.fork()
        if child == 0:
            good = all(
                stage.call(*(["--force"] if number % 2 else [])).line.items() >= {"model": expected["model"]}.items()
                for _ in range(10)
            )
            os._exit(0 if good else 1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 8
    assert read_partition(stage.root, MADE, ["model.txt", "notes.txt"])
    stage.hit()


def test_read_only_data_is_enough_for_a_hit(stage: Stage) -> None:
    stage.fit()
    for folder in (stage.root / MADE, stage.root / "models"):
        folder.chmod(0o555)
    try:
        stage.hit()
    finally:
        for folder in (stage.root / MADE, stage.root / "models"):
            folder.chmod(0o755)
