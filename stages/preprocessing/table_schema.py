"""`schema.json`: a Frictionless Table Schema whose fields have a `role` (https://specs.frictionlessdata.io/table-schema/)."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from stagekit import BadInput
from stagekit.contract import DAY, HOUR, MONTH, WEEKDAY, YEARDAY
from stagekit.shapes import ShapeError, parse_object

ROLES = ("key", "entity", "feature", "time", "weight", "target", "ignore")
ORDERED = ("integer", "number", "date", "datetime")
CONSTRAINTS = {
    "required": ("string", "integer", "number", "boolean", "date", "datetime"),
    "unique": ("string", "integer", "number", "boolean", "date", "datetime"),
    "enum": ("string", "integer", "number", "boolean", "date", "datetime"),
    "minimum": ORDERED,
    "maximum": ORDERED,
    "pattern": ("string",),
    "minLength": ("string",),
    "maxLength": ("string",),
}
TYPES = CONSTRAINTS["required"]
TIME_TYPES, NUMBER_TYPES = ("date", "datetime"), ("integer", "number")
# LightGBM and scikit-learn keep a set of categories in 256 bits. One bit is for "unseen".
MOST_CATEGORIES = 255
# Which fraction of a file's rows may be rejected, unless --max-rejected says otherwise.
MOST_REJECTED = 0.1
# What of a time can become a feature; a date has no hour.
PARTS = (HOUR, WEEKDAY, DAY, MONTH, YEARDAY)
# These properties change the meaning of the data, so they are refused.
UNSUPPORTED = ("categories", "categoriesOrdered")
NUMBER_PROPERTIES = ("decimalChar", "groupChar", "bareNumber")
UNSUPPORTED_AT_TOP = ("foreignKeys", "uniqueKeys")
# The properties that decide how data is read or used, by where they belong.
PROPERTIES = {
    "the schema": ("fields", "primaryKey", "missingValues", *UNSUPPORTED_AT_TOP),
    "a field": (
        *("name", "type", "role", "format", "constraints", "missingValues", "trueValues", "falseValues"),
        *("rowNumber", "sensitive", "parts", "since", "partial", "positiveClass", *NUMBER_PROPERTIES, *UNSUPPORTED),
    ),
    "constraints": tuple(CONSTRAINTS),
}
# Those of the specification that only describe.
DESCRIBING = ("$schema", "name", "type", "title", "description", "example", "examples", "rdfType")
# From this ratio of difflib on a name is a slip of a known one: `sicne` is one of `since`, `unit` is none of `unique`.
SLIP = 0.8
TRUE_VALUES = ("true", "True", "TRUE", "1")
FALSE_VALUES = ("false", "False", "FALSE", "0")
MOST_LENGTH = (1 << 31) - 1
# What of a field must be the same for a model and a day that it scores.
COMPARED = (
    *("role", "type", "format", "constraints", "true_values", "false_values"),
    *("decimal_char", "group_char", "bare_number", "parts", "since", "missing"),
)
# Columns of predictions.csv beside the key. What follows the prefix is a class, which a schema does not name.
PREDICTION, PROBABILITY_PREFIX = "prediction", "probability_"
BYTE_ORDER_MARK = "\ufeff".encode()


@dataclass(frozen=True)
class Field:
    """One column: its values (`type`, how they are written, `constraints`) and its purpose (`role`).

    `group_char` is empty if thousands are not grouped. `positive_class` is a value of a target, as the schema has it.
    A value of a `sensitive` field is on no page and in no log, alert or message.
    `parts` of a time and the times `since` which it counts become features; None: the usual parts.
    `missing` are the texts that mean "missing" in this field; None: those of the schema.
    """

    name: str
    type: str
    role: str
    format: str
    constraints: Mapping[str, Any]
    true_values: tuple[str, ...]
    false_values: tuple[str, ...]
    decimal_char: str = "."
    group_char: str = ""
    bare_number: bool = True
    positive_class: Any = None
    sensitive: bool = False
    parts: tuple[str, ...] | None = None
    since: tuple[str, ...] = ()
    missing: tuple[str, ...] | None = None

    def as_written(self) -> "Field":
        """The field as `prepare` writes its values: in the default format, within all constraints."""
        true, false = TRUE_VALUES[:1], FALSE_VALUES[:1]
        return Field(self.name, self.type, self.role, "default", {}, true, false, sensitive=self.sensitive)


@dataclass(frozen=True)
class Schema:
    """The fields in order, the texts that mean "missing", and the document they were read from."""

    fields: tuple[Field, ...]
    missing: tuple[str, ...]
    document: Mapping[str, Any]

    def named(self, *roles: str) -> list[str]:
        """The names of the fields that have one of these roles, in the schema's order."""
        return [field.name for field in self.fields if field.role in roles]

    def of(self, names: Sequence[str]) -> list[Field]:
        """The fields of these names, in the schema's order."""
        return [field for field in self.fields if field.name in names]

    @property
    def hides_values(self) -> bool:
        """Whether a text that could be of any field must not be shown."""
        return any(field.sensitive for field in self.fields)

    @property
    def weight(self) -> str | None:
        """The field with the weight of each row."""
        return next(iter(self.named("weight")), None)

    @property
    def row_number(self) -> str | None:
        """The key that `import` makes up, the number of each row; None if the files have a key."""
        return next((field["name"] for field in self.document["fields"] if field.get("rowNumber")), None)

    @property
    def labels_are_partial(self) -> bool:
        """Whether rows may come without a label; they are passed over in training."""
        return any(field.get("partial") for field in self.document["fields"])

    @property
    def data_columns(self) -> list[str]:
        """The columns of data.csv."""
        return [field.name for field in self.fields if field.role != "target"]

    @property
    def target_columns(self) -> list[str]:
        """The columns of target.csv."""
        return self.named("key", "target")


