"""The rules: strict about what they are given; tests/conventions compares them with those of the Dags."""

from collections.abc import Mapping
from typing import Any

import pytest
from stagekit import UsageError

from rules import GATE, MONITORING, gain, read_rules


@pytest.mark.parametrize("text", ["", None, "{}"])
@pytest.mark.parametrize("defaults", [GATE, MONITORING])
def test_rules_that_are_not_given_are_the_defaults(text: str | None, defaults: Mapping[str, Any]) -> None:
    assert read_rules(text, defaults) == defaults


def test_rules_keep_the_default_of_what_is_left_out() -> None:
    assert read_rules('{"metric": "log_loss", "floors": {}}', GATE) == {**GATE, "metric": "log_loss", "floors": {}}


GATE_FAULTS = {
    "no_json": ("{metric", "--rules-json is not JSON"),
    "no_object": ("[1]", "--rules-json is a list; expected: an object with metric, floors"),
    "unknown_key": ('{"metrik": "f1"}', "the unknown key 'metrik'; expected: only metric, floors"),
    "key_of_the_other_rules": ('{"feature_psi": 0.1}', "the unknown key 'feature_psi'"),
    "unknown_metric": ('{"metric": "gini"}', 'metric is "gini"; expected: one of roc_auc, average_precision'),
    "metric_list": ('{"metric": ["f1"]}', 'metric is ["f1"]'),
    "floors_number": ('{"floors": 0.7}', "floors is 0.7; expected: an object such as"),
    "floors_of_no_metric": ('{"floors": {"auc": 0.7}}', 'floors is {"auc": 0.7}'),
    "floors_text": ('{"floors": {"roc_auc": "0.7"}}', 'floors is {"roc_auc": "0.7"}'),
    "tolerance_negative": ('{"tolerance": -0.1}', "tolerance is -0.1; expected: a number of 0 or more"),
    "tolerance_nan": ('{"tolerance": NaN}', "tolerance is NaN"),
    "tolerance_huge": (f'{{"tolerance": {10**400}}}', "expected: a number of 0 or more"),
    "tolerance_true": ('{"tolerance": true}', "tolerance is true"),
    "resamples_zero": ('{"resamples": 0}', "resamples is 0; expected: a whole number from 1 to 100000"),
    "resamples_fraction": ('{"resamples": 10.5}', "resamples is 10.5"),
    "confidence_one": ('{"confidence": 1}', "confidence is 1; expected: a number between 0 and 1"),
    "segment_rules_object": ('{"segment_rules": {"field": "channel"}}', "expected: a list of objects such as"),
    "segment_rule_without_field": ('{"segment_rules": [{"value": "chip"}]}', 'segment_rules is [{"value": "chip"}]'),
    "segment_rule_value": ('{"segment_rules": [{"field": "a", "value": 1}]}', "segment_rules is"),
    "segment_rule_floors": ('{"segment_rules": [{"field": "a", "floors": {"auc": 1}}]}', "segment_rules is"),
    "segment_rule_metric": (
        '{"segment_rules": [{"field": "a", "metric": "f1"}]}',
        "value, floors, tolerance, undecided",
    ),
    "null": ('{"confidence": null}', "confidence is null"),
}


@pytest.mark.parametrize(("text", "said"), GATE_FAULTS.values(), ids=GATE_FAULTS)
def test_rules_refuse_what_they_do_not_know(text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        read_rules(text, GATE)
    assert said in str(error.value)


def test_rejected_is_a_share() -> None:
    with pytest.raises(UsageError, match=r"rejected is 5; expected: a number from 0 to 1"):
        read_rules('{"rejected": 5}', MONITORING)


def test_gain_of_a_loss_is_what_it_fell_by() -> None:
    assert (gain("roc_auc", 0.25), gain("log_loss", 0.25), gain("brier_score", -0.5)) == (0.25, -0.25, 0.5)
