"""The work of `compare-shadow`: two models on the labelled rows of the days that both have scored, pooled.

The rows of a day are joined by hashes of their key. Only rows with a label that both models scored stay in memory: 16
bytes of hashes, and 8 for each prediction and each probability of both models.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from stagekit import BadInput, Partition, Publication
from stagekit.contract import Encoder, Feature

from comparison import MeasuredModel, align, publish_comparison
from contenders import Comparison, Contender
from labels import Labels, hash_keys
from metrics import LabelledRows, measure
from model_partition import ValidatedModel
from scoring import open_features, open_table, predicted_codes
from segment_rules import Segments, fields_of_rules
from segments import segment_codes
from shadow_days import PREDICTIONS_FILE, ShadowDay, ShadowDays

# The columns by which the rows are joined: two hashes of the key.
KEY = ["first", "other"]


def compare_days(
    ds: str, found: ShadowDays, rules: Mapping[str, Any], progress: Mapping[str, Any], publication: Publication
) -> dict[str, Any]:
    """Write `comparison.json` with the `progress` as `shadow`; returns the result."""
    newest, fields = found.days[-1], fields_of_rules(found.candidate.encoder, rules)
    pooled = pd.concat([_rows_of(day, found, fields) for day in found.days], ignore_index=True)
    if pooled.empty:
        raise BadInput(
            f"no labelled row of {', '.join(progress['days'])} has scores of both models",
            expected="predictions and labels with the same keys",
            do=f"look into {newest.shadow.name} and {newest.labels.name}",
        )
    codes, classes = pooled["code"].to_numpy(np.intp), found.candidate.encoder.classes
    weights = _weights(pooled)
    ours = _labelled(pooled, "ours", found.candidate, codes, weights)
    theirs = align(_labelled(pooled, "theirs", found.champion, codes, weights), classes)
    comparison = Comparison(
        ds,
        rules,
        Contender(found.candidate, newest.shadow),
        found.champion_version,
        Contender(found.champion, newest.predictions),
    )
    return publish_comparison(
        comparison,
        MeasuredModel(ours, measure(ours, found.candidate.threshold)),
        MeasuredModel(theirs, measure(theirs, found.champion.threshold)),
        Segments(fields, pooled[_segment_columns(fields)].to_numpy(np.int16)),
        publication,
        shadow=dict(progress),
    )


def _rows_of(day: ShadowDay, found: ShadowDays, fields: Sequence[tuple[int, Feature]]) -> pd.DataFrame:
    """The labelled rows of a day that both models scored, in the order of the version in shadow.

    Each of the `fields` of the rules about segments has a column with the codes of its values.
    """
    encoder = found.candidate.encoder
    labels = Labels(day.labels, encoder)
    ours = _read_scores(day.shadow, encoder, "ours", labels)
    if encoder.weight or fields:
        chunks = [(chunk.weights, segment_codes(chunk.numbers, fields)) for chunk in open_features(day.shadow, encoder)]
        ours[_segment_columns(fields)] = np.concatenate([codes for _, codes in chunks])
        if encoder.weight:
            ours["weight"] = np.concatenate([weights for weights, _ in chunks if weights is not None])
    known = ours[(ours["code"] >= 0) & (ours["code"] < len(encoder.classes))]
    return known.merge(_read_scores(day.predictions, found.champion.encoder, "theirs"), on=KEY, validate="1:1")


def _read_scores(scored: Partition, encoder: Encoder, side: str, labels: Labels | None = None) -> pd.DataFrame:
    """The hashes of each row's key, its probabilities as `side0`, `side1` ..., and the class code predicted, as `side`.

    With labels also its class as `code`.
    """
    texts, columns = [*encoder.key, "prediction"], _columns(side, encoder)
    parts = []
    table = open_table(scored, PREDICTIONS_FILE, "prediction predict", texts, encoder.probability_columns)
    for chunk in table.chunks():
        part = pd.DataFrame(chunk.numbers, columns=columns)
        part[side] = predicted_codes(table, chunk, encoder.classes)
        part[KEY[0]], part[KEY[1]] = hash_keys(chunk.texts[:-1])
        if labels:
            part["code"] = labels.codes_of(chunk.texts[:-1])
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _segment_columns(fields: Sequence[tuple[int, Feature]]) -> list[str]:
    return [f"segment{place}" for place in range(len(fields))]


def _columns(side: str, encoder: Encoder) -> list[str]:
    return [f"{side}{code}" for code in range(len(encoder.classes))]


def _labelled(
    pooled: pd.DataFrame, side: str, model: ValidatedModel, codes: np.ndarray, weights: np.ndarray | None
) -> LabelledRows:
    """The rows as a model scored and predicted them on their days."""
    classes: Sequence[str] = model.encoder.classes
    probabilities = pooled[_columns(side, model.encoder)].to_numpy(np.float64)
    predicted = pooled[side].to_numpy(np.intp)
    return LabelledRows(codes, probabilities, predicted, tuple(classes), len(classes), weights)


def _weights(pooled: pd.DataFrame) -> np.ndarray | None:
    """The weights of the rows; None if the model has none, or a row lacks its weight: figures mix no weights."""
    if "weight" not in pooled or pooled["weight"].isna().any():
        return None
    return pooled["weight"].to_numpy(np.float64)
