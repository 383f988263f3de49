"""`compare`: reads a model, the champion and their validation rows, publishes the comparison. Standard library only."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import Partition, Publication, publish
from stagekit.models import model_name

from contenders import Comparison, read_candidate, read_champion
from rules import GATE, read_rules


def compare(args: Namespace) -> Mapping[str, Any]:
    """Publish comparison.json of comparisons/{ds}."""
    comparison = _read_comparison(args)

    def work(publication: Publication) -> dict[str, Any]:
        from comparison import compare_models

        return compare_models(comparison, publication)

    return publish(
        args,
        f"comparisons/{args.ds}",
        "compare",
        work,
        inputs=_inputs_of(comparison),
        parameters={
            "champion": comparison.champion_version,
            "incomparable": args.incomparable or None,
            "rules": comparison.rules,
        },
    )


def _read_comparison(args: Namespace) -> Comparison:
    root, rules = args.data_dir, read_rules(args.rules_json, GATE)
    candidate = read_candidate(root, args.ds)
    if not args.champion:
        return Comparison(args.ds, rules, candidate)
    name = model_name(root, args.champion)
    champion = None if args.incomparable else read_champion(root, args.ds, name, candidate)
    return Comparison(
        args.ds, rules, candidate, {"model": name, "version": args.champion_version}, champion, args.incomparable
    )


def _inputs_of(comparison: Comparison) -> list[Partition]:
    """Each partition once: a model may be compared with itself."""
    sides = [side for side in (comparison.candidate, comparison.champion) if side]
    partitions = [partition for side in sides for partition in (side.model.partition, side.rows)]
    return list({partition.name: partition for partition in partitions}.values())
