"""A host folder with a day of made-up data, published by the steps of the pipeline in their real order."""

import hashlib
import json
import os
from argparse import Namespace
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow_ml import __main__ as cli
from airflow_ml.data import Data
from airflow_ml.lineage import read
from stagekit import Publication, publish, read_partition
from stagekit.call import Call
from stagekit.lineage import answer

DAY = "2026-11-21"
IMAGE_ID = "sha256:" + "5" * 64
# The ids of the images that the engine has, by name or id.
FOUND: dict[str, str] = {}
RUN = {"ML_DAG_ID": "train_model", "ML_TASK_ID": "any", "ML_RUN_ID": "manual__1", "ML_TRY_NUMBER": "1"}
VERSIONS = [SimpleNamespace(name="numpy", version="2.5.5"), SimpleNamespace(name="scipy", version="1.18.1")]
# Step, stage, command, output partition, outputs, inputs by partition.
STEPS: tuple[tuple[str, str, str | None, str, tuple[str, ...], dict[str, tuple[str, ...]]], ...] = (
    ("generate", "generator", None, "raw", ("data.csv", "target.csv", "schema.json"), {}),
    ("prepare", "preprocessing", "prepare", "processed", ("train_data.csv", "rejected.csv"),
     {"raw": ("data.csv", "target.csv", "schema.json")}),
    ("split", "preprocessing", "split", "processed", ("train.csv", "val.csv", "encoder.json"),
     {"processed": ("train_data.csv",), "raw": ("schema.json",)}),
    ("train", "training", None, "models", ("model.txt", "encoder.json"),
     {"processed": ("train.csv", "val.csv", "encoder.json")}),
    ("validate", "prediction", "validate", "models", ("metrics.json",),
     {"models": ("model.txt",), "processed": ("val.csv",)}),
    ("features", "preprocessing", "features", "features", ("features.csv",),
     {"raw": ("data.csv", "schema.json"), "models": ("encoder.json",)}),
    ("predict", "prediction", "predict", "predictions", ("predictions.csv",),
     {"features": ("features.csv",), "models": ("model.txt", "encoder.json", "metrics.json")}),
)  # fmt: skip


class Pipeline:
    """Publishes days of data into a folder. A file's bytes follow from the step's inputs, seed and parameters."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, day: str = DAY, **changes: dict[str, Any]) -> None:
        """All steps; `train={"image": ...}` changes a step: image, id, revision, parameters, seed, arguments, noise."""
        for step in STEPS:
            self.step(step[0], day, **changes.get(step[0], {}))

    def step(self, name: str, day: str = DAY, **given: Any) -> None:
        ((_, stage, command, kind, outputs, reads),) = (step for step in STEPS if step[0] == name)
        inputs = [read_partition(self.root, f"{partition}/{day}", files) for partition, files in reads.items()]
        parameters, seed = given.get("parameters", {}), given.get("seed")
        self._set_environment(given, f"airflow-ml-{stage}:{given.get('tag', '0123456789ab')}")
        arguments = {"ds": day, "seed": seed, **parameters, **given.get("arguments", {})}
        args = Namespace(data_dir=self.root, call=Call(stage, command, arguments))
        read = [partition.hashes[path] for partition in inputs for path in partition.hashes]
        made = hashlib.sha256(json.dumps([read, parameters, seed, given.get("noise")]).encode()).hexdigest()

        def work(publication: Publication) -> dict[str, Any]:
            for file in outputs:
                # The same on every day, as a schema is.
                text = "schema" if file == "schema.json" else f"{file}\n{made}\n"
                publication.path(file).write_text(text)
                publication.rows[file] = 2
            return {}

        partition = f"{kind}/{day}"
        publish(args, partition, name, work, inputs=inputs, parameters=parameters, seed=seed, reuse=False)

    def _set_environment(self, given: dict[str, Any], image: str) -> None:
        image_facts = {"ML_IMAGE": image, "ML_IMAGE_ID": given.get("id", IMAGE_ID)}
        os.environ.update({**image_facts, "ML_REVISION": given.get("revision", "abc1234"), **given.get("run", RUN)})

    def mark(self, partition: str) -> dict[str, Any]:
        mark: dict[str, Any] = json.loads((self.root / partition / "_meta.json").read_text())
        return mark

    def edit_mark(self, partition: str, edit: Callable[[dict[str, Any]], Any]) -> None:
        mark = self.mark(partition)
        edit(mark)
        (self.root / partition / "_meta.json").write_text(json.dumps(mark))


def read_here(_: Data, program: tuple[str, ...], request: dict[str, Any], mount: str, what: str) -> dict[str, Any]:
    """The answer of the program that a container of the base image runs; tests/images/test_lineage.py runs that."""
    assert (program, what) == (("-m", "stagekit.lineage"), "hashing files")
    root = mount.partition("source=")[2].partition(",")[0]
    found: dict[str, Any] = json.loads(json.dumps(answer({**request, "root": root})))
    return found


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A published day, below the folder that ML_DATA names; the engine has every image."""
    for name in (*RUN, "ML_IMAGE", "ML_IMAGE_ID", "ML_REVISION"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("ML_DATA", str(tmp_path))
    # Made up as well: what is installed where the tests run is much, and not what a stage's image holds.
    monkeypatch.setattr(metadata, "distributions", lambda: VERSIONS)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # what a power cut leaves is not the subject here
    monkeypatch.setattr(read, "ask_for_long", read_here)
    monkeypatch.setattr(read, "inspect_images", lambda names: {n: {"Id": FOUND[n]} for n in names if n in FOUND})
    FOUND.clear()
    FOUND.update({f"airflow-ml-{step[1]}:0123456789ab": IMAGE_ID for step in STEPS} | {IMAGE_ID: IMAGE_ID})
    pipeline = Pipeline(tmp_path)
    pipeline.run()
    return pipeline


class Command:
    """`./airflow-ml COMMAND`, with what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        code = cli.main(arguments)
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)
