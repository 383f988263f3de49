"""A stage with a publication, as its command line runs it, in this process."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stagekit import Command, Publication, cli, option, publish, read_partition, run_stage

DAY = "2026-11-21"
SOURCE, MADE = f"raw/{DAY}", f"models/{DAY}"
IMAGE = "airflow-ml-demo:aaaaaaaaaaaa"


@dataclass
class Done:
    """What a call came to: its exit code, result line and log."""

    code: int
    line: dict[str, Any]
    log: str


@dataclass
class Stage:
    """Reads raw/{ds}/data.csv, publishes models/{ds}: model.txt and notes.txt; `work` counts how often it did."""

    root: Path
    capture: pytest.CaptureFixture[str]
    work: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    after: Callable[[], object] = lambda: None

    def act(self, args: argparse.Namespace) -> Mapping[str, Any]:
        source = read_partition(self.root, SOURCE, ["data.csv"])
        parameters = {"share": args.share, **self.extra}

        def work(publication: Publication) -> Mapping[str, Any]:
            self.work += 1
            publication.path("model.txt").write_text(f"{(source / 'data.csv').read_text()}{parameters}{args.seed}")
            publication.path("notes.txt").write_text("notes\n")
            publication.rows["notes.txt"] = 1
            return {"model": MADE, "share": args.share, **self.result}

        given = {"parameters": parameters, "seed": args.seed, **self.options}
        result = publish(args, MADE, "fit", work, inputs=[source], **given)
        self.after()
        return result

    def call(self, *arguments: str) -> Done:
        """The command, with whatever options."""
        self.capture.readouterr()
        command = command_of("fit", self.act, options=OPTIONS)
        code = run_stage("demo", "Demonstrates.", [command], ["--ds", DAY, "--data-dir", str(self.root), *arguments])
        out, err = self.capture.readouterr()
        return Done(code, json.loads(out.splitlines()[-1]) if out else {}, err)

    def fit(self, *arguments: str) -> Done:
        """The command, which ends well and does its work."""
        before = self.work
        done = self.call(*arguments)
        assert (done.code, self.work) == (0, before + 1), done.log
        assert "cached" not in done.line
        return done

    def hit(self, *arguments: str) -> Done:
        """The command, which ends well, has nothing to do and touches nothing."""
        before, files = self.work, self.files()
        done = self.call(*arguments)
        assert (done.code, self.work) == (0, before), done.log
        assert done.line["cached"] is True
        assert self.files() == files
        return done

    def publish_source(self, text: str = "a\n1\n") -> None:
        with Publication(self.root, SOURCE, "generate") as publication:
            publication.path("data.csv").write_text(text)

    def record(self) -> dict[str, Any]:
        """The step's record in the mark."""
        return dict(read_partition(self.root, MADE, []).meta["steps"]["fit"])

    def edit_mark(self, edit: Callable[[dict[str, Any]], object]) -> None:
        path = self.root / MADE / "_meta.json"
        mark = json.loads(path.read_text())
        edit(mark)
        path.write_text(json.dumps(mark))

    def files(self) -> dict[str, tuple[bytes, int, int]]:
        """Everything below the data folder: bytes, time of change, inode."""
        found = (path for path in sorted(self.root.rglob("*")) if path.is_file())
        return {str(p): (p.read_bytes(), p.stat().st_mtime_ns, p.stat().st_ino) for p in found}


OPTIONS = (
    option("--share", type=float, default=0.1),
    option("--seed", type=int, default=0),
    option("--note", default=None),
    option("--params", type=Path),
)


def command_of(name: str, act: Callable[[argparse.Namespace], Mapping[str, Any]], **more: Any) -> Command:
    """A command whose function is not in a module of its own, as that of a stage is."""
    sys.modules[f"demo_{name}"] = SimpleNamespace(run=act)  # type: ignore[assignment]
    return Command(name, "Demonstrate.", f"demo_{name}:run", **more)


@pytest.fixture(autouse=True)
def _few_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark lists the installed packages: hundreds here, which takes most of a test's time; a few in an image."""
    monkeypatch.setattr(metadata, "distributions", lambda: [])


@pytest.fixture
def stage(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The stage in its image, with its source published."""
    for name in [name for name in os.environ if name.startswith("ML_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ML_IMAGE", IMAGE)
    monkeypatch.setattr(cli, "end_on_signals", lambda: None)  # a process has one call; here it has hundreds
    monkeypatch.setattr(os, "fsync", lambda _: None)  # nor does the power fail
    demo = Stage(tmp_path / "data", capsys)
    demo.publish_source()
    return demo
