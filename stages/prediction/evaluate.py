"""`evaluate`: reads a scored day and its labels, publishes the evaluation. Standard library only."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import Publication, publish

from rules import MONITORING, read_rules
from scored_day import read_scored_day


def evaluate(args: Namespace) -> Mapping[str, Any]:
    """Publish evaluation.json of reports/{ds}."""
    rules = read_rules(args.rules_json, MONITORING)
    day = read_scored_day(args.data_dir, args.ds)

    def work(publication: Publication) -> dict[str, Any]:
        from evaluation import evaluate_day

        return evaluate_day(day, rules, publication)

    return publish(
        args,
        f"reports/{args.ds}",
        "evaluate",
        work,
        inputs=day.inputs,
        # Both come from marks, which are not among the inputs, and decide what evaluation.json says.
        parameters={"model": day.model_version, "quality": day.quality, "rules": rules},
    )
