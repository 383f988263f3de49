"""What a stage gets from the operator about its image, so that the commit mark can name it."""

import json
from pathlib import Path

import pytest
from airflow_ml.data import load_data

from ml.engines.docker import host_config
from ml.operator import StageOperator
from tests.dags.conftest import IMAGES, LOCK


@pytest.mark.parametrize(("revision", "expected"), [("abc1234", "abc1234"), (None, None)])
def test_stage_gets_the_id_and_the_revision_of_its_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, revision: str | None, expected: str | None
) -> None:
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps({**json.loads(LOCK.read_text()), "revision": revision}))
    monkeypatch.setenv("ML_IMAGE_LOCK", str(lock))
    task = StageOperator(task_id="any", stage="training", command=[])
    assert task.environment["ML_IMAGE_ID"] == IMAGES["training"]["id"]
    assert task.environment.get("ML_REVISION") == expected


def options(text: str) -> set[str]:
    """Options of `docker run`, whether written with a blank or with an equals sign."""
    return {part.strip() for part in text.replace("=", " ").split("--")[1:]}


def test_rerun_confines_a_stage_as_the_operator_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make rerun` has the options in words of its own, for it cannot import Airflow."""
    for name, value in {"ML_UID": "1000", "ML_GID": "100", "ML_STAGE_MEMORY": "1g"}.items():
        monkeypatch.setenv(name, value)
    task = StageOperator(task_id="any", stage="training", command=[])
    by_hand, ours = task.command_by_hand().split(" --volume ")[0], load_data().confined
    ((folder, how),) = host_config(task._work())["tmpfs"].items()
    assert options(by_hand) - {f"tmpfs {folder}", "rm"} == options(" ".join(ours)) - {f"tmpfs {folder}:{how}"}
    assert f"--tmpfs={folder}:{how}" in ours
