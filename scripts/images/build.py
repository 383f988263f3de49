"""One build of several images with BuildKit: its graph, its progress line by line, its errors by image."""

import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from images.context import write_context
from images.engine import docker
from images.errors import Failure
from images.tags import BUILD_ARGS, FOUNDATIONS, PREFIX, Image

# What the Dockerfiles call the base and the builder; the build says which images these are.
EDGES = {"builder": f"{PREFIX}builder", "base": f"{PREFIX}base"}
STEP = re.compile(r"#(\d+) \[([^]]+)\] (.+)")
STATUS = re.compile(r"#(\d+) (DONE ([\d.]+)s|CACHED|ERROR: (.*)|CANCELED)$")
OUTPUT = re.compile(r"#(\d+) [\d.]+ (.*)")
HEARTBEAT_S = 10
# Shorter steps than these are not worth a line, unless they run something.
WORTH_A_LINE_S = 1.0
LOG_LINES = 20


def bake_definition(
    missing: Sequence[Image],
    there: Sequence[Image],
    contexts: Mapping[Path, Path],
    platforms: Sequence[str],
    registry: str | None = None,
) -> dict[str, Any]:
    """The build graph for `docker buildx bake`, with an edge from the base to each image, no registry between.

    What is there already is used as it is: built again it could get another id under the same tag, for what the
    base's Dockerfile fetches from the distribution changes from day to day. With a registry, images go there
    instead of to the engine, and the builder goes nowhere.
    """
    edges = {EDGES[image.name]: f"docker-image://{image.reference}" for image in there}
    edges |= {EDGES[image.name]: f"target:{image.name}" for image in missing if image.name in EDGES}
    targets: dict[str, dict[str, Any]] = {}
    for image in missing:
        # The second tag is a convenience for people; nothing in the project runs it.
        tags = [image.reference, f"{image.repository}:latest"]
        targets[image.name] = {
            "context": str(contexts[image.folder]),
            "args": {**BUILD_ARGS, "ML_IMAGE": image.reference},
            "platforms": list(platforms),
            "tags": [f"{registry}/{image.reference}"] if registry else tags,
            **({"target": image.name} if image.name in FOUNDATIONS else {"contexts": edges}),
        }
        if registry:
            output = "type=cacheonly" if image.name == "builder" else "type=registry"
            targets[image.name]["output"] = [output]
    return {"group": {"default": {"targets": list(targets)}}, "target": targets}


def build(
    missing: Sequence[Image],
    there: Sequence[Image],
    platforms: Sequence[str],
    log: Path,
    registry: str | None = None,
) -> tuple[dict[str, float], dict[str, str]]:
    """Build the missing images in one parallel build, on those that are there.

    Returns, by image, the seconds that its own steps took, and the digest where it went to a registry.
    Errors: Failure, which names the image and the step, and ends with the last lines of that step's log.
    """
    with tempfile.TemporaryDirectory(prefix="airflow-ml-build-") as scratch:
        contexts = {image.folder: Path(scratch) / f"{image.name}-{image.tag}" for image in missing}
        for image in {image.folder: image for image in missing}.values():
            write_context(image.files, contexts[image.folder])
        definition, metadata = Path(scratch) / "bake.json", Path(scratch) / "metadata.json"
        definition.write_text(json.dumps(bake_definition(missing, there, contexts, platforms, registry)))
        command = ["docker", "buildx", "bake", "--progress=plain", f"--file={definition}"]
        command += [f"--metadata-file={metadata}"] if registry else ["--load"]
        progress = Progress([image.name for image in missing])
        # The engine's own builder is named after the context. Another one would not see the base that is here, and
        # would look for that name in a public registry. A build for a registry has its base in its own graph.
        builder = {} if registry else {"BUILDX_BUILDER": docker("context", "show").strip()}
        if run(command, progress, log, builder):
            raise Failure(f"{progress.complaint()}\n       the whole log: {log}")
        told = json.loads(metadata.read_text(encoding="utf-8")) if registry else {}
        # Of the builder, which goes nowhere, no digest is told.
        digests = {name: values.get("containerimage.digest") for name, values in told.items()}
        return progress.seconds, {name: digest for name, digest in digests.items() if digest}


