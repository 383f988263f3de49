"""Files that somebody has damaged or made up: the stage takes them, or ends with exit code 3 and publishes nothing."""

import json

from conftest import SHOPS, World, make_encoder, make_table
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import BAD_INPUT, DONE, RUNS, TEXTS, documents, tables

TRAIN, VAL = make_table(60, 1), make_table(40, 2)
ENCODER = make_encoder(TRAIN, ["no", "yes"], {"shop": SHOPS})
WRONG_USAGE = 2
FEW = json.dumps({"num_iterations": 3})


def check(world: World, train: str | bytes, val: str | bytes, encoder: bytes) -> None:
    world.publish(train, val, encoder)
    result = world.run("--force", "--params-json", FEW)
    assert result.code in (DONE, BAD_INPUT), result.log
    assert "Traceback" not in result.log


@RUNS
@given(encoder=documents(ENCODER))
def test_encoder_is_read_or_refused(world: World, encoder: bytes) -> None:
    check(world, TRAIN.text(), VAL.text(), encoder)


@RUNS
@given(train=tables(TRAIN.text()), val=st.one_of(st.just(VAL.text().encode()), tables(VAL.text())))
def test_tables_are_read_or_refused(world: World, train: bytes, val: bytes) -> None:
    check(world, train, val, json.dumps(ENCODER).encode())


GOOD_PARAMETERS = {"num_leaves": 7, "learning_rate": 0.1, "metric": ["auc", "binary_logloss"], "extra_trees": True}


@RUNS
@given(text=st.one_of(documents(GOOD_PARAMETERS).map(lambda content: content.decode("utf-8", "replace")), TEXTS))
def test_parameters_are_taken_or_wrong_usage(world: World, text: str) -> None:
    result = world.run("--check-parameters", f"--params-json={text}")
    assert result.code in (DONE, WRONG_USAGE), result.log
    assert "Traceback" not in result.log
