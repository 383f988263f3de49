"""Publications: the outputs of a step appear together, under their mark, or not at all; and they are made only once."""

import enum
import json
import logging
import os
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import gmtime, monotonic, strftime
from types import TracebackType
from typing import Any, Final

from stagekit.cache import Comparison, compare_with_mark
from stagekit.call import Call, call_of
from stagekit.errors import BadInput
from stagekit.locks import locked
from stagekit.mark import META, META_VERSION, file_sha256, fsync, intact, load_mark, write_mark
from stagekit.partition import Partition
from stagekit.result import bounded
from stagekit.workspace import Workspace, clean_up

# How many changes a log line names.
SHOWN_CHANGES = 6

log = logging.getLogger("stagekit")


class _Later(enum.Enum):
    LATER = "later"


# As `parameters`: the work sets them. They must follow from the command line, the inputs and the image alone.
LATER: Final = _Later.LATER


class Publication:
    """Writes the outputs of one step of a partition, and publishes all of them or none.

    Use as a context manager: write to `publication.path(file)`, set `publication.rows[file]`. Leaving the block
    publishes. An exception publishes nothing and leaves nothing behind. A process that is killed leaves a hidden
    temporary folder, which no reader looks at and the next writer removes.

    A Publication always does its work. Commands call `publish`, which finds a step that is done already.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        step: str,
        *,
        inputs: Iterable[Partition] = (),
        parameters: Mapping[str, Any] | _Later | None = None,
        seed: int | None = None,
        call: Call | None = None,
    ) -> None:
        self.name, self.step, self.folder = name, step, root / name
        self.rows: dict[str, int] = {}
        self.result: Mapping[str, Any] | None = None
        self._inputs = {path: digest for partition in inputs for path, digest in partition.hashes.items()}
        self._parameters = None if parameters is LATER else dict(parameters or {})
        self._seed, self._call = seed, call or Call()

    def path(self, file: str) -> Path:
        """Where to write an output before it is published."""
        return self._workspace.path / file

    @property
    def scratch(self) -> Path:
        """A folder for files that are not published: it is removed before the outputs are published."""
        return self._workspace.scratch

    def set_parameters(self, parameters: Mapping[str, Any], seed: int | None = None) -> None:
        """Give the parameters of a publication with `parameters=LATER`; the mark records them."""
        self._parameters, self._seed = dict(parameters), seed

    def __enter__(self) -> "Publication":
        self._started, self._clock = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime()), monotonic()
        self._workspace = Workspace(self.folder, self.step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            self._workspace.close()

    def compare(self) -> Comparison:
        """Compare this step with its record in the mark."""
        return compare_with_mark(self.folder, self.name, self.step, _plain(self._identity()))

    def _publish(self) -> None:
        paths = self._workspace.outputs()
        with ThreadPoolExecutor(1) as disk:  # it writes while the processor computes the hashes
            written = [disk.submit(fsync, path) for path in paths]
            outputs = {path.name: self._output(path) for path in paths}
            for done in written:
                done.result()
        self._record = _plain(self._step_record())
        with locked(self.folder):  # two steps may finish in the same moment
            kept = self._still_valid(outputs)
            self._replace_files(kept, outputs)
            kept["outputs"].update(outputs)
            kept["steps"][self.step] = self._record
            write_mark(kept, self._workspace.path)

    def _output(self, path: Path) -> dict[str, Any]:
        """What the mark says of a file."""
        rows = {"rows": self.rows[path.name]} if path.name in self.rows else {}
        return {"sha256": file_sha256(path), "size": path.stat().st_size, "step": self.step, **rows}

    def _still_valid(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """The present mark without what this step wrote before and without what was made from that."""
        empty: dict[str, Any] = {"version": META_VERSION, "partition": self.name, "outputs": {}, "steps": {}}
        if not (self.folder / META).is_file():
            return empty
        try:
            meta = load_mark(self.folder, self.name)
        except BadInput as error:
            log.warning("%s; the step writes a new mark", error)
            return empty
        changed = {
            f"{self.name}/{file}"
            for file, old in meta["outputs"].items()
            if old["step"] == self.step and outputs.get(file, {}).get("sha256") != old["sha256"]
        }
        stale = {self.step}
        while True:
            files = changed | {
                f"{self.name}/{f}" for f, o in meta["outputs"].items() if o["step"] in stale - {self.step}
            }
            found = {step for step, record in meta["steps"].items() if files & record["inputs"].keys()} - stale
            if not found:
                break
            stale |= found
        # If this step replaces a file of another step, that step is no longer complete and must be done again.
        for step in {meta["outputs"][file]["step"] for file in outputs.keys() & meta["outputs"].keys()}:
            meta["steps"].get(step, {}).pop("result", None)
        meta["outputs"] = {
            file: output
            for file, output in meta["outputs"].items()
            if output["step"] not in stale or outputs.get(file) == output
        }
        meta["steps"] = {step: record for step, record in meta["steps"].items() if step not in stale}
        return meta

    def _replace_files(self, kept: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        """Remove what changes from the mark, so that no reader finds new bytes under an old mark; then rename."""
        changed = [file for file, output in outputs.items() if kept["outputs"].get(file) != output]
        # The mark names the same bytes already, but somebody has edited or deleted the file.
        spoilt = [file for file in outputs.keys() - {*changed} if not intact(self.folder / file, outputs[file])]
        if changed and (self.folder / META).exists():
            unmarked = {f: o for f, o in kept["outputs"].items() if f not in changed}
            write_mark({**kept, "outputs": unmarked}, self._workspace.path)
        for file in changed + spoilt:
            self.path(file).replace(self.folder / file)
        fsync(self.folder)

    def _identity(self) -> dict[str, Any]:
        """What decides the outputs, as a mark records it."""
        return {
            "inputs": self._inputs,
            "parameters": self._parameters,
            "seed": self._seed,
            "call": self._call.record,
            # The image knows its own name. Only its starter knows its id and revision: by hand they are null.
            "image": {
                "name": os.environ.get("ML_IMAGE") or None,
                "id": os.environ.get("ML_IMAGE_ID") or None,
                "revision": os.environ.get("ML_REVISION") or None,
            },
        }

    def _step_record(self) -> dict[str, Any]:
        from importlib import metadata  # this takes time, and a step that is up to date does not need it

        if self._parameters is None:
            raise RuntimeError(f"{self.step} has parameters=LATER, but its work did not call set_parameters()")
        return {
            **self._identity(),
            "versions": {d.name: d.version for d in sorted(metadata.distributions(), key=lambda d: d.name.lower())},
            "run": {key: os.environ.get(f"ML_{key.upper()}") for key in ("dag_id", "task_id", "run_id", "try_number")},
            "started": self._started,
            "seconds": round(monotonic() - self._clock, 3),
            **({} if self.result is None else {"result": self.result}),
        }


def publish(
    args: Namespace,
    name: str,
    step: str,
    work: Callable[[Publication], Mapping[str, Any]],
    *,
    inputs: Iterable[Partition] = (),
    parameters: Mapping[str, Any] | _Later | None = None,
    seed: int | None = None,
    reuse: bool = True,
) -> Mapping[str, Any]:
    """Do one step of a partition, unless it is done already; returns its result.

    `work` takes the Publication: it writes to `publication.path(file)`, counts in `publication.rows[file]` and returns
    the result, an object of JSON. Its outputs and its result are published together. An error publishes nothing.

    :param args: the parsed command line, as `run_stage` gives it; the mark records it
    :param name: the partition below the data folder, such as models/2026-11-21
    :param step: which step of the partition this is
    :param inputs: what the work reads; the mark records the hashes
    :param parameters: what decides the outputs besides inputs, image and command line; LATER: the work calls
        `publication.set_parameters`, with what follows from image, inputs and command line alone
    :param seed: of the random numbers
    :param reuse: False: what decides the outputs is not all recorded, so the work is always done
    :return: the partition's name as `partition`, and the result of `work`, bounded (see `stagekit.result`); if the step
        was published already from the same image, inputs, parameters, seed and command line, the recorded result with
        `"cached": True`; with --explain `{"explain": {"hit", "changed"}}`
    """
    publication = Publication(
        args.data_dir, name, step, inputs=inputs, parameters=parameters, seed=seed, call=call_of(args)
    )
    if getattr(args, "explain", False):
        return {"explain": _explain(publication, reuse)}
    if reuse and not getattr(args, "force", False):
        found = publication.compare()
        if not found.changed and found.record is not None:
            _log_up_to_date(publication, found)
            clean_up(publication.folder)
            return {"partition": publication.name, **found.record["result"], "cached": True}
        if found.record is not None:
            log.info("doing it again: %s", _listed(found.changed))
    with publication:
        # Every warning is logged with the result line, so none is cut before.
        publication.result = bounded(work(publication), apart=("warnings",))
    return {"partition": publication.name, **publication.result}


def _explain(publication: Publication, reuse: bool) -> dict[str, Any]:
    """Whether `publish` would find the step done, and what has changed."""
    found = publication.compare() if reuse else Comparison(["it is done every time"])
    if found.changed:
        log.info("would do it: %s", _listed(found.changed))
    else:
        _log_up_to_date(publication, found)
    return {"hit": not found.changed, "changed": found.changed}


def _log_up_to_date(publication: Publication, found: Comparison) -> None:
    log.info(
        "%s (step %s) is up to date: made %s from the same inputs, parameters and image; --force makes it again",
        publication.name,
        publication.step,
        found.made,
    )


def _listed(changed: list[str]) -> str:
    more = f", and {len(changed) - SHOWN_CHANGES} more" if len(changed) > SHOWN_CHANGES else ""
    return f"{', '.join(changed[:SHOWN_CHANGES])}{more}"


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as JSON gives it back."""
    return dict(json.loads(json.dumps(record)))
