"""The rules that judge a model, with their defaults: the gate before production, the limits
of a scored day, and what the threshold is chosen by.

Each set of rules is one JSON object; a key that is left out has its default. Standard library only.
"""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

from stagekit import UsageError
from stagekit.contract import HIGHER_IS_BETTER

log = logging.getLogger("prediction")

# What to do with a candidate that cannot be distinguished from the champion.
KEEP, TAKE = "keep", "take"
# The same numbers as in dags/rules.json: a test compares them.
GATE: Mapping[str, Any] = {
    "metric": "average_precision",
    "floors": {"roc_auc": 0.75},
    "tolerance": 0.01,
    "undecided": KEEP,
    "resamples": 200,
    "confidence": 0.95,
    "segment_rules": [],
}
MONITORING: Mapping[str, Any] = {
    "feature_psi": 0.25,
    "score_psi": 0.25,
    "metric": "roc_auc",
    "most_drop": 0.1,
    "floors": {"roc_auc": 0.7},
    "rejected": 0.05,
    "unusable_labels": 0.1,
    "missing_as_zero": 0.01,
    "confidence": 0.9995,
    "days": 30,
    "segments": None,
}
# What the threshold is chosen by, in addition to the scores; by default nothing.
DECISION: Mapping[str, Any] = {"costs": {}, "capacity": None}
# What the model card says of a model, in words; empty: nothing.
CARD: Mapping[str, Any] = {"purpose": "", "owner": "", "limits": ""}
# What a rule of the gate about a segment may say for itself, besides the `field` and the `value`.
KEYS_OF_SEGMENT = ("floors", "tolerance", "undecided")
KINDS_OF_ERROR = ("false_positive", "false_negative")
MOST_RESAMPLES = 100_000
MOST_DAYS = 31
LONGEST_TEXT = 1000
# Figures and their differences are rounded to so many decimals before a rule compares them.
DECIMALS = 10


def gain(metric: str, difference: float) -> float:
    """A difference of a metric as a gain: positive if it is for the better."""
    return round(difference if HIGHER_IS_BETTER[metric] else -difference, DECIMALS)


def _is_number(value: Any) -> bool:
    """Whether it is a number that a double can hold: neither NaN, nor infinite, nor a greater whole number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_floors(value: Any) -> bool:
    return isinstance(value, dict) and all(key in HIGHER_IS_BETTER and _is_number(of) for key, of in value.items())


def _is_segment_rules(value: Any) -> bool:
    return isinstance(value, list) and all(_is_segment_rule(rule) for rule in value)


def _is_segment_rule(rule: Any) -> bool:
    if not isinstance(rule, dict) or not rule.keys() <= {"field", "value", *KEYS_OF_SEGMENT} or not rule.get("field"):
        return False
    names = [rule[key] for key in ("field", "value") if key in rule]
    given = {key: rule[key] for key in KEYS_OF_SEGMENT if key in rule}
    return all(isinstance(name, str) for name in names) and all(EXPECTED[key][0](own) for key, own in given.items())


def _is_costs(value: Any) -> bool:
    if not isinstance(value, dict) or (value and value.keys() != set(KINDS_OF_ERROR)):
        return False
    return all(cost >= 0 if _is_number(cost) else isinstance(cost, str) and bool(cost) for cost in value.values())


def _is_days_that_agree(value: Any) -> bool:
    """Whether it is `days` as older rules have it, which a backup may bring back: {"agree": 2, "of": 3}."""
    if not isinstance(value, dict) or value.keys() != {"agree", "of"}:
        return False
    return all(type(number) is int for number in value.values()) and 1 <= value["agree"] <= value["of"] <= MOST_DAYS


METRICS = ", ".join(HIGHER_IS_BETTER)
METRIC = (lambda value: value in list(HIGHER_IS_BETTER), f"one of {METRICS}")
FLOORS = (_is_floors, f'an object such as {{"roc_auc": 0.75}}, of {METRICS}')
NOT_NEGATIVE = (lambda value: _is_number(value) and value >= 0, "a number of 0 or more")
SHARE = (lambda value: _is_number(value) and 0 <= value <= 1, "a number from 0 to 1")
RESAMPLES = (
    lambda value: isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_RESAMPLES,
    f"a whole number from 1 to {MOST_RESAMPLES}",
)
CONFIDENCE = (lambda value: _is_number(value) and 0 < value < 1, "a number between 0 and 1")
DAYS = (
    lambda value: type(value) is int and 1 <= value <= MOST_DAYS,
    f"a whole number from 1 to {MOST_DAYS}: on the rows of how many days a limit is judged at most",
)
TEXT = (
    lambda value: isinstance(value, str) and len(value) <= LONGEST_TEXT,
    f"a text of at most {LONGEST_TEXT} characters",
)
EXPECTED: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "metric": METRIC,
    "floors": FLOORS,
    "tolerance": NOT_NEGATIVE,
    "undecided": (lambda value: value in (KEEP, TAKE), '"keep" (the champion) or "take" (the newer one)'),
    "resamples": RESAMPLES,
    "confidence": CONFIDENCE,
    "segment_rules": (
        _is_segment_rules,
        'a list of objects such as {"field": "channel", "value": "online", "tolerance": 0.05}: a field, and some of '
        f"value, {', '.join(KEYS_OF_SEGMENT)}",
    ),
    "feature_psi": NOT_NEGATIVE,
    "score_psi": NOT_NEGATIVE,
    "most_drop": NOT_NEGATIVE,
    "rejected": SHARE,
    "unusable_labels": SHARE,
    "missing_as_zero": SHARE,
    "days": DAYS,
    "segments": (
        lambda value: value is None or (isinstance(value, list) and all(isinstance(name, str) for name in value)),
        "a list of names, or null for every category with few values",
    ),
    "costs": (_is_costs, 'an object such as {"false_positive": 5, "false_negative": "amount"}: numbers or columns'),
    "purpose": TEXT,
    "owner": TEXT,
    "limits": TEXT,
    "capacity": (lambda value: value is None or (type(value) is int and value > 0), "a whole number of 1 or more"),
}


def read_rules(text: str | None, defaults: Mapping[str, Any], option: str = "--rules-json") -> dict[str, Any]:
    """The rules in the JSON text of an option, or the defaults. Errors: UsageError: the key and what is expected."""
    known = ", ".join(defaults)
    try:
        given = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option} is not JSON: {error}", expected=f"an object with {known}") from None
    if not isinstance(given, dict):
        raise UsageError(f"{option} is a {type(given).__name__}", expected=f"an object with {known}")
    for key, value in given.items():
        if key not in defaults:
            raise UsageError(f"{option} has the unknown key {key!r}", expected=f"only {known}")
        fits, expected = EXPECTED[key]
        if key == "days" and _is_days_that_agree(value):
            log.warning(
                'days is %s, but days no longer have to agree: it is read as %s; do: write "days": %s and '
                '"confidence": %s into the monitoring of dags/rules.json',
                json.dumps(value), defaults[key], defaults[key], defaults["confidence"],
            )  # fmt: skip
            given[key] = defaults[key]
            continue
        if not fits(value):
            raise UsageError(f"{option}: {key} is {json.dumps(value)}", expected=expected)
    return {**defaults, **given}
