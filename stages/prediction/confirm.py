"""`confirm`: reads a day's evaluation and those of the days before, publishes which limits the day breaks.

A day of few rows says little: what it crosses, chance may explain. Such a limit is judged again on the rows of the day
and the day before together, then of one more day, and so on, until they decide: the limit is no longer crossed, or it
is by more than chance explains. Loads numpy only if a day alone cannot decide.
"""

import logging
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stagekit import META, BadInput, Partition, Publication, StageError, publish, read_partition
from stagekit.contract import read_document, write_document

from breaches import Breach, find_crossed
from rules import MONITORING, read_rules

EVALUATION_FILE, BREACHES_FILE = "evaluation.json", "breaches.json"
DRIFT = ("feature_psi", "score_psi")

Evaluation = Mapping[str, Any]
Subject = tuple[str, str]

log = logging.getLogger("prediction")


def confirm(args: Namespace) -> Mapping[str, Any]:
    """Publish breaches.json of reports/{ds}."""
    rules = read_rules(args.rules_json, MONITORING)
    evaluated = read_partition(args.data_dir, f"reports/{args.ds}", [EVALUATION_FILE])
    read = [evaluated]
    # What is read depends on what it says, and the inputs of the step are what was read.
    confirmed = decide(_evaluations(args.data_dir, args.ds, read), rules)

    def work(publication: Publication) -> Mapping[str, Any]:
        days = [day.name.removeprefix("reports/") for day in read]
        content = {"version": 1, "ds": args.ds, "rule": rules["days"], "days": days, "confirmed": confirmed}
        write_document(publication.path(BREACHES_FILE), content)
        for breach in confirmed:
            log.warning("%s", breach["text"])
        return {"days": days, "breaches": [breach["text"] for breach in confirmed]}

    return publish(args, evaluated.name, "confirm", work, inputs=read, parameters={"rules": rules})


def _evaluations(root: Path, ds: str, read: list[Partition]) -> Iterator[Evaluation]:
    """The evaluation of the day, which is in `read`, then those before, the newest first, which it adds to `read`."""
    yield read_document(read[0], EVALUATION_FILE)
    found = sorted((mark.parent.name for mark in (root / "reports").glob(f"????-??-??/{META}")), reverse=True)
    for day in (day for day in found if day < ds):
        try:
            partition = read_partition(root, f"reports/{day}", [EVALUATION_FILE])
            evaluation = read_document(partition, EVALUATION_FILE)
        except StageError as error:
            log.warning("the rows of reports/%s are not added: %s", day, error)
            continue
        read.append(partition)
        yield evaluation


def decide(newest_first: Iterator[Evaluation], rules: Mapping[str, Any]) -> list[Breach]:
    """The breaches of the newest day, each with the `days` whose rows it was measured on.

    Takes as many evaluations as are needed, of days that the same model has scored. Errors: BadInput.
    """
    days = [next(newest_first)]
    confirmed = [{**breach, "days": [days[0]["ds"]]} for breach in days[0]["breaches"]]
    undecided = _undecided(days[0], rules) - {_subject(breach) for breach in confirmed}
    while undecided and len(days) < rules["days"]:
        before = next(newest_first, None)
        if before is None or not _same_model(before, days[0]):
            break
        days.append(before)
        crossed = [one for one in _crossed(days, undecided, rules) if _subject(one[0]) in undecided]
        confirmed += [_of_days(breach, days) for breach, is_proven in crossed if is_proven]
        undecided = {_subject(breach) for breach, is_proven in crossed if not is_proven}
    return confirmed


def _undecided(day: Evaluation, rules: Mapping[str, Any]) -> set[Subject]:
    """What the day crosses by no more than chance explains, as far as rows of more days can be added."""
    if "labelled" not in day:  # of an older image
        return set()
    found = {_subject(breach) for breach, is_proven in _crossed([day], set(), rules) if not is_proven}
    return {subject for subject in found if subject[0] in DRIFT or day["labelled"]}


def _same_model(one: Evaluation, other: Evaluation) -> bool:
    return bool(one["model"].get("name") == other["model"].get("name") and one.get("trained") == other["trained"])


def _crossed(
    days: Sequence[Evaluation], undecided: set[Subject], rules: Mapping[str, Any]
) -> list[tuple[Breach, bool]]:
    """What the days together cross. Errors: BadInput if an evaluation is not as `evaluate` writes it."""
    try:
        if len(days) == 1:
            return list(find_crossed(days[0], rules))
        from pooling import pool

        return list(find_crossed(pool(days, undecided, rules), rules))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        names = " to ".join(sorted({days[-1]["ds"], days[0]["ds"]}))
        raise BadInput(
            f"evaluation.json of reports/{names} cannot be used: {error!r}",
            expected="figures as `evaluate` writes them",
            do="run `prediction evaluate` again for these days",
        ) from None


def _of_days(breach: Breach, days: Sequence[Evaluation]) -> Breach:
    names = [day["ds"] for day in days]
    text = f"on the rows of {len(days)} days, {names[-1]} to {names[0]}: {breach['text']}"
    return {**breach, "text": text, "days": names}


def _subject(breach: Mapping[str, Any]) -> Subject:
    return str(breach.get("what")), str(breach.get("subject"))
