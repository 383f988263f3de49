"""A result line is always bounded, and says what it leaves out."""

import json
from typing import Any

import pytest
from stagekit.result import MOST_BYTES, bounded

CLASSES = {f"class {number}": {"train": number, "val": number} for number in range(2000)}
DEEP: Any = "end"
for _ in range(50):
    DEEP = {"in": DEEP, "and": list(range(100))}


def test_short_result_is_unchanged() -> None:
    result = {"rows": 3, "classes": {"a": 1}, "why": None}
    assert bounded(result) == result


@pytest.mark.parametrize(
    ("result", "left_out"),
    [
        ({"classes": CLASSES}, {"classes": "and 1,900 more"}),
        ({"names": [f"name {number}" for number in range(10_000)]}, {"names": "and 9,900 more"}),
        ({"text": "é" * 10**6}, {"text": "and 999,000 more"}),
        ({"names": ["x" * 10**5] * 30}, {"names": "and 10 more"}),
        ({"deep": DEEP}, {"deep": "parts of its entries"}),
        (dict.fromkeys("abc", CLASSES), dict.fromkeys("abc", "and 1,900 more")),
    ],
)
def test_long_members_are_cut_and_counted(result: dict[str, Any], left_out: dict[str, str]) -> None:
    short = bounded({"rows": 3, **result})
    assert len(json.dumps(short)) <= MOST_BYTES
    assert short["rows"] == 3
    assert short.get("shortened", {}) == left_out
    assert bounded(short) == short


def test_members_apart_stay_whole_and_do_not_count() -> None:
    warnings = ["w" * 500] * 100
    assert bounded({"rows": 3, "warnings": warnings}, apart=["warnings"]) == {"rows": 3, "warnings": warnings}
    short = bounded({"classes": CLASSES, "warnings": warnings}, apart=["warnings"])
    assert (len(short["classes"]), short["warnings"]) == (100, warnings)
    assert short["shortened"] == {"classes": "and 1,900 more"}


def test_first_entries_are_kept() -> None:
    assert bounded({"classes": CLASSES})["classes"] == dict(list(CLASSES.items())[:100])
