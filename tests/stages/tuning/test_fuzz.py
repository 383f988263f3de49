"""Files that somebody has damaged or made up: the stage takes them, or ends with exit code 3 and publishes nothing."""

import json

from conftest import TUNED, World, make_encoder, make_rows
from hypothesis import given
from stagekit import Publication

from tests.hostile import BAD_INPUT, DONE, RUNS, documents, tables

PROCESSED = "processed/2026-11-21"
TRAIN = "".join(f"{line}\n" for line in ["kind,price,shop,size", *make_rows(60, seed=1)])
ENCODER = make_encoder()


def check(world: World, train: bytes, encoder: bytes) -> None:
    with Publication(world.root, PROCESSED, "split") as publication:
        publication.path("train.csv").write_bytes(train)
        publication.path("val.csv").write_text("the search must not look at this\n")
        publication.path("encoder.json").write_bytes(encoder)
    before = (world.root / TUNED / "_meta.json").exists()
    result = world.run("--trials=1", "--force")
    assert result.code in (DONE, BAD_INPUT), result.log
    assert "Traceback" not in result.log
    assert result.code == DONE or (world.root / TUNED / "_meta.json").exists() == before


@RUNS
@given(encoder=documents(ENCODER))
def test_encoder_is_read_or_refused(world: World, encoder: bytes) -> None:
    check(world, TRAIN.encode(), encoder)


@RUNS
@given(train=tables(TRAIN))
def test_rows_are_read_or_refused(world: World, train: bytes) -> None:
    check(world, train, json.dumps(ENCODER).encode())
