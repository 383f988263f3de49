"""The documents that one stage writes and another stage reads: their shapes, reading and writing, in one place.

A document has the shape that every release has written: figures without a value are null, and keys that only newer
releases write may be missing. What a document must have is what its readers need.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stagekit.errors import BadInput
from stagekit.partition import Partition
from stagekit.shapes import COUNT, EqualLengths, Exactly, Maybe, Passes, ShapeError, Values, check, read_object

# What a feature is made from: a number, a text with known values, one part of a time, or the days between two times.
NUMBER, CATEGORY, HOUR, WEEKDAY, DAY = "number", "category", "hour", "weekday", "day"
MONTH, YEARDAY, DAYS = "month", "yearday", "days"
KINDS = (NUMBER, CATEGORY, HOUR, WEEKDAY, DAY, MONTH, YEARDAY, DAYS)
# The rows of one day have one or few of these values, so these features differ from day to day.
CALENDAR = (WEEKDAY, DAY, MONTH, YEARDAY)

# Each figure of metrics.json that a rule can be about, and whether a higher value is better.
HIGHER_IS_BETTER: Mapping[str, bool] = MappingProxyType(
    {
        "roc_auc": True,
        "average_precision": True,
        "log_loss": False,
        "brier_score": False,
        "accuracy": True,
        "precision": True,
        "recall": True,
        "f1": True,
    }
)

VERSION = Exactly(1)
NAME = Passes(str, bool, "a name, which is not empty")
MAYBE_VERSION = Maybe((str, int))
ENCODER = {
    "version": VERSION,
    "key": [NAME],
    "target": {"name": NAME, "classes": [NAME]},
    "features": [
        {
            "name": NAME,
            "field": NAME,
            "kind": Passes(str, KINDS.__contains__, f"one of {', '.join(KINDS)}"),
            "values": Maybe([str]),
            "since": Maybe(NAME),
        }
    ],
    "schema": {"fields": Maybe([{"name": NAME, "type": Maybe(str), "role": Maybe(str), "sensitive": Maybe(bool)}])},
    "weight": Maybe(NAME),
    "days": Maybe([NAME]),
}
CALIBRATION = [{"rows": COUNT, "weight": Maybe(float), "mean_predicted": float, "observed": float}]
METRICS = {
    "rows": COUNT,
    "classes": [str],
    "class_rows": Maybe(Values(COUNT)),
    **dict.fromkeys(HIGHER_IS_BETTER, Maybe(float)),
    "threshold": Maybe(float),
    "confusion_matrix": Maybe([[COUNT]]),
    "calibration": Maybe(CALIBRATION),
    # Log-odds of the second class = a + b x + c x^2, x the log-odds of the score, which `range` bounds.
    "calibrator": Maybe({"coefficients": [float], "covariance": [[float]], "range": [float]}),
    # What three figures of these rows would be if their scores were calibrated by rows that are not among them.
    "calibrated": Maybe({"log_loss": float, "brier_score": float, "calibration": CALIBRATION}),
    "reproduction": Maybe({"rows": COUNT, "max_difference": float}),
    "intervals": Maybe(Values(Maybe([float]))),
    "weighted": Maybe(bool),
    # What the threshold was chosen by, and the mean cost of a row with it and with the one of the greatest F1.
    "decision": Maybe({"costs": Maybe(Values((str, float))), "capacity": Maybe(COUNT)}),
    "default_threshold": Maybe(float),
    "cost": Maybe(float),
    "default_cost": Maybe(float),
}
CURVES = [
    {
        "class": str,
        "roc": EqualLengths({"fpr": [float], "tpr": [float]}, ("fpr", "tpr")),
        "precision_recall": EqualLengths({"recall": [float], "precision": [float]}, ("recall", "precision")),
    }
]
BINS: dict[str, Any] = {"labels": [str], "edges": Maybe([float]), "codes": Maybe([[COUNT]]), "counts": [COUNT]}
SEGMENT = {
    "field": str,
    "value": str,
    "rows": COUNT,
    "figures": Values(Maybe(float)),
    "intervals": Values(Maybe([float])),
}
SHARES = {"labels": [str], "expected": [float], "actual": [float], "psi": float, "by_chance": Maybe(float)}
SHARE_LISTS = ("labels", "expected", "actual")
BREACH = {"text": str, "what": Maybe(str), "subject": Maybe(str)}
EVALUATION = {
    "version": VERSION,
    "ds": str,
    "model": {"name": Maybe(str), "version": MAYBE_VERSION, "run_id": Maybe(str)},
    "trained_on_day": Maybe(bool),
    "rows": COUNT,
    "target": Maybe({"matched": Maybe(COUNT), "without_target": Maybe(COUNT), "new_classes": Maybe(Values(COUNT))}),
    "metrics": Maybe(METRICS),
    "trained": Maybe(METRICS),
    # Figures of all rows before labels have come, or why there are none. Never measured, so no rule looks at them.
    "estimate": Maybe({"rows": COUNT, "roc_auc": float, "average_precision": float, "intervals": Values([float])}),
    "no_estimate": Maybe(str),
    # The labelled rows by column, if they are few: `confirm` puts those of several days together.
    "labelled": Maybe({"codes": [COUNT], "predicted": [COUNT], "probabilities": [[float]], "weights": Maybe([float])}),
    "curves": Maybe(CURVES),
    # The rules' metric for each value of some categories; `trained`: that of the validation rows; `weak`: worse than
    # that, by more than chance explains. Older files have no `trained`; there, `weak` is worse than all rows.
    "segments": Maybe(
        {
            "metric": str,
            "figure": Maybe(float),
            "parts": [
                {
                    "field": str,
                    "value": str,
                    "rows": COUNT,
                    "figure": Maybe(float),
                    "interval": Maybe([float]),
                    "trained": Maybe({"figure": float, "interval": Maybe([float])}),
                    "weak": bool,
                }
            ],
        }
    ),
    "drift": Maybe(
        {
            "features": [EqualLengths({"name": str, "kind": str, **SHARES}, SHARE_LISTS)],
            "score": EqualLengths(SHARES, SHARE_LISTS),
        }
    ),
    "missing_as_zero": Maybe(Values(COUNT)),
    "quality": {
        "rows_in": Maybe(COUNT),
        "rows_out": Maybe(COUNT),
        "rejected": Maybe(Values(COUNT)),
        "reasons": Maybe(Values(COUNT)),
    },
    "rules": Maybe({"metric": Maybe(str)}),
    "breaches": [BREACH],
}
# Contributions to the score of the explained class, in log-odds. `bins`, of two classes only, are those of the model's
# baseline.json; a bin without rows has no mean.
CONTRIBUTIONS = {
    "version": VERSION,
    "rows": COUNT,
    "classes": [str],
    "model": str,
    "features": [
        {
            "name": str,
            "mean_absolute": float,
            "bins": Maybe(
                EqualLengths({"labels": [str], "rows": [COUNT], "means": [Maybe(float)]}, ("labels", "rows", "means"))
            ),
        }
    ],
}
COMPARISON = {
    "version": VERSION,
    "ds": str,
    "candidate": {"model": str, "metrics": METRICS},
    "champion": Maybe({"model": str, "version": MAYBE_VERSION, "metrics": METRICS}),
    "incomparable": Maybe({"model": str, "version": MAYBE_VERSION, "why": str}),
    "rows": COUNT,
    "metric": str,
    "difference": Maybe(float),
    "interval": Maybe([float]),
    "interval_rows": Maybe(COUNT),
    "confidence": Maybe(float),
    "resamples": Maybe(COUNT),
    "rule": Maybe({"tolerance": Maybe(float), "floors": Maybe(Values(float)), "undecided": Maybe(str)}),
    "outcome": Maybe(str),
    "passed": bool,
    "reasons": [str],
    # The rows with one value of a category, of which a rule of the gate is; `outcome` is null where they are too few.
    "segments": Maybe(
        [
            {
                "field": str,
                "value": str,
                "rows": COUNT,
                "candidate": Maybe(float),
                "champion": Maybe(float),
                "interval": Maybe([float]),
                "outcome": Maybe(str),
            }
        ]
    ),
    # The days that the rows are of, and how many are needed; of a version in shadow only.
    "shadow": Maybe({"version": str, "days": [str], "of": COUNT, "complete": bool}),
    "curves": Maybe({"candidate": Maybe(CURVES), "champion": Maybe(CURVES)}),
}
FIGURE = {"value": float, "interval": [float]}
MEAN = {**FIGURE, "days": COUNT}
BACKTEST = {
    "version": VERSION,
    "ds": str,
    "metric": str,
    "days": [str],
    "left_out": Values(str),
    "scored": [{"ds": str, "rows": COUNT, "positives": COUNT}],
    "models": [{"window": COUNT, "trained": str}],
    "strategies": [
        {
            "window": COUNT,
            "every": COUNT,
            "days": [{"ds": str, "trained": str, **FIGURE}],
            "mean": Maybe(MEAN),
            "gain": Maybe(MEAN),
            "promotions": [{"trained": str, "until": str, "gain": MEAN, "outcome": str}],
            "untrained": Values(str),
        }
    ],
}
SHAPES: Mapping[str, Any] = MappingProxyType(
    {
        "best.json": {"version": VERSION, "trial": COUNT, "parameters": dict},
        # The days that a backtest could not use, and why.
        "left_out.json": Values(str),
        "backtest.json": BACKTEST,
        "metrics.json": METRICS,
        "curves.json": {"version": VERSION, "classes": [str], "curves": CURVES},
        "baseline.json": {
            "version": VERSION,
            "rows": COUNT,
            "features": [EqualLengths({"name": str, "kind": str, **BINS}, ("labels", "counts"))],
            "score": EqualLengths(BINS, ("labels", "counts")),
            "segments": Maybe([SEGMENT]),
        },
        "comparison.json": COMPARISON,
        "contributions.json": CONTRIBUTIONS,
        "evaluation.json": EVALUATION,
        "breaches.json": {
            "version": VERSION,
            "ds": str,
            "days": [str],
            "confirmed": [{**BREACH, "days": [str]}],
            # What the day crosses without enough evidence.
            "unconfirmed": Maybe([{**BREACH, "days": [str]}]),
        },
        "params.json": {
            "parameters": Maybe(dict),
            "seed": Maybe(int),
            "rows": Maybe(Values(COUNT)),
            "best_iteration": Maybe(COUNT),
            "validation": Maybe(Values(float)),
            "curve": Maybe(Values([float])),
        },
    }
)
ENCODER_FILE = "encoder.json"


@dataclass(frozen=True)
class Feature:
    """One column of the model's input: it is made from `field`, as `kind` says; a category has `values` by code.

    `days` count from the time in the field `since`, or from 1970-01-01 if it names none.
    """

    name: str
    field: str
    kind: str
    values: tuple[str, ...] = ()
    since: str | None = None


@dataclass(frozen=True)
class Encoder:
    """What `encoder.json` holds: key columns, target, classes by code, features in the order of the columns.

    `schema` is the Table Schema of the training data. `weight` is the column with
    the weight of each row, before the features and none of them; None if the rows count alike. `days` are the days
    that the rows are of, in order, if they are of several.
    """

    key: tuple[str, ...]
    target: str
    classes: tuple[str, ...]
    features: tuple[Feature, ...]
    schema: Mapping[str, Any]
    weight: str | None = None
    days: tuple[str, ...] = ()

    @property
    def fields(self) -> Sequence[Mapping[str, Any]]:
        """The fields of the schema, each with a name; `preprocessing` alone reads more than type, role, sensitive."""
        return self.schema.get("fields") or ()

    @property
    def sensitive(self) -> frozenset[str]:
        """The names of the fields whose values are shown nowhere."""
        return frozenset(field["name"] for field in self.fields if field.get("sensitive"))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns of the features."""
        return tuple(feature.name for feature in self.features)

    @property
    def probability_columns(self) -> tuple[str, ...]:
        """The column of each class's probability, in the order of the codes."""
        return tuple(f"probability_{name}" for name in self.classes)