def is_pattern(name: str) -> bool:
    """Whether polars takes a name as a pattern for several columns."""
    return name == "*" or (name.startswith("^") and name.endswith("$"))


def columns_kept(schema: Schema) -> list[str]:
    """The columns of train_data.csv: the fields of the schema that are used, the target last."""
    return [*schema.named("key", "entity", "feature", "time", "weight"), *schema.named("target")]


def read_schema(path: Path, label: str, *, scoring: bool = False) -> Schema:
    """Read a raw day's schema.json; for scoring it may lack the target.

    Errors: BadInput that names the property at fault, or a key with the name of a column of predictions.csv. Names of
    properties are checked here alone: a model whose schema was read before they were checked still scores.
    """
    try:
        document = parse_object(path.read_bytes().removeprefix(BYTE_ORDER_MARK))
    except ShapeError as error:
        raise BadInput(
            f"{label}: {error.found}", expected=f"a Table Schema, which is {error.expected}", do="correct it"
        ) from None
    schema = parse_schema(document, label, scoring=scoring)
    for at, name, meant in _unknown_properties(document):
        if meant:
            raise _wrong(f"{label}{at}", f"its property {name!r} is unknown", f"{meant}, or a name that is not so near")
    if taken := [name for name in schema.named("key") if name == PREDICTION or name.startswith(PROBABILITY_PREFIX)]:
        raise _wrong(
            label,
            f"the key {taken[0]!r} has the name of a column of predictions.csv",
            f"a key that is not called {PREDICTION}, and does not begin with {PROBABILITY_PREFIX}",
        )
    return schema


