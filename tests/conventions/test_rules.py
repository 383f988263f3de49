"""The rules of the Dags and the defaults of the stage that judges are the same numbers."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def defaults_of_the_stage(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The defaults in stages/prediction/rules.py, imported as its image imports the module."""
    monkeypatch.syspath_prepend(str(ROOT / "stages" / "prediction"))
    monkeypatch.delitem(sys.modules, "rules", raising=False)
    import rules

    monkeypatch.delitem(sys.modules, "rules")
    return {"gate": rules.GATE, "monitoring": rules.MONITORING, "decision": rules.DECISION, "card": rules.CARD}


@pytest.mark.parametrize("name", ["gate", "monitoring", "decision", "card"])
def test_rules_of_the_dags_are_the_defaults_of_the_stage(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    of_the_dags = json.loads((ROOT / "dags" / "rules.json").read_text(encoding="utf-8"))[name]
    of_the_stage = dict(defaults_of_the_stage(monkeypatch)[name])
    assert of_the_dags.keys() == of_the_stage.keys()
    for key, value in of_the_dags.items():
        assert (key, value) == (key, of_the_stage[key])