def read_encoder(partition: Partition) -> Encoder:
    """The encoder of a day or of a model. Errors: BadInput, which names the place in the file."""
    content = _read(partition, ENCODER_FILE, ENCODER, "run `preprocessing split` again, or take another model")
    encoder = Encoder(
        key=tuple(content["key"]),
        target=content["target"]["name"],
        classes=tuple(content["target"]["classes"]),
        features=tuple(
            Feature(
                feature["name"],
                feature["field"],
                feature["kind"],
                tuple(feature.get("values") or ()),
                feature.get("since"),
            )
            for feature in content["features"]
        ),
        schema=content["schema"],
        weight=content.get("weight"),
        days=tuple(content.get("days") or ()),
    )
    _check_encoder(encoder, f"{partition.name}/{ENCODER_FILE}")
    return encoder


def write_encoder(path: Path, encoder: Encoder) -> None:
    """Write `encoder.json`. Errors: ShapeError where the encoder is not what readers take."""
    features = []
    for feature in encoder.features:
        document = asdict(feature)
        if feature.kind != CATEGORY:
            del document["values"]
        if feature.since is None:
            del document["since"]
        features.append(document)
    content = {
        "version": VERSION.value,
        "key": list(encoder.key),
        "target": {"name": encoder.target, "classes": list(encoder.classes)},
        "features": features,
        "schema": encoder.schema,
        **({"weight": encoder.weight} if encoder.weight else {}),
        **({"days": list(encoder.days)} if encoder.days else {}),
    }
    check(content, ENCODER)
    _write(path, content)


