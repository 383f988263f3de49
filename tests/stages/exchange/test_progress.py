"""Long work says how far it is: rows of a query, an object, a day's predictions."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from obstore.store import MemoryStore
from stagekit.progress import line
from stagekit.publication import Publication

import object_store
from connection import read_connection
from database import Session
from predictions import read_predictions

DS = "2026-11-21"


def shown() -> str:
    """What the log would say of the work now."""
    now = time.monotonic()
    return line("export", now - 60, now).partition("60 s: ")[2]


def test_rows_of_a_query_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [pl.DataFrame({"id": [1, 2, 3]}), pl.DataFrame({"id": [4]}), pl.DataFrame()]
    monkeypatch.setattr(Session, "_require_types", lambda *_: None)
    monkeypatch.setattr(
        Session, "run", lambda _, statement, *__: left.pop(0) if statement.startswith("FETCH") else None
    )
    lines = [shown() for _ in Session(None, None).parts("SELECT $1")]  # type: ignore[arg-type]
    assert [found.partition(",")[0] for found in lines] == [f"reading the query's rows: {n} rows" for n in (3, 4)]
    assert shown() == ""


def test_bytes_of_an_object_are_counted(
    connect: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(conn_type="aws")
    store = MemoryStore()
    store.put("feed.csv", b"x" * 5_000_000)
    monkeypatch.setattr(object_store, "_store", lambda *_: store)
    works: list[Any] = []
    monkeypatch.setattr(object_store, "track", lambda items, *work: works.append(work) or items)
    object_store.Bucket(read_connection("shop"), "bucket").download("feed.csv", tmp_path / "data")
    assert works == [("reading feed.csv", 5_000_000, "bytes", len)]
    assert (tmp_path / "data").stat().st_size == 5_000_000


def test_rows_of_predictions_are_counted(tmp_path: Path) -> None:
    with Publication(tmp_path, f"predictions/{DS}", "predict", parameters={"model": "models/x"}) as publication:
        publication.path("predictions.csv").write_text("id,prediction,probability_0\n1,0,0.9\n2,0,0.8\n")
        publication.rows["predictions.csv"] = 2
    lines = [shown().partition(",")[0] for _ in read_predictions(tmp_path, DS).parts()]
    assert lines == [f"reading predictions/{DS}/predictions.csv: 0 rows"]
