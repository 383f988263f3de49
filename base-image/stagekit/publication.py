"""Publications: the outputs of a step appear together, under their mark, or not at all - and not twice."""

import enum
import json
import logging
import os
import shutil
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from time import gmtime, monotonic, strftime
from types import TracebackType
from typing import Any, Final

from stagekit.cache import Explained, UpToDate, look
from stagekit.call import Call, call_of, current_call
from stagekit.errors import BadInput
from stagekit.mark import META, META_VERSION, file_sha256, fsync, intact, load_mark, locked, write_mark
from stagekit.partition import Partition
from stagekit.workspace import Workspace

# A longer result is not kept, so its step is always done: marks are read by everyone, and a result line is no file.
MOST_RESULT_BYTES = 64 << 10
# The scratch folder's name among the outputs.
SCRATCH = ".scratch"
# So many changes a log line names.
SHOWN_CHANGES = 6

log = logging.getLogger("stagekit")


class _Later(enum.Enum):
    LATER = "later"


# As `parameters`: the block settles them, from nothing but the call, the inputs and the image.
LATER: Final = _Later.LATER


class Publication:
    """Writes the outputs of one step of a partition, and publishes them all or none.

    Use as a context manager: write to `publication.path(file)`, set `publication.rows[file]`; leaving the
    block publishes, an exception publishes nothing and leaves nothing behind. A process that is killed
    leaves a hidden temporary folder that no reader looks at and the next writer removes.

    Where the step was done before and would make the same again, entering raises UpToDate, which ends the command
    (`--force` and `reuse=False` do without). So all that decides the outputs is in the image, `inputs`, `parameters`,
    `seed` or the command line, and heavy work and imports are inside of the block. A command has one publication,
    or its result is not kept and it is never up to date.
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
        reuse: bool = True,
        call: Call | None = None,
    ) -> None:
        self.name, self.step, self.folder = name, step, root / name
        self.rows: dict[str, int] = {}
        self._inputs = {path: digest for partition in inputs for path, digest in partition.hashes.items()}
        self._parameters = None if parameters is LATER else dict(parameters or {})
        self._seed, self._reuse, self._given_call = seed, reuse, call
        self._result: Mapping[str, Any] | None = None

    def path(self, file: str) -> Path:
        """Where to write an output before it is published."""
        return self._workspace.path / file

    @property
    def scratch(self) -> Path:
        """A folder for files that are not published: it is removed before the outputs are."""
        folder = self.path(SCRATCH)
        folder.mkdir(exist_ok=True)
        return folder

    def set_parameters(self, parameters: Mapping[str, Any], seed: int | None = None) -> None:
        """Give the parameters of a publication with `parameters=LATER`; the mark records them."""
        self._parameters, self._seed = dict(parameters), seed

    settle = set_parameters

    def __enter__(self) -> "Publication":
        self._call = self._given_call or current_call()
        if self._given_call is None:
            self._look(self._call)
        self._started, self._clock = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime()), monotonic()
        self._workspace = Workspace(self.folder, self.step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._publish()
                if self._given_call is None:
                    self._call.published.append(self)
        finally:
            self._workspace.close()

    def run(self, call: Call, work: "Callable[[Publication], Mapping[str, Any]]") -> Mapping[str, Any]:
        """Do the work if it is not done already; see `publish`."""
        self._call = call
        try:
            self._look(call)
        except UpToDate as found:
            return {**found.result, "cached": True}
        except Explained as found:
            return {"explain": {"hit": not found.changed, "changed": found.changed}}
        with self:
            self._result = work(self)
        return self._result

    def _look(self, call: Call) -> None:
        """Errors: UpToDate where the step is done already; Explained where that is all that was asked."""
        if call.force or not (self._reuse or call.explain):
            return
        found = look(self.folder, self.name, self.step, _plain(self._identity()))
        changed = found.changed if self._reuse else ["it is done every time"]
        if not changed:
            log.info("%s (step %s) is up to date: made %s from the same inputs, parameters and image; "
                     "--force makes it all the same", self.name, self.step, found.made())  # fmt: skip
        elif call.explain or found.record is not None:
            more = f", and {len(changed) - SHOWN_CHANGES} more" if len(changed) > SHOWN_CHANGES else ""
            would = "would do it" if call.explain else "doing it again"
            log.info("%s: %s%s", would, ", ".join(changed[:SHOWN_CHANGES]), more)
        if call.explain:
            raise Explained(changed)
        if not changed and found.record is not None:
            raise UpToDate(found.record["result"])

    def _publish(self) -> None:
        shutil.rmtree(self.path(SCRATCH), ignore_errors=True)
        outputs = {}
        for path in sorted(self._workspace.path.iterdir()):
            fsync(path)
            output: dict[str, Any] = {"sha256": file_sha256(path), "size": path.stat().st_size, "step": self.step}
            if path.name in self.rows:
                output["rows"] = self.rows[path.name]
            outputs[path.name] = output
        self._record = _plain(self._step_record())
        with locked(self.folder) as folder:  # two steps may finish at once
            kept = self._still_valid(outputs)
            self._replace_files(kept, outputs, folder)
            kept["outputs"].update(outputs)
            kept["steps"][self.step] = self._record
            write_mark(kept, self._workspace.path, folder)

    def _still_valid(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """The mark as it is now, less what this step wrote before and what was made from that."""
        empty: dict[str, Any] = {"version": META_VERSION, "partition": self.name, "outputs": {}, "steps": {}}
        if not (self.folder / META).is_file():
            return empty
        try:
            meta = load_mark(self.folder, self.name)
        except BadInput as error:
            log.warning("%s; it is written anew", error)
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
        # A step of which this one takes a file over is no longer whole, so it must be done again when it is asked for.
        for step in {meta["outputs"][file]["step"] for file in outputs.keys() & meta["outputs"].keys()}:
            meta["steps"].get(step, {}).pop("result", None)
        meta["outputs"] = {
            file: output
            for file, output in meta["outputs"].items()
            if output["step"] not in stale or outputs.get(file) == output
        }
        meta["steps"] = {step: record for step, record in meta["steps"].items() if step not in stale}
        return meta

    def _replace_files(self, kept: Mapping[str, Any], outputs: Mapping[str, Any], folder: int) -> None:
        """Take the mark off what changes, so that no reader meets new bytes under an old mark; then rename."""
        changed = [file for file, output in outputs.items() if kept["outputs"].get(file) != output]
        # Of the bytes that the mark names already, but somebody has edited or deleted them since.
        spoilt = [file for file in outputs.keys() - {*changed} if not intact(self.folder / file, outputs[file])]
        if changed and (self.folder / META).exists():
            unmarked = {f: o for f, o in kept["outputs"].items() if f not in changed}
            write_mark({**kept, "outputs": unmarked}, self._workspace.path, folder)
        for file in changed + spoilt:
            self.path(file).replace(self.folder / file)
        os.fsync(folder)

    def _identity(self) -> dict[str, Any]:
        """What decides the outputs, as a mark records it."""
        return {
            "inputs": self._inputs,
            "parameters": self._parameters,
            "seed": self._seed,
            "call": self._call.recorded(),
            # The image knows its own name. Its id and the revision only its starter knows: by hand they are null.
            "image": {
                "name": os.environ.get("ML_IMAGE") or None,
                "id": os.environ.get("ML_IMAGE_ID") or None,
                "revision": os.environ.get("ML_REVISION") or None,
            },
        }

    def _step_record(self) -> dict[str, Any]:
        from importlib import metadata  # takes its time, and a step that is up to date does without

        if self._parameters is None:
            raise RuntimeError(f"the parameters of {self.step} were to come later, and did not: call set_parameters()")
        return {
            **self._identity(),
            "versions": {d.name: d.version for d in sorted(metadata.distributions(), key=lambda d: d.name.lower())},
            "run": {key: os.environ.get(f"ML_{key.upper()}") for key in ("dag_id", "task_id", "run_id", "try_number")},
            "started": self._started,
            "seconds": round(monotonic() - self._clock, 3),
            **self._kept_result(),
        }

    def _kept_result(self) -> dict[str, Any]:
        if self._result is None:
            return {}
        if len(json.dumps(self._result)) > MOST_RESULT_BYTES:
            log.warning("the result is longer than %d bytes: it is not kept, so this step is never up to date",
                        MOST_RESULT_BYTES)  # fmt: skip
            return {}
        return {"result": self._result}

    def keep_result(self, result: Mapping[str, Any]) -> None:
        """Add what the command said to the mark, unless the step was published by somebody else since."""
        if len(json.dumps(result)) > MOST_RESULT_BYTES:
            log.warning("the result is longer than %d bytes: it is not kept, so this step is never up to date",
                        MOST_RESULT_BYTES)  # fmt: skip
            return
        with closing(Workspace(self.folder, self.step)) as workspace, locked(self.folder) as folder:
            mark = load_mark(self.folder, self.name)
            if mark["steps"].get(self.step) == self._record:
                mark["steps"][self.step]["result"] = result
                write_mark(mark, workspace.path, folder)


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
    :return: the result of `work`; if the step was published already from the same image, inputs, parameters, seed and
        command line, the recorded result with `"cached": True`; with --explain `{"explain": {"hit", "changed"}}`
    """
    call = call_of(args)
    publication = Publication(
        args.data_dir, name, step, inputs=inputs, parameters=parameters, seed=seed, reuse=reuse, call=call
    )
    return publication.run(call, work)


def keep_result(call: Call, result: Mapping[str, Any]) -> None:
    """Keep what a command said with the step that it published, so that the same call need not do it again.

    One that published several steps cannot be ended at the first of them, so its result goes nowhere.
    """
    if len(call.published) != 1:
        return
    try:
        call.published[0].keep_result(result)
    except (OSError, BadInput) as error:
        log.warning("the result could not be kept, so the same call will do the work again: %s", error)


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as it comes back from a mark."""
    return dict(json.loads(json.dumps(record)))
