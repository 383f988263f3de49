"""The work of `evaluate`: a scored day with the labels that have come since, and compared with the validation rows.

All tables are read in chunks. With labels, 8 bytes a row and class for the probabilities and 16 for the codes stay in
memory until the end, in addition to what labels.py needs: some 2 GB while 10 million rows of two classes are measured.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from stagekit import BadInput, Publication
from stagekit.contract import CALENDAR, Feature, read_document, write_document

from breaches import find_breaches
from curves import curve_list
from decision import costs_of_rows, mean_cost
from drift import compare_shares, read_bins, score_of
from estimate import ScoreCounts, calibrated
from feature_table import Chunk
from intervals import intervals
from labels import Labels
from metrics import FIGURES, LabelledRows, measure, measure_calibrated, predict_codes
from model_partition import BASELINE_FILE, METRICS_FILE
from pooling import describe_labelled
from scored_day import ScoredDay
from scoring import MissingAsZero, open_features, open_table, predicted_codes
from segments import judge_segments, measure_segments, measured, segment_codes, segment_fields, weakest

IN_RESULT = ("rows", "roc_auc", "average_precision", "log_loss", "brier_score", "accuracy", "precision", "recall", "f1")

# Weak segments that a result line names.
MOST_NAMED = 10

log = logging.getLogger("prediction")


def evaluate_day(day: ScoredDay, rules: Mapping[str, Any], publication: Publication) -> dict[str, Any]:
    """Write `evaluation.json`; returns the result."""
    baseline, confidence = _read_baseline(day), rules["confidence"]
    fields = segment_fields(day.model.encoder, rules["segments"])
    features = _read_features(day, baseline, fields)
    predictions = _Predictions(day, baseline, features)
    labelled = predictions.labelled()
    trained = read_document(day.model.partition, METRICS_FILE)
    evaluation: dict[str, Any] = {
        "version": 1,
        "ds": day.ds,
        "model": day.model_version,
        "trained_on_day": day.is_training_day,
        "rows": predictions.rows,
        "target": predictions.target(),
        "metrics": _metrics(day, predictions, labelled, trained, confidence) if labelled else None,
        "trained": trained,
        **_estimate(day, predictions, trained, confidence),
        "labelled": describe_labelled(labelled) if labelled and not day.is_training_day else None,
        "curves": curve_list(labelled) if labelled else None,
        "segments": judge_segments(
            measure_segments(labelled, predictions.segments(), fields, [rules["metric"]], confidence),
            rules["metric"],
            measured(labelled, rules["metric"]),
            baseline.segments if baseline else None,
        )
        if labelled and fields
        else None,
        "drift": _drift(baseline, features.counts, predictions, confidence) if baseline else None,
        "missing_as_zero": features.missing_as_zero,
        "quality": day.quality,
        "rules": rules,
    }
    evaluation["breaches"] = find_breaches(evaluation, rules)
    _log(evaluation)
    write_document(publication.path("evaluation.json"), evaluation)
    return _result(evaluation) | ({"warnings": predictions.warnings} if predictions.warnings else {})


def _metrics(
    day: ScoredDay, predictions: "_Predictions", rows: LabelledRows, trained: Mapping[str, Any], confidence: float
) -> dict[str, Any]:
    """The figures of the labelled rows, with intervals, with calibrated scores and with costs."""
    return {
        **measure(rows, day.model.threshold),
        "intervals": intervals(rows, confidence),
        **_calibrated(rows, None if day.is_training_day else trained.get("calibrator")),
        **predictions.cost(rows, trained.get("default_threshold")),
    }


def _estimate(
    day: ScoredDay, predictions: "_Predictions", trained: Mapping[str, Any], confidence: float
) -> dict[str, Any]:
    """`estimate`, or `no_estimate`: why there is none. No rule looks at either."""
    why = ""
    if len(day.model.encoder.classes) > 2:
        why = "it needs a model of two classes"
    elif day.model.encoder.weight:
        why = "the model weighs its rows"
    elif day.is_training_day:
        why = "the model was trained on rows of this day"
    elif not trained.get("calibrator"):
        why = f"{day.model.name}/{METRICS_FILE} has no calibrator; a model that is validated now has one"
    elif not predictions.rows:
        why = "no row was scored"
    if why:
        return {"no_estimate": why}
    return {"estimate": predictions.scores.estimate(trained["calibrator"], confidence)}


def _calibrated(rows: LabelledRows, calibrator: Mapping[str, Any] | None) -> dict[str, Any]:
    """What calibration would change; nothing if the model has no calibrator, which has seen none of these rows."""
    return measure_calibrated(rows, calibrated(rows.probabilities[:, 1], calibrator) if calibrator else None)


class Baseline:
    """`baseline.json`: the bins of each feature and of the score, how many validation rows each has; their segments."""

    def __init__(self, day: ScoredDay) -> None:
        content = read_document(day.model.partition, BASELINE_FILE)
        try:
            self.features = [(f["name"], f["kind"], read_bins(f), f["counts"]) for f in content["features"]]
            self.score = (read_bins(content["score"], missing=False), content["score"]["counts"])
            self.segments = content.get("segments")
            if tuple(name for name, *_ in self.features) != day.model.encoder.feature_names:
                raise ValueError("its features are not those of the encoder")
        except ValueError as error:
            raise BadInput(
                f"{day.model.name}/{BASELINE_FILE} cannot be used: {error}",
                expected="the bins of each feature of the encoder",
                do=f"run prediction validate --ds {day.model.name.removeprefix('models/')} again",
            ) from None


def _read_baseline(day: ScoredDay) -> Baseline | None:
    if BASELINE_FILE in day.model.partition.files:
        return Baseline(day)
    log.warning(
        "%s has no %s: drift is not measured; do: run prediction validate again for this model",
        *(day.model.name, BASELINE_FILE),
    )
    return None


@dataclass(frozen=True)
class _Features:
    """What the day's features say: of the whole day, and of each row, in their order.

    `counts`: the rows in each bin of each feature; `missing_as_zero`: by feature, the rows that the model reads as 0.0
    without a value. Of each row, `weights` and `costs`, None if the model has none, and its codes in the `segments`.
    """

    counts: list[list[int]]
    missing_as_zero: dict[str, int]
    weights: np.ndarray | None
    costs: np.ndarray | None
    segments: np.ndarray


class _Predictions:
    """The day's predictions, joined with the labels; read once."""

    def __init__(self, day: ScoredDay, baseline: Baseline | None, features: _Features) -> None:
        self._encoder, self._features = day.model.encoder, features
        # Of each chunk: which rows have a label whose class the model knows.
        self._known: list[np.ndarray] = []
        self.warnings: list[str] = []
        self._labels = Labels(day.labels, self._encoder) if day.labels else None
        self._new_classes: Counter[str] = Counter()
        self._matched, self.rows = 0, 0
        self.scores = ScoreCounts()
        self._score_counts = np.zeros(len(baseline.score[0].labels) if baseline else 0, dtype=np.int64)
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        texts, numbers = [*self._encoder.key, "prediction"], self._encoder.probability_columns
        table = open_table(day.predictions, "predictions.csv", "prediction predict", texts, numbers)
        for chunk in table.chunks():
            self.rows += len(chunk.numbers)
            if len(self._encoder.classes) == 2:
                self.scores.add(chunk.numbers[:, 1])
            if baseline:
                self._score_counts += baseline.score[0].count(score_of(chunk.numbers))
            predicted = predicted_codes(table, chunk, self._encoder.classes)
            if self._labels:
                self._add(self._labels, chunk, predicted)

    def _add(self, labels: Labels, chunk: Chunk, predicted: np.ndarray) -> None:
        """Keep codes, predicted codes and probabilities of the rows whose class the model knows."""
        codes, classes = labels.codes_of(chunk.texts[:-1]), len(self._encoder.classes)
        self._matched += int((codes >= 0).sum())
        for code, rows in zip(*np.unique(codes[codes >= classes], return_counts=True), strict=True):
            self._new_classes[labels.new_classes[int(code) - classes]] += int(rows)
        known = (codes >= 0) & (codes < classes)
        self._parts.append((codes[known], predicted[known], chunk.numbers[known]))
        self._known.append(known)

    def _of_labelled(self, values: np.ndarray) -> np.ndarray:
        """The values of the labelled rows, from those of all rows of the day."""
        known = np.concatenate(self._known)
        labelled: np.ndarray = values[: len(known)][known]
        return labelled

    def labelled(self) -> LabelledRows | None:
        """The rows that can be measured; None if there are none."""
        if not any(len(codes) for codes, *_ in self._parts):
            return None
        codes, predicted, probabilities = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        self._parts = []
        classes = self._encoder.classes
        return LabelledRows(codes, probabilities, predicted, classes, len(classes), self._weights_if_complete())

    def _weights_if_complete(self) -> np.ndarray | None:
        """The weights of the labelled rows; None if one of them has no weight, because figures mix no weights."""
        if self._features.weights is None:
            return None
        weights = self._of_labelled(self._features.weights)
        if lacking := int(np.isnan(weights).sum()):
            self.warnings.append(
                f"{lacking} of {len(weights)} labelled rows have no {self._encoder.weight}: the day's figures count "
                "each row once, those of the training weigh it"
            )
            return None
        return weights

    def segments(self) -> np.ndarray:
        """The codes of the labelled rows in each field that divides them."""
        return self._of_labelled(self._features.segments)

    def cost(self, rows: LabelledRows, default_threshold: float | None) -> dict[str, float | None]:
        """The mean cost of a labelled row, and that with the threshold of the greatest F1; nothing without costs."""
        if self._features.costs is None or default_threshold is None:
            return {}
        costs = self._of_labelled(self._features.costs)
        default = predict_codes(rows.probabilities, default_threshold)
        if lacking := int(np.isnan(costs).any(axis=1).sum()):
            self.warnings.append(f"{lacking} of {len(costs)} labelled rows have no cost of 0 or more in its column")
        return {
            "cost": mean_cost(costs, rows.codes, rows.predicted, rows.weights),
            "default_cost": mean_cost(costs, rows.codes, default, rows.weights),
        }

    def target(self) -> dict[str, Any] | None:
        """The counts of the rows of target.csv and of the predictions; None if there is no target.csv."""
        if not self._labels:
            return None
        return {
            **self._labels.counts,
            "matched": self._matched,
            "without_prediction": self._labels.rows - self._matched,
            "without_target": self.rows - self._matched,
            "new_classes": dict(sorted(self._new_classes.items())),
            "examples": self._labels.examples,
        }

    def score_counts(self) -> list[int]:
        """The rows in each bin of the score; none without a baseline."""
        return [int(rows) for rows in self._score_counts]


