"""`publish`: one call does a step or finds it done, and records the result with the outputs."""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from stagekit import LATER, META, Command, Publication, option, publish, read_partition, run_stage
from stagekit.locks import claim

from .conftest import DAY, MADE, SOURCE, Done, Stage, command_of

Work = Callable[[Publication], Mapping[str, Any]]


def make(stage: Stage, work: Work | None = None, step: str = "fit", **options: Any) -> Callable[..., Done]:
    """The command that publishes models/{ds} by one call; each call of it returns what came of it."""

    def act(args: Namespace) -> Mapping[str, Any]:
        source = read_partition(stage.root, SOURCE, ["data.csv"])
        given = {"parameters": {"share": args.share}, "seed": args.seed, **options}
        return {"model": MADE, **publish(args, MADE, step, work or write, inputs=[source], **given)}

    def write(publication: Publication) -> Mapping[str, Any]:
        stage.work += 1
        publication.path("model.txt").write_text("model")
        publication.rows["model.txt"] = 1
        return {"trees": 3, "curve": [0.1, None]}

    def call(*arguments: str) -> Done:
        stage.capture.readouterr()
        options = (option("--share", type=float, default=0.1), option("--seed", type=int))
        command = command_of("fit", act, options=options)
        code = run_stage("demo", "Demonstrates.", [command], ["--ds", DAY, "--data-dir", str(stage.root), *arguments])
        out, err = stage.capture.readouterr()
        return Done(code, json.loads(out.splitlines()[-1]) if out else {}, err)

    return call


def test_result_is_returned_and_recorded_with_the_outputs(stage: Stage) -> None:
    done = make(stage)()
    assert done.line.items() >= {"model": MADE, "trees": 3, "curve": [0.1, None]}.items()
    assert "cached" not in done.line
    record = stage.record()
    assert record["result"] == {"trees": 3, "curve": [0.1, None]}
    assert record["call"]["arguments"] == {"ds": DAY, "seed": None, "share": 0.1}
    assert (record["parameters"], record["seed"]) == ({"share": 0.1}, None)
    assert read_partition(stage.root, MADE, ["model.txt"]).rows("model.txt") == 1


def test_second_call_returns_the_recorded_result_and_touches_nothing(stage: Stage) -> None:
    call = make(stage)
    first, files = call(), stage.files()
    again = call()
    assert again.line.pop("cached") is True
    assert {**again.line, "seconds": 0} == {**first.line, "seconds": 0}
    assert (stage.work, stage.files()) == (1, files)
    assert "is up to date" in again.log


@pytest.mark.parametrize("arguments", [["--force"], ["--share=0.2"], ["--seed=5"]])
def test_force_or_another_argument_does_the_work(stage: Stage, arguments: list[str]) -> None:
    call = make(stage)
    call()
    assert "cached" not in call(*arguments).line
    assert stage.work == 2


def test_explain_returns_the_reasons_and_does_nothing(stage: Stage) -> None:
    call = make(stage)
    assert call("--explain").line["explain"] == {"hit": False, "changed": ["it was not done before"]}
    assert not (stage.root / MADE).exists()
    call()
    assert call("--explain").line["explain"] == {"hit": True, "changed": []}
    assert call("--explain", "--seed=1").line["explain"] == {"hit": False, "changed": ["--seed null then, 1 now"]}
    assert stage.work == 1


def test_work_that_fails_publishes_nothing(stage: Stage) -> None:
    def fail(publication: Publication) -> Mapping[str, Any]:
        publication.path("model.txt").write_text("half")
        raise ValueError("oops")

    assert make(stage, fail)().code == 1
    assert not (stage.root / MADE).exists()


def test_result_that_is_no_json_publishes_nothing(stage: Stage) -> None:
    assert make(stage, lambda publication: {"path": publication.path("a")})().code == 1
    assert not (stage.root / MADE).exists()


def test_scratch_is_not_published(stage: Stage) -> None:
    def work(publication: Publication) -> Mapping[str, Any]:
        (publication.scratch / "copy.csv").write_text("a")
        assert (publication.scratch / "copy.csv").read_text() == "a"
        publication.path("model.txt").write_text("model")
        return {}

    assert make(stage, work)().code == 0
    assert sorted(path.name for path in (stage.root / MADE).iterdir()) == [META, "model.txt"]


def test_parameters_that_come_later_are_recorded_and_not_compared(stage: Stage) -> None:
    def work(publication: Publication) -> Mapping[str, Any]:
        stage.work += 1
        publication.set_parameters({"threads": stage.work}, seed=5)
        publication.path("model.txt").write_text("model")
        return {}

    call = make(stage, work, parameters=LATER, seed=None)
    call()
    assert (stage.record()["parameters"], stage.record()["seed"]) == ({"threads": 1}, 5)
    assert call().line["cached"] is True


