"""What a build shows: its progress from buildx's messages; of a failed build the cause."""

import base64
import io
import itertools
import json
from typing import Any

import pytest
from airflow_ml.images import build
from airflow_ml.images.build import Progress, cause, messages

WORDS = ["  x Failed to download `faker`", "  Hash mismatch for `faker==40.54.0`"]
TRACEBACK = ["Traceback (most recent call last):", '  File "layers.py", line 51, in main', "    install(requirements)"]
COMMAND_FAILED = "subprocess.CalledProcessError: Command '['uv']' returned non-zero exit status 1."
MAKE = "[one stage-1 1/2] RUN --mount=type=cache,target=/c make   one"


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        pytest.param([*WORDS, *TRACEBACK, COMMAND_FAILED], WORDS, id="a command that failed wrote why"),
        pytest.param([*TRACEBACK, COMMAND_FAILED], [*TRACEBACK, COMMAND_FAILED], id="a command that wrote nothing"),
        pytest.param([*WORDS, *TRACEBACK, "KeyError: 1"], [*WORDS, *TRACEBACK, "KeyError: 1"], id="our own mistake"),
        pytest.param(WORDS, WORDS, id="no traceback"),
    ],
)
def test_log_of_a_failed_step_ends_with_its_cause(log: list[str], shown: list[str]) -> None:
    assert cause(log) == shown


@pytest.fixture
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is a second later."""
    ticks = itertools.count()
    monkeypatch.setattr(build.time, "monotonic", lambda: float(next(ticks)))


def started(digest: str, name: str, **more: Any) -> dict[str, Any]:
    return {"vertexes": [{"digest": digest, "name": name, "started": "2026-11-27T07:05:58Z", **more}]}


def ended(digest: str, name: str, **more: Any) -> dict[str, Any]:
    return started(digest, name, completed="2026-11-27T07:05:59Z", **more)


def log_of(digest: str, text: str) -> dict[str, Any]:
    return {"logs": [{"vertex": digest, "data": base64.b64encode(text.encode()).decode()}]}


def read(progress: Progress, *found: dict[str, Any] | str) -> Progress:
    for message in found:
        progress.read(message)
    return progress


@pytest.mark.parametrize("indent", [None, 2])
def test_messages_are_objects_and_the_builders_last_words(indent: int | None) -> None:
    """buildx up to 0.13 indents them, later versions write one a line."""
    found = [started("a", "[one 1/2] RUN {"), ended("a", "[one 1/2] RUN {")]
    text = "".join(json.dumps(message, indent=indent) + "\n" for message in found) + "Dockerfile:2\nERROR: failed\n"
    assert list(messages(text.splitlines(keepends=True))) == [*found, "Dockerfile:2", "ERROR: failed"]


@pytest.mark.usefixtures("_clock")
def test_progress_has_a_line_for_each_step_that_took_time(capsys: pytest.CaptureFixture[str]) -> None:
    log = io.StringIO()
    progress = read(
        Progress(["base", "one", "two"], log),
        ended("a", "[two internal] load build definition from Dockerfile"),
        ended("b", "[base base 1/3] FROM docker.io/library/debian:trixie-slim", cached=True),
        started("c", MAKE),
        log_of("c", "words\n"),
        ended("c", MAKE),
        ended("c", MAKE),
        ended("d", "[two] exporting to image"),
    )
    assert [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()] == [
        "one 1.0 s RUN make one",
        "two 1.0 s the image is written",
    ]
    assert progress.seconds["base"] == 0
    assert progress.seconds["one"] > 0
    assert f"==> {MAKE}\nwords\n" in log.getvalue()


@pytest.mark.usefixtures("_clock")
def test_step_of_a_build_of_one_image_belongs_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    read(Progress(["one"], io.StringIO()), ended("a", "[2/2] RUN make"), ended("b", "exporting to image"))
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == ["one", "one"]


def test_long_silence_is_broken_by_what_is_being_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = Progress(["one"], io.StringIO())
    read(progress, started("a", "[one 1/2] RUN slow"), ended("b", "[one 1/1] FROM x", cached=True))
    progress.beat()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(build, "HEARTBEAT_S", 0)
    progress.beat()
    assert " ".join(capsys.readouterr().err.split()) == "one 0.0 s so far: RUN slow"


def test_step_that_failed_is_named_with_the_end_of_its_log() -> None:
    progress = read(
        Progress(["one", "two"], io.StringIO()),
        started("a", MAKE),
        started("b", "[two 1/2] RUN make two"),
        *(log_of("a", f"line {number}\n") for number in range(50)),
        ended("a", MAKE, error='process "make" did not complete: exit code: 3'),
        ended("b", "[two 1/2] RUN make two", error="exit code: 137: context canceled"),
    )
    lines = progress.complaint().splitlines()
    assert lines[0] == 'the image one was not built: process "make" did not complete: exit code: 3'
    assert lines[1].strip().startswith("step: RUN --mount=type=cache,target=/c make")
    assert [line.strip() for line in lines[3:]] == [f"line {number}" for number in range(30, 50)]


def test_build_that_never_began_ends_with_the_builders_words() -> None:
    progress = read(Progress(["two"], io.StringIO()), "ERROR: failed to solve: unknown instruction: FORM")
    assert progress.complaint().startswith("the image two was not built; the builder's last words:")
    assert "unknown instruction: FORM" in progress.complaint()