def _drift(
    baseline: Baseline, counts: Sequence[Sequence[int]], predictions: _Predictions, confidence: float
) -> dict[str, Any]:
    """Each feature and the score: the shares of the bins, expected and on this day, and how far they are apart."""
    of_score, expected_scores = baseline.score
    return {
        "features": [
            {"name": name, "kind": kind, "labels": list(bins.labels), **compare_shares(expected, actual, confidence)}
            for (name, kind, bins, expected), actual in zip(baseline.features, counts, strict=True)
        ],
        "score": {
            "labels": list(of_score.labels),
            **compare_shares(expected_scores, predictions.score_counts(), confidence),
        },
    }


def _read_features(day: ScoredDay, baseline: Baseline | None, fields: Sequence[tuple[int, Feature]]) -> _Features:
    all_bins = [bins for _, _, bins, _ in baseline.features] if baseline else []
    counts, missing = [np.zeros(len(bins.labels), dtype=np.int64) for bins in all_bins], MissingAsZero(day.model)
    weights: list[np.ndarray] = []
    costs: list[np.ndarray] = []
    segments = [np.empty((0, len(fields)), dtype=np.int16)]
    costs_of_model = day.model.decision.get("costs")
    for chunk in open_features(day.features, day.model.encoder):
        missing.add(chunk.numbers)
        if chunk.weights is not None:
            weights.append(chunk.weights.copy())
        segments.append(segment_codes(chunk.numbers, fields))
        if costs_of_model:
            costs.append(costs_of_rows(costs_of_model, day.model.encoder.feature_names, chunk.numbers))
        for number, bins in enumerate(all_bins):
            counts[number] += bins.count(chunk.numbers[:, number])
    of_weights, of_costs = (np.concatenate(parts) if parts else None for parts in (weights, costs))
    return _Features(
        [actual.tolist() for actual in counts], missing.rows, of_weights, of_costs, np.concatenate(segments)
    )


