"""The rules of the gate about segments: whether a candidate is good enough for the rows with a value of a category.

Each segment is judged as all rows are, by the interval of the difference on its own rows. A candidate needs each of
them, so many segments do not make a promotion by chance more probable (intersection-union test: Berger,
Multiparameter hypothesis testing and acceptance sampling, Technometrics 24, 1982), and no interval is made wider.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from stagekit.contract import Encoder, Feature

from bootstrap import interval
from gate import PASSED, UNDECIDED, Verdict, judge, outcome, undecided
from metrics import LabelledRows
from segments import FEWEST_ROWS, Part, measured, part_of, parts_of, segment_fields

# Of fewer rows of a class, a resampled interval is too narrow (docs/decisions).
FEWEST_OF_CLASS = 20


@dataclass(frozen=True)
class Segments:
    """The categories that the rules name, with their columns, and the code of each row in each (rows, fields)."""

    fields: Sequence[tuple[int, Feature]]
    codes: np.ndarray


def fields_of_rules(encoder: Encoder, rules: Mapping[str, Any]) -> list[tuple[int, Feature]]:
    """The categories that the rules name, with their columns. Errors: BadInput for a name that is none."""
    return segment_fields(encoder, [rule["field"] for rule in rules["segment_rules"]], "`segment_rules` of `gate`")


def judge_rules(
    candidate: LabelledRows, champion: LabelledRows | None, segments: Segments, rules: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[Verdict]]:
    """The `segments` of `comparison.json`, and the verdicts. `rules` are the gate's; a rule may have its own instead.

    A segment of few rows is undecided if a rule names its value. It is not judged if the rule is about each value of
    a field, or if there is no champion to keep.
    """
    found: list[dict[str, Any]] = []
    verdicts: list[Verdict] = []
    for rule in rules["segment_rules"]:
        for part in _parts(rule, segments):
            inside = part.inside(segments.codes)
            sides = [side.take(inside) for side in (candidate, champion) if side]
            one, own = _judge(part, sides, {**rules, "floors": {}, **rule})
            found.append(one)
            verdicts += [replace(verdict, reason=f"{part.field} {part.value}: {verdict.reason}") for verdict in own]
    return found, verdicts


def _parts(rule: Mapping[str, Any], segments: Segments) -> Iterator[Part]:
    for place, (_, feature) in enumerate(segments.fields):
        if feature.name == rule["field"] and "value" in rule:
            yield part_of(segments.codes, place, feature, rule["value"])
        elif feature.name == rule["field"]:
            yield from parts_of(segments.codes, place, feature)


def _judge(part: Part, sides: Sequence[LabelledRows], rule: Mapping[str, Any]) -> tuple[dict[str, Any], list[Verdict]]:
    """A segment as `comparison.json` has it, and its verdicts; `sides` are the candidate's rows, and a champion's."""
    metric, is_compared = rule["metric"], len(sides) > 1
    entry: dict[str, Any] = {"field": part.field, "value": part.value, "rows": part.rows}
    entry |= {"candidate": None, "champion": None, "interval": None, "outcome": None}
    if few := _few(sides[0]):
        if not is_compared or "value" not in rule:
            return entry, [Verdict(PASSED, f"{few}: not judged")]
        return entry | {"outcome": UNDECIDED}, [undecided(f"{few}: they cannot be distinguished", rule)]
    figures = [{key: measured(side, key) for key in (metric, *rule["floors"])} for side in sides]
    entry |= {side: own[metric] for side, own in zip(("candidate", "champion"), figures, strict=False)}
    if is_compared:
        amount = {key: rule[key] for key in ("resamples", "confidence")}
        entry["interval"], _ = interval(metric, *sides, **amount)
    verdicts = judge(figures[0], figures[1] if is_compared else None, entry["interval"], rule)
    return entry | ({"outcome": outcome(verdicts)} if verdicts else {}), verdicts


def _few(rows: LabelledRows) -> str:
    """That there are too few rows to compare two models, in words; '' if there are enough."""
    number, fewest = len(rows.codes), int(np.bincount(rows.codes, minlength=rows.known)[: rows.known].min())
    if number >= FEWEST_ROWS and fewest >= FEWEST_OF_CLASS:
        return ""
    return f"{number} rows, {fewest} of the rarest class, are too few ({FEWEST_ROWS} and {FEWEST_OF_CLASS} are needed)"
