"""predictions.parquet: the rows of predictions.csv with types and model, and never older than the CSV file."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from stagekit.publication import Publication

from exchange import main

DS = "2026-11-21"
SCORES = 'id,prediction,probability_no,probability_yes\n007,no,0.9,0.1\n"a,""b""\nc",yes,1e-320,1.0\n'


def publish(root: Path, text: str = SCORES, rows: int = 2, version: str | None = "3") -> None:
    parameters = {"model": "models/2026-11-15", "version": version, "run_id": None, "threshold": 0.5}
    with Publication(root, f"predictions/{DS}", "predict", parameters=parameters) as publication:
        publication.path("predictions.csv").write_text(text)
        publication.rows["predictions.csv"] = rows


def parquet(root: Path, capfd: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    capfd.readouterr()
    assert main(["parquet", f"--ds={DS}", f"--data-dir={root}"]) == code
    out, log = capfd.readouterr()
    return dict(json.loads(out)) if code == 0 else {"log": log}


def mark(root: Path) -> dict[str, Any]:
    return dict(json.loads((root / f"predictions/{DS}/_meta.json").read_text()))


def test_rows_keep_their_order_and_get_types(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    publish(tmp_path)
    assert parquet(tmp_path, capfd)["rows"] == 2
    found = pl.read_parquet(tmp_path / f"predictions/{DS}/predictions.parquet")
    assert found.rows() == [
        (date(2026, 11, 21), "007", "no", 0.9, 0.1, "models/2026-11-15", "3", None),
        (date(2026, 11, 21), 'a,"b"\nc', "yes", 1e-320, 1.0, "models/2026-11-15", "3", None),
    ]
    assert mark(tmp_path)["outputs"]["predictions.parquet"]["rows"] == 2
    assert mark(tmp_path)["outputs"].keys() == {"predictions.csv", "predictions.parquet"}


def test_second_call_does_nothing_and_force_makes_the_same_bytes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path)
    parquet(tmp_path, capfd)
    first = mark(tmp_path)["outputs"]
    assert main(["parquet", f"--ds={DS}", f"--data-dir={tmp_path}", "--force"]) == 0
    assert mark(tmp_path)["outputs"] == first
    assert parquet(tmp_path, capfd)["cached"]


def test_a_day_that_is_scored_again_has_no_old_parquet_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    publish(tmp_path)
    parquet(tmp_path, capfd)
    publish(tmp_path, SCORES.replace("0.9", "0.8"), version="4")
    assert mark(tmp_path)["outputs"].keys() == {"predictions.csv"}
    parquet(tmp_path, capfd)
    found = pl.read_parquet(tmp_path / f"predictions/{DS}/predictions.parquet")
    assert found["probability_no"][0] == 0.8
    assert found["model_version"][0] == "4"


@pytest.mark.parametrize(
    ("text", "rows", "message"),
    [
        (SCORES + "x,no,much,0.5\n", 3, "predictions.csv"),
        (SCORES, 3, "2 of the 3 rows"),
    ],
)
def test_what_cannot_be_read_whole_is_not_published(
    text: str, rows: int, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path, text, rows)
    code = 3 if "much" in text else 1
    assert message in parquet(tmp_path, capfd, code)["log"]
    assert mark(tmp_path)["outputs"].keys() == {"predictions.csv"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it has no header"),
        ("\n", "it has no header"),
        ("id,prediction,id\n1,0,2\n", "it has the column 'id' twice"),
        ("x" * 200_000, "field larger than field limit"),
    ],
)
def test_header_that_is_none_is_bad_input(
    text: str, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path, text, 1)
    assert message in parquet(tmp_path, capfd, 3)["log"]


def test_no_predictions_are_waited_for(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    parquet(tmp_path, capfd, 4)
