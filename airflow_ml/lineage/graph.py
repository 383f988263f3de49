"""The lineage of files as `stagekit.lineage` reports it: files made by steps from files, and the call of each step.

The tool runs without stagekit, on an older Python, and asks whatever base image the lock names. So it has its own
classes. `lineage_of` fails if a file, step or input has other members; tests read answers of this checkout's stagekit.
"""

import json
import shlex
from dataclasses import dataclass
from typing import Any

from airflow_ml.common import AirflowMlError

SHORT = 12
# How LightGBM's parameters were given: in a file, as JSON, one by one.
LIGHTGBM_OPTIONS = {"params", "params_json", "param"}
# The kind of problem of a file that `tidy` has removed: its mark says so, and nothing is wrong with it.
REMOVED = "removed"
Json = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file, or with what a step read: a word for programs, a sentence for people."""

    kind: str
    text: str


@dataclass(frozen=True)
class File:
    """A file as its partition's mark has it (None where no mark does), and what is wrong with it."""

    path: str
    output: Json | None
    step: str | None
    problem: Problem | None


@dataclass(frozen=True)
class Input:
    """A file as a step read it."""

    path: str
    sha256: str
    problem: Problem | None


@dataclass(frozen=True)
class Step:
    """A step of a partition: its record in the mark, and the files that it wrote, by path."""

    partition: str
    name: str
    record: Json
    inputs: tuple[Input, ...]
    outputs: dict[str, Json]

    @property
    def id(self) -> str:
        return f"{self.partition}#{self.name}"

    @property
    def image(self) -> dict[str, str | None]:
        """`name`, `id` and `revision`; each None where it was not recorded."""
        return {name: self.recorded("image").get(name) for name in ("name", "id", "revision")}

    @property
    def call(self) -> Json | None:
        """How the stage was called; None in marks that do not record it."""
        call = self.recorded("call")
        return {"command": None, **call, "arguments": call.get("arguments") or {}} if call.get("stage") else None

    def recorded(self, member: str) -> Json:
        """A member of the record; empty where an old mark does not have it."""
        return dict(self.record.get(member) or {})


@dataclass(frozen=True)
class Lineage:
    """Everything that some files were made from: `files` by path, `steps` by id in the order of the work.

    `removed`: files that `tidy` has removed, so nothing can compare their bytes. They are no `problems`.
    """

    targets: tuple[str, ...]
    files: dict[str, File]
    steps: dict[str, Step]
    marks: dict[str, Json]
    problems: list[tuple[str, Problem]]
    removed: list[str]


def lineage_of(answer: Json) -> Lineage:
    """The lineage that `python -m stagekit.lineage` printed."""
    targets = [f"{target['partition']}/{file}" for target in answer["targets"] for file in target["files"]]
    files = {path: File(**{**file, "problem": _problem(file["problem"])}) for path, file in answer["files"].items()}
    steps = {
        name: Step(**{**step, "inputs": tuple(_input(read) for read in step["inputs"])})
        for name, step in answer["steps"].items()
    }
    found = [(path, Problem(**problem)) for path, problem in answer["problems"]]
    problems = [(path, problem) for path, problem in found if problem.kind != REMOVED]
    removed = [path for path, problem in found if problem.kind == REMOVED]
    return Lineage(tuple(targets), files, steps, answer["marks"], problems, removed)


def _problem(found: Json | None) -> Problem | None:
    return Problem(**found) if found else None


def _input(read: Json) -> Input:
    return Input(**{**read, "problem": _problem(read["problem"])})


def short(sha256: str | None) -> str:
    """The first digits of a sha256 or an image id."""
    return (sha256 or "").removeprefix("sha256:")[:SHORT]


def to_json(content: Any) -> str:
    """JSON as the commands print it."""
    return json.dumps(content, indent=2, ensure_ascii=False)


# --- the call of a step ---


def command_line(step: Step) -> list[str]:
    """The arguments that make the stage do the same again.

    Errors: AirflowMlError if the mark does not record them.
    """
    if step.call is None:
        raise AirflowMlError(
            f"the mark of {step.partition} does not record how the step {step.name} was called",
            expected="its stage, command and arguments, as the present images record them",
            do=f"publish {step.partition} again with the present images",
        )
    words = [step.call["command"]] if step.call["command"] else []
    return words + [option for name, value in _arguments(step).items() for option in _options(step, name, value)]


def call_text(step: Step) -> str:
    """The call for people."""
    if step.call is None:
        return "not recorded"
    words = [step.call["command"]] if step.call["command"] else []
    for name, value in step.call["arguments"].items():
        words += [f"{_option(name)}={value['file']}"] if _is_file(value) else _options(step, name, value)
    return shlex.join(words)


def _arguments(step: Step) -> Json:
    """The arguments; LightGBM's parameters that came from a file outside of the data come from the mark instead."""
    assert step.call is not None
    arguments = dict(step.call["arguments"])
    if _is_file(arguments.get("params")):
        arguments = {name: value for name, value in arguments.items() if name not in LIGHTGBM_OPTIONS}
        # The number of threads belongs to the container, and does not change the model.
        given = {name: value for name, value in step.recorded("parameters").items() if name != "num_threads"}
        arguments["params_json"] = json.dumps(given)
    return arguments


def _options(step: Step, name: str, value: Any) -> list[str]:
    if value is None or value is False or value == "":
        return []
    if value is True:
        return [_option(name)]
    if isinstance(value, list):
        return [text for item in value for text in _options(step, name, item)]
    if _is_file(value):
        raise AirflowMlError(
            f"the step {step.name} of {step.partition} was given the file {value['file']} from outside of the data",
            expected="arguments that the mark holds whole",
            do="run the stage by hand with that file",
        )
    return [f"{_option(name)}={value}"]


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and "file" in value
