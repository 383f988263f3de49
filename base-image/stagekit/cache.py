"""The step cache: was this very step done before, and are its outputs unchanged?

A mark records what a step was made from. If all of that is the same for the present call - image, inputs, parameters,
seed, command line - and each output has the bytes that were published, then the work would only make them again.
What cannot be known to be the same counts as changed. docs/decisions/0010-marks-are-the-cache.md.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagekit.errors import BadInput
from stagekit.mark import META, damage, load_mark

# How much of a value a message shows.
SHOWN = 60


@dataclass(frozen=True)
class Comparison:
    """A step compared with its record in the mark: what has `changed`, nothing if it is done already.

    `record` is None if the step was not done before.
    """

    changed: list[str]
    record: Mapping[str, Any] | None = None

    @property
    def made(self) -> str:
        """When and by whom the step was done."""
        record = self.record or {}
        run = record.get("run") or {}
        whom = f"run {run.get('run_id')} of the Dag {run['dag_id']}" if run.get("dag_id") else "hand"
        return f"{record.get('started')} by {whom}"


def compare_with_mark(folder: Path, name: str, step: str, wanted: Mapping[str, Any]) -> Comparison:
    """Compare the record of a step in the mark of `folder` with the `wanted` one, then the outputs with the mark.

    `wanted` has the record's keys `image`, `inputs`, `call`, `parameters` (None: not compared) and `seed`.
    """
    try:
        record, outputs = _done(folder, name, step)
        if record is None:
            return Comparison(["it was not done before"])
        changed = [*differences(record, wanted)] or [*_damages(folder, outputs)]
        if changed:
            return Comparison(changed, record)
        # Files that were replaced while they were read have another mark by now: a writer changes the mark first.
        if _done(folder, name, step) != (record, outputs):
            return Comparison(["it was published again just now"], record)
    except (BadInput, FileNotFoundError, NotADirectoryError):
        return Comparison([f"{name}/{META} cannot be read"])
    except (AttributeError, KeyError, TypeError):
        return Comparison([f"the record of {step} in {name}/{META} is not complete"])
    return Comparison([], record)


def _done(folder: Path, name: str, step: str) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The record of a step, None if there is none, and its outputs."""
    if not (folder / META).is_file():
        return None, {}
    mark = load_mark(folder, name)
    return mark["steps"].get(step), {file: out for file, out in mark["outputs"].items() if out["step"] == step}


def _damages(folder: Path, outputs: Mapping[str, Any]) -> Iterator[str]:
    for file, output in outputs.items():
        try:
            found = damage(folder / file, output)
        except FileNotFoundError:
            yield f"output {file} is gone"
        else:
            if found:
                yield f"output {file} {found[0]} ({found[1]} when it was published)"


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What has changed since an earlier record, in words; nothing if the step would make the same again."""
    yield from _inputs(then["inputs"], now["inputs"])
    yield from _call(then["call"], now["call"])
    arguments = {*(then["call"]["arguments"] or {}), *(now["call"]["arguments"] or {})}
    if now["parameters"] is not None:
        same_call = _text(then["call"]) == _text(now["call"])
        for parameter, old, new in _changed(then["parameters"], now["parameters"]):
            if same_call or parameter not in arguments:
                yield f"{parameter} {old} then, {new} now"
        if _text(then["seed"]) != _text(now["seed"]) and (same_call or "seed" not in arguments):
            yield f"seed {_shown(then['seed'])} then, {_shown(now['seed'])} now"
    yield from _image(then["image"], now["image"])
    if not isinstance(then.get("result"), dict):
        yield "its result was not kept, or another step has replaced one of its files"


def _inputs(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for path in sorted({*then, *now}):
        if path not in then:
            yield f"input {path} was not read then"
        elif path not in now:
            yield f"input {path} is not read now"
        elif then[path] != now[path]:
            yield f"input {path} has changed ({then[path][:12]}… then, {now[path][:12]}… now)"


def _call(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for part in ("stage", "command"):
        if then[part] != now[part]:
            yield f"{part} {then[part]} then, {now[part]} now"
    for argument, old, new in _changed(then["arguments"] or {}, now["arguments"] or {}):
        yield f"--{argument.replace('_', '-')} {old} then, {new} now"
    for argument, value in (now["arguments"] or {}).items():
        if isinstance(value, dict) and "sha256" not in value:
            yield f"--{argument.replace('_', '-')}: what {value.get('file')} holds is not known"


def _image(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if not now["name"] or not then["name"]:
        yield "it runs outside of an image" if not now["name"] else "it ran outside of an image"
    elif then["name"] != now["name"]:
        yield f"image {then['name']} then, {now['name']} now"
    # A tag names the files that an image is built from; built another day, it can hold other packages of Debian.
    elif then.get("id") and now.get("id") and then["id"] != now["id"]:
        yield f"image id {then['id'][:19]}… then, {now['id'][:19]}… now"


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name in sorted({*then, *now}):
        old, new = then.get(name), now.get(name)
        if (name in then) != (name in now) or _text(old) != _text(new):
            yield name, _shown(old), _shown(new)


def _text(value: Any) -> str:
    """A value as JSON: to Python 1, 1.0 and True are equal."""
    return json.dumps(value, sort_keys=True)


def _shown(value: Any) -> str:
    if isinstance(value, dict) and "file" in value:
        return f"{value['file']} ({str(value.get('sha256'))[:12]}…)"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
