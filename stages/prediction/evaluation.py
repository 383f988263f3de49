"""The work of `evaluate`: a scored day against what has happened since, and against the validation rows.

All tables are read in chunks. With targets, what is in memory until the end is 8 bytes a row and class for the
probabilities, 16 for codes, and what targets.py says: some 2 GB while 10 million rows of two classes are measured.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from stagekit import Publication

from breaches import CALENDAR, find_breaches
from bundle import BASELINE_FILE, damaged, read_json, read_metrics, write_json
from curves import curve_list
from drift import Bins, bins_of, compare_shares, score_of
from feature_table import FeatureTable
from metrics import LabelledRows, measure
from scored_day import ScoredDay
from scoring import open_table
from targets import Targets

TOLD = ("rows", "roc_auc", "average_precision", "log_loss", "brier_score", "accuracy", "precision", "recall", "f1")

log = logging.getLogger("prediction")


def evaluate_day(ds: str, day: ScoredDay, rules: Mapping[str, Any], publication: Publication) -> dict[str, Any]:
    """Write `evaluation.json`; returns what the result line says."""
    baseline = _read_baseline(day)
    scores = _ScoredRows(day, baseline)
    measured, target = scores.measured(), scores.target()
    evaluation: dict[str, Any] = {
        "version": 1,
        "ds": ds,
        "model": day.named,
        "trained_on_day": day.model.name.removeprefix("models/").startswith(ds),
        "rows": scores.rows,
        "target": target,
        "metrics": measure(measured, day.threshold) if measured else None,
        "trained": read_metrics(day.model),
        "curves": curve_list(measured) if measured else None,
        "drift": {"features": _features_drift(day, baseline), "score": scores.drift()} if baseline else None,
        "quality": day.quality,
        "rules": rules,
    }
    evaluation["breaches"] = find_breaches(evaluation, rules)
    _log(evaluation)
    write_json(publication.path("evaluation.json"), evaluation)
    return _result(evaluation)


class Baseline:
    """`baseline.json`: bins, and how many validation rows fell into each."""

    def __init__(self, day: ScoredDay) -> None:
        content = read_json(day.model, BASELINE_FILE)
        try:
            if content["version"] != 1:
                raise ValueError(f"version {content['version']}")
            self.features = [(f["name"], f["kind"], bins_of(f), _counts(f)) for f in content["features"]]
            self.score = (bins_of(content["score"], missing=False), _counts(content["score"]))
            if tuple(name for name, *_ in self.features) != day.encoder.features:
                raise ValueError("its features are not those of the encoder")
        except (KeyError, TypeError, ValueError) as error:
            text = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise damaged(day.model, BASELINE_FILE, text, "a baseline of version 1") from None


def _counts(document: Mapping[str, Any]) -> list[int]:
    counts = [int(count) for count in document["counts"]]
    if len(counts) != len(document["labels"]):
        raise ValueError(f"{len(counts)} counts for {len(document['labels'])} labels")
    return counts


def _read_baseline(day: ScoredDay) -> Baseline | None:
    if BASELINE_FILE in day.model.files:
        return Baseline(day)
    log.warning(
        "%s has no %s: drift is not measured; do: run prediction validate again for models that are to be compared",
        *(day.model.name, BASELINE_FILE),
    )
    return None


class _ScoredRows:
    """The day's predictions, joined with the targets; read once."""

    def __init__(self, day: ScoredDay, baseline: Baseline | None) -> None:
        encoder, self._day, self._baseline = day.encoder, day, baseline
        self._targets = Targets(day.raw / "target.csv", f"{day.raw.name}/target.csv", encoder) if day.raw else None
        self._new: Counter[str] = Counter()
        self._matched, self.rows = 0, 0
        self._score_counts = np.zeros(len(baseline.score[0].labels) if baseline else 0, dtype=np.int64)
        texts = [*encoder.key, "prediction"]
        table = open_table(day.predictions, "predictions.csv", "prediction predict", texts, encoder.probability_columns)
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for chunk in table.chunks():
            self.rows += len(chunk.numbers)
            if baseline:
                self._score_counts += baseline.score[0].count(score_of(chunk.numbers))
            predicted = _codes(table, chunk.texts[-1], encoder.classes, chunk.start)
            if self._targets:
                parts.append(self._join(chunk.texts[:-1], predicted, chunk.numbers))
        self._parts = parts

    def _join(
        self, keys: Sequence[list[str]], predicted: np.ndarray, probabilities: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Codes, predicted codes and probabilities of the rows whose class is known to the model."""
        assert self._targets
        codes = self._targets.codes_of(keys)
        classes = len(self._day.encoder.classes)
        self._matched += int((codes >= 0).sum())
        for code, rows in zip(*np.unique(codes[codes >= classes], return_counts=True), strict=True):
            self._new[self._targets.new_classes[int(code) - classes]] += int(rows)
        known = (codes >= 0) & (codes < classes)
        return codes[known], predicted[known], probabilities[known]

    def measured(self) -> LabelledRows | None:
        """The rows that can be measured; None where there are none."""
        if not any(len(codes) for codes, *_ in self._parts):
            return None
        codes, predicted, probabilities = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        self._parts = []
        classes = self._day.encoder.classes
        return LabelledRows(codes, probabilities, predicted, classes, len(classes))

    def target(self) -> dict[str, Any] | None:
        """What became of the rows of target.csv and of the predictions; None where there is no target.csv."""
        if not self._targets:
            return None
        return {
            "rows": self._targets.rows,
            **self._targets.counts,
            "matched": self._matched,
            "without_prediction": self._targets.usable - self._matched,
            "without_target": self.rows - self._matched,
            "new_classes": dict(sorted(self._new.items())),
        }

    def drift(self) -> dict[str, Any]:
        """The score's drift. There must be a baseline."""
        assert self._baseline
        bins, expected = self._baseline.score
        return {"labels": list(bins.labels), **compare_shares(expected, self._score_counts.tolist())}


def _codes(table: FeatureTable, names: list[str], classes: tuple[str, ...], start: int) -> np.ndarray:
    """The codes of predicted classes."""
    of_name = {name: code for code, name in enumerate(classes)}
    try:
        return np.array([of_name[name] for name in names], dtype=np.intp)
    except KeyError as error:
        row = start + names.index(error.args[0]) + 1
        raise table.bad(f"row {row}: the prediction is {error}", f"one of {', '.join(classes)}") from None


def _features_drift(day: ScoredDay, baseline: Baseline) -> list[dict[str, Any]]:
    encoder = day.encoder
    table = open_table(day.features, "features.csv", "`preprocessing prepare --model`", encoder.key, encoder.features)
    counts = [np.zeros(len(bins.labels), dtype=np.int64) for _, _, bins, _ in baseline.features]
    for chunk in table.chunks():
        for number, (_, _, bins, _) in enumerate(baseline.features):
            counts[number] += bins.count(chunk.numbers[:, number])
    return [
        _described(name, kind, bins, expected, actual.tolist())
        for (name, kind, bins, expected), actual in zip(baseline.features, counts, strict=True)
    ]


def _described(name: str, kind: str, bins: Bins, expected: Sequence[int], actual: Sequence[int]) -> dict[str, Any]:
    return {"name": name, "kind": kind, "labels": list(bins.labels), **compare_shares(expected, actual)}


def _log(evaluation: Mapping[str, Any]) -> None:
    target, metrics = evaluation["target"], evaluation["metrics"]
    if not target:
        log.warning("there is no target.csv for %s yet: drift only", evaluation["ds"])
    else:
        log.info("target.csv: %s", ", ".join(f"{key} {value}" for key, value in target.items()))
    if evaluation["trained_on_day"] and metrics:
        log.warning("the model was trained on rows of this very day: the figures flatter it")
    if target and not metrics:
        log.warning("no prediction of %s has a target of a class that the model knows: no metrics", evaluation["ds"])
    for name, value in (metrics or {}).items():
        if value is None and name != "threshold":
            log.warning("%s has no value: it takes rows of two classes", name)
    for breach in evaluation["breaches"]:
        log.warning("%s", breach["text"])


def _result(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    metrics, drift = evaluation["metrics"], evaluation["drift"]
    told = None
    if drift:
        judged = [feature for feature in drift["features"] if feature["kind"] not in CALENDAR]
        most = max(judged, key=lambda feature: float(feature["psi"]), default=None)
        told = {"score": drift["score"]["psi"], "max_feature": most and {"name": most["name"], "psi": most["psi"]}}
    return {
        "model": evaluation["model"],
        "trained_on_day": evaluation["trained_on_day"],
        "rows": evaluation["rows"],
        "target": evaluation["target"],
        "metrics": {key: metrics[key] for key in TOLD} if metrics else None,
        "drift": told,
        "breaches": [breach["text"] for breach in evaluation["breaches"]],
    }
