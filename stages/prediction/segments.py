"""How good a model is in parts of the rows: one figure for each value of a category, and the weak ones by evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from stagekit import BadInput
from stagekit.contract import CATEGORY, HIGHER_IS_BETTER, Encoder, Feature

from intervals import intervals
from metrics import FIGURES, LabelledRows, rounded

MOST_FIELDS, MOST_VALUES, FEWEST_ROWS = 10, 12, 100
OTHER = "other or missing"


@dataclass(frozen=True)
class _Part:
    """The rows that have one of the `codes` in the field at a `place`."""

    field: str
    value: str
    place: int
    codes: Sequence[int]
    rows: int


def segment_fields(encoder: Encoder, chosen: Sequence[str] | None) -> list[tuple[int, Feature]]:
    """The categories that divide the rows, with their columns: the chosen ones, or the first that have few values.

    A sensitive field divides nothing, because its values would be on a page. Errors: BadInput for a chosen name that
    is no category, or is sensitive.
    """
    sensitive = {field["name"] for field in encoder.schema.get("fields", ()) if field.get("sensitive")}
    able = [
        (column, feature)
        for column, feature in enumerate(encoder.features)
        if feature.kind == CATEGORY and feature.field not in sensitive
    ]
    if chosen is None:
        return [one for one in able if len(one[1].values) <= MOST_VALUES][:MOST_FIELDS]
    names = [feature.name for _, feature in able]
    if unknown := [name for name in chosen if name not in names]:
        raise BadInput(
            f"the segment {unknown[0]!r} is no category of the model that may be shown",
            expected=f"some of {', '.join(names) or 'none'}",
            do="correct `segments` of `monitoring` in dags/rules.json",
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
    rows: LabelledRows, codes: np.ndarray, fields: Sequence[tuple[int, Feature]], metric: str, confidence: float
) -> dict[str, Any]:
    """The figure of each segment with its interval, in the order of the fields and of their most frequent values.

    A segment is `weak` if its whole interval is worse than the figure of all rows. So many looks find a weak segment by
    chance: the intervals together have the `confidence` (Bonferroni), each alone has more. A segment of fewer than 100
    rows has no figure. Beyond the 12 most frequent values, rows are in the segment `other or missing`.
    """
    whole = FIGURES[metric](rows)
    parts = [part for place, (_, feature) in enumerate(fields) for part in _parts(codes[:, place], place, feature)]
    looks = sum(part.rows >= FEWEST_ROWS for part in parts)
    each = 1 - (1 - confidence) / max(looks, 1)
    found = []
    for part in parts:
        value, bounds = None, None
        if part.rows >= FEWEST_ROWS:
            inside = rows.take(np.isin(codes[:, part.place], part.codes))
            value, bounds = FIGURES[metric](inside), intervals(inside, each)[metric]
        figure = {"figure": None if value is None else rounded(value), "interval": bounds}
        weak = _is_worse(bounds, whole, HIGHER_IS_BETTER[metric])
        found.append({"field": part.field, "value": part.value, "rows": part.rows, **figure, "weak": weak})
    return {"metric": metric, "figure": None if whole is None else rounded(whole), "parts": found}


def _is_worse(bounds: Sequence[float] | None, whole: float | None, higher_is_better: bool) -> bool:
    if bounds is None or whole is None:
        return False
    return bounds[1] < whole if higher_is_better else bounds[0] > whole


def _parts(codes: np.ndarray, place: int, feature: Feature) -> list[_Part]:
    """The segments of a field: each of the most frequent values, then all others, if there are any."""
    counts = np.bincount(codes, minlength=len(feature.values) + 1)
    frequent = [int(code) for code in np.argsort(-counts[:-1], kind="stable")[:MOST_VALUES] if counts[code]]
    parts = [_Part(feature.name, feature.values[code], place, [code], int(counts[code])) for code in frequent]
    others = [code for code in range(len(counts)) if counts[code] and code not in frequent]
    if others:
        parts.append(_Part(feature.name, OTHER, place, others, int(counts[others].sum())))
    return parts


def weakest(segments: Mapping[str, Any]) -> list[str]:
    """A sentence for each weak segment, the farthest from the figure of all rows first."""
    weak = [part for part in segments["parts"] if part["weak"]]
    weak.sort(key=lambda part: -abs(part["figure"] - segments["figure"]))
    metric, whole = segments["metric"], segments["figure"]
    return [f"{one['field']} {one['value']}: {metric} {one['figure']:.4f}, {whole:.4f} of all rows" for one in weak]
