"""The step cache with real images: a day from the generator to predictions, then every command once more."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.harness import CONFINED, Data, copy_of, data_volume, docker, images

DAY = "2026-11-21"
MODEL = f"models/{DAY}"
# What stages import for their work. A step that is up to date does without.
HEAVY = {"faker", "lightgbm", "numpy", "pandas", "polars", "scipy", "sklearn"}
# Step, stage, arguments, partition: in the order of the work.
STEPS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "generate": ("generator", ("--rows=3000",), f"raw/{DAY}"),
    "prepare": ("preprocessing", ("prepare",), f"processed/{DAY}"),
    "split": ("preprocessing", ("split", "--seed=5"), f"processed/{DAY}"),
    "train": ("training", ("--params=/own/params.json", "--param=num_iterations=15"), MODEL),
    "validate": ("prediction", ("validate",), MODEL),
    "features": ("preprocessing", ("features", f"--model={MODEL}"), f"features/{DAY}"),
    "predict": ("prediction", ("predict", f"--model={MODEL}"), f"predictions/{DAY}"),
}


@cache
def image_of(name: str) -> str:
    """An image of the lock: the same one throughout, whoever builds meanwhile."""
    return images()[name]


@dataclass(frozen=True)
class Run:
    """How a run of a stage ended: its result line, its log, and which heavy libraries it imported."""

    code: int
    line: dict[str, Any]
    log: str
    heavy: set[str]

    @property
    def is_cached(self) -> bool:
        return self.line.get("cached") is True


@dataclass(frozen=True)
class Day(Data):
    """A volume with published data, and a folder outside of the data at /own."""

    def run(self, step: str, *more: str, image: str | None = None, options: tuple[str, ...] = ()) -> Run:
        """A step in its image, as its Dag starts it, with what Python reports of its imports."""
        stage, usual, _ = STEPS[step]
        given = {argument.partition("=")[0] for argument in more} - {"--param"}  # the one that can be repeated
        arguments = [argument for argument in usual if argument.partition("=")[0] not in given]
        command = [image or image_of(stage), *arguments, f"--ds={DAY}", *more]
        profiled = [self.mount, *self.options, "--env=PYTHONPROFILEIMPORTTIME=1", *options]
        done = docker("run", *CONFINED, *profiled, *command, check=False)
        lines = done.stderr.splitlines()
        logged = [line for line in lines if not line.startswith("import time:")]
        loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line not in logged}
        assert "stagekit" in loaded, done.stderr
        line = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
        return Run(done.returncode, line, "\n".join(logged), loaded & HEAVY)

    def work(self, step: str, *more: str, image: str | None = None, options: tuple[str, ...] = ()) -> Run:
        """A step that has work to do, and does it."""
        done = self.run(step, *more, image=image, options=options)
        assert (done.code, done.is_cached) == (0, False), done.log
        return done

    def hit(self, step: str, *more: str, image: str | None = None, options: tuple[str, ...] = ()) -> Run:
        """A step that is up to date: it ends well and loads nothing."""
        done = self.run(step, *more, image=image, options=options)
        assert (done.code, done.is_cached, done.heavy) == (0, True, set()), done.log
        return done

    def bytes_of(self, step: str) -> dict[str, str]:
        """The sha256 of what is in a step's partition, except the mark."""
        folder = STEPS[step][2]
        return {
            path: digest
            for path, digest in self.files().items()
            if path.startswith(f"{folder}/") and not path.endswith("_meta.json")
        }


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Day, dict[str, Run]]]:
    """A day by hand, and how each of its steps ended."""
    own = tmp_path_factory.mktemp("own")
    (own / "params.json").write_text(json.dumps({"num_leaves": 7, "learning_rate": 0.1}))
    own.chmod(0o755)
    with data_volume("cache") as volume:
        data = Day(volume.source, (f"--volume={own}:/own:ro",))
        yield data, {step: data.work(step) for step in STEPS}


@pytest.fixture
def day(first: tuple[Day, dict[str, Run]]) -> Iterator[Day]:
    """A copy of that day, for the test to change."""
    with copy_of(first[0], "cache") as copy:
        yield Day(copy.source, first[0].options)


@pytest.mark.parametrize("step", STEPS)
def test_step_once_more_says_the_same_loads_nothing_and_touches_nothing(
    first: tuple[Day, dict[str, Run]], step: str
) -> None:
    data, before = first
    files = data.inodes()
    again = data.hit(step)
    assert data.inodes() == files
    said = {name: value for name, value in before[step].line.items() if name != "seconds"}
    assert {**said, "cached": True} == {name: value for name, value in again.line.items() if name != "seconds"}
    assert f"{STEPS[step][2]} (step {step}) is up to date: made 2" in again.log
    assert "by hand" in again.log


def test_work_itself_loads_what_a_hit_does_without(first: tuple[Day, dict[str, Run]]) -> None:
    loaded = {step: done.heavy for step, done in first[1].items()}
    assert "faker" in loaded["generate"]
    assert all("polars" in loaded[step] for step in ("prepare", "split", "features"))
    assert "lightgbm" in loaded["train"]
    assert "sklearn" in loaded["predict"]


def test_force_does_the_work_and_makes_the_same_bytes(day: Day) -> None:
    """Each step, and what was made from its files stays as it is."""
    before = {step: day.bytes_of(step) for step in STEPS}
    for step in STEPS:
        assert day.work(step, "--force").heavy
    assert {step: day.bytes_of(step) for step in STEPS} == before
    day.work("generate", "--force")
    for step in STEPS:
        day.hit(step)


