"""When a model is good enough, and when a day causes an alert: read from `rules.json` beside the Dags."""

import json
from pathlib import Path
from typing import Any

RULES = Path(__file__).resolve().parent.parent / "rules.json"
EXPECTED: dict[str, type] = {
    "gate": dict,
    "monitoring": dict,
    "decision": dict,
    "card": dict,
    "retrain_on_breach": bool,
    "promote": str,
    "answer_hours": int,
    "shadow_days": int,
}
PROMOTE = ("auto", "manual", "ask")
LONGEST_ANSWER = 720
MOST_SHADOW_DAYS = 31


class RulesError(Exception):
    """The rules cannot be used; Airflow shows the message as the Dag's import error."""

    def __init__(self, found: str, do: str) -> None:
        super().__init__(f"{RULES}: {found}; do: {do}")


def read_rules() -> dict[str, Any]:
    """The rules: `gate`, `monitoring`, `decision` and `card`, which `prediction` checks; and defaults of the forms."""
    wanted = ", ".join(f"{name} ({kind.__name__})" for name, kind in EXPECTED.items())
    try:
        rules = json.loads(RULES.read_text(encoding="utf-8"), object_pairs_hook=_object)
    except FileNotFoundError:
        raise RulesError("the file is not there", "take it from the repository again") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RulesError(f"the file cannot be read ({error})", "correct it, it is one JSON object") from None
    if isinstance(rules, dict):
        rules = {"decision": {}, "card": {}, "shadow_days": 0, **rules}  # older files have none of these
    if not isinstance(rules, dict) or {name: type(rule) for name, rule in rules.items()} != EXPECTED:
        raise RulesError(f"the file holds {json.dumps(rules)[:200]}", f"give it exactly: {wanted}")
    if rules["promote"] not in PROMOTE or not 0 < rules["answer_hours"] <= LONGEST_ANSWER:
        found = f"promote is {rules['promote']!r}, answer_hours is {rules['answer_hours']}"
        raise RulesError(found, f"give one of {', '.join(PROMOTE)}; from 1 to {LONGEST_ANSWER}")
    if not 0 <= rules["shadow_days"] <= MOST_SHADOW_DAYS:
        raise RulesError(f"shadow_days is {rules['shadow_days']}", f"give a number from 0 to {MOST_SHADOW_DAYS}")
    return rules


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Errors: ValueError if it names something twice, as only one of the two would count."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found
