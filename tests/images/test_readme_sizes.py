"""The sizes in the README's stage table are those of the images."""

import json
import re

import pytest

from .conftest import ROOT

# Debian's packages move a little between two builds.
TOLERANCE = 0.03


def test_readme_tells_the_size_of_each_stage(stage: str) -> None:
    lock = json.loads((ROOT / "dags" / "images.lock.json").read_text())
    row = re.search(rf"^\| \[{stage}\].* \| (\d+) MB \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert row, f"README.md has no row with a size for {stage}"
    assert int(row.group(1)) == pytest.approx(lock["images"][stage]["size"] / 1e6, rel=TOLERANCE)
