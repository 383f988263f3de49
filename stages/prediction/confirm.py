"""`confirm`: reads a day's evaluation and those of the days before, publishes which breaches count.

One day says little: with a score of limits, one of ninety days breaks some limit by chance. So a breach of a figure or
of drift counts once enough of the last days agree on it, the day itself being one of them. What was counted and not
measured, such as rows that were rejected, counts on its first day. Standard library only.
"""

import logging
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stagekit import META, Partition, Publication, StageError, publish, read_partition
from stagekit.contract import read_document, write_document

from rules import MONITORING, read_rules

EVALUATION_FILE, BREACHES_FILE = "evaluation.json", "breaches.json"
# Breaches of these kinds are counts of rows that were seen. The others are measured on a sample.
COUNTED = ("rejected", "unusable_labels", "new_class", "missing_as_zero")

Breach = dict[str, Any]

log = logging.getLogger("prediction")


def confirm(args: Namespace) -> Mapping[str, Any]:
    """Publish breaches.json of reports/{ds}."""
    days = read_rules(args.rules_json, MONITORING)["days"]
    evaluated = read_partition(args.data_dir, f"reports/{args.ds}", [EVALUATION_FILE])
    before = _read_before(args.data_dir, args.ds, days["of"] - 1)

    def work(publication: Publication) -> Mapping[str, Any]:
        found = {day.name.removeprefix("reports/"): _read_breaches(day) for day in (evaluated, *before)}
        content = {"version": 1, "ds": args.ds, "rule": days, "days": list(found), **confirm_breaches(found, days)}
        write_document(publication.path(BREACHES_FILE), content)
        return _result(content)

    return publish(args, evaluated.name, "confirm", work, inputs=[evaluated, *before], parameters={"days": days})


def _read_before(root: Path, ds: str, most: int) -> list[Partition]:
    """The newest evaluated days before `ds`, the newest first. A day that is missing does not count as good."""
    found = sorted((mark.parent.name for mark in (root / "reports").glob(f"????-??-??/{META}")), reverse=True)
    before: list[Partition] = []
    for day in (day for day in found if day < ds):
        if len(before) == most:
            break
        try:
            before.append(read_partition(root, f"reports/{day}", [EVALUATION_FILE]))
        except StageError as error:
            log.warning("reports/%s says nothing about whether it agrees: %s", day, error)
    return before


def _read_breaches(partition: Partition) -> list[Breach]:
    breaches: list[Breach] = read_document(partition, EVALUATION_FILE)["breaches"]
    return breaches


def confirm_breaches(found: Mapping[str, Sequence[Breach]], days: Mapping[str, int]) -> dict[str, list[Breach]]:
    """The breaches of a day that count, and the others, each with the `days` that agree.

    `found` has the breaches of each day, the day itself first. Two days agree on a breach if kind and subject are
    equal, whatever the numbers are.
    """
    subjects = {day: {_subject(breach) for breach in breaches} for day, breaches in found.items()}
    own = next(iter(found.values()))
    dated = [{**one, "days": [day for day, known in subjects.items() if _subject(one) in known]} for one in own]
    counts = [one.get("what") in COUNTED or len(one["days"]) >= days["agree"] for one in dated]
    return {
        "confirmed": [one for one, does in zip(dated, counts, strict=True) if does],
        "unconfirmed": [one for one, does in zip(dated, counts, strict=True) if not does],
    }


def _subject(breach: Mapping[str, Any]) -> tuple[Any, Any]:
    return breach.get("what"), breach.get("subject")


def _result(content: Mapping[str, Any]) -> dict[str, Any]:
    """The result line: `breaches`, which send an alert, and those that wait for another day."""
    texts = {name: [_text(breach) for breach in content[name]] for name in ("confirmed", "unconfirmed")}
    for text in texts["confirmed"]:
        log.warning("%s", text)
    for text in texts["unconfirmed"]:
        log.info("not confirmed yet: %s", text)
    return {"days": content["days"], "breaches": texts["confirmed"], "unconfirmed": texts["unconfirmed"]}


def _text(breach: Mapping[str, Any]) -> str:
    earlier = breach["days"][1:]
    return f"{breach['text']} (also on {', '.join(earlier)})" if earlier else str(breach["text"])
