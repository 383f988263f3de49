"""The labels of a day: the classes in target.csv, checked as `prepare` checks them, in the words of a model."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import polars as pl
from stagekit import Partition, Publication
from stagekit.contract import Encoder
from stagekit.shards import Shard

from checked_table import CheckedTable, Counts, RawTable, no_label, write_rows
from checks import convert
from csv_input import KINDS, MALFORMED
from csv_output import texts_of
from deliveries import whole_target
from keys import CONTRADICTION, DUPLICATE, compare_keys
from table_schema import Field, Schema

UNUSED = ("malformed", "missing", "unreadable", "contradictory", "repeated")
OF_SEVERAL_ROWS = f": ({DUPLICATE}|{CONTRADICTION})$"
MOST_NEW_CLASSES, SHOWN_CHARACTERS = 20, 60
VALUE, CLASS = "\0value", "\0class"


@dataclass
class LabelCounts(Counts):
    """What happened to the rows of target.csv, which messages call `label`.

    A rejected row counts once in `unused`: as malformed, else missing (no target), else unreadable (another fault of
    key or target), else contradictory (its key has another label too), else repeated. `new_classes` counts the rows of
    classes that the model does not know: of the first ones by name, so that shards of the day have the same.
    `new_class_rows` counts the rows of all of them.
    """

    label: str = ""
    target: str = ""
    classes: tuple[str, ...] = ()
    unused: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(UNUSED, 0)))
    new_classes: Counter[str] = field(default_factory=Counter)
    new_class_rows: int = 0

    SUMS: ClassVar[tuple[str, ...]] = (*Counts.SUMS, "unused", "new_classes")
    TOTALS: ClassVar[tuple[str, ...]] = (*Counts.TOTALS, "new_class_rows")

    def add_rejected(self, file: str, bad: pl.DataFrame) -> None:
        super().add_rejected(file, bad)
        kinds = pl.col(KINDS)
        faults = bad.select(
            pl.when(kinds.list.eval(pl.element().is_in(MALFORMED)).list.any())
            .then(pl.lit("malformed"))
            .when(kinds.list.contains(f"{self.target}: missing"))
            .then(pl.lit("missing"))
            .when(kinds.list.eval(~pl.element().str.contains(OF_SEVERAL_ROWS)).list.any())
            .then(pl.lit("unreadable"))
            .when(kinds.list.eval(pl.element().str.ends_with(f": {CONTRADICTION}")).list.any())
            .then(pl.lit("contradictory"))
            .otherwise(pl.lit("repeated"))
        )
        self.unused.update(dict(faults.to_series().value_counts().iter_rows()))

    def add_written(self, good: pl.DataFrame) -> None:
        super().add_written(good)
        unknown = good.filter(~pl.col(self.target).is_in(self.classes))[self.target]
        self.new_class_rows += unknown.len()
        self.new_classes.update(dict(unknown.str.slice(0, SHOWN_CHARACTERS).value_counts().iter_rows()))
        self.new_classes = Counter(self._first_new_classes())

    def warn(self) -> None:
        super().warn()
        if (missing := self.unused["missing"]) and not self.labels_are_partial:
            self.warnings.append(no_label(self.label, missing, self.rows["target.csv"]))

    def _first_new_classes(self) -> dict[str, int]:
        return dict(sorted(self.new_classes.items())[:MOST_NEW_CLASSES])

    def result(self) -> dict[str, Any]:
        return {
            "rows": self.rows["target.csv"],
            "labels": self.written,
            **self.unused,
            **self.set_aside(),
            "new_class_rows": self.new_class_rows,
            "new_classes": self._first_new_classes(),
            "reasons": dict(sorted(self.reasons.items())),
            **self.extra(),
        }


def new_counts(raw: Partition, encoder: Encoder, *, partial: bool) -> LabelCounts:
    """The counts before any row; `partial` says whether a row of the day may lack its label."""
    return LabelCounts(
        unlabelled_kinds=[f"{encoder.target}: missing"],
        labels_are_partial=partial,
        label=f"{raw.name}/target.csv",
        target=encoder.target,
        classes=encoder.classes,
    )


def write_labels(
    raw: Partition,
    encoder: Encoder,
    schema: Schema,
    publication: Publication,
    counts: LabelCounts,
    shard: Shard | None = None,
) -> None:
    """Write labels.csv (the key columns and the target) and rejected.csv; of a shard alone, if there is one.

    `schema` is that of the model. A class that the model knows has exactly the text of encoder.json.
    Errors: BadInput if target.csv as such cannot be read.
    """
    names = [*encoder.key, encoder.target]
    path, delivered = whole_target(raw, schema.target_columns, publication.scratch)
    target = RawTable(
        path,
        counts.label,
        _any_class(schema),
        schema.target_columns,
        names,
        delivered,
        may_be_empty=True,
        shard=shard,
    )
    table = CheckedTable(target, publication.scratch / "target", target.parts)
    compare_keys(table.keys)
    known = _known_classes(schema.of([encoder.target])[0], encoder.classes)

    def coded(rows: pl.DataFrame, _: int) -> pl.DataFrame:
        found = rows.join(known, left_on=encoder.target, right_on=VALUE, how="left", maintain_order="left")
        name = found[CLASS].fill_null(texts_of(rows[encoder.target]))
        return rows.select(encoder.key).with_columns(name.alias(encoder.target))

    write_rows([table], "labels.csv", publication, coded, counts)


def _any_class(schema: Schema) -> Schema:
    """The schema without constraints on the target: a class that the model does not know is not a wrong row."""
    fields = (replace(field, constraints={}) if field.role == "target" else field for field in schema.fields)
    return replace(schema, fields=tuple(fields))


def _known_classes(target: Field, classes: tuple[str, ...]) -> pl.DataFrame:
    """The typed value (VALUE) and the text (CLASS) of each class of the model."""
    typed = pl.DataFrame({CLASS: classes}).with_columns(convert(target.as_written(), pl.col(CLASS)).alias(VALUE))
    return typed.unique(VALUE, keep="first", maintain_order=True)
