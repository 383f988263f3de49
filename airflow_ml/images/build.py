"""One build of several images with BuildKit: its graph, its progress step by step, its errors by image."""

import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from airflow_ml.common import AirflowMlError, docker
from airflow_ml.images.context import write_context
from airflow_ml.images.tags import BUILD_ARGS, FOUNDATIONS, PREFIX, Image

# What the Dockerfiles call the base and the builder; the build says which images these are.
EDGES = {"builder": f"{PREFIX}builder", "base": f"{PREFIX}base"}
HEARTBEAT_S = 10
# Shorter steps are not worth a line, unless they run a program.
WORTH_A_LINE_S = 1.0
LOG_LINES = 20


def bake_definition(
    missing: Sequence[Image],
    there: Sequence[Image],
    contexts: Mapping[Path, Path],
    platforms: Sequence[str],
    address: str | None = None,
) -> dict[str, Any]:
    """The build graph for `docker buildx bake`, with an edge from the base to each image.

    Images that are there are used, never built again: they could get another id under the same tag, because Debian's
    packages change from day to day. With the address of an image registry, images go to it instead of to the engine,
    and the builder goes nowhere.
    """
    edges = {EDGES[image.name]: f"docker-image://{image.reference}" for image in there}
    edges |= {EDGES[image.name]: f"target:{image.name}" for image in missing if image.name in EDGES}
    targets: dict[str, dict[str, Any]] = {}
    for image in missing:
        # The second tag is for people; nothing in the project runs it.
        tags = [image.reference, f"{image.repository}:latest"]
        targets[image.name] = {
            "context": str(contexts[image.folder]),
            "args": {**BUILD_ARGS, "ML_IMAGE": image.reference},
            "platforms": list(platforms),
            "tags": [f"{address}/{image.reference}"] if address else tags,
            **({"target": image.name} if image.name in FOUNDATIONS else {"contexts": edges}),
        }
        if address:
            output = "type=cacheonly" if image.name == "builder" else "type=registry"
            targets[image.name]["output"] = [output]
    return {"group": {"default": {"targets": list(targets)}}, "target": targets}


def build(
    missing: Sequence[Image],
    there: Sequence[Image],
    platforms: Sequence[str],
    log: Path,
    address: str | None = None,
) -> tuple[dict[str, float], dict[str, str]]:
    """Build the missing images in one parallel build, on those that are there.

    Returns, by image, the seconds that its own steps took, and the digest if it went to an image registry.
    Errors: AirflowMlError, which names the image and the step, and ends with the last lines of that step's log.
    """
    with tempfile.TemporaryDirectory(prefix="airflow-ml-build-") as scratch:
        contexts = {image.folder: Path(scratch) / f"{image.name}-{image.tag}" for image in missing}
        for image in {image.folder: image for image in missing}.values():
            write_context(image.files, contexts[image.folder])
        definition, metadata = Path(scratch) / "bake.json", Path(scratch) / "metadata.json"
        definition.write_text(json.dumps(bake_definition(missing, there, contexts, platforms, address)))
        command = ["docker", "buildx", "bake", "--progress=rawjson", f"--file={definition}"]
        command += [f"--metadata-file={metadata}"] if address else ["--load"]
        # The engine's own builder is named after the context. Another one would not see the base that is here, and
        # would look for that name in a public registry. A build for a registry has its base in its own graph.
        builder = {} if address else {"BUILDX_BUILDER": docker("context", "show").strip()}
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            names = [image.name for image in missing]
            progress = Progress(names, file)
            failed = run_build(command, progress, builder)
            if failed and progress.has_lost_layers():
                print("the engine has lost layers of its build cache: building again without it", file=sys.stderr)
                progress = Progress(names, file)
                failed = run_build([*command, "--no-cache"], progress, builder)
            if failed:
                raise AirflowMlError(f"{progress.complaint()}\n       the whole log: {log}")
        found = json.loads(metadata.read_text(encoding="utf-8")) if address else {}
        # The builder goes nowhere and has no digest.
        digests = {name: values.get("containerimage.digest") for name, values in found.items()}
        return progress.seconds, {name: digest for name, digest in digests.items() if digest}


