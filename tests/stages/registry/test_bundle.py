"""The tags of a version and the mark of a bundle: what `register` writes is read, everything else is refused."""

import json
from typing import Any

import pytest
from conftest import DAY, MODEL
from hypothesis import given
from hypothesis import strategies as st
from stagekit import BadInput

from bundle import Bundle, parse_bundle, parse_rows

DIGEST, OTHER = "0" * 64, "1" * 64
FILES = {
    **dict.fromkeys(("encoder.json", "metrics.json", "params.json", "_meta.json", "MLmodel", "conda.yaml"), OTHER),
    "model.txt": DIGEST,
}


def tags(files: object = FILES, **changed: str | None) -> dict[str, str]:
    """The tags of a version, some of them changed; None takes one off."""
    whole = {"ds": DAY, "model": MODEL, "model_sha256": DIGEST, "files": json.dumps(files), "dag_run_id": "by hand"}
    kept = {name: value for name, value in {**whole, **changed}.items() if value is not None}
    return {f"airflow_ml.{name}": value for name, value in kept.items()}


def with_file(name: str, digest: object = OTHER) -> dict[str, str]:
    return tags(files={**FILES, name: digest})


def test_tags_of_a_version_are_its_bundle_and_tags_of_others_do_not_count() -> None:
    more = {"airflow_ml.data.raw/x.csv": "1", "airflow_ml.report.2026-11-16": "a page", "owner": "a team"}
    more["airflow_ml.warnings"] = "split: a key has a date"
    bundle = parse_bundle({**tags(), **more})
    assert bundle == Bundle(MODEL, FILES)
    assert set(bundle.model_files) == {"encoder.json", "metrics.json", "params.json", "model.txt"}


FORGED = {
    "no files": (tags(files=None), "airflow_ml.files"),
    "no tag": (tags(model=None), "has no tag airflow_ml.model"),
    "unknown tag": (tags(owner="me"), "the tag airflow_ml.owner is unknown"),
    "list": (tags(files=[]), "airflow_ml.files"),
    "empty": (tags(files={}), "does not name MLmodel"),
    "no mark": (tags(files={k: v for k, v in FILES.items() if k != "_meta.json"}), "does not name _meta.json"),
    "outside": (with_file("../../escaped"), "not the name of a file"),
    "absolute": (with_file("/data/escaped"), "not the name of a file"),
    "folder": (with_file("a/b"), "not the name of a file"),
    "hidden": (with_file(".train-x.tmp"), "not the name of a file"),
    "line end": (with_file("a\n"), "not the name of a file"),
    "no hash": (with_file("model.txt", 3), "model.txt is a whole number"),
    "short hash": (with_file("model.txt", "abc"), "a sha256"),
    "nested": (tags() | {"airflow_ml.files": "[" * 100_000}, "nested too deeply"),
    "other hash": (tags(model_sha256=OTHER), "is not the sha256 of model.txt"),
    "other partition": (tags(model="raw/2026-11-15"), "not models/YYYY-MM-DD"),
    "up": (tags(model="models/../../2026-11-15"), "not models/YYYY-MM-DD"),
    "digits of others": (tags(model="models/２０２６-11-15", ds="２０２６-11-15"), "not models/YYYY-MM-DD"),
    "no day": (tags(model="models/2026-13-45", ds="2026-13-45"), "not models/YYYY-MM-DD"),
    "other day": (tags(ds="2026-11-16"), "not models/YYYY-MM-DD"),
    "line end in the day": (tags(model=f"{MODEL}\n"), "not models/YYYY-MM-DD"),
}


@pytest.mark.parametrize("case", FORGED)
def test_forged_tags_are_refused_and_named(case: str) -> None:
    forged, message = FORGED[case]
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        parse_bundle(forged)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(set(tags()) - {"airflow_ml.dag_run_id"})), st.text() | json_values.map(json.dumps))
def test_no_text_of_a_tag_does_more_than_be_refused(name: str, text: str) -> None:
    with pytest.raises(ValueError, match="airflow_ml"):
        parse_bundle({**tags(), name: text})


def test_rows_are_those_of_the_mark() -> None:
    outputs = {"a.csv": {"sha256": OTHER, "rows": 3}, "b.txt": {"sha256": DIGEST}}
    mark = json.dumps({"outputs": outputs}).encode()
    assert parse_rows(mark, {"a.csv": OTHER, "b.txt": DIGEST}) == {"a.csv": 3}


@pytest.mark.parametrize(
    "mark",
    [
        b"", b"[]", b"\xff", b"{}", b"[" * 100_000,
        b'{"outputs": []}', b'{"outputs": {}}', b'{"outputs": {"a.csv": 1}}',
        json.dumps({"outputs": {"a.csv": {"sha256": DIGEST}}}).encode(),
        json.dumps({"outputs": {"a.csv": {"sha256": OTHER, "rows": -1}}}).encode(),
        json.dumps({"outputs": {"a.csv": {"sha256": OTHER, "rows": "many"}}}).encode(),
    ],
)  # fmt: skip
def test_mark_of_something_else_is_refused(mark: bytes) -> None:
    with pytest.raises(BadInput, match=r"_meta\.json"):
        parse_rows(mark, {"a.csv": OTHER})
