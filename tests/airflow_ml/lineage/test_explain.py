"""`./airflow-ml explain`: the reasons of one row with their lineage, or what is missing."""

import csv
import json
import subprocess
import sys
from argparse import Namespace
from typing import Any

import pytest
from airflow_ml.lineage import explain
from stagekit import Publication, publish, read_partition

from .conftest import DAY, Command, Pipeline

HEADER = [
    "order", "line", "explained_class", "score", "raw_score", "base_value",
    "feature_1", "value_1", "contribution_1", "feature_2", "value_2", "contribution_2", "other_contributions",
]  # fmt: skip
ROWS = [
    ["A1", "1", "yes", "0.1", "-2.2", "-3.5", "price", "12.5", "1.25", "shop", "", "-0.5", "0.55"],
    ["A1", "2", "yes", "0.9", "2.25", "-3.5", "shop", "…", "5.75", "", "", "", "0.0"],
]


@pytest.fixture
def explained(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A day with reasons; the program that a container runs, runs here."""
    inputs = [read_partition(pipeline.root, f"features/{DAY}", ["features.csv"])]
    inputs.append(read_partition(pipeline.root, f"models/{DAY}", ["model.txt", "encoder.json"]))

    def work(publication: Publication) -> dict[str, Any]:
        with publication.path("reasons.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([HEADER, *ROWS])
        return {}

    monkeypatch.setenv("ML_IMAGE", "airflow-ml-explanation:0123456789ab")
    recorded = {"model": f"models/{DAY}", "version": "3", "run_id": "f00", "reasons": 2}
    args = Namespace(data_dir=pipeline.root)
    publish(args, f"explanations/{DAY}", "explain", work, inputs=inputs, parameters=recorded, reuse=False)

    def run_here(_: object, program: tuple[str, ...], request: dict[str, Any], *mounts: str) -> dict[str, Any]:
        here = {**request, "file": request["file"].replace("/data", str(pipeline.root), 1)}
        command = [sys.executable, *program]
        done = subprocess.run(command, input=json.dumps(here), capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout))

    monkeypatch.setattr(explain, "run_in_base", run_here)
    return pipeline


@pytest.mark.parametrize(
    "file", [DAY, f"predictions/{DAY}/predictions.csv", f"explanations/{DAY}", f"/data/explanations/{DAY}/reasons.csv"]
)
@pytest.mark.usefixtures("explained")
def test_reasons_of_a_row_are_shown_with_model_and_image(command: Command, file: str) -> None:
    code, text, _ = command("explain", file, "A1", "1")
    assert code == 0
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[:8] == [
        "A1 1: score 0.1 of the class yes", "", "base value -3.5000", "price 12.5 +1.2500", "shop missing -0.5000",
        "all other features +0.5500", "raw score -2.2000", "",
    ]  # fmt: skip
    assert f"model models/{DAY}, version 3, MLflow run f00" in lines
    assert any(line.startswith("image airflow-ml-explanation:0123456789ab") for line in lines)
    assert "no file has changed since it was published" in text


@pytest.mark.usefixtures("explained")
def test_hidden_value_stays_hidden(command: Command) -> None:
    _, text, _ = command("explain", DAY, "A1", "2")
    assert "  shop                …  +5.7500" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["A1", "9"], "has the key A1 9\n       expected: order, line of a row that was scored, such as A1 1"),
        (["A1"], "has the key A1\n"),
    ],
)
@pytest.mark.usefixtures("explained")
def test_unknown_key_is_named(command: Command, arguments: list[str], message: str) -> None:
    code, text, errors = command("explain", DAY, *arguments)
    assert (code, text) == (3, "")
    assert message in errors


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("2026-11-25", "there are no reasons for 2026-11-25: "),
        ("predictions", "predictions names no day\n       expected: 2026-11-21"),
    ],
)
@pytest.mark.usefixtures("explained")
def test_day_without_reasons_is_named_with_what_to_do(command: Command, file: str, message: str) -> None:
    code, text, errors = command("explain", file, "A1", "1")
    assert (code, text) == (3, "")
    assert message in errors


@pytest.mark.usefixtures("explained")
def test_edited_file_is_reported_beside_the_reasons(command: Command, explained: Pipeline) -> None:
    with (explained.root / f"features/{DAY}/features.csv").open("a") as file:
        file.write("more\n")
    _, text, _ = command("explain", DAY, "A1", "1")
    assert "1 problem" in text
