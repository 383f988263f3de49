"""Notebooks are committed without what running them leaves behind: outputs, execution counts, a machine's details."""

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebook").glob("*.ipynb"))
CLEAR = "./airflow-ml notebook -- -m nbconvert --clear-output --inplace"


def leftovers(notebook: dict[str, Any]) -> list[str]:
    """What a run left in the notebook, by cell."""
    found = [
        f"cell {cell['id']}: {what}"
        for cell in notebook["cells"]
        for what in ("outputs", "execution_count", "attachments", "metadata")
        if cell.get(what)
    ]
    return found + [f"metadata: {name}" for name in sorted(set(notebook["metadata"]) - {"kernelspec", "language_info"})]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_holds_nothing_of_a_run(path: Path) -> None:
    found = leftovers(json.loads(path.read_text(encoding="utf-8")))
    assert found == [], f"{path.name} was committed with what a run left; do: {CLEAR} {path.name}"


@pytest.mark.parametrize(
    "left",
    [
        {"outputs": [{"output_type": "stream", "name": "stdout", "text": "1"}]},
        {"execution_count": 3},
        {"metadata": {"execution": {"iopub.status.busy": "2026-11-21T00:00:00Z"}}},
    ],
    ids=lambda left: next(iter(left)),
)
def test_notebook_with_something_of_a_run_is_refused(left: dict[str, Any]) -> None:
    notebook = json.loads(NOTEBOOKS[0].read_text(encoding="utf-8"))
    run = copy.deepcopy(notebook)
    cell = next(cell for cell in run["cells"] if cell["cell_type"] == "code")
    cell.update(left)
    assert leftovers(run) == [f"cell {cell['id']}: {next(iter(left))}"]


def test_every_notebook_is_looked_at() -> None:
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "*.ipynb"]
    tracked = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")
    assert NOTEBOOKS
    assert {ROOT / name for name in tracked if name} <= set(NOTEBOOKS)


def test_readme_of_the_notebook_says_how_to_clear_it() -> None:
    assert CLEAR in (ROOT / "notebook" / "README.md").read_text(encoding="utf-8")
