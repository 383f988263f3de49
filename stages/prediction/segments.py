"""How good a model is in parts of the rows: figures for each value of a category, and what got worse by evidence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from stagekit import BadInput
from stagekit.contract import CATEGORY, HIGHER_IS_BETTER, Encoder, Feature

from intervals import intervals
from metrics import FIGURES, LabelledRows, rounded

MOST_FIELDS, MOST_VALUES, FEWEST_ROWS = 10, 12, 100
OTHER = "other or missing"


# The place of the names in dags/rules.json.
SEGMENTS_OF_MONITORING = "`segments` of `monitoring`"


@dataclass(frozen=True)
class Part:
    """The rows that have one of the `codes` in the field at a `place`."""

    field: str
    value: str
    place: int
    codes: Sequence[int]
    rows: int

    def inside(self, codes: np.ndarray) -> np.ndarray:
        """Which rows it has, as a mask; `codes` are those of `segment_codes`."""
        return np.isin(codes[:, self.place], self.codes)


def segment_fields(
    encoder: Encoder, chosen: Sequence[str] | None, named_in: str = SEGMENTS_OF_MONITORING
) -> list[tuple[int, Feature]]:
    """The categories that divide the rows, with their columns: the chosen ones, or the first that have few values.

    A sensitive field divides nothing, because its values would be on a page. Errors: BadInput for a chosen name that
    is no category, or is sensitive.
    """
    able = [
        (column, feature)
        for column, feature in enumerate(encoder.features)
        if feature.kind == CATEGORY and feature.field not in encoder.sensitive
    ]
    if chosen is None:
        return [one for one in able if len(one[1].values) <= MOST_VALUES][:MOST_FIELDS]
    names = [feature.name for _, feature in able]
    if unknown := [name for name in chosen if name not in names]:
        raise BadInput(
            f"the segment {unknown[0]!r} is no category of the model that may be shown",
            expected=f"some of {', '.join(names) or 'none'}",
            do=f"correct {named_in} in dags/rules.json",
        )
    return [one for one in able if one[1].name in chosen]


def segment_codes(features: np.ndarray, fields: Sequence[tuple[int, Feature]]) -> np.ndarray:
    """For each row and field the number of its value; the number of values where it is missing or unknown, int16."""
    found = np.empty((len(features), len(fields)), dtype=np.int16)
    for place, (column, feature) in enumerate(fields):
        values, number = features[:, column], len(feature.values)
        known = (values >= 0) & (values < number)
        found[:, place] = np.where(known, np.nan_to_num(values), number)
    return found


def measure_segments(
    rows: LabelledRows,
    codes: np.ndarray,
    fields: Sequence[tuple[int, Feature]],
    metrics: Iterable[str],
    confidence: float,
) -> list[dict[str, Any]]:
    """Figures of each segment with their intervals, in the order of the fields and of their most frequent values.

    Of many segments, chance makes one look bad: the intervals of a figure together have the `confidence` (Bonferroni),
    each alone has more. A segment of fewer than 100 rows has no figures. Beyond the 12 most frequent values, rows are
    in the segment `other or missing`.
    """
    parts = [part for place, (_, feature) in enumerate(fields) for part in parts_of(codes, place, feature)]
    looks = sum(part.rows >= FEWEST_ROWS for part in parts)
    each = 1 - (1 - confidence) / max(looks, 1)
    found = []
    for part in parts:
        figures: dict[str, float | None] = {}
        bounds: dict[str, Sequence[float] | None] = {}
        if part.rows >= FEWEST_ROWS:
            inside = rows.take(part.inside(codes))
            figures = {name: measured(inside, name) for name in metrics}
            of_all = intervals(inside, each)
            bounds = {name: of_all[name] for name in figures}
        one = {"field": part.field, "value": part.value, "rows": part.rows}
        found.append({**one, "figures": figures, "intervals": bounds})
    return found


def measured(rows: LabelledRows, metric: str) -> float | None:
    """A figure as files have it; None if it has no value."""
    value = FIGURES[metric](rows)
    return None if value is None else rounded(value)


def judge_segments(
    parts: Sequence[Mapping[str, Any]], metric: str, whole: float | None, trained: Sequence[Mapping[str, Any]] | None
) -> dict[str, Any]:
    """The `metric` of each segment of a day, beside that of the same segment of the validation rows.

    Not beside the figure of all rows: if a field itself separates the classes, the rows of one of its values are
    ranked worse than all rows, and nothing is wrong. A segment is `weak` if its whole interval is worse than the whole
    interval in training. Without a figure in training it is not judged.

    :param whole: the metric of all rows of the day
    :param trained: what `measure_segments` found on the validation rows; None if an older image validated the model
    """
    before = {(part["field"], part["value"]): part for part in trained or ()}
    judged = []
    for part in parts:
        own, reference = _one(part, metric), _one(before.get((part["field"], part["value"])), metric)
        weak = own is not None and reference is not None and _is_worse(own["interval"], reference["interval"], metric)
        one = {"field": part["field"], "value": part["value"], "rows": part["rows"]}
        judged.append({**one, **(own or {"figure": None, "interval": None}), "trained": reference, "weak": weak})
    return {"metric": metric, "figure": whole, "parts": judged}


def _one(part: Mapping[str, Any] | None, metric: str) -> dict[str, Any] | None:
    """A figure and its interval; None if it was not measured or has no value."""
    figure = part["figures"].get(metric) if part else None
    return {"figure": figure, "interval": part["intervals"].get(metric)} if part and figure is not None else None


def _is_worse(bounds: Sequence[float] | None, trained: Sequence[float] | None, metric: str) -> bool:
    if not bounds or not trained:
        return False
    return bounds[1] < trained[0] if HIGHER_IS_BETTER[metric] else bounds[0] > trained[1]


def parts_of(codes: np.ndarray, place: int, feature: Feature) -> list[Part]:
    """The segments of a field: each of the most frequent values, then all others, if there are any."""
    counts = np.bincount(codes[:, place], minlength=len(feature.values) + 1)
    frequent = [int(code) for code in np.argsort(-counts[:-1], kind="stable")[:MOST_VALUES] if counts[code]]
    parts = [Part(feature.name, feature.values[code], place, [code], int(counts[code])) for code in frequent]
    others = [code for code in range(len(counts)) if counts[code] and code not in frequent]
    if others:
        parts.append(Part(feature.name, OTHER, place, others, int(counts[others].sum())))
    return parts


def part_of(codes: np.ndarray, place: int, feature: Feature, value: str) -> Part:
    """The segment of one value of a field; without rows if the model does not know the value."""
    own = [code for code, known in enumerate(feature.values) if known == value]
    return Part(feature.name, value, place, own, int(np.isin(codes[:, place], own).sum()))


def weakest(segments: Mapping[str, Any]) -> list[str]:
    """A sentence for each weak segment, the one that lost most first."""
    weak = [part for part in segments["parts"] if part["weak"]]
    weak.sort(key=lambda part: -abs(part["figure"] - part["trained"]["figure"]))
    metric = segments["metric"]
    return [
        f"{one['field']} {one['value']}: {metric} {one['figure']:.4f}, {one['trained']['figure']:.4f} in training"
        for one in weak
    ]
