"""The command line: what is refused before any server is asked, and what is said where there is no network."""

from collections.abc import Callable
from pathlib import Path

import pytest
from stagekit.publication import Publication

from exchange import main

DS = "2026-11-21"
SCORES = "id,prediction,probability_0,probability_1\n1,0,0.9,0.1\n"

WRONG = {
    "no connection": (["ingest", "--query=SELECT $1"], "--connection"),
    "a path as connection": (["ingest", "--connection=../shop", "--query=SELECT $1"], "no name of a connection"),
    "nothing to ingest": (
        ["ingest", "--connection=shop"],
        "neither is given: --query or --target-query, --object or --target-object",
    ),
    "two sources": (["ingest", "--connection=shop", "--query=SELECT $1", "--object=s3://ab/{ds}"], "both are given"),
    "a query and an object": (
        ["ingest", "--connection=shop", "--query=SELECT $1", "--target-object=s3://ab/{ds}"],
        "do: name --query with --target-query, or --object with --target-object",
    ),
    "one object for all days": (["ingest", "--connection=shop", "--object=s3://ab/x.csv"], "the same for each day"),
    "no --snapshot": (
        ["ingest", "--connection=shop", "--object=s3://ab/x.csv"],
        "take what is there now with --snapshot",
    ),
    "a folder": (["ingest", "--connection=shop", "--object=s3://ab/{ds}/"], "no object"),
    "another protocol": (["ingest", "--connection=shop", "--object=file:///etc/{ds}"], "no object"),
    "nowhere to export to": (["export", "--connection=shop"], "neither is given: --table, --object"),
    "a table and an object": (["export", "--connection=shop", "--table=t", "--object=s3://ab/{ds}"], "both are given"),
    "a table in quotes": (["export", "--connection=shop", '--table="t"; DROP TABLE x'], "no table"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_command_line_is_refused(
    arguments: list[str], message: str, connect: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    connect(conn_type="aws")
    try:
        code = main([*arguments, f"--ds={DS}", f"--data-dir={tmp_path / 'data'}"])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
    assert message in capfd.readouterr().err


def test_export_to_one_object_for_all_days_is_refused_and_has_no_snapshot(
    connect: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    connect(conn_type="aws")
    assert export(tmp_path, "--object=s3://ab/x.parquet") == 2
    errors = capfd.readouterr().err
    assert "the same for each day" in errors
    assert "--snapshot" not in errors


def publish(root: Path, text: str = SCORES, rows: int = 1) -> None:
    with Publication(root, f"predictions/{DS}", "predict", parameters={"model": "models/x"}) as publication:
        publication.path("predictions.csv").write_text(text)
        publication.rows["predictions.csv"] = rows


def export(root: Path, *arguments: str) -> int:
    return main(["export", f"--ds={DS}", f"--data-dir={root}", "--connection=shop", *arguments])


def test_without_a_network_the_address_is_named(
    connect: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    connect()
    publish(tmp_path)
    assert export(tmp_path, "--table=t") == 1
    assert "postgres://db:5432/shop" in capfd.readouterr().err


def test_predictions_that_were_edited_are_not_exported(
    connect: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    connect()
    publish(tmp_path)
    (tmp_path / f"predictions/{DS}/predictions.csv").write_text(SCORES.replace("0.9", "0.8"))
    assert export(tmp_path, "--table=t") == 3
    assert "sha256" in capfd.readouterr().err


@pytest.mark.parametrize("key", ["ds", "model", "model_version", "run_id"])
def test_a_key_with_the_name_of_a_column_of_the_export_is_refused(
    key: str, connect: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    connect()
    publish(tmp_path, SCORES.replace("id,", f"{key},"))
    assert export(tmp_path, "--table=t") == 3
    assert f"the key '{key}'" in capfd.readouterr().err


def test_a_name_that_postgres_would_cut_is_refused(
    connect: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    connect()
    publish(tmp_path, SCORES.replace("probability_1", f"probability_{'x' * 60}"))
    assert export(tmp_path, "--table=t") == 3
    assert "72 bytes" in capfd.readouterr().err
