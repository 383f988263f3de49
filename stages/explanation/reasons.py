"""Explains a day's rows chunk by chunk, and writes the strongest reasons of each."""

import csv
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from stagekit import BadInput, Partition, Publication, track
from stagekit.contract import Encoder, read_document, write_document

from contributions import Contributions, Explained
from feature_rows import Chunk, read_chunks
from partition_files import BASELINE_FILE, FEATURES_FILE, reason_columns
from summary import Summary, rounded
from value_texts import ValueTexts

# How many contributions are in memory together: rows x (features + 1) x classes.
MOST_CELLS, MOST_ROWS = 1 << 20, 1 << 15
SHOWN_FEATURES = 5

log = logging.getLogger("explanation")


def explain_day(
    model: Partition, encoder: Encoder, features: Partition, publication: Publication, number: int
) -> dict[str, Any]:
    """Write reasons.csv, `number` features a row, and contributions.json; returns what the result line says."""
    number, texts = min(number, len(encoder.features)), ValueTexts(encoder)
    baseline = read_document(model, BASELINE_FILE) if BASELINE_FILE in model.files else None
    contributions, summary = Contributions(model, encoder), Summary(encoder, baseline, texts.hidden)
    read = read_chunks(features, encoder, rows_of_a_chunk(encoder))
    chunks = track(read, "explaining", features.rows(FEATURES_FILE), "rows", lambda chunk: len(chunk.values))
    base_values: dict[str, float] = {}
    difference = 0.0
    with publication.path("reasons.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*encoder.key, *reason_columns(number)])
        for chunk in chunks:
            explained = contributions.explain(chunk.values)
            summary.add(chunk.values, explained)
            difference = max(difference, explained.difference)
            base_values.update({encoder.classes[c]: b for c, b in zip(explained.classes, explained.base, strict=True)})
            writer.writerows(reason_rows(chunk, explained, encoder, texts, number))
    if not summary.rows:
        raise BadInput(f"{features.name}/{FEATURES_FILE} has no rows", expected="one row or more")
    publication.rows["reasons.csv"] = summary.rows
    document = summary.describe(model.name)
    write_document(publication.path("contributions.json"), document)
    log.info("explained %d rows; the parts of a score differ from it by at most %.2g", summary.rows, difference)
    return {
        "rows": summary.rows,
        "reasons": number,
        "base_values": {name: rounded(base_values[name]) for name in encoder.classes if name in base_values},
        "strongest": {one["name"]: one["mean_absolute"] for one in document["features"][:SHOWN_FEATURES]},
        "largest_difference": difference,
    }


def rows_of_a_chunk(encoder: Encoder) -> int:
    """How many rows are explained together, so that memory is bounded with any number of features and classes."""
    scores = 1 if len(encoder.classes) == 2 else len(encoder.classes)
    return max(1, min(MOST_ROWS, MOST_CELLS // ((len(encoder.features) + 1) * scores)))


def reason_rows(
    chunk: Chunk, explained: Explained, encoder: Encoder, texts: ValueTexts, number: int
) -> Iterator[list[Any]]:
    """The rows of reasons.csv. Of equally strong features the one that the model has first comes first."""
    parts = explained.contributions
    order = np.argsort(-np.abs(parts), axis=1, kind="stable")[:, :number]
    strongest = np.take_along_axis(parts, order, axis=1)
    others = parts.copy()
    np.put_along_axis(others, order, 0.0, axis=1)
    columns = (explained.classes, explained.scores, explained.raw, explained.base, others.sum(axis=1))
    lists = (column.tolist() for column in (*columns, order, strongest))
    for key, written, code, score, raw, base, rest, at, contributed in zip(
        chunk.keys, chunk.texts, *lists, strict=True
    ):
        named = _named(zip(at, contributed, strict=True), written, encoder, texts)
        yield [*key, encoder.classes[code], score, raw, base, *named, rest]


def _named(
    parts: Iterable[tuple[int, float]], written: list[str], encoder: Encoder, texts: ValueTexts
) -> Iterator[str | float]:
    """Name, value and contribution of each feature; three empty texts for one that did not move the score."""
    for number, contribution in parts:
        if contribution:
            yield from (encoder.feature_names[number], texts.text(number, written[number]), contribution)
        else:
            yield from ("", "", "")
