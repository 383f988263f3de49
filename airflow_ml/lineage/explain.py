"""Shows why a row has its score: the features that moved it most, and which model and image said so.

FILE is the day, or a path below the data folder that names it, such as predictions/2026-11-21/predictions.csv. KEY is
the row's key, a value for each key column. The reasons must be there: `predict` makes them if its form's `reasons` is
above 0. Exit codes: 0 done; 2 wrong usage; 3 it cannot be done, the message says why.
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_ml.common import AirflowMlError
from airflow_ml.data import DATA_FOLDER, Data, load_data, run_in_base
from airflow_ml.lineage import find_row
from airflow_ml.lineage.graph import Lineage, Step
from airflow_ml.lineage.read import data_path, given, image_ids, impossible, read_lineage
from airflow_ml.lineage.show import image_text, verdict
from airflow_ml.text_table import aligned

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", type=given("FILE"), metavar="FILE")
    parser.add_argument("key", nargs="+", metavar="KEY", help="the row's key, a value for each key column")


def run(arguments: argparse.Namespace) -> int:
    """Print the reasons of a row with their lineage."""
    with impossible():
        data = load_data()
        file = reasons_of(data, arguments.file)
        lineage = lineage_of_reasons(data, file)
        row = find(data, file, arguments.key)
        print(report(" ".join(arguments.key), file, row, lineage, image_ids(lineage)))
    return 0


def reasons_of(data: Data, text: str) -> str:
    """The table of the reasons for a day, or for any path that names a day. Errors: AirflowMlError if none does."""
    days = [part for part in Path(data_path(data, text)).parts if DAY.fullmatch(part)]
    if len(days) != 1:
        raise AirflowMlError(f"{text} names no day", expected="2026-11-21, or predictions/2026-11-21/predictions.csv")
    return f"explanations/{days[0]}/reasons.csv"


def lineage_of_reasons(data: Data, file: str) -> Lineage:
    """The lineage of the table. Errors: AirflowMlError if the reasons of the day were not made."""
    try:
        return read_lineage(data, file)
    except AirflowMlError as error:
        day = file.split("/")[1]
        raise AirflowMlError(
            f"there are no reasons for {day}: {str(error).splitlines()[0]}",
            do=f"run `predict` for {day} with `reasons` in its form, or the stage `explanation` by hand",
        ) from None


def find(data: Data, file: str, key: list[str]) -> dict[str, str]:
    """The cells of a row by column. Errors: AirflowMlError if no row has the key."""
    program = ("-c", Path(find_row.__file__).read_text(encoding="utf-8"))
    request = {"file": f"{DATA_FOLDER}/{file}", "key": key}
    found: dict[str, Any] = run_in_base(data, program, request, data.mount(DATA_FOLDER))
    if found["row"] is None:
        columns = found["columns"]
        raise AirflowMlError(
            f"no row of {file} has the key {' '.join(key)}",
            expected=f"{', '.join(columns)} of a row that was scored, such as {' '.join(found['example'])}",
            do="look at rejected.csv of the day's features: a rejected row has no score",
        )
    return dict(found["row"])


def report(key: str, file: str, row: dict[str, str], lineage: Lineage, ids: dict[str, str | None]) -> str:
    """What is printed: the parts of the score, what they are, and where they come from."""
    partition = file.rpartition("/")[0]
    step = next(step for step in lineage.steps.values() if step.partition == partition)
    return "\n".join(
        [
            f"{key}: score {row['score']} of the class {row['explained_class']}",
            "",
            *aligned(list(parts(row)), "  "),
            "",
            "In log-odds. A contribution says what the model did, not what caused the outcome.",
            "",
            *aligned(list(origin(step, ids))),
            *verdict(lineage, ids),
        ]
    )


def parts(row: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Each part of the raw score with the feature's value; they add up to the last one."""
    yield "base value", "", signed(row["base_value"])
    for name in (column for column in row if re.fullmatch(r"feature_\d+", column)):
        place = name.rpartition("_")[2]
        if row[name]:
            yield row[name], row[f"value_{place}"] or "missing", signed(row[f"contribution_{place}"])
    yield "all other features", "", signed(row["other_contributions"])
    yield "raw score", "", signed(row["raw_score"])


def signed(text: str) -> str:
    """A figure with its sign, to four decimals."""
    return f"{float(text):+.4f}"


def origin(step: Step, ids: dict[str, str | None]) -> Iterator[tuple[str, str]]:
    """The model with its version, the run and the image."""
    recorded, run = step.recorded("parameters"), step.recorded("run")
    version = f", version {recorded['version']}" if recorded.get("version") else ", no version of the registry"
    trained = f", MLflow run {recorded['run_id']}" if recorded.get("run_id") else ""
    yield "model", f"{recorded.get('model')}{version}{trained}"
    yield "image", image_text(step, ids)
    yield "Dag run", f"{run['dag_id']}, {run['run_id']}" if run.get("dag_id") else "none, by hand"
