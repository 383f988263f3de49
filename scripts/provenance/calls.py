"""A recorded call as a command line again."""

import json
import shlex
from typing import Any

from provenance.errors import ProvenanceError
from provenance.graph import Step

# How LightGBM's parameters were given: in a file, as JSON, one by one.
LIGHTGBM_OPTIONS = {"params", "params_json", "param"}


def command_line(step: Step) -> list[str]:
    """The arguments that make the stage do the same again. Errors: ProvenanceError where the mark does not tell."""
    if step.call is None:
        raise ProvenanceError(
            f"the mark of {step.partition} does not tell how the step {step.name} was called",
            expected="its stage, command and arguments, as the present images record them",
            do=f"publish {step.partition} again with the present images",
        )
    words = [step.call["command"]] if step.call["command"] else []
    return words + [option for name, value in _arguments(step).items() for option in _options(step, name, value)]


def call_text(step: Step) -> str:
    """The call for people; what cannot be told from the mark is said in words."""
    if step.call is None:
        return "not recorded"
    call = step.call
    words = [call["command"]] if call["command"] else []
    for name, value in call["arguments"].items():
        words += [f"--{name.replace('_', '-')}={value['file']}"] if _is_file(value) else _options(step, name, value)
    return shlex.join(words)


def _arguments(step: Step) -> dict[str, Any]:
    """The arguments; LightGBM's parameters that came from a file outside of the data come from the mark instead."""
    assert step.call is not None
    arguments = dict(step.call["arguments"])
    if _is_file(arguments.get("params")):
        arguments = {name: value for name, value in arguments.items() if name not in LIGHTGBM_OPTIONS}
        # How many threads there are is the container's business, and does not change the model.
        given = {name: value for name, value in step.record["parameters"].items() if name != "num_threads"}
        arguments["params_json"] = json.dumps(given)
    return arguments


def _options(step: Step, name: str, value: Any) -> list[str]:
    option = f"--{name.replace('_', '-')}"
    if value is None or value is False or value == "":
        return []
    if value is True:
        return [option]
    if isinstance(value, list):
        return [text for item in value for text in _options(step, name, item)]
    if _is_file(value):
        raise ProvenanceError(
            f"the step {step.name} of {step.partition} was given the file {value['file']} from outside of the data",
            expected="arguments that the mark holds whole",
            do="run the stage by hand with that file",
        )
    return [f"{option}={value}"]


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and "file" in value