def test_explain_says_what_would_be_done_and_does_nothing(day: Day) -> None:
    before = day.inodes()
    assert day.run("split", "--explain").line["explain"] == {"hit": True, "changed": []}
    would = day.run("split", "--explain", "--val-fraction=0.4")
    assert would.line["explain"] == {"hit": False, "changed": ["--val-fraction 0.2 then, 0.4 now"]}
    assert "would do it: --val-fraction 0.2 then, 0.4 now" in would.log
    assert (would.heavy, day.inodes()) == (set(), before)
    day.remove(f"raw/{DAY}")
    assert day.run("prepare", "--explain").code == 4


@pytest.mark.parametrize(
    ("step", "arguments", "reason"),
    [
        ("generate", ("--seed=7",), "--seed 42 then, 7 now"),
        ("prepare", ("--max-rejected=0.2",), "--max-rejected 0.1 then, 0.2 now"),
        ("split", ("--val-fraction=0.3",), "--val-fraction 0.2 then, 0.3 now"),
        ("train", ("--param=num_leaves=5",), '--param ["num_iterations=15"] then, ["num_iterations=15", "num_leaves=5'),
    ],
)
def test_changed_parameter_is_named_and_the_work_is_done(
    day: Day, step: str, arguments: tuple[str, ...], reason: str
) -> None:
    assert f"doing it again: {reason}" in day.work(step, *arguments).log
    day.hit(step, *arguments)


def test_changed_day_goes_through_to_the_predictions(day: Day) -> None:
    """Each step sees that its input is other, also where the one before it had the same call."""
    day.work("generate", "--rows=3001")
    for step in ("prepare", "split", "train", "validate", "features", "predict"):
        done = day.work(step)
        if step not in ("split", "validate"):  # their records went with the files that they were made from
            assert "doing it again: input " in done.log
            assert "… then, " in done.log


def test_changed_parameters_file_is_another_call(day: Day, tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text(json.dumps({"num_leaves": 8, "learning_rate": 0.1}))
    tmp_path.chmod(0o755)
    day = Day(day.source, (f"--volume={tmp_path}:/own:ro",))
    assert "doing it again: --params /own/params.json (" in day.work("train").log
    assert day.mark(MODEL)["steps"]["train"]["parameters"]["num_leaves"] == 8


def test_number_of_cpus_is_no_change(day: Day) -> None:
    for step in ("generate", "split", "train", "predict"):
        day.hit(step, options=("--cpus=1", "--cpuset-cpus=0"))


@pytest.mark.parametrize(
    ("step", "file", "damage", "reason"),
    [
        ("generate", f"raw/{DAY}/data.csv", "data[:-2] + b'x' + data[-1:]", "output data.csv has sha256 "),
        ("split", f"processed/{DAY}/val.csv", "data[:-1]", "output val.csv has "),
        ("train", f"{MODEL}/model.txt", "data.replace(b'=', b'-', 1)", "output model.txt has sha256 "),
        ("predict", f"predictions/{DAY}/predictions.csv", "None", "output predictions.csv is gone"),
    ],
)
def test_edited_or_deleted_output_is_made_again(day: Day, step: str, file: str, damage: str, reason: str) -> None:
    before = day.bytes_of(step)
    day.python(
        f"from pathlib import Path; path = Path('/data/{file}'); data = path.read_bytes(); new = {damage}\n"
        "path.unlink() if new is None else path.write_bytes(new)"
    )
    assert f"doing it again: {reason}" in day.work(step).log
    assert day.bytes_of(step) == before
    day.hit(step)


@pytest.fixture
def other_image(tmp_path: Path) -> Iterator[str]:
    """The generator's image with one label more, under a name of its own, which it knows as every image does."""
    name = f"airflow-ml-test-cache:{uuid4().hex[:12]}"
    (tmp_path / "Dockerfile").write_text(f"FROM {image_of('generator')}\nLABEL more=1\nENV ML_IMAGE={name}\n")
    docker("build", "--quiet", "--tag", name, str(tmp_path))
    yield name
    docker("image", "rm", "--force", name)


def test_another_image_does_the_work_and_the_former_one_too(day: Day, other_image: str) -> None:
    mine = image_of("generator")
    before = day.bytes_of("generate")
    assert f"doing it again: image {mine} then, {other_image} now" in day.work("generate", image=other_image).log
    assert day.bytes_of("generate") == before
    day.hit("generate", image=other_image)
    assert f"doing it again: image {other_image} then, {mine} now" in day.work("generate").log
    day.hit("prepare")  # the bytes that it read are the same


def test_another_name_of_the_same_image_is_no_other_image(day: Day) -> None:
    name = f"airflow-ml-test-cache:{uuid4().hex[:12]}"
    docker("tag", image_of("generator"), name)
    try:
        day.hit("generate", image=name)
    finally:
        docker("image", "rm", name)


def test_another_build_under_the_same_tag_is_another_image(day: Day) -> None:
    """As its starter reports it: the id is not known inside."""
    first_id, other_id = ("--env=ML_IMAGE_ID=sha256:" + digit * 64 for digit in "56")
    day.work("generate", "--force", options=(first_id,))
    day.hit("generate", options=(first_id,))
    reason = "doing it again: image id sha256:555555555555… then, sha256:666666666666… now"
    assert reason in day.work("generate", options=(other_id,)).log


def test_hit_needs_no_right_to_write(day: Day) -> None:
    line = docker("run", *CONFINED, f"{day.mount}:ro", image_of("generator"), "--rows=3000", f"--ds={DAY}").stdout
    assert json.loads(line)["cached"] is True
