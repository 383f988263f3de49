"""`confirm`: reads a day's evaluation and those of the days before, publishes which limits the day breaks.

A day of few rows says little: what it crosses, chance may explain. Such a limit is judged again on the rows of the day
and the day before together, then of one more day, and so on, until they decide: the limit is no longer crossed, or it
is by more than chance explains. What they never decide is unconfirmed. Loads numpy only if a day alone cannot decide.
"""

import logging
from argparse import Namespace
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stagekit import META, BadInput, Partition, Publication, StageError, publish, read_partition
from stagekit.contract import read_document, write_document

from breaches import (
    DRIFT,
    LIMITS_OF_FIGURES,
    NOT_MEASURED,
    SHARES,
    Breach,
    Crossed,
    Subject,
    bins_of,
    find_crossed,
    find_new_classes,
    rows_of_share,
)
from rules import MONITORING, read_rules

EVALUATION_FILE, BREACHES_FILE = "evaluation.json", "breaches.json"

Evaluation = Mapping[str, Any]

log = logging.getLogger("prediction")


def confirm(args: Namespace) -> Mapping[str, Any]:
    """Publish breaches.json of reports/{ds}."""
    rules = read_rules(args.rules_json, MONITORING)
    evaluated = read_partition(args.data_dir, f"reports/{args.ds}", [EVALUATION_FILE])
    read = {args.ds: evaluated}
    # What is measured depends on what it says, and the inputs of the step are what was measured.
    confirmed, unconfirmed, days = decide(_evaluations(args.data_dir, args.ds, read), rules)

    def work(publication: Publication) -> Mapping[str, Any]:
        content = {"version": 1, "ds": args.ds, "rule": rules["days"], "days": days}
        found = {"confirmed": confirmed, "unconfirmed": unconfirmed}
        write_document(publication.path(BREACHES_FILE), {**content, **found})
        for breach in confirmed:
            log.warning("%s", breach["text"])
        return {"days": days, "breaches": [breach["text"] for breach in confirmed]}

    inputs = [read[day] for day in days]
    return publish(args, evaluated.name, "confirm", work, inputs=inputs, parameters={"rules": rules})


def _evaluations(root: Path, ds: str, read: dict[str, Partition]) -> Iterator[Evaluation]:
    """The evaluation of the day, which is in `read`, then those before, the newest first, which it adds to `read`."""
    yield {**read_document(read[ds], EVALUATION_FILE), "ds": ds}
    found = sorted((mark.parent.name for mark in (root / "reports").glob(f"????-??-??/{META}")), reverse=True)
    for day in (day for day in found if day < ds):
        try:
            partition = read_partition(root, f"reports/{day}", [EVALUATION_FILE])
            evaluation = read_document(partition, EVALUATION_FILE)
        except StageError as error:
            log.warning("the rows of reports/%s are not added: %s", day, error)
            continue
        read[day] = partition
        yield {**evaluation, "ds": day}


def decide(
    newest_first: Iterator[Evaluation], rules: Mapping[str, Any]
) -> tuple[list[Breach], list[Breach], list[str]]:
    """The breaches of the newest day, and what it crosses without enough evidence, each with the `days` measured.

    Takes as many evaluations as are needed, of days that the same model has scored. For each limit, only days with rows
    to measure it on count. Last come all days that were measured, the newest first. Errors: BadInput.
    """
    newest = next(newest_first)
    if "labelled" in newest:
        # By the limits of now: those of the evaluation may be older.
        crossed = _crossed(newest, {}, rules)
        found = [*(breach for breach, is_proven in crossed if is_proven), *find_new_classes(newest["target"])]
    else:  # of an older image
        crossed, found = [], newest["breaches"]
    confirmed = [{**breach, "days": [newest["ds"]]} for breach in found]
    unproven = {_subject(one): {**one, "days": [newest["ds"]]} for one, is_proven in crossed if not is_proven}
    measured = {subject: [newest] for subject in _open(unproven) if _adds(newest, newest, subject)}
    used = [newest["ds"]]
    while growing := {subject for subject, days in measured.items() if len(days) < rules["days"]}:
        before = next(newest_first, None)
        if before is None or not _same_model(before, newest):
            break
        pooled = {subject: [*measured[subject], before] for subject in growing if _adds(before, newest, subject)}
        if pooled:
            used.append(before["ds"])
        for subject in pooled:
            del measured[subject]
            unproven.pop(subject, None)
        for breach, is_proven in _crossed(newest, pooled, rules):
            subject = _subject(breach)
            if subject not in pooled:
                continue
            if is_proven:
                confirmed.append(_of_days(breach, pooled[subject]))
            else:
                unproven[subject] = _of_days(breach, pooled[subject])
        measured |= {subject: pooled[subject] for subject in _open(unproven) if subject in pooled}
    # A figure without a value crosses no limit; the page says that it was not measured.
    return confirmed, [breach for (what, _), breach in unproven.items() if what != NOT_MEASURED], used


def _open(unproven: Collection[Subject]) -> list[Subject]:
    """What rows of more days may decide: a figure without a value may break each of its limits once it has one."""
    without_value = [figure for what, figure in unproven if what == NOT_MEASURED]
    return [*unproven, *((what, figure) for figure in without_value for what in LIMITS_OF_FIGURES)]


def _adds(day: Evaluation, newest: Evaluation, subject: Subject) -> bool:
    """Whether a day has rows that can be measured with those of the newest day."""
    if subject[0] in SHARES:
        return rows_of_share(day, subject[0]) > 0
    if subject[0] not in DRIFT:
        return bool(day.get("labelled"))
    ours, theirs = bins_of(newest, subject), bins_of(day, subject)
    return bool(ours and theirs and all(ours[key] == theirs[key] for key in ("labels", "expected")))


def _same_model(one: Evaluation, other: Evaluation) -> bool:
    return bool(one["model"].get("name") == other["model"].get("name") and one.get("trained") == other["trained"])


def _crossed(
    newest: Evaluation, pooled: Mapping[Subject, Sequence[Evaluation]], rules: Mapping[str, Any]
) -> list[Crossed]:
    """What the newest day crosses, measured for each subject on its days in `pooled`, if there are any.

    Errors: BadInput if an evaluation is not as `evaluate` writes it.
    """
    try:
        if not pooled:
            return list(find_crossed(newest, rules))
        from pooling import pool

        return list(find_crossed(pool(newest, pooled, rules), rules))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        names = " to ".join(sorted({day["ds"] for days in [[newest], *pooled.values()] for day in (days[-1], days[0])}))
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