def run_build(command: Sequence[str], progress: "Progress", variables: Mapping[str, str]) -> int:
    """Run a build to its end and show its progress; returns its exit code."""
    # Attestations would give an image another name in every build.
    environment = {**os.environ, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1", **variables}
    done = threading.Event()
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        threading.Thread(target=progress.beat_until, args=(done,), daemon=True).start()
        try:
            for message in messages(process.stdout):
                progress.read(message)
        except BaseException:
            process.terminate()
            raise
        finally:
            done.set()
    return process.returncode


def messages(lines: Iterable[str]) -> Iterator[dict[str, Any] | str]:
    """The messages of a build's progress: objects, and lines of text, which are the builder's last words.

    buildx writes an object on one line or, up to its version 0.13, on several; a brace at the start of a line opens
    and closes it.
    """
    held: list[str] = []
    for line in lines:
        if not held and not line.startswith("{"):
            yield line.rstrip("\n")
            continue
        held.append(line)
        if line[0] in "{}" and line.rstrip().endswith("}"):
            yield json.loads("".join(held))
            held = []


@dataclass
class Step:
    """A step of a build: the image that it belongs to, its instruction, what is known of it so far."""

    image: str
    what: str
    shown: bool
    started: float | None = None
    done: bool = False
    error: str | None = None
    log: list[str] = field(default_factory=list)


class Progress:
    """Reads the progress of a build; shows each step that took time, on stderr, when it is done."""

    def __init__(self, names: Sequence[str], log: TextIO) -> None:
        self._names = names
        self._log = log
        self._steps: dict[str, Step] = {}
        self._words: list[str] = []
        self._last_shown = time.monotonic()
        self.seconds: dict[str, float] = dict.fromkeys(names, 0.0)

    def read(self, message: dict[str, Any] | str) -> None:
        """Take in one message of the build's progress."""
        if isinstance(message, str):
            self._words = [*self._words, message][-LOG_LINES:]
            print(message, file=self._log, flush=True)
            return
        for vertex in message.get("vertexes", []):
            self._read_step(vertex)
        for part in message.get("logs", []):
            text = base64.b64decode(part["data"]).decode(errors="replace")
            if step := self._steps.get(part["vertex"]):
                step.log.append(text)
            print(text, end="", file=self._log, flush=True)

    def _read_step(self, vertex: Mapping[str, Any]) -> None:
        step = self._steps.get(vertex["digest"])
        if step is None:
            step = self._steps[vertex["digest"]] = self._new_step(vertex["name"])
            print(f"==> {vertex['name']}", file=self._log, flush=True)
        if vertex.get("started") and step.started is None:
            step.started = time.monotonic()
        if vertex.get("completed") and not step.done and step.started is not None:
            step.done = True
            if not vertex.get("cached"):
                self._end(step, time.monotonic() - step.started, vertex.get("error"))

    def _new_step(self, name: str) -> Step:
        """A step by its name, such as `[training build 2/3] RUN make` or `exporting to image`."""
        where, _, what = name.partition("] ") if name.startswith("[") else ("", "", name)
        words = where.removeprefix("[").split()
        # In a build of one image the builder leaves its name out.
        image = words[0] if words and words[0] in self._names else self._names[0]
        return Step(image, what, "internal" not in words)

    def _end(self, step: Step, seconds: float, error: str | None) -> None:
        step.error = error
        self.seconds[step.image] += seconds
        if error is None and step.what == "exporting to image":
            self._show(step.image, seconds, "the image is written")
        elif error is None and step.shown and (step.what.startswith("RUN") or seconds >= WORTH_A_LINE_S):
            self._show(step.image, seconds, step.what)

    def beat_until(self, done: threading.Event) -> None:
        """Show what is being done each time that nothing was shown for a while, until the build is done."""
        while not done.wait(1):
            self.beat()

    def beat(self) -> None:
        """Show what is being done, if nothing was shown for a while."""
        now = time.monotonic()
        if now - self._last_shown < HEARTBEAT_S:
            return
        for step in list(self._steps.values()):
            if step.shown and step.started is not None and not step.done:
                self._show(step.image, now - step.started, f"so far: {step.what}")

    def _show(self, image: str, seconds: float, what: str) -> None:
        self._last_shown = time.monotonic()
        # What mounts and copies come from is in the Dockerfile.
        short = " ".join(word for word in what.split() if not word.startswith(("--mount=", "--chmod=", "--from=")))
        short = short if len(short) <= 80 else f"{short[:77]}..."
        print(f"  {image:15} {seconds:6.1f} s  {short}", file=sys.stderr, flush=True)

    def has_lost_layers(self) -> bool:
        """Whether the build failed because the build cache names a layer that the engine's store does not have.

        An engine that was killed or lost its power leaves such a cache; only a build without it succeeds.
        """
        return any((step.error or "").endswith("layer does not exist") for step in self._steps.values())

    def complaint(self) -> str:
        """What went wrong in a build that failed."""
        # The steps that BuildKit stopped because another one failed are no cause.
        failed = [step for step in self._steps.values() if step.error and not step.error.endswith("context canceled")]
        if not failed:
            # No step failed: the builder refused a Dockerfile, or could not begin. Its last words say which.
            what = f"the image {', '.join(self._names)} was not built; the builder's last words:"
            return "\n       ".join([what, *self._words])
        parts = []
        for step in failed:
            log = cause("".join(step.log).splitlines() or ["(it wrote nothing)"])[-LOG_LINES:]
            lines = [f"the image {step.image} was not built: {step.error}", f"step: {step.what}", "its log ends with:"]
            parts.append("\n       ".join([*lines, *(f"  {line}" for line in log)]))
        return "\n".join(parts)


def cause(log: Sequence[str]) -> list[str]:
    """A step's log without the traceback of a script whose command failed: the command wrote what went wrong."""
    begins = [
        number for number, line in enumerate(log) if line.lstrip().startswith("Traceback (most recent call last)")
    ]
    if log[-1].startswith("subprocess.CalledProcessError: ") and begins and begins[-1] > 0:
        return list(log[: begins[-1]])
    return list(log)
