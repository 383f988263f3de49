"""The encoder of a model: how it is fitted to a schema, and whether two of them speak of the same data. No polars."""

from collections.abc import Mapping, Sequence

from stagekit import BadInput
from stagekit.contract import CATEGORY, DAY, DAYS, HOUR, MONTH, NUMBER, WEEKDAY, YEARDAY, Encoder, Feature

from table_schema import TIME_TYPES, Field, Schema, differences, parse_schema, unknown_fields

# What becomes of a time whose field names no features.
TIME_KINDS = {"datetime": (HOUR, WEEKDAY, DAY), "date": (WEEKDAY, DAY)}
# The types of the fields that a feature of each kind can be made from.
SOURCES = {
    NUMBER: ("integer", "number", "boolean"),
    CATEGORY: ("string",),
    HOUR: ("datetime",),
    **dict.fromkeys((WEEKDAY, DAY, MONTH, YEARDAY, DAYS), TIME_TYPES),
}


def trained_schema(encoder: Encoder, partition: str) -> Schema:
    """The schema of the data that the encoder was fitted to.

    Errors: BadInput if its features, key or target are not fields of that schema.
    """
    label = f"{partition}/encoder.json"
    schema = parse_schema(encoder.schema, f"{label}, schema")
    types = {field.name: field.type for field in schema.fields}
    for feature in encoder.features:
        if types.get(feature.field) not in SOURCES[feature.kind]:
            found = f"has the type {types[feature.field]}" if feature.field in types else "is not in its schema"
            raise _damaged(
                f"{label}: the field {feature.field!r} of the feature {feature.name!r} {found}",
                f"a field of type {' or '.join(SOURCES[feature.kind])}",
            )
        if feature.since is not None and types.get(feature.since) not in TIME_TYPES:
            raise _damaged(
                f"{label}: the feature {feature.name!r} counts from {feature.since!r}, which is no time of its schema",
                f"a field of type {' or '.join(TIME_TYPES)}",
            )
    if encoder.weight != schema.weight:
        raise _damaged(f"{label} has the weight {encoder.weight}", f"{schema.weight}, as in its schema")
    if [*encoder.key, encoder.target] != [*schema.named("key"), *schema.named("target")]:
        raise _damaged(
            f"{label} has the key {', '.join(encoder.key)} and the target {encoder.target}",
            f"{', '.join(schema.named('key'))} and {', '.join(schema.named('target'))}, as in its schema",
        )
    return schema


def _damaged(found: str, expected: str) -> BadInput:
    return BadInput(found, expected=expected, do="train again, with an encoder that `preprocessing split` wrote")


def what_cannot_be_compared(ours: Encoder, our_schema: Schema, theirs: Encoder, their_schema: Schema) -> list[str]:
    """How a day differs from the data of a model, if the model cannot score the day's rows: a sentence each."""
    found = [f"field {name!r} is not in the model" for name in unknown_fields(our_schema, their_schema)]
    found += differences(our_schema, their_schema)
    if ours.target != theirs.target:
        found.append(f"the target is {ours.target!r} here, {theirs.target!r} in the model")
    if set(ours.classes) == set(theirs.classes) and ours.classes != theirs.classes:
        found.append(f"the positive class is {ours.classes[-1]!r} here, {theirs.classes[-1]!r} in the model")
    elif ours.classes != theirs.classes:
        found.append(f"the classes are {_few(ours.classes)} here, {_few(theirs.classes)} in the model")
    return found


def _few(names: Sequence[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def fit_encoder(schema: Schema, classes: Sequence[str], frequent: Mapping[str, Sequence[str]]) -> Encoder:
    """The encoder of a schema. `frequent` has for each text feature its most frequent values, sorted.

    Errors: BadInput if the name of a feature made from a time, such as `time_hour`, is taken, or if there is none.
    """
    require_features("schema.json", schema)
    features = [feature for field in schema.fields for feature in _features(field, frequent)]
    key, target = schema.named("key"), schema.named("target")
    return Encoder(tuple(key), target[0], tuple(classes), tuple(features), schema.document, schema.weight)


def require_features(label: str, schema: Schema) -> None:
    """Errors: BadInput if the fields make no feature, or a feature with the name of a column beside it."""
    features = [feature.name for field in schema.fields for feature in _features(field, {field.name: ()})]
    if not features:
        raise BadInput(f"{label}: its fields make no feature", expected="one or more", do="correct roles or `parts`")
    names = [*schema.named("key", "weight", "target"), *features]
    if taken := sorted({name for name in names if names.count(name) > 1}):
        raise BadInput(
            f"{label}: {', '.join(taken)} is a field's name and the name of a feature made from a time",
            expected="names that differ",
            do="rename the field",
        )


def _features(field: Field, frequent: Mapping[str, Sequence[str]]) -> list[Feature]:
    """What a field becomes."""
    if field.role == "time":
        kinds = TIME_KINDS[field.type] if field.parts is None else field.parts
        return [
            *(Feature(f"{field.name}_{kind}", field.name, kind) for kind in kinds),
            *(Feature(f"{field.name}_since_{other}", field.name, DAYS, since=other) for other in field.since),
        ]
    if field.role != "feature":
        return []
    if field.type == "string":
        return [Feature(field.name, field.name, CATEGORY, tuple(frequent[field.name]))]
    return [Feature(field.name, field.name, DAYS if field.type in TIME_TYPES else NUMBER)]
