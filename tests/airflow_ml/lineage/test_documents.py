"""docs/architecture.md shows a mark as stages write it."""

import json
import re
from pathlib import Path

from .conftest import DAY, Pipeline

ARCHITECTURE = Path(__file__).parents[3] / "docs" / "architecture.md"


def test_documented_mark_has_the_members_of_a_real_one(pipeline: Pipeline) -> None:
    section = ARCHITECTURE.read_text(encoding="utf-8").partition("## `_meta.json`")[2]
    found = re.search(r"```json\n(.*?)```", section, re.DOTALL)
    assert found
    documented, real = json.loads(found[1]), pipeline.mark(f"processed/{DAY}")
    assert documented.keys() == real.keys()
    assert documented["outputs"]["train.csv"].keys() == real["outputs"]["train.csv"].keys()
    shown, record = documented["steps"]["split"], real["steps"]["split"]
    assert shown.keys() == record.keys()
    for name in ("call", "image", "run"):
        assert shown[name].keys() == record[name].keys()
