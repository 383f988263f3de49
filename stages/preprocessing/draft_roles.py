"""The target and the weight of a draft: the classes, the positive one, and the rows that `prepare` will reject."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl
from stagekit import BadInput

from column_choice import FEW_VALUES, SHOWN_TEXTS, Choice
from column_values import Column
from look_alikes import look_alikes
from readings import BOOLEAN, INTEGER, NUMBER, NUMBERS, TEXT, Reading, field_document

# More classes are unusual.
MANY_CLASSES, SHOWN_CLASSES = 50, 5
# Numbers below this are read exactly.
SAFE = 1 << 53


def describe_target(
    column: Column, choice: Choice, missing: Sequence[str], named: Sequence[str], unlabelled: str
) -> tuple[dict[str, Any], list[str]]:
    """The target as a field of a Table Schema, and the warnings. Errors: BadInput if these are no classes.

    `missing` are the texts that mean "missing" in the schema, `named` those that a person has named. The others are
    missing in columns of numbers; in a target of texts they are classes. A target of numbers may have more of its own.
    `unlabelled` says which rows of the data the file of the target lacks; empty if there are none.
    """
    _require_classes(column)
    reading = _reading(column, choice)
    of_schema, missing = missing, named if reading is TEXT else list(dict.fromkeys([*missing, *choice.missing]))
    classes: Counter[Any] = Counter()
    for text, count in column.values.counts.items():
        if text.strip() not in missing:
            classes[_class(reading, text)] += count
    common = classes.most_common(SHOWN_CLASSES)
    shown = ", ".join(f"{name} ({count:,})" for name, count in common) + (", ..." if len(classes) > len(common) else "")
    why, warnings = [f"{len(classes)} class{'es' * (len(classes) != 1)}: {shown}"], list[str]()
    empty = column.rows - classes.total()
    lacking = [f"{empty:,} of {column.rows:,} rows have no label"] if empty else []
    lacking += [unlabelled] if unlabelled else []
    if sentence := " and ".join(lacking):
        why.append(f'{sentence}, so "partial" is true: labels may come later or never')
        more = 'the draft has "partial": true, so the others train; remove it if each row must have one'
        warnings.append(f"{column.name}: {sentence}: {more}")
    for text in column.known.counts.keys() - {*missing} if reading is TEXT else ():
        warnings.append(f"{column.name}: {text!r} is a class; if it means missing, name it with --missing '{text}'")
    if reading is TEXT and (alike := look_alikes(classes)):
        warnings.append(f"{column.name}: {alike}")
    if len(classes) < 2:
        warnings.append(f"{column.name}: there is only one class, {shown}: nothing can be learned from this file")
    if rare := sorted(str(name) for name, rows in classes.items() if rows < 2):
        more = f" and {len(rare) - SHOWN_CLASSES:,} more" if len(rare) > SHOWN_CLASSES else ""
        warnings.append(
            f"{column.name}: these classes have only one row, so `split` refuses the file: "
            f"{', '.join(rare[:SHOWN_CLASSES])}{more}"
        )
    if len(classes) > MANY_CLASSES:
        warnings.append(f"{column.name}: {len(classes)} classes are many: is it a number? Numbers are not predicted")
    document = field_document(column.name, reading, "target", why)
    if lacking:
        del document["constraints"]  # it says that a label is required
        document["partial"] = True
    if {*missing} != {*of_schema}:
        document["missingValues"] = ["", *missing]
    if len(classes) == 2:
        document["positiveClass"] = positive = min(sorted(classes, reverse=True), key=lambda name: classes[name])
        equal = len({*classes.values()}) == 1
        reason = "both are as frequent, this is the later one" if equal else "the rarer one"
        document["description"] += f"; the positive class is {positive}, {reason}"
    return document, warnings


def _require_classes(column: Column) -> None:
    rare = column.distinct is None or (column.distinct > column.filled / 2 and column.filled >= FEW_VALUES)
    if rare:
        number = f"more than {column.values.most:,}" if column.distinct is None else f"{column.distinct:,}"
        raise BadInput(
            f"the target {column.name} has {number} different values in {column.filled:,} rows",
            expected="a column of classes, each of them in many rows; numbers are not predicted",
            do="name another column, or one that says in which class the number is",
        )


def _reading(column: Column, choice: Choice) -> Reading:
    """Classes are whole numbers, booleans or texts. 1.0 is the whole number 1."""
    if choice.reading.reads_codes or (choice.reading in (INTEGER, BOOLEAN) and not choice.warnings):
        return choice.reading
    texts = [text.strip() for text in column.values.counts if text.strip() not in column.known.counts]
    if choice.reading is NUMBER and not choice.warnings and all(_is_whole(text) for text in texts):
        return INTEGER
    return TEXT


def _is_whole(text: str) -> bool:
    return float(text).is_integer() and abs(float(text)) < SAFE


def _class(reading: Reading, text: str) -> Any:
    """A class as JSON has it."""
    if reading.field.type == "integer":
        return int(float(text)) if abs(float(text)) < SAFE else int(text)
    if reading is BOOLEAN:
        return text.strip().lower() == "true"
    return text


def warnings_on_weight(column: Column, choice: Choice) -> list[str]:
    """What `prepare` will reject, of the values that were kept. Errors: BadInput if the column is none of numbers."""
    name, field = column.name, choice.reading.field
    if field.type not in NUMBERS:
        raise BadInput(
            f"the weight {name} is read as {field.type}: {'; '.join(choice.why)}",
            expected="a column of numbers above 0",
            do=f"name another column, or say how its numbers are written, such as --assume {name}=number",
        )
    warnings = []
    if lacking := column.rows - column.readable:
        warnings.append(f"{name}: {lacking:,} of {column.rows:,} rows have no weight: prepare rejects them")
    texts = pl.Series([text.strip() for text in column.values.counts], dtype=pl.String)
    if wrong := texts.filter(choice.reading.values(texts) <= 0).head(SHOWN_TEXTS).to_list():
        shown = ", ".join(map(repr, wrong))
        warnings.append(f"{name}: {shown}: a weight is above 0, so prepare rejects such rows")
    return warnings
