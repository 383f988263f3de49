"""The labels of a day: the classes in target.csv, checked as `prepare` checks them, in the words of a model."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl
from stagekit import Partition, Publication
from stagekit.contract import Encoder

from checked_table import CheckedTable, Counts, RawTable, no_label, write_rows
from checks import convert
from csv_input import KINDS, MALFORMED
from csv_output import texts_of
from deliveries import whole_target
from keys import compare_keys
from table_schema import Field, Schema

MOST_NEW_CLASSES, SHOWN_CHARACTERS = 20, 60
VALUE, CLASS = "\0value", "\0class"


@dataclass
class LabelCounts(Counts):
    """What happened to the rows of target.csv.

    A rejected row counts once in `unused`: as malformed, else missing (no target), else unreadable (another fault of
    key or target), else repeated. `new_classes` counts the rows of the first classes that the model does not know,
    `new_class_rows` the rows of all of them.
    """

    target: str = ""
    classes: tuple[str, ...] = ()
    unused: Counter[str] = field(default_factory=lambda: Counter(malformed=0, missing=0, unreadable=0, repeated=0))
    new_classes: Counter[str] = field(default_factory=Counter)
    new_class_rows: int = 0

    def add_rejected(self, file: str, bad: pl.DataFrame) -> None:
        super().add_rejected(file, bad)
        kinds = pl.col(KINDS)
        faults = bad.select(
            pl.when(kinds.list.eval(pl.element().is_in(MALFORMED)).list.any())
            .then(pl.lit("malformed"))
            .when(kinds.list.contains(f"{self.target}: missing"))
            .then(pl.lit("missing"))
            .when(kinds.list.eval(~pl.element().str.ends_with(": duplicate")).list.any())
            .then(pl.lit("unreadable"))
            .otherwise(pl.lit("repeated"))
        )
        self.unused.update(dict(faults.to_series().value_counts().iter_rows()))

    def add_written(self, good: pl.DataFrame) -> None:
        super().add_written(good)
        unknown = good.filter(~pl.col(self.target).is_in(self.classes))[self.target]
        self.new_class_rows += unknown.len()
        for name, rows in unknown.str.slice(0, SHOWN_CHARACTERS).value_counts(sort=True).iter_rows():
            if name in self.new_classes or len(self.new_classes) < MOST_NEW_CLASSES:
                self.new_classes[name] += rows

    def result(self) -> dict[str, Any]:
        return {
            "rows": self.rows["target.csv"],
            "labels": self.written,
            **self.unused,
            **self.set_aside(),
            "new_class_rows": self.new_class_rows,
            "new_classes": dict(sorted(self.new_classes.items())),
            "reasons": dict(sorted(self.reasons.items())),
            **self.extra(),
        }


def write_labels(
    raw: Partition, encoder: Encoder, schema: Schema, partial: bool, publication: Publication
) -> LabelCounts:
    """Write labels.csv (the key columns and the target) and rejected.csv; returns what was counted.

    `schema` is that of the model; `partial` says whether a row of the day may lack its label. A class that the model
    knows has exactly the text of encoder.json.
    Errors: BadInput if target.csv as such cannot be read.
    """
    names = [*encoder.key, encoder.target]
    path, earlier = whole_target(raw, schema.target_columns, publication.scratch)
    target = RawTable(
        path,
        f"{raw.name}/target.csv",
        _any_class(schema),
        schema.target_columns,
        names,
        may_be_empty=True,
        earlier=earlier,
    )
    table = CheckedTable(target, publication.scratch / "target", target.parts)
    compare_keys(table.keys)
    known = _known_classes(schema.of([encoder.target])[0], encoder.classes)

    def coded(rows: pl.DataFrame, _: int) -> pl.DataFrame:
        found = rows.join(known, left_on=encoder.target, right_on=VALUE, how="left", maintain_order="left")
        name = found[CLASS].fill_null(texts_of(rows[encoder.target]))
        return rows.select(encoder.key).with_columns(name.alias(encoder.target))

    kinds = [f"{encoder.target}: missing"]
    counts = LabelCounts(
        unlabelled_kinds=kinds, labels_are_partial=partial, target=encoder.target, classes=encoder.classes
    )
    write_rows([table], "labels.csv", publication, coded, counts)
    if (missing := counts.unused["missing"]) and not partial:
        counts.warnings.append(no_label(target.label, missing, table.rows))
    return counts


def _any_class(schema: Schema) -> Schema:
    """The schema without constraints on the target: a class that the model does not know is not a wrong row."""
    fields = (replace(field, constraints={}) if field.role == "target" else field for field in schema.fields)
    return replace(schema, fields=tuple(fields))


def _known_classes(target: Field, classes: tuple[str, ...]) -> pl.DataFrame:
    """The typed value (VALUE) and the text (CLASS) of each class of the model."""
    typed = pl.DataFrame({CLASS: classes}).with_columns(convert(target.as_written(), pl.col(CLASS)).alias(VALUE))
    return typed.unique(VALUE, keep="first", maintain_order=True)