def read_document(partition: Partition, file: str) -> dict[str, Any]:
    """A document of a verified partition, by its file name. Errors: BadInput, which names the place in the file."""
    do = f"run the step that writes {partition.name}/{file} again, with the images in use"
    return _read(partition, file, SHAPES[file], do)


def write_document(path: Path, content: Mapping[str, Any]) -> None:
    """Write a document, in the shape that its file name stands for. Errors: ShapeError."""
    check(content, SHAPES[path.name])
    _write(path, content)


def _read(partition: Partition, file: str, shape: Any, do: str) -> dict[str, Any]:
    try:
        content = read_object(partition / file)
        check(content, shape)
    except ShapeError as error:
        raise BadInput(f"{partition.name}/{file}: {error.found}", expected=error.expected, do=do) from None
    return content


def _write(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def _check_encoder(encoder: Encoder, label: str) -> None:
    """Refuse an encoder that no model can have: too little of something, or two columns of one name in a file."""
    if not encoder.key or len(encoder.classes) < 2 or not encoder.features:
        raise BadInput(
            f"{label} has {len(encoder.key)} key columns, {len(encoder.classes)} classes and "
            f"{len(encoder.features)} features",
            expected="one key column, two classes and one feature, or more",
            do="look at the roles in schema.json and at the target's values",
        )
    predictions = (*encoder.key, "prediction", *encoder.probability_columns)
    inputs = (*([encoder.weight] if encoder.weight else []), *encoder.feature_names)
    labels, features = (*encoder.key, encoder.target), (*encoder.key, *inputs)
    for names in (encoder.classes, predictions, labels, features, (encoder.target, *inputs)):
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise BadInput(
                f"{label} has the column or class {twice[0]!r} twice",
                expected="names that differ",
                do="rename the field in schema.json, then publish the day and train again",
            )