def run(command: Sequence[str], progress: "Progress", log: Path, settings: Mapping[str, str]) -> int:
    """Run a build to its end, telling its progress; returns its exit code."""
    log.parent.mkdir(parents=True, exist_ok=True)
    # Attestations would give an image another name in every build.
    environment = {**os.environ, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1", **settings}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    ) as process, log.open("a", encoding="utf-8") as file:  # fmt: skip
        lines: queue.Queue[str | None] = queue.Queue()
        assert process.stdout is not None
        reader = threading.Thread(target=_pass_lines, args=(process.stdout, lines), daemon=True)
        reader.start()
        try:
            while True:
                try:
                    line = lines.get(timeout=1)
                except queue.Empty:
                    line = ""
                if line is None:
                    break
                file.write(line)
                progress.read(line.rstrip("\n"))
                progress.beat()
        except BaseException:
            process.terminate()
            reader.join()
            raise
    return process.returncode


def _pass_lines(source: IO[str], lines: "queue.Queue[str | None]") -> None:
    for line in source:
        lines.put(line)
    lines.put(None)


class Progress:
    """Reads the plain progress of a build; tells each step that took time, on stderr, when it is done."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._steps: dict[str, tuple[str, str]] = {}
        self._running: dict[str, float] = {}
        self._output: dict[str, list[str]] = {}
        self._errors: dict[str, str] = {}
        self._last: list[str] = []
        self._said = time.monotonic()
        self.seconds: dict[str, float] = dict.fromkeys(names, 0.0)

    def read(self, line: str) -> None:
        """Take in one line of the build's progress."""
        if not line:
            return
        self._last = [*self._last, line][-LOG_LINES:]
        if step := STEP.fullmatch(line):
            number, where, what = step.groups()
            name = where.split()[0]
            # Of a single image the builder leaves the name out.
            self._steps.setdefault(number, (name if name in self._names else self._names[0], what))
            if where.split()[-1] != "internal":
                self._running.setdefault(number, time.monotonic())
        elif line.endswith("exporting to image") and line.partition(" ")[0][1:] not in self._steps:
            self._steps[line.partition(" ")[0][1:]] = (self._names[0], "exporting to image")
        elif status := STATUS.fullmatch(line):
            self._end(status.group(1), status.group(3), status.group(4))
        elif output := OUTPUT.fullmatch(line):
            self._output.setdefault(output.group(1), []).append(output.group(2))

    def _end(self, number: str, seconds: str | None, error: str | None) -> None:
        was_running = self._running.pop(number, None) is not None
        name, what = self._steps.get(number, (None, ""))
        if error is not None:
            self._errors[number] = error
        if seconds is None or name is None:
            return
        self.seconds[name] += float(seconds)
        if what == "exporting to image":
            self._say(name, seconds, "the image is written")
        elif was_running and (what.startswith("RUN") or float(seconds) >= WORTH_A_LINE_S):
            self._say(name, seconds, what)

    def beat(self) -> None:
        """Tell what is being done, if nothing has been told for a while."""
        if time.monotonic() - self._said < HEARTBEAT_S:
            return
        for number, started in self._running.items():
            name, what = self._steps[number]
            self._say(name, f"{time.monotonic() - started:.0f}", f"so far: {what}")

    def _say(self, name: str, seconds: str, what: str) -> None:
        self._said = time.monotonic()
        short = " ".join(re.sub(r"--(mount|chmod|from)=\S+", "", what).split())
        short = short if len(short) <= 80 else f"{short[:77]}..."
        print(f"  {name:15} {float(seconds):6.1f} s  {short}", file=sys.stderr, flush=True)

    def complaint(self) -> str:
        """What went wrong in a build that failed."""
        known = [number for number in self._errors if number in self._steps]
        if not known:
            # No step failed: the builder refused a Dockerfile, or could not begin. Its last words say which.
            names = next((m.group(1) for line in self._last if (m := re.search(r"target ([\w-]+):", line))), None)
            what = f"the image {names or ', '.join(self._names)} was not built"
            return "\n       ".join([f"{what}; the builder's last words:", *self._last])
        parts = []
        for number in known:
            name, what = self._steps[number]
            log = cause(self._output.get(number, ["(it wrote nothing)"]))[-LOG_LINES:]
            said = [f"the image {name} was not built: {self._errors[number]}", f"step: {what}", "its log ends with:"]
            parts.append("\n       ".join([*said, *(f"  {line}" for line in log)]))
        return "\n".join(parts)


def cause(log: Sequence[str]) -> list[str]:
    """A step's log without the traceback of a script whose command failed: what went wrong is what the command said."""
    begins = [
        number for number, line in enumerate(log) if line.lstrip().startswith("Traceback (most recent call last)")
    ]
    if log[-1].startswith("subprocess.CalledProcessError: ") and begins and begins[-1] > 0:
        return list(log[: begins[-1]])
    return list(log)
