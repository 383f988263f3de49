"""Data that stages of earlier revisions published: what reads marks reads theirs.

`older_data/REVISION.tar.gz` has what stages of that revision left below /data: a day that trains, a day that is scored.
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from airflow_ml.tidy import tidy_data

from tests.harness import PATIENCE_S, ROOT, Data, Finished, data_volume

FOLDER = Path(__file__).with_name("older_data")
UNPACK = "import tarfile; tarfile.open('/older/{revision}.tar.gz').extractall('/data', filter='data')"
SAME_BYTES, OTHER_BYTES = 0, 1


@dataclass(frozen=True)
class Older:
    """What a revision left: its kinds of partitions, the two days, and how many files it had tidied."""

    revision: str
    kinds: str
    trained: str
    scored: str
    tidied: int


OLDER = [
    # Marks record the call of a step, not yet its result.
    Older("89ecddd", "features models predictions processed raw", "2026-11-21", "2026-11-22", 0),
    # They record both, and what was removed.
    Older(
        "23b84e9",
        "backtests comparisons explanations features labels models plots predictions processed raw reports shadows"
        " shards tuning",
        "2026-11-20",
        "2026-11-21",
        7,
    ),
]


@pytest.fixture(params=OLDER, ids=lambda older: str(older.revision))
def older(request: pytest.FixtureRequest) -> Older:
    found: Older = request.param
    return found


@pytest.fixture
def data(older: Older, monkeypatch: pytest.MonkeyPatch) -> Iterator[Data]:
    """The data, in a volume that the commands on the host use too."""
    with data_volume("older") as made:
        made.python(UNPACK.format(revision=older.revision), f"--volume={FOLDER}:/older:ro")
        for name, value in {"ML_DATA": made.source, "ML_UID": "10001", "ML_GID": "10001"}.items():
            monkeypatch.setenv(name, value)
        yield made


def command(*arguments: str) -> Finished:
    """`./airflow-ml` on the data."""
    line = [ROOT / "airflow-ml", *arguments]
    return subprocess.run(line, text=True, capture_output=True, check=False, timeout=PATIENCE_S, env=os.environ)


def test_lineage_follows_every_file_and_tidying_keeps_it_whole(older: Older, data: Data) -> None:
    before = data.follow()
    assert {name.partition("/")[0] for name in before["partitions"]} == set(older.kinds.split())
    assert [kind for _, kind in before["problems"]] == ["removed"] * older.tidied
    assert "features 1, " in tidy_data(date(2026, 12, 1), None, dry=False)
    after = data.follow()
    assert (after["partitions"], after["files"]) == (before["partitions"], before["files"])
    assert {kind for _, kind in after["problems"]} == {"removed"}
    assert len(after["problems"]) > older.tidied


def test_scored_day_is_made_again_explained_measured_and_shown(older: Older, data: Data) -> None:
    predictions, model = f"predictions/{older.scored}/predictions.csv", f"models/{older.trained}"
    checked = command("lineage", predictions, "--check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    # The images that made the data are gone; a library of today may give other bytes.
    again = command("rerun", predictions, "--images=locked")
    assert again.returncode in (SAME_BYTES, OTHER_BYTES), again.stdout + again.stderr
    assert f"predict of predictions/{older.scored}, in airflow-ml-prediction:" in again.stdout
    data.explain(older.scored, model)
    data.evaluate(older.scored, {})
    data.stage("prediction", "confirm", f"--ds={older.scored}")
    data.page(older.scored)
    assert older.scored in data.read(f"reports/{older.scored}/index.html")


def test_days_of_then_and_of_today_follow_each_other(older: Older, data: Data) -> None:
    """An older model scores a day of today, and an older day trains a model of today."""
    data.generate("2026-12-01", "--rows=200")
    data.score("2026-12-01", f"models/{older.trained}")
    data.split(older.trained, "--seed=1")
    data.train(older.trained, "--param=num_boost_round=5")
