"""A model serves days that come after its own: a good one tells fraud from the rest there too, and is no oracle.

Every step runs in its image, as a Dag starts it. Not the stages but this test measures the area under the ROC curve,
of the later day's predictions against that day's own target.
"""

import csv
import io
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import groupby
from operator import itemgetter

import pytest

from .conftest import CONFINED, docker, images, python

ROWS = 30_000
LATER_DAYS = (7, 60)
# Below, the features would hardly say what fraud is; above, something would give the label away.
LOWEST, HIGHEST = 0.85, 0.97


def roc_auc(scored: Sequence[tuple[float, bool]]) -> float:
    """The share of pairs of a positive and another row in which the positive scores higher, ties counting one half.

    From the sum of the positives' ranks, equal scores sharing their mean rank: Mann and Whitney, "On a test of
    whether one of two random variables is stochastically larger than the other", Ann. Math. Statist. 18 (1947).
    """
    ranks = 0.0
    below = 0
    for _, group in groupby(sorted(scored), key=itemgetter(0)):
        positive = [label for _, label in group]
        ranks += sum(positive) * (below + (len(positive) + 1) / 2)
        below += len(positive)
    positives = sum(label for _, label in scored)
    return (ranks - positives * (positives + 1) / 2) / (positives * (len(scored) - positives))


class Pipeline:
    """The stages, on a data volume of their own."""

    def __init__(self, volume: str) -> None:
        self._mount = f"--volume={volume}:/data"

    def run(self, stage: str, *arguments: str) -> None:
        docker("run", *CONFINED, self._mount, images()[stage], *arguments)

    def read(self, file: str) -> list[dict[str, str]]:
        """The rows of a CSV file below /data."""
        told = python(images()["base"], f"print(open('/data/{file}').read())", self._mount).stdout
        return list(csv.DictReader(io.StringIO(told)))

    def train(self, ds: str, seed: int) -> None:
        """A validated model of the day."""
        self.run("generator", f"--ds={ds}", f"--rows={ROWS}", f"--seed={seed}")
        self.run("preprocessing", "prepare", f"--ds={ds}")
        self.run("preprocessing", "split", f"--ds={ds}")
        self.run("training", f"--ds={ds}")
        self.run("prediction", "validate", f"--ds={ds}")

    def score(self, ds: str, seed: int, model: str) -> list[tuple[float, bool]]:
        """Score and label of each row of the day that has both; dirty rows lack one of them."""
        self.run("generator", f"--ds={ds}", f"--rows={ROWS}", f"--seed={seed}")
        self.run("preprocessing", "prepare", f"--ds={ds}", f"--model={model}")
        self.run("prediction", "predict", f"--ds={ds}", f"--model={model}")
        targets = self.read(f"raw/{ds}/target.csv")
        times = Counter(row["transaction_id"] for row in targets)
        labels = {row["transaction_id"]: row["is_fraud"] for row in targets if times[row["transaction_id"]] == 1}
        return [
            (float(row["probability_1"]), labels[row["transaction_id"]] == "1")
            for row in self.read(f"predictions/{ds}/predictions.csv")
            if row["transaction_id"] in labels
        ]


@pytest.fixture
def pipeline() -> Iterator[Pipeline]:
    volume = f"airflow-ml-test-{uuid.uuid4().hex[:12]}"
    docker("volume", "create", volume)
    yield Pipeline(volume)
    docker("volume", "rm", "--force", volume)


def test_roc_auc_is_the_share_of_pairs_in_order() -> None:
    assert roc_auc([(0.1, False), (0.4, False), (0.4, True), (0.8, True)]) == 3.5 / 4
    assert roc_auc([(0.3, True), (0.2, False), (0.1, True)]) == 1 / 2
    assert roc_auc([(0.5, False), (0.5, True), (0.5, True)]) == 1 / 2


@pytest.mark.parametrize(("seed", "ds"), [(42, "2026-05-04"), (7, "2026-11-21")])
def test_model_ranks_later_days_well_but_not_too_well(pipeline: Pipeline, seed: int, ds: str) -> None:
    pipeline.train(ds, seed)
    for days in LATER_DAYS:
        later = str(date.fromisoformat(ds) + timedelta(days=days))
        scored = pipeline.score(later, seed, f"models/{ds}")
        assert len(scored) > 0.95 * ROWS, later
        found = roc_auc(scored)
        print(f"seed {seed}: AUC of models/{ds} on {later}: {found:.4f} ({len(scored)} rows)")
        assert LOWEST < found < HIGHEST, later
