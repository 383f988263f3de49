"""Folders are copied into a backup with the real engine; what is torn in each is named."""

import hashlib
import json
from pathlib import Path

from airflow_ml.backup import copy_volumes


def partition(folder: Path, content: bytes) -> None:
    """A partition whose mark is of the content `whole`."""
    folder.mkdir(parents=True)
    (folder / "model.txt").write_bytes(content)
    mark = {"outputs": {"model.txt": {"sha256": hashlib.sha256(b"whole").hexdigest()}}}
    (folder / "_meta.json").write_text(json.dumps(mark))


def test_torn_partitions_of_every_source_are_reported(tmp_path: Path) -> None:
    """Those of the data once took the place of those of MLflow."""
    partition(tmp_path / "mlflow" / "1" / "model", b"torn")
    partition(tmp_path / "mlflow" / "2" / "model", b"whole")
    partition(tmp_path / "data" / "models" / "2026-11-21", b"whole")
    sources = {name: str(tmp_path / name) for name in ("mlflow", "data")}
    assert copy_volumes(tmp_path, sources) == ["1/model in mlflow"]
    partition(tmp_path / "data" / "models" / "2026-11-22", b"torn")
    assert copy_volumes(tmp_path, sources) == ["1/model in mlflow", "models/2026-11-22 in data"]
