"""The encoder: what a model's features are, and how checked values become them. Used to train and to score alike.

It can be read without polars, for what it says of the model's data.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stagekit import BadInput

from table_schema import Schema, differences, parse_schema

if TYPE_CHECKING:
    import polars as pl

VERSION = 1
KINDS = ("number", "category", "hour", "weekday", "day")
TIME_KINDS = {"datetime": ("hour", "weekday", "day"), "date": ("weekday", "day")}


@dataclass(frozen=True)
class Feature:
    """One column of the model's input: made from `field`, as `kind` says (see docs/architecture.md)."""

    name: str
    field: str
    kind: str
    values: tuple[str, ...] = ()

    def expression(self) -> "pl.Expr":
        """The feature's numbers from the field's typed values; null where missing or unseen."""
        import polars as pl

        value = pl.col(self.field)
        match self.kind:
            case "number":
                made = value
            case "category":
                made = value.cast(pl.Enum(self.values), strict=False).to_physical().cast(pl.UInt8)
            case "hour":
                made = value.dt.hour()
            case "weekday":
                made = value.dt.weekday() - 1  # polars counts from 1
            case "day":
                made = value.dt.day()
            case _:
                raise ValueError(f"feature {self.name!r} has the unknown kind {self.kind!r}")
        return made.alias(self.name)


@dataclass(frozen=True)
class Encoder:
    """All of encoder.json."""

    key: tuple[str, ...]
    target: str
    classes: tuple[str, ...]
    features: tuple[Feature, ...]
    schema: Schema

    def encode(self, rows: "pl.DataFrame", first: "Sequence[str | pl.Expr]") -> "pl.DataFrame":
        """The columns `first` of typed rows, then one numeric column for each feature."""
        import polars as pl

        flags_as_numbers = rows.with_columns(pl.col(pl.Boolean).cast(pl.UInt8))
        features = flags_as_numbers.select(feature.expression() for feature in self.features)
        return rows.select(first).hstack(features.get_columns())

    def write(self, path: Path) -> None:
        """Write encoder.json."""
        features = []
        for feature in self.features:
            document = asdict(feature)
            if feature.kind != "category":
                del document["values"]
            features.append(document)
        document = {
            "version": VERSION,
            "key": self.key,
            "target": {"name": self.target, "classes": self.classes},
            "features": features,
            "schema": self.schema.document,
        }
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_encoder(path: Path, label: str) -> Encoder:
    """Read an encoder.json. Errors: BadInput where it is none, or one of another version."""
    try:
        document = json.loads(path.read_bytes().decode("utf-8"))
        if document["version"] != VERSION:
            raise BadInput(
                f"{label} has version {document['version']!r}",
                expected=f"version {VERSION}",
                do="use a model that was trained with images of this release",
            )
        features = tuple(
            Feature(f["name"], f["field"], f["kind"], tuple(f.get("values", ()))) for f in document["features"]
        )
        target = document["target"]
        schema = parse_schema(document["schema"], f"{label}, schema")
        known = {field.name for field in schema.fields}
        if unknown := [feature.field for feature in features if feature.field not in known]:
            raise ValueError(f"its schema has no field {unknown[0]!r}")
        if strange := [feature for feature in features if feature.kind not in KINDS]:
            raise ValueError(f"feature {strange[0].name!r} has the unknown kind {strange[0].kind!r}")
        return Encoder(tuple(document["key"]), target["name"], tuple(target["classes"]), features, schema)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{label} is damaged ({error})", expected="the encoder that `preprocessing split` wrote", do="train again"
        ) from None


def what_cannot_be_compared(ours: Encoder, theirs: Encoder) -> list[str]:
    """In what a day differs from what a model was trained for, so that the model has no score of its rows."""
    found = differences(ours.schema, theirs.schema)
    if ours.target != theirs.target:
        found.append(f"the target is {ours.target!r} here, {theirs.target!r} in the model")
    if ours.classes != theirs.classes:
        found.append(f"the classes are {_few(ours.classes)} here, {_few(theirs.classes)} in the model")
    return found


def _few(names: Sequence[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def fit(schema: Schema, classes: Sequence[str], frequent: Mapping[str, Sequence[str]]) -> Encoder:
    """The encoder of a schema. `frequent`: for each text feature its values, the most frequent ones, sorted.

    Errors: BadInput where a made-up name such as `time_hour` is taken.
    """
    features = []
    for field in schema.fields:
        if field.role == "time":
            features += [Feature(f"{field.name}_{kind}", field.name, kind) for kind in TIME_KINDS[field.type]]
        elif field.role == "feature" and field.type == "string":
            features.append(Feature(field.name, field.name, "category", tuple(frequent[field.name])))
        elif field.role == "feature":
            features.append(Feature(field.name, field.name, "number"))
    names = [*schema.named("key", "target"), *(feature.name for feature in features)]
    if taken := sorted({name for name in names if names.count(name) > 1}):
        raise BadInput(
            f"schema.json: {', '.join(taken)} is a field's name and the name of a feature made from a time",
            expected="names that differ",
            do="rename the field",
        )
    return Encoder(tuple(schema.named("key")), schema.named("target")[0], tuple(classes), tuple(features), schema)
