"""Files that somebody has damaged or made up: the stage takes them, or says what is wrong, and shows no secret."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import DS, GOOD
from hypothesis import given
from stagekit import BadInput, StageError, UsageError
from stagekit.publication import Publication

from connection import read_connection
from database import session
from exchange import main
from object_store import Bucket
from tests.hostile import BAD_INPUT, DONE, RUNS, documents, tables

SCORES = "id,prediction,probability_0,probability_1\n1,0,0.9,0.1\n2,1,0.2,0.8\n"
FAILED = 1
# An address without a server: no example waits for a network.
DATABASE = {**GOOD, "host": "/nowhere"}
STORE = {**GOOD, "conn_type": "aws", "extra": {"endpoint_url": "http://store:8333", "region_name": "x"}}


def publish(root: Path, content: bytes) -> None:
    parameters = {"model": "models/2026-11-15", "version": "3", "run_id": None, "threshold": 0.5}
    with Publication(root, f"predictions/{DS}", "predict", parameters=parameters) as publication:
        publication.path("predictions.csv").write_bytes(content)
        publication.rows["predictions.csv"] = 2


@RUNS
@given(content=tables(SCORES))
def test_predictions_become_parquet_or_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes
) -> None:
    publish(tmp_path, content)
    code = main(["parquet", f"--ds={DS}", f"--data-dir={tmp_path}", "--force"])
    log = capfd.readouterr().err
    assert code in (DONE, FAILED, BAD_INPUT), log
    assert "Traceback" not in log
    assert code != FAILED or "of the 2 rows" in log


@RUNS
@given(content=documents(DATABASE))
def test_connection_to_a_database_is_tried_or_refused(
    connect: Callable[..., None], tmp_path: Path, content: bytes
) -> None:
    connect()
    (tmp_path / "shop.json").write_bytes(content)
    with pytest.raises(StageError) as error, session(read_connection("shop")):
        pass
    assert GOOD["password"] not in str(error.value)


@RUNS
@given(content=documents(STORE))
def test_connection_to_an_object_store_is_taken_or_refused(
    connect: Callable[..., None], tmp_path: Path, content: bytes
) -> None:
    connect()
    (tmp_path / "shop.json").write_bytes(content)
    with contextlib.suppress(BadInput, UsageError):
        Bucket(read_connection("shop"), "feed")