def test_step_that_does_not_reuse_is_always_done(stage: Stage) -> None:
    call = make(stage, reuse=False)
    call()
    assert call("--explain").line["explain"] == {"hit": False, "changed": ["it is done every time"]}
    assert "cached" not in call().line
    assert stage.work == 2


def test_long_result_is_kept_in_short(stage: Stage) -> None:
    def work(publication: Publication) -> Mapping[str, Any]:
        publication.path("model.txt").write_text("model")
        return {"text": "x" * 70_000}

    call = make(stage, work)
    assert call().line["shortened"] == {"text": "and 69,000 more"}
    assert stage.record()["result"] == {"text": "x" * 1000, "shortened": {"text": "and 69,000 more"}}
    assert call().line["cached"]


def test_every_warning_is_logged_although_the_result_is_long(stage: Stage) -> None:
    warnings = [f"feature {n} {'x' * 400}" for n in range(300)]
    call = make(stage, lambda _: {"classes": {f"class {n}": n for n in range(10_000)}, "warnings": warnings})
    for done in (call(), call()):
        assert [line.partition(" demo fit: ")[2] for line in done.log.splitlines() if " WARNING " in line] == warnings
        assert len(json.dumps(done.line)) < 16 << 10
        assert done.line["shortened"]["classes"] == "and 9,900 more"
    assert done.line["cached"]


def test_two_steps_of_one_command_are_each_found_done(stage: Stage) -> None:
    def act(args: Namespace) -> Mapping[str, Any]:
        def work(publication: Publication) -> Mapping[str, Any]:
            stage.work += 1
            publication.path("a.txt").write_text("a")
            return {"a": 1}

        return {name: publish(args, name, "make", work) for name in (MADE, f"plots/{DAY}")}

    arguments = ["--ds", DAY, "--data-dir", str(stage.root)]
    for expected in ({"a": 1}, {"a": 1, "cached": True}):
        assert run_stage("demo", "Demonstrates.", [command_of("make", act)], arguments) == 0
        line = json.loads(stage.capture.readouterr().out.splitlines()[-1])
        for name in (MADE, f"plots/{DAY}"):
            assert line[name] == {"partition": name, **expected}
    assert stage.work == 2


@pytest.mark.parametrize("crash_at", range(1, 9))
def test_crash_while_publishing_leaves_a_hit_or_work_to_do(stage: Stage, crash_at: int) -> None:
    """Ends the process at each of its fsyncs and renames in turn."""
    call = make(stage)
    child = os.fork()
    if child == 0:
        left, fsync, replace = [crash_at], os.fsync, Path.replace

        def counted(function: Callable[..., object]) -> Callable[..., object]:
            def counting(*arguments: object) -> object:
                left[0] -= 1
                return function(*arguments) if left[0] else os._exit(9)

            return counting

        os.fsync, Path.replace = counted(fsync), counted(replace)  # type: ignore[assignment,method-assign]
        os._exit(call().code)
    os.waitpid(child, 0)
    assert call().code == 0
    assert call().line["cached"] is True


def test_step_found_done_removes_what_a_killed_writer_has_left(stage: Stage) -> None:
    """Such as the writer itself, killed after it had published."""
    call = make(stage)
    call()
    dead, living = (stage.root / MADE / f".fit-{name}.tmp" for name in ("dead", "living"))
    for folder in (dead, living):
        folder.mkdir()
    os.close(claim(dead))
    descriptor = claim(living)
    assert call().line["cached"]
    assert (dead.exists(), living.exists()) == (False, True)
    os.close(descriptor)


def test_publish_without_a_command_line_records_none(tmp_path: Path) -> None:
    def work(publication: Publication) -> Mapping[str, Any]:
        publication.path("a.txt").write_text("a")
        return {}

    assert publish(Namespace(data_dir=tmp_path), SOURCE, "make", work) == {"partition": SOURCE}
    assert read_partition(tmp_path, SOURCE, []).step("a.txt")["call"]["stage"] is None


# The command's function and options
@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module with the function of a command."""
    (tmp_path / "demo_late.py").write_text("def run(args):\n    return {'rows': args.rows, 'debug': __name__}\n")
    (tmp_path / "demo_broken.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "demo_late:run"
    sys.modules.pop("demo_late", None)


def test_function_is_imported_when_its_command_runs(
    stage: Stage, module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [
        Command("fit", "Fit.", module, options=(option("--rows", type=int, default=3, help="how many"),)),
        Command("broken", "Fail.", "demo_broken:run"),
    ]
    with pytest.raises(SystemExit, match="0"):
        run_stage("demo", "Demonstrates.", commands, ["fit", "--help"])
    assert "how many" in capsys.readouterr().out
    assert "demo_late" not in sys.modules
    where = ["--ds", DAY, "--data-dir", str(stage.root)]
    assert run_stage("demo", "Demonstrates.", commands, ["fit", *where, "--rows", "5"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 5
    assert run_stage("demo", "Demonstrates.", commands, ["broken", *where]) == 1
    assert "No module named 'no_such_library'" in capsys.readouterr().err
