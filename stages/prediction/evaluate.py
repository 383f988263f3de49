"""`evaluate`: reads a scored day and its labels, publishes the evaluation. Standard library only."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import Publication, publish
from stagekit.shards import shard_of, shards_to_merge

from rules import MONITORING, read_rules
from scored_day import read_evaluated_shards, read_scored_day


def evaluate(args: Namespace) -> Mapping[str, Any]:
    """Publish evaluation.json of reports/{ds}.

    With --shards it is made from what --shard has made of each of the day's shards.
    """
    rules, shard = read_rules(args.rules_json, MONITORING), shard_of(args)
    day = read_scored_day(args.data_dir, args.ds, shard)
    name, parameters = f"reports/{args.ds}", {"model": day.model_version, "rules": rules}
    shards = read_evaluated_shards(args, day, shards_to_merge(args), parameters)

    def work(publication: Publication) -> dict[str, Any]:
        from evaluation import evaluate_day, evaluate_shard

        return evaluate_shard(day, rules, publication) if shard else evaluate_day(day, shards, rules, publication)

    return publish(
        args,
        shard.place(name) if shard else name,
        "evaluate",
        work,
        inputs=[*day.inputs, *shards],
        # All come from marks, which are not among the inputs, and decide what evaluation.json says.
        parameters=parameters if shard else {**parameters, "quality": day.quality},
    )
