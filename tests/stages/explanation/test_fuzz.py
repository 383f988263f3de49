"""Files that somebody has damaged or made up: the stage takes them, or ends with exit code 3 and publishes nothing."""

import json
from collections.abc import Mapping

import pytest
from conftest import FEATURES, MODEL, World, make_values
from hypothesis import given
from hypothesis import strategies as st
from stagekit import read_partition

from tests.hostile import BAD_INPUT, DONE, RUNS, documents, model_texts, tables

BASELINE = {
    "version": 1,
    "rows": 3,
    "features": [
        {"name": "price", "kind": "number", "labels": ["up to 40", "missing"], "edges": [], "counts": [2, 1]},
        {"name": "shop", "kind": "category", "labels": ["north", "other"], "codes": [[1], [0, 2, 3]], "counts": [1, 2]},
    ],
    "score": {"labels": ["up to 1"], "edges": [], "counts": [3]},
}


@pytest.fixture
def good(world: World) -> Mapping[str, bytes]:
    """The files of a model, and the day's features for it."""
    world.train(BASELINE, rounds=3)
    world.prepare(make_values(20, seed=3))
    model, features = read_partition(world.root, MODEL, []), read_partition(world.root, FEATURES, [])
    files = {name: (model / name).read_bytes() for name in ("model.txt", "encoder.json", "baseline.json")}
    return {**files, "features.csv": (features / "features.csv").read_bytes()}


def check(world: World, good: Mapping[str, bytes], **forged: bytes) -> None:
    files = {**good, **{name.replace("_", "."): content for name, content in forged.items()}}
    features = files.pop("features.csv")
    world.publish(MODEL, "train", files)
    encoder = read_partition(world.root, MODEL, ["encoder.json"])
    world.publish(FEATURES, "features", {"features.csv": features}, [encoder])
    done = world.run("--force")
    assert done.code in (DONE, BAD_INPUT), done.log
    assert "Traceback" not in done.log


@RUNS
@given(data=st.data())
def test_model_is_explained_or_refused(world: World, good: Mapping[str, bytes], data: st.DataObject) -> None:
    check(world, good, model_txt=data.draw(model_texts(good["model.txt"].decode())))


@RUNS
@given(data=st.data(), name=st.sampled_from(["encoder.json", "baseline.json"]))
def test_document_of_the_model_is_read_or_refused(
    world: World, good: Mapping[str, bytes], data: st.DataObject, name: str
) -> None:
    check(world, good, **{name.replace(".", "_"): data.draw(documents(json.loads(good[name])))})


@RUNS
@given(data=st.data())
def test_features_are_read_or_refused(world: World, good: Mapping[str, bytes], data: st.DataObject) -> None:
    check(world, good, features_csv=data.draw(tables(good["features.csv"].decode())))
