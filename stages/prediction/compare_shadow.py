"""`compare-shadow`: reads what a version in shadow and the champion have scored, publishes the comparison.

Standard library only.
"""

import logging
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import Publication, publish

from rules import GATE, read_rules
from shadow_days import read_days, version_of

log = logging.getLogger("prediction")


def compare_shadow(args: Namespace) -> Mapping[str, Any]:
    """Publish comparison.json of shadows/{ds}-v{N}; nothing if no version scored the day in shadow or no day counts."""
    rules = read_rules(args.rules_json, GATE)
    number = version_of(args.data_dir, args.ds)
    if number is None:
        log.info("no version scored %s in shadow", args.ds)
        return {"version": None, "days": [], "of": args.days, "complete": False}
    found = read_days(args.data_dir, number, args.days)
    days = [day.ds for day in found.days] if found else []
    progress = {"version": number, "days": days, "of": args.days, "complete": len(days) == args.days}
    log.info("version %s is in shadow, %d of %d days: %s", number, len(days), args.days, ", ".join(days) or "none")
    if not found:
        return progress

    def work(publication: Publication) -> dict[str, Any]:
        from shadow_comparison import compare_days

        return {**compare_days(args.ds, found, rules, progress, publication), **progress}

    name = f"shadows/{args.ds}-v{number}"
    return publish(args, name, "compare-shadow", work, inputs=found.inputs, parameters={"rules": rules, **progress})