def parse_schema(document: Any, label: str, *, scoring: bool = False) -> Schema:
    """Check a Table Schema that has been read. Errors: BadInput that names the property at fault."""
    if not isinstance(document, dict) or not isinstance(document.get("fields"), list) or not document["fields"]:
        raise _wrong(
            label, "it has no list of fields", 'an object such as {"fields": [{"name": ..., "type": ..., "role": ...}]}'
        )
    for name in UNSUPPORTED_AT_TOP:
        if name in document:
            raise _wrong(label, f"it has {name}, which is not checked here", f"a schema without {name}")
    missing = _texts(document.get("missingValues", [""]), label, "missingValues")
    schema = Schema(tuple(_field(field, label) for field in document["fields"]), missing, document)
    _require_sound(schema, label, targets=(0, 1) if scoring else (1,))
    return schema


def properties_not_used(schema: Schema) -> list[str]:
    """The properties that are unknown, each with the field that has it."""
    return [f"{name!r}{at}" for at, name, _ in _unknown_properties(schema.document)]


def _unknown_properties(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The properties that are unknown where they stand: where, the name, and what it is a slip of, with its place."""
    fields = [(f", field {field['name']!r}", "a field", field) for field in document["fields"]]
    for at, place, properties in [("", "the schema", document), *fields]:
        for name in properties:
            if name not in PROPERTIES[place] and name not in DESCRIBING:
                yield at, name, _meant(name, place)


def _meant(name: str, place: str) -> str:
    """The known name that a name is a slip of, whatever its case, with the place that it belongs to; empty if none."""
    for other in sorted(PROPERTIES, key=lambda known: known != place):
        known = {right.casefold(): right for right in PROPERTIES[other]}
        if near := get_close_matches(name.casefold(), known, 1, SLIP):
            return f"{known[near[0]]}, a property of {other}"
    return ""


def _field(document: Any, label: str) -> Field:
    name = document.get("name") if isinstance(document, dict) else None
    if not isinstance(name, str) or not name:
        raise _wrong(label, f"a field without a name: {json.dumps(document)[:80]}", "a name for each field")
    at = f"{label}, field {name!r}"
    if is_pattern(name):
        raise _wrong(at, "its name is a pattern for several columns", "a name other than * and ^...$")
    kind, role = document.get("type"), document.get("role")
    if kind not in TYPES:
        raise _wrong(at, f"its type is {kind!r}", f"one of {', '.join(TYPES)}")
    if role not in ROLES:
        raise _wrong(at, f"its role is {role!r}", f"one of {', '.join(ROLES)}")
    for unsupported in UNSUPPORTED:
        if unsupported in document:
            raise _wrong(at, f"it has {unsupported}, which is not understood here", f"a field without {unsupported}")
    _require_properties(document, at)
    return Field(
        name,
        kind,
        role,
        document.get("format", "default"),
        _constraints(document.get("constraints", {}), kind, at),
        _texts(document.get("trueValues", TRUE_VALUES), at, "trueValues"),
        _texts(document.get("falseValues", FALSE_VALUES), at, "falseValues"),
        document.get("decimalChar", "."),
        document.get("groupChar") or "",
        document.get("bareNumber", True),
        document.get("positiveClass"),
        document.get("sensitive", False),
        tuple(document["parts"]) if "parts" in document else None,
        tuple(document.get("since", ())),
        _texts(document["missingValues"], at, "missingValues") if "missingValues" in document else None,
    )


def _require_properties(document: Mapping[str, Any], at: str) -> None:
    """Errors: BadInput if a property that says how values are written does not fit the field."""
    kind, role, format_ = document["type"], document["role"], document.get("format", "default")
    if format_ != "default" and (kind not in ("date", "datetime") or not isinstance(format_, str)):
        raise _wrong(at, f"its format is {format_!r}", "default, or for date and datetime a pattern such as %d/%m/%Y")
    if kind not in NUMBER_TYPES and (found := [name for name in NUMBER_PROPERTIES if name in document]):
        raise _wrong(at, f"it has {found[0]} and the type {kind}", f"{found[0]} on integer and number only")
    decimal, group = document.get("decimalChar", "."), document.get("groupChar") or ""
    for name, mark in (("decimalChar", decimal), ("groupChar", group or "'")):
        if not isinstance(mark, str) or len(mark) != 1 or mark.isalnum() or mark in "+-%":
            raise _wrong(at, f"its {name} is {json.dumps(mark)}", "one character, such as , or .")
    if decimal == group:
        raise _wrong(at, f"decimalChar and groupChar are both {decimal!r}", "two marks that differ")
    if not isinstance(document.get("bareNumber", True), bool):
        raise _wrong(at, f"its bareNumber is {json.dumps(document['bareNumber'])}", "true or false")
    sensitive = document.get("sensitive", False)
    if not isinstance(sensitive, bool) or (sensitive and role in ("key", "target")):
        expected = "true or false; not true for key and target, whose values say which row and class a message means"
        raise _wrong(at, f"its sensitive is {json.dumps(sensitive)}", expected)
    _require_features_of_time(document, at)
    made_up, positive = document.get("rowNumber", False), document.get("positiveClass")
    if not isinstance(made_up, bool) or (made_up and (kind, role) != ("integer", "key")):
        raise _wrong(at, f"its rowNumber is {json.dumps(made_up)}", "true, on a key of type integer")
    if not isinstance(document.get("partial", False), bool) or (document.get("partial") and role != "target"):
        raise _wrong(at, f"its partial is {json.dumps(document['partial'])}", "true, on the target")
    if positive is not None and role != "target":
        raise _wrong(at, "it has a positiveClass", "positiveClass on the target only")
    if not isinstance(positive, str | int | float | None) or positive == "":
        raise _wrong(at, f"its positiveClass is {json.dumps(positive)}", "a value of the target")


def _require_features_of_time(document: Mapping[str, Any], at: str) -> None:
    """Errors: BadInput if `parts` or `since` are no lists of names on a time. `since` is checked with the schema."""
    for name in ("parts", "since"):
        if name in document and (
            document["role"] != "time" or len(set(_texts(document[name], at, name))) < len(document[name])
        ):
            raise _wrong(
                at, f"its {name} are {json.dumps(document[name])}", f"{name} on the role time, each named once"
            )
    known = PARTS if document["type"] == "datetime" else PARTS[1:]
    if unknown := [part for part in document.get("parts", ()) if part not in known]:
        raise _wrong(at, f"{unknown[0]!r} is no part of a {document['type']}", f"some of {', '.join(known)}")


def _constraints(constraints: Any, kind: str, at: str) -> dict[str, Any]:
    if not isinstance(constraints, dict):
        raise _wrong(at, "its constraints are no object", 'constraints such as {"minimum": 0}')
    for name, value in constraints.items():
        if kind not in CONSTRAINTS.get(name, ()):
            known = [known for known, kinds in CONSTRAINTS.items() if kind in kinds]
            raise _wrong(at, f"the constraint {name} on type {kind}", f"one of {', '.join(known)}")
        right, expected = {
            "required": (isinstance(value, bool), "true or false"),
            "unique": (isinstance(value, bool), "true or false"),
            "enum": (isinstance(value, list) and bool(value), "a list of one value or more"),
            "pattern": (isinstance(value, str), "a regular expression"),
            "minLength": (_is_length(value), f"a whole number from 0 to {MOST_LENGTH}"),
            "maxLength": (_is_length(value), f"a whole number from 0 to {MOST_LENGTH}"),
        }.get(name, (_is_bound(value), f"a finite number, or a text that is a {kind}"))
        if not right:
            raise _wrong(at, f"the constraint {name} is {json.dumps(value)}", expected)
    return constraints


def _is_bound(value: Any) -> bool:
    return isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_LENGTH


def _require_sound(schema: Schema, label: str, targets: tuple[int, ...]) -> None:
    names = [field.name for field in schema.fields]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise _wrong(label, f"fields named twice: {', '.join(repeated)}", "one field for each column")
    if not schema.named("key"):
        raise _wrong(label, "no field has the role key", "at least one, which identifies a row")
    if schema.row_number and len(schema.named("key")) > 1:
        raise _wrong(label, f"rowNumber makes one key of {len(schema.named('key'))}", "no other key beside it")
    if len(schema.named("target")) not in targets:
        raise _wrong(label, f"{len(schema.named('target'))} fields have the role target", "exactly one")
    for role in ("entity", "weight"):
        if len(schema.named(role)) > 1:
            raise _wrong(label, f"{role} is the role of {', '.join(schema.named(role))}", "at most one")
    if not schema.named("feature", "time"):
        raise _wrong(label, "no field has the role feature or time", "at least one")
    types = {field.name: field.type for field in schema.fields if field.role in ("time", "feature")}
    for field in schema.fields:
        if wrong := [other for other in field.since if types.get(other) not in TIME_TYPES or other == field.name]:
            raise _wrong(
                f"{label}, field {field.name!r}",
                f"it counts since {wrong[0]!r}, which is no other time",
                "a field of type date or datetime with the role time or feature",
            )
        if both := sorted({*field.true_values} & {*field.false_values}):
            raise _wrong(
                f"{label}, field {field.name!r}", f"{both[0]!r} is both true and false", "two lists that differ"
            )
        if field.role == "time" and field.type not in TIME_TYPES:
            raise _wrong(f"{label}, field {field.name!r}", f"the role time on type {field.type}", "date or datetime")
        if field.role == "weight" and field.type not in NUMBER_TYPES:
            raise _wrong(f"{label}, field {field.name!r}", f"the role weight on type {field.type}", "integer or number")
    primary = schema.document.get("primaryKey", schema.named("key"))
    primary = [primary] if isinstance(primary, str) else primary
    if not isinstance(primary, list) or sorted(map(str, primary)) != sorted(schema.named("key")):
        raise _wrong(label, f"primaryKey is {primary}", f"the fields of role key: {', '.join(schema.named('key'))}")


def _texts(value: Any, label: str, name: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(text, str) for text in value):
        raise _wrong(label, f"{name} is {json.dumps(value)}", "a list of texts")
    return tuple(value)


def _wrong(label: str, found: str, expected: str) -> BadInput:
    return BadInput(f"{label}: {found}", expected=expected, do="correct schema.json")


def differences(ours: Schema, theirs: Schema) -> list[str]:
    """How the key, feature and time fields of a day differ from those that a model needs: a sentence each.

    Features and times that the model does not know are `unknown_fields`: a model scores rows that have them.
    """
    roles = ("key", "feature", "time")
    mine = {field.name: field for field in ours.fields if field.role in roles}
    model = {field.name: field for field in theirs.fields if field.role in roles}
    found = [f"the key {name!r} is not in the model" for name in mine if mine[name].role == "key" and name not in model]
    found += [f"field {name!r} of the model is not here" for name in model if name not in mine]
    for name in (name for name in mine if name in model):
        for attribute in COMPARED:
            here, there = getattr(mine[name], attribute), getattr(model[name], attribute)
            if here != there:
                found.append(f"field {name!r}: {attribute} is {here!r} here, {there!r} in the model")
    if set(ours.missing) != set(theirs.missing):
        found.append(f"missingValues are {list(ours.missing)} here, {list(theirs.missing)} in the model")
    return found


def unknown_fields(ours: Schema, theirs: Schema) -> list[str]:
    """The features and times of a day that a model does not know."""
    known = theirs.named("key", "feature", "time")
    return [name for name in ours.named("feature", "time") if name not in known]


def unique_beside_key(fields: Sequence[Field]) -> list[Field]:
    """The fields declared unique, without a field that is the key alone."""
    key = [field.name for field in fields if field.role == "key"]
    return [field for field in fields if field.constraints.get("unique") and key != [field.name]]