def _log(evaluation: Mapping[str, Any]) -> None:
    target, metrics = evaluation["target"], evaluation["metrics"]
    if not target:
        log.warning("there is no target.csv for %s yet: only drift is measured", evaluation["ds"])
    else:
        log.info("target.csv: %s", ", ".join(f"{key} {value}" for key, value in target.items() if key != "examples"))
        for example in target["examples"]:
            log.warning("not used: %s", example)
    if evaluation["trained_on_day"] and metrics:
        log.warning("the model was trained on rows of this day, so the figures are better than on other days")
    if target and not metrics:
        log.warning("no prediction of %s has a target of a class that the model knows: no metrics", evaluation["ds"])
    for name, value in (metrics or {}).items():
        if value is None and name in FIGURES:
            log.warning("%s has no value: it needs rows of two classes", name)
    if found := evaluation.get("estimate"):
        shown = "%s %.4f, between %.4f and %.4f"
        both = "; ".join(shown % (name, found[name], *bounds) for name, bounds in found["intervals"].items())
        log.info("estimated from calibrated scores, not measured: %s. An estimate cannot see concept drift", both)
    else:
        log.info("no estimate: %s", evaluation["no_estimate"])
    for sentence in weakest(evaluation["segments"]) if evaluation["segments"] else ():
        log.warning("a weak segment: %s", sentence)
    for breach in evaluation["breaches"]:
        log.warning("%s", breach["text"])


def _result(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    target, metrics = evaluation["target"], evaluation["metrics"]
    return {
        "model": evaluation["model"],
        "trained_on_day": evaluation["trained_on_day"],
        "rows": evaluation["rows"],
        "target": target and {key: value for key, value in target.items() if key != "examples"},
        "metrics": {key: metrics[key] for key in IN_RESULT} if metrics else None,
        **{key: evaluation[key] for key in ("estimate", "no_estimate") if key in evaluation},
        "weak_segments": weakest(evaluation["segments"])[:MOST_NAMED] if evaluation["segments"] else [],
        "drift": _drift_in_short(evaluation["drift"]),
        # Not `breaches`: `confirm` adds those of the day and the days before together, and sends one alert.
        "crossed": [breach["text"] for breach in evaluation["breaches"]],
    }


def _drift_in_short(drift: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The PSI of the score, and of the feature that has moved most."""
    if not drift:
        return None
    judged = [feature for feature in drift["features"] if feature["kind"] not in CALENDAR]
    most = max(judged, key=lambda feature: float(feature["psi"]), default=None)
    return {"score": drift["score"]["psi"], "max_feature": most and {"name": most["name"], "psi": most["psi"]}}
