"""Own data, as a new user takes it: a file in a new folder, one command, a model in production."""

import csv
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.data_sets.sets import SETS, DataSet
from tests.harness import ROOT, images, python

from .conftest import COMMAND_TIMEOUT_S, Results, Stack, champion_stays, compose_stack, data

DS = "2026-05-01"
# Chemistry of wines of three growers, from scikit-learn, as a table without a key.
WINE = "import sklearn.datasets as d; print(d.load_wine(as_frame=True).frame.to_csv(index=False), end='')"


# Sets of tests/data_sets that take the whole command, each on a day of its own.
WHOLE = {"senators": "2026-05-02", "german": "2026-05-03"}


@dataclass(frozen=True)
class Call:
    """How a call of `own` ended."""

    code: int
    summary: str
    log: str


def own(folder: Path, *arguments: str, ds: str = DS) -> Call:
    """Call `own` in a folder."""
    command = [ROOT / "airflow-ml", "own", f"--ds={ds}", *arguments]
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False)
    return Call(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wine.csv and its labels; 178 rows, three classes. `drawn` says how many bottles a row is for."""
    folder = tmp_path_factory.mktemp("my wine, and more")
    rows = list(csv.DictReader(python(images()["prediction"], WINE).stdout.splitlines()))
    for name, columns in (
        ("wine.csv", ["drawn", *(name for name in rows[0] if name != "target")]),
        ("grower.csv", ["target"]),
    ):
        with (folder / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, ["bottle", *columns], extrasaction="ignore")
            writer.writeheader()
            writer.writerows({"bottle": number, "drawn": 1 + number % 3, **row} for number, row in enumerate(rows))
    return folder


@pytest.fixture(scope="module")
def taken(stack: Stack, day: Results, folder: Path) -> Iterator[Call]:
    """The one command, where the demo's model is in production."""
    with champion_stays(stack):
        yield own(folder, "--data=wine.csv", "--labels=grower.csv", "--weight=drawn")


def test_one_command_leads_to_a_model_in_production(taken: Call, stack: Stack) -> None:
    assert taken.code == 0, taken.log
    assert "published      178 rows" in taken.summary
    assert f"models/{DS} (champion)" in taken.summary
    assert "predicted      178 rows" in taken.summary
    assert "flattering, the model was trained on this day" in taken.summary
    assert len(data.json(f"models/{DS}/encoder.json")["target"]["classes"]) == 3
    assert data.json(f"models/{DS}/metrics.json")["roc_auc"] > 0.95
    page = stack.page(f"{compose_stack.pages()['reports']}/{DS}/")
    assert "178" in page


def test_first_model_of_the_data_is_promoted_although_the_champion_is_another_kind(taken: Call) -> None:
    assert "promoted       the first model of wine.csv; the champion has another schema: " in taken.summary


def test_rows_count_by_their_weight_in_training_and_in_figures(taken: Call) -> None:
    assert taken.code == 0, taken.log
    assert data.json(f"models/{DS}/encoder.json")["weight"] == "drawn"
    assert data.json(f"models/{DS}/metrics.json")["weighted"] is True


def test_draft_is_shown_and_kept_beside_the_data(taken: Call, folder: Path) -> None:
    fields = json.loads((folder / "wine.schema.json").read_text())["fields"]
    assert [field["name"] for field in fields if field["role"] == "key"] == ["bottle"]
    shown = [line.split()[:2] for line in taken.summary.splitlines()]
    for field in fields:
        assert [field["name"], field["role"]] in shown


def test_feed_of_the_demo_is_paused(taken: Call, stack: Stack) -> None:
    assert "generate_data is paused" in taken.log
    assert stack.airflow.is_paused("generate_data")


def test_other_file_does_not_take_the_place_of_the_day(taken: Call, folder: Path) -> None:
    (folder / "less.csv").write_text("".join((folder / "wine.csv").read_text().splitlines(keepends=True)[:100]))
    other = own(folder, "--data=less.csv", "--labels=grower.csv", "--schema=wine.schema.json")
    assert other.code == 2
    assert f"the day {DS} has other raw data already, made by import" in other.log
    assert "--replace" in other.log


def test_file_that_is_not_as_its_schema_says_is_one_sentence(taken: Call, folder: Path) -> None:
    (folder / "broken.csv").write_text("bottle,alcohol\n1,2\n")
    broken = own(folder, "--data=broken.csv", "--labels=grower.csv", "--schema=wine.schema.json", "--replace")
    assert broken.code == 3
    assert "error: the header of broken.csv lacks" in broken.log
    assert "Traceback" not in broken.log
    assert data.mark(f"raw/{DS}")["outputs"]["data.csv"]["rows"] == 178


@pytest.mark.usefixtures("day")
@pytest.mark.parametrize("one", [one for one in SETS if one.name in WHOLE], ids=lambda one: one.name)
def test_set_leads_to_a_model_in_production(one: DataSet, stack: Stack, tmp_path: Path) -> None:
    (file,), ds = one.files(tmp_path), WHOLE[one.name]
    arguments = [f"--data={file.name}", f"--target={one.target}"]
    with champion_stays(stack):
        if one.refused:
            first = own(tmp_path, *arguments, ds=ds)
            assert (first.code, one.refused in first.log) == (3, True), first.log
        done = own(tmp_path, *arguments, *one.ask, ds=ds)
    assert done.code == 0, done.log
    rows = f"{len(one.table().rows):,} rows"
    assert f"published      {rows}" in done.summary
    assert f"models/{ds} (champion)" in done.summary
    assert f"predicted      {rows}" in done.summary
    assert [line for line in one.ignored if f": {line}: ignored" not in done.log] == []
