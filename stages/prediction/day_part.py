"""A part of a scored day, joined with its labels: what `evaluate` counts in its rows, and the rows that have a label.

A day without shards is one part. Of a day in shards each shard is one: its counts are added to those of the others, and
its labelled rows are put back between theirs, by the lines of the raw file on which they begin. So whatever is computed
from a day is computed in one way.

All tables are read in chunks. For each row, the weight, the costs and the codes in the segments are in memory until the
part has been read, in addition to what labels.py needs.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from stagekit import Partition, Publication
from stagekit.contract import Feature
from stagekit.shards import LINES_FILE

from baseline import Baseline
from decision import costs_of_rows
from drift import score_of
from estimate import ScoreCounts
from labels import Labels, add_new_classes
from model_partition import COUNTS_FILE, LABELLED_FILE
from scored_day import ScoredDay
from scoring import MissingAsZero, open_features, open_table, predicted_codes
from segments import segment_codes

# The columns of the labelled rows. A shard has LINE too; WEIGHT and COSTS are there if the model has them.
CODE, PREDICTED, PROBABILITIES, SEGMENTS = "code", "predicted", "probabilities", "segments"
WEIGHT, COSTS, LINE = "weight", "costs", "line"

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class DayPart:
    """Counts of some rows of a day, and those of them whose label is a class that the model knows.

    `features` and `score` are the rows in each bin, without a baseline none; `scores` those that ScoreCounts passes on,
    `missing` those of MissingAsZero. `labels` is how many labels there are, `matched` how many rows have one, and
    `new_classes` how many of these rows are of each class that the model does not know. `labelled` has the columns
    of the rows; it is None if there are no labels yet.
    """

    rows: int
    features: list[list[int]]
    score: list[int]
    scores: list[int]
    missing: list[int]
    labels: int
    matched: int
    new_classes: dict[str, int]
    labelled: Columns | None


def count_part(day: ScoredDay, baseline: Baseline | None, fields: Sequence[tuple[int, Feature]]) -> DayPart:
    """Read the rows of a day, or of a shard of it. The `fields` divide them into segments."""
    of_features, of_rows = _read_features(day, baseline, fields)
    encoder, labels = day.model.encoder, Labels(day.labels, day.model.encoder) if day.labels else None
    counts, scores = _PredictionCounts(labels), ScoreCounts()
    score = np.zeros(len(baseline.score[0].labels) if baseline else 0, dtype=np.int64)
    texts, classes = [*encoder.key, "prediction"], encoder.classes
    table = open_table(
        day.predictions,
        "predictions.csv",
        "prediction predict",
        texts,
        encoder.probability_columns,
        may_be_empty=day.is_shard,
    )
    for chunk in table.chunks():
        counts.rows += len(chunk.numbers)
        if len(classes) == 2:
            scores.add(chunk.numbers[:, 1])
        if baseline:
            score += baseline.score[0].count(score_of(chunk.numbers))
        counts.add(chunk.texts[:-1], predicted_codes(table, chunk, classes), chunk.numbers)
    return DayPart(
        rows=counts.rows,
        score=score.tolist(),
        scores=scores.passed_on(),
        labels=labels.rows if labels else 0,
        matched=counts.matched,
        new_classes=dict(counts.new_classes),
        labelled=counts.labelled(len(classes), of_rows) if labels else None,
        **of_features,
    )


class _PredictionCounts:
    """The predictions of a part, joined with the labels, chunk by chunk."""

    def __init__(self, labels: Labels | None) -> None:
        self._labels = labels
        self.rows, self.matched = 0, 0
        self.new_classes = Counter(dict.fromkeys(labels.new_classes, 0) if labels else {})
        # Of each chunk: which rows have a label whose class the model knows, and these rows.
        self._known: list[np.ndarray] = []
        self._parts: list[tuple[np.ndarray, ...]] = []

    def add(self, keys: Sequence[list[str]], predicted: np.ndarray, probabilities: np.ndarray) -> None:
        """Keep the labelled rows of a chunk."""
        if not self._labels:
            return
        codes, classes = self._labels.codes_of(keys), self._labels.classes
        self.matched += int((codes >= 0).sum())
        for code, rows in zip(*np.unique(codes[codes >= classes], return_counts=True), strict=True):
            self.new_classes[self._labels.new_classes[int(code) - classes]] += int(rows)
        known = (codes >= 0) & (codes < classes)
        self._parts.append((codes[known].astype(np.int32), predicted[known].astype(np.int32), probabilities[known]))
        self._known.append(known)

    def labelled(self, classes: int, of_rows: Columns) -> Columns:
        """The columns of the labelled rows; `of_rows` has values of all rows of the part."""
        nothing = (np.empty(0, np.int32), np.empty(0, np.int32), np.empty((0, classes)))
        columns = (np.concatenate(column) for column in zip(nothing, *self._parts, strict=True))
        known = np.concatenate([np.empty(0, dtype=bool), *self._known])
        of_labelled = {name: values[: len(known)][known] for name, values in of_rows.items()}
        return dict(zip((CODE, PREDICTED, PROBABILITIES), columns, strict=True)) | of_labelled


def _read_features(
    day: ScoredDay, baseline: Baseline | None, fields: Sequence[tuple[int, Feature]]
) -> tuple[dict[str, Any], Columns]:
    """What is counted in the features of a part, and values of each row: codes, weight and costs, line."""
    all_bins = [bins for _, _, bins, _ in baseline.features] if baseline else []
    counts, missing = [np.zeros(len(bins.labels), dtype=np.int64) for bins in all_bins], MissingAsZero(day.model)
    encoder, costs = day.model.encoder, day.model.decision.get("costs")
    found: dict[str, list[np.ndarray]] = {SEGMENTS: [np.empty((0, len(fields)), dtype=np.int16)]}
    if encoder.weight:
        found[WEIGHT] = [np.empty(0)]
    if costs:
        found[COSTS] = [np.empty((0, 2))]
    for chunk in open_features(day.features, encoder, may_be_empty=day.is_shard):
        missing.add(chunk.numbers)
        found[SEGMENTS].append(segment_codes(chunk.numbers, fields))
        if chunk.weights is not None:
            found[WEIGHT].append(chunk.weights.copy())
        if costs:
            found[COSTS].append(costs_of_rows(costs, encoder.feature_names, chunk.numbers))
        for number, bins in enumerate(all_bins):
            counts[number] += bins.count(chunk.numbers[:, number])
    if day.is_shard:
        lines = open_table(day.features, LINES_FILE, "`preprocessing features`", [], ["line"], may_be_empty=True)
        found[LINE] = [np.empty(0, np.int64), *(chunk.numbers[:, 0].astype(np.int64) for chunk in lines.chunks())]
    of_rows = {name: np.concatenate(parts) for name, parts in found.items()}
    return {"features": [actual.tolist() for actual in counts], "missing": missing.passed_on()}, of_rows


def write_part(part: DayPart, publication: Publication) -> None:
    """Write the counts of a shard as `counts.json`, and its labelled rows as `labelled.npz`: arrays, and no pickle."""
    counts = {**vars(part), "labelled": part.labelled is not None}
    publication.path(COUNTS_FILE).write_text(json.dumps(counts, ensure_ascii=False) + "\n", encoding="utf-8")
    columns = part.labelled or {}
    np.savez(publication.path(LABELLED_FILE), allow_pickle=False, **columns)
    publication.rows[LABELLED_FILE] = len(columns[CODE]) if columns else 0


def merge_parts(shards: Sequence[Partition]) -> DayPart:
    """The day, from the parts that `write_part` wrote."""
    counts = [shard.json(COUNTS_FILE) for shard in shards]

    def total(name: str) -> int:
        return sum(part[name] for part in counts)

    def totals(name: str) -> list[int]:
        return _sum(part[name] for part in counts)

    return DayPart(
        rows=total("rows"),
        labels=total("labels"),
        matched=total("matched"),
        score=totals("score"),
        scores=totals("scores"),
        missing=totals("missing"),
        features=[_sum(bins) for bins in zip(*(part["features"] for part in counts), strict=True)],
        new_classes=add_new_classes(part["new_classes"] for part in counts),
        labelled=_merge_rows(shards) if counts[0]["labelled"] else None,
    )


def _sum(counts: Iterable[Sequence[int]]) -> list[int]:
    """The sums of the first numbers, of the second ones, and so on."""
    return [sum(of_parts) for of_parts in zip(*counts, strict=True)]


def _merge_rows(shards: Sequence[Partition]) -> Columns:
    """The labelled rows in the order of their lines, column by column: only one of a shard is in memory."""
    files = [np.load(shard / LABELLED_FILE, allow_pickle=False) for shard in shards]
    lines = [file[LINE] for file in files]
    place = np.empty(sum(map(len, lines)), dtype=np.int64)
    place[np.argsort(np.concatenate(lines))] = np.arange(len(place))
    ends = np.cumsum([0, *map(len, lines)])
    merged: dict[str, np.ndarray] = {}
    for name in (name for name in files[0].files if name != LINE):
        for file, (start, end) in zip(files, pairwise(ends), strict=True):
            values = file[name]
            if name not in merged:
                merged[name] = np.empty((len(place), *values.shape[1:]), values.dtype)
            merged[name][place[start:end]] = values
    for file in files:
        file.close()
    return merged
