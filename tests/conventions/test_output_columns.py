"""The names that `preprocessing import` refuses for a key are those of the columns that other stages add."""

import ast
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

STAGES = Path(__file__).parents[2] / "stages"


def module(path: Path) -> ModuleType:
    """A module of a stage, loaded from its file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def refused(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(STAGES / "preprocessing"))
    return module(STAGES / "preprocessing" / "output_columns.py")


def test_columns_of_reasons_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    names = refused(monkeypatch)
    columns = module(STAGES / "explanation" / "partition_files.py").reason_columns(12)
    assert {name for name in columns if not names.OF_EACH.fullmatch(name)} == {*names.REASONS}


def test_columns_of_an_export_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # The module itself needs polars.
    tree = ast.parse((STAGES / "exchange" / "predictions.py").read_text(encoding="utf-8"))
    assigned = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    assert ast.literal_eval(assigned["(DAY, MODEL, VERSION, RUN)"]) == refused(monkeypatch).EXPORTED
