"""`training` with the parameters of a trial reaches the metric of that trial on the same rows: one code path."""

import json
from collections.abc import Iterator

import pytest

from tests.harness import Data, data_volume

DAY, AGAIN = "2026-11-21", "2026-11-20"
# The rows of the search as a day of its own: those that fit train, those that validate validate.
AS_DAY = f"""
import csv, json, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, "/opt/stage")
from search_rows import spread_rows
from stagekit import Publication
day = Path("/data/processed/{DAY}")
header, *lines = (day / "train.csv").read_text().splitlines(keepends=True)
validates = spread_rows(np.array([int(line.partition(",")[0]) for line in lines]), 0.2, 0)
with Publication(Path("/data"), "processed/{AGAIN}", "split") as out:
    out.path("encoder.json").write_bytes((day / "encoder.json").read_bytes())
    for name, side in ("train.csv", False), ("val.csv", True):
        chosen = [line for line, on in zip(lines, validates) if on == side]
        out.path(name).write_text("".join([header, *chosen]))
"""


@pytest.fixture
def data() -> Iterator[Data]:
    with data_volume("tuned") as volume:
        yield volume


def test_training_reaches_the_metric_of_a_trial_on_its_rows(data: Data) -> None:
    data.generate(DAY, "--rows=5000")
    data.prepare(DAY)
    data.split(DAY)
    line = data.stage("tuning", f"--ds={DAY}", "--trials=4").line
    data.python(AS_DAY, image="tuning")
    trials = [json.loads(text) for text in data.read(f"tuning/{DAY}/trials.jsonl").splitlines()]
    for trial in (trials[0], trials[line["trial"]], trials[1]):
        given = json.dumps(trial["parameters"])
        trained = data.train(AGAIN, f"--params-json={given}", "--force").line
        assert trained["validation"][line["metric"]] == trial["value"]
        assert trained["best_iteration"] == trial["best_iteration"]
    # The first trial has the defaults: the filter that the search leaves out makes no difference here.
    assert data.train(AGAIN, "--force").line["validation"][line["metric"]] == trials[0]["value"]
