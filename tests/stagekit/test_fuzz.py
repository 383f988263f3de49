"""Documents, marks and options that somebody has damaged or made up: each is read, or refused with a stage's own error.

`make fuzz` runs these with many more examples.
"""

import argparse
import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stagekit import Publication, contract, options, read_partition, tidy
from stagekit.cache import compare_with_mark
from stagekit.errors import BadInput, NotReady
from stagekit.lineage import Reader, answer
from stagekit.mark import load_mark
from stagekit.models import check_made_for, check_sha256
from stagekit.shapes import ShapeError, parse_object

from tests.hostile import TEXTS, documents
from tests.stagekit.test_contract import DOCUMENTS, ENCODER_JSON, NAME

RAW = "raw/2026-11-21"


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """Lets pass what a stage says of bad input; anything else would end it with exit code 1, and mostly a traceback."""
    with contextlib.suppress(BadInput, NotReady):
        yield


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two partitions: raw, and a model that was made from it; beside the data a file that nobody may touch."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr(logging.getLogger("stagekit"), "disabled", True)  # xdist cannot send half characters
    data = tmp_path / "data"
    with Publication(data, RAW, "generate") as publication:
        publication.path("data.csv").write_text("a\n1\n")
    source = read_partition(data, RAW, ["data.csv"])
    with Publication(data, NAME, "train", inputs=[source], parameters={"a": 1}, seed=3) as publication:
        publication.path("model.txt").write_text("tree\n")
        publication.path("params.json").write_text("{}")
        publication.rows["model.txt"] = 1
        publication.result = {"model": NAME, "warnings": ["x"]}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("untouched")
    return data


def readers(file: str) -> Any:
    """What reads a document of a partition."""
    if file == "encoder.json":
        return contract.read_encoder
    return lambda partition: contract.read_document(partition, file)


ALL = {**DOCUMENTS, "encoder.json": ENCODER_JSON}


@given(data=st.data(), file=st.sampled_from(sorted(ALL)))
def test_document_is_read_or_refused(root: Path, file: str, data: st.DataObject) -> None:
    content = data.draw(documents(ALL[file]))
    with Publication(root, NAME, "make") as publication:
        publication.path(file).write_bytes(content)
    partition = read_partition(root, NAME, [file])
    with refused():
        found = readers(file)(partition)
        # What is read can be written, and is then the same.
        write = contract.write_encoder if file == "encoder.json" else contract.write_document
        path = root.parent / file
        write(path, found)
        (root / NAME / file).write_bytes(path.read_bytes())
        assert readers(file)(partition) == found
    with refused():
        partition.json(file)


def mark_of(root: Path, name: str) -> dict[str, Any]:
    mark: dict[str, Any] = json.loads((root / name / "_meta.json").read_text())
    for step in mark["steps"].values():
        step["versions"] = {"numpy": "2.5.1"}  # those of this environment are hundreds
    return mark


@given(data=st.data())
def test_mark_is_read_or_refused_and_leads_nowhere_else(root: Path, data: st.DataObject) -> None:
    path = root / NAME / "_meta.json"
    good = path.read_bytes()
    wanted = mark_of(root, NAME)["steps"]["train"]
    try:
        path.write_bytes(data.draw(documents(mark_of(root, NAME))))
        with refused():
            load_mark(root / NAME, NAME)
        with refused():
            model = read_partition(root, NAME, ["model.txt"])
            assert [*model.hashes.values(), model.rows("model.txt"), model.step("model.txt"), model.inputs("model.txt")]
            check_sha256(model, "")
            check_made_for(read_partition(root, RAW, ["data.csv"]), read_partition(root, NAME, ["encoder.json"]))
        compare_with_mark(root / NAME, NAME, "train", wanted)
        follow(root, NAME)
        tidy.run(argparse.Namespace(data_dir=root, before=tidy.date(2026, 11, 22), kinds=["models"], dry_run=False))
        with Publication(root, NAME, "train") as publication:
            publication.path("model.txt").write_text("tree\n")
        assert (root.parent / "other" / "file").read_text() == "untouched"
        assert (root / RAW / "data.csv").read_text() == "a\n1\n"
    finally:
        path.write_bytes(good)
        (root / NAME / "model.txt").write_text("tree\n")
        (root / NAME / "params.json").write_text("{}")


def follow(root: Path, *targets: str) -> None:
    """Everything that is asked about a lineage."""
    found = answer({"root": str(root), "targets": targets})
    json.dumps(found).encode()
    lineage = Reader(root, verify=True).follow([f"{NAME}/model.txt", *targets])
    for step in lineage.in_order():
        str([step.command, step.image, step.run, step.warnings, step.reads])
    assert lineage.digest


@given(target=TEXTS)
def test_target_of_a_lineage_is_found_or_is_a_problem(root: Path, target: str) -> None:
    found = answer({"root": str(root), "targets": [target, f"{RAW}/{target}"]})
    assert all(one.get("problem") or one["files"] for one in found["targets"])


@given(data=st.data())
def test_json_is_an_object_or_a_fault_of_its_shape(data: st.DataObject) -> None:
    content = data.draw(documents(DOCUMENTS["metrics.json"]))
    for strict in (True, False):
        with contextlib.suppress(ShapeError):
            assert isinstance(parse_object(content, strict=strict), dict)


TYPES = {
    "whole number": options.whole_number(1, 5),
    "number": options.number(0, 1),
    "fraction": options.fraction,
    "inner fraction": options.inner_fraction,
    "sha256": options.sha256,
    "version": options.version,
    "text": options.text,
    "version or empty": options.or_empty(options.version),
}


@pytest.mark.parametrize("kind", TYPES)
@given(text=TEXTS)
def test_option_is_taken_or_refused_by_argparse(kind: str, text: str) -> None:
    with contextlib.suppress(argparse.ArgumentTypeError):
        TYPES[kind](text)
