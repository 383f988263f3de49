"""What the operator tells a stage of its image, so that the commit mark can name it."""

import json
from pathlib import Path

import pytest

from ml.operator import StageOperator
from tests.dags.conftest import IMAGES, LOCK


@pytest.mark.parametrize(("revision", "told"), [("abc1234", "abc1234"), (None, None)])
def test_stage_is_told_the_id_and_the_revision_of_its_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, revision: str | None, told: str | None
) -> None:
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps({**json.loads(LOCK.read_text()), "revision": revision}))
    monkeypatch.setenv("ML_IMAGE_LOCK", str(lock))
    task = StageOperator(task_id="any", stage="training", command=[])
    assert task.environment["ML_IMAGE_ID"] == IMAGES["training"]["id"]
    assert task.environment.get("ML_REVISION") == told
