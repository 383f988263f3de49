"""A draft of a Table Schema: the type and the role of each column, from its values, with the reasons."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from stagekit import BadInput, UsageError

from column_choice import Choice, choose
from column_values import Column
from container_options import how_to_read
from csv_input import in_short, was_named
from draft_keys import is_named_like_a_key, made_up_name
from draft_roles import describe_target, warnings_on_weight
from file_look import Facts, FileLook, Head, JoinedPairs, LabelPairs
from free_text import may_become_free_text
from identifiers import Signs, signs_of_an_identifier
from key_match import KeyHashes, KeyMatch
from look_alikes import look_alikes
from readings import BOOLEAN, INTEGER, TEXT, TIMES, Reading, field_document
from table_schema import MOST_CATEGORIES, Field

# If texts do not repeat in this many rows or more, they are names, not descriptions.
IDENTIFIER_ROWS = 50


@dataclass
class Draft:
    """A Table Schema, the rows that it was made from, and what a person should look at."""

    document: dict[str, Any]
    rows: int
    warnings: list[str]

    def named(self, role: str) -> list[str]:
        """The fields of this role."""
        return [field["name"] for field in self.document["fields"] if field["role"] == role]


def draft_schema(data: Path, target: Path | None, facts: Facts, scratch: Path) -> Draft:
    """Draft a Table Schema. Temporary files go to the folder `scratch`.

    If no key is named, it is the columns that both files have; of one file a column in which no value repeats, or else
    the number of the row.
    Errors: UsageError if a named column does not exist; BadInput if a column has two readings, if the target is no
    column of classes, or if target.csv does not have exactly one column beside the key.
    """
    rows = FileLook(data, facts, scratch)
    if target:
        return _draft_of_two(rows, FileLook(target, facts, scratch), facts)
    named = [*facts.key, facts.entity, facts.weight, facts.target_column, *facts.assume]
    _require_columns(rows.header, named, rows.label)
    pairs = LabelPairs(rows.header, facts.target_column) if facts.target_column else None
    rows.read(*([pairs] if pairs else []))
    label = rows.columns[facts.target_column] if facts.target_column else None
    drafting = Drafting(rows, facts, label, pairs)
    drafting.take_key(facts.key)
    return drafting.draft()


def _draft_of_two(rows: FileLook, labels: FileLook, facts: Facts) -> Draft:
    key = list(facts.key) or [name for name in rows.header if name in labels.header]
    if not key:
        raise UsageError(
            "the two files have no column in common",
            expected="the columns that identify a row",
            do="name each with --key COLUMN, or put the label into the data file and name it with --target-column",
        )
    _require_columns(rows.header, [*key, facts.entity, facts.weight], rows.label)
    _require_columns(labels.header, key, labels.label)
    _require_columns([*rows.header, *labels.header], facts.assume, f"{rows.label} or {labels.label}")
    predicted = [name for name in labels.header if name not in key]
    if len(predicted) != 1 or predicted[0] in rows.header:
        raise BadInput(
            f"{labels.label} has the columns {', '.join(labels.header)}; beside the key {', '.join(key)} that is "
            f"{', '.join(predicted) or 'nothing'}",
            expected="the key and exactly one column, what is to be predicted, which the data does not have",
            do="correct the file, or name the key with --key",
        )
    texts_or_numbers = [_key_field(name, facts) for name in key]
    labelled, known = (KeyHashes(texts_or_numbers, facts.missing) for _ in range(2))
    head = Head()
    labels.read(head, labelled)
    match = KeyMatch(texts_or_numbers, facts.missing, head.rows, labels.label)
    joined = JoinedPairs(rows.header, key, predicted[0], head.rows)
    rows.read(match, joined, known)
    match.require_matches(rows.label)
    drafting = Drafting(rows, facts, labels.columns[predicted[0]], joined.pairs)
    if absent := known.absent_from(labelled):
        drafting.unlabelled = f"{absent:,} of {rows.rows:,} rows of {rows.label} are not in {labels.label}"
    drafting.take_key(key)
    drafting.warn_of_file(labels)
    return drafting.draft()


def _require_columns(header: Collection[str], names: Collection[str | None], label: str) -> None:
    for name in names:
        if name is not None and name not in header:
            near = _nearest(name, header)
            raise UsageError(
                f"there is no column {name!r} in {label}: it has {in_short([*header])}",
                do=(f"write {near!r} if that is meant" if near else "correct the name")
                + ", or remove the lines before the header"
                + (f"; {how_to_read(header)}" if len(header) == 1 else ""),
            )


def _nearest(name: str, header: Collection[str]) -> str | None:
    """The column whose name is most like another name, whatever its case and blanks; None if none is like it."""
    plain = {column.strip().casefold(): column for column in header}
    return next((plain[like] for like in get_close_matches(name.strip().casefold(), plain, 1)), None)


def _key_field(name: str, facts: Facts) -> Field:
    reading = INTEGER if facts.assume.get(name) == INTEGER.assume else TEXT
    return replace(reading.field, name=name)


class Drafting:
    """A draft in the making: of the columns of the data, and the target's if it is known."""

    def __init__(self, rows: FileLook, facts: Facts, target: Column | None, pairs: LabelPairs | None) -> None:
        self._rows, self._facts, self._target = rows, facts, target
        self._equal = pairs.equal() if pairs else {}
        self._key: list[str] = []
        self._entity = facts.entity
        # What the values of columns show that seem to identify something.
        self._identifying: dict[str, Signs] = {}
        self._made_up: dict[str, Any] | None = None
        self._key_reason = ""
        # Says which rows a target in a file of its own lacks; empty if there are none.
        self.unlabelled = ""
        self.warnings: list[str] = []
        self.warn_of_file(rows)
        choices = {name: self._choose(column) for name, column in self._columns.items()}
        # How a file writes decimals in one column says what a point or a comma is in another.
        marks = {choice.decimal_mark for choice in choices.values()}
        self._choices = {name: self._choose(column, marks) for name, column in self._columns.items()}

    @property
    def _columns(self) -> dict[str, Column]:
        return self._rows.columns | ({self._target.name: self._target} if self._target else {})

    def _choose(self, column: Column, decimal_marks: Collection[str | None] = ()) -> Choice:
        return choose(column, is_assumed=column.name in self._facts.assume, decimal_marks=decimal_marks)

    def warn_of_file(self, look: FileLook) -> None:
        """Warn of columns that have no name, and of rows that `prepare` will reject."""
        if look.table.named:
            self.warnings.append(was_named(look.label, look.table.named))
        if look.malformed.count:
            examples = "; ".join(look.malformed.examples)
            self.warnings.append(f"{look.label}: malformed rows: {look.malformed.count}, such as {examples}")

    # --- the key ---

    def take_key(self, key: Sequence[str]) -> None:
        """Take these columns as the key; if there is none, a column in which no value repeats, or the row's number."""
        unique = self._rows.keys.unique()
        self._key = list(key) or self._candidates(unique)[:1]
        if key:
            self._key_reason = "as named" if self._facts.key else "in both files"
            if len(key) == 1 and key[0] not in unique:
                self.warnings.append(f"{key[0]}: a key whose values repeat or are missing: prepare rejects such rows")
        elif self._key:
            what = "named like a key" if is_named_like_a_key(self._key[0]) else "the first column"
            self._key_reason = f"{what}, no value repeats or is missing; --key names another one"
        else:
            name = made_up_name([*self._columns])
            reason = (
                "made up by import, the number of the row: no column that could be a key has another value in each row"
            )
            self._made_up = {"name": name, "type": "integer", "role": "key", "rowNumber": True}
            self._made_up |= {"constraints": {"required": True}, "description": reason}

    def _candidates(self, unique: Sequence[str]) -> list[str]:
        others = (self._facts.entity, self._facts.weight, self._target.name if self._target else None)
        kinds = (INTEGER.field.type, TEXT.field.type)
        return [name for name in unique if name not in others and self._choices[name].reading.field.type in kinds]

    # --- the document ---

    def draft(self) -> Draft:
        """The whole draft. Errors: BadInput if a column has two readings."""
        self._find_identifiers()
        undecided = [self._choices[name].undecided for name in self._columns if not self._is_identity(name)]
        if undecided := list(filter(None, undecided)):
            raise BadInput(
                "; ".join(undecided),
                expected="one reading for each column",
                do="choose with --assume; nothing was written",
            )
        self._missing = self._missing_texts()
        fields = [self._made_up] if self._made_up else []
        fields += [self._field(column) for name, column in self._rows.columns.items() if column is not self._target]
        if self._target:
            choice = self._choices[self._target.name]
            document, warnings = describe_target(
                self._target, choice, self._missing, self._facts.missing, self.unlabelled
            )
            self.warnings += warnings
            fields.append(document)
        else:
            self.warnings.append(
                "no target is named, so this schema can only score: --target-column or --target names it"
            )
        if all(field["role"] not in ("feature", "time") for field in fields):
            self.warnings.append(
                f"{self._rows.label} has no column to learn from beside key and target: add one to the file, or give "
                "one that is ignored the role feature"
            )
        key = [field["name"] for field in fields if field["role"] == "key"]
        document = {"fields": fields, "primaryKey": key, "missingValues": ["", *self._missing]}
        return Draft(document, self._rows.rows, self.warnings)

    def _find_identifiers(self) -> None:
        """Find the columns that identify something; the entity is one that clearly does, if none is named."""
        taken = (*self._key, self._entity, self._facts.weight, self._target.name if self._target else None)
        for name, column in self._columns.items():
            if name not in taken and (signs := signs_of_an_identifier(column, self._choices[name])):
                self._identifying[name] = signs
        found = [self._columns[name] for name, signs in self._identifying.items() if signs.are_clear]
        complete = [column for column in found if column.repeats and column.readable == column.rows]
        if complete and self._entity is None:
            self._entity = max(complete, key=lambda column: (column.most_distinct, column.name)).name

    def _is_identity(self, name: str) -> bool:
        """Whether the values are compared as they are, so that no number or time is read from them."""
        target = self._target.name if self._target else None
        return name in (*self._key, self._entity, target) and name not in self._facts.assume

    def _missing_texts(self) -> list[str]:
        found = [
            text for name, choice in self._choices.items() if not self._is_identity(name) for text in choice.missing
        ]
        return list(dict.fromkeys([*self._facts.missing, *found]))

    def _field(self, column: Column) -> dict[str, Any]:
        name, choice = column.name, self._choices[column.name]
        why = [*choice.why]
        if name in self._key or name == self._entity:
            role, reading = ("key", "entity")[name not in self._key], _identity(column, choice)
            if name not in self._facts.assume:
                why = [f"compared as {reading.what}"]
            why.insert(0, self._key_reason if role == "key" else self._entity_reason())
        elif name == self._facts.weight:
            role, reading = "weight", choice.reading
            self.warnings += [*choice.warnings, *warnings_on_weight(column, choice)]
            why.insert(0, "as named")
        else:
            role, reading = self._role(column, choice, why), choice.reading
            self.warnings += choice.warnings
        self._note_missing(column, reading, why)
        if name in self._rows.table.named:
            why.append("has no name in the file")
        return field_document(name, reading, role, why)

    def _entity_reason(self) -> str:
        """Why a column is the entity; warns if nobody has named it."""
        name = self._entity
        if name not in self._identifying:
            return "as named"
        why = f"named like a key, and its {self._identifying[name].text}"
        self.warnings.append(
            f"{name}: drafted as the entity, so all rows of a value train or all validate, and it is no feature: "
            f"it is {why}; change its role in the schema if this is wrong"
        )
        return why

    def _role(self, column: Column, choice: Choice, why: list[str]) -> str:
        """The role of a column that is neither key nor entity nor target; adds the reasons and the warnings."""
        name = column.name
        never = not column.repeats and column.filled >= IDENTIFIER_ROWS
        reason = ""
        if not column.readable:
            reason = choice.why[0]
        elif never and choice.reading is TEXT:
            reason = f"no text repeats in {column.filled:,} rows, so they are names or free text, no categories"
        elif choice.reading is TEXT and may_become_free_text(
            column.rows, column.readable, column.most_distinct, column.characters
        ):
            reason = (
                f"its texts are long, {column.characters / column.filled:.0f} characters on average, and mostly "
                "different, so they are free text, no categories"
            )
        elif never and choice.reading is INTEGER and is_named_like_a_key(name):
            reason = (
                f"named like a key, and no value repeats in {column.filled:,} rows, so it says nothing of other rows"
            )
        elif name in self._identifying and self._identifying[name].are_clear:
            why.append(f"its {self._identifying[name].text}")
            reason = f"named like a key, and {why[-1]}, so it says nothing of new ones"
        if reason:
            why.append("ignored")
            self.warnings.append(f"{name}: ignored: {reason}; change its role in the schema if this is wrong")
            return "ignore"
        if column.distinct == 1 and column.readable == column.rows:
            value = next(iter(column.values.counts))
            self._warn(name, f"always {value!r}, so it says nothing", why)
        if choice.codes:
            missing = json.dumps(["", *self._missing, *choice.codes], ensure_ascii=False)
            sentence = f'{choice.codes_found}: a code for missing? If so, add "missingValues": {missing} to this field'
            self._warn(name, sentence, why)
        if choice.reading is TEXT and (alike := look_alikes(column.values.counts)):
            self._warn(name, alike, why)
        if name in self._identifying:
            sentence = (
                f"its {self._identifying[name].text}, as those of identifiers: if it is one, it says nothing of new "
                "ones, so give it the role entity or ignore in the schema"
            )
            self._warn(name, sentence, why)
        if choice.reading is TEXT and column.most_distinct > MOST_CATEGORIES:
            self._warn(
                name, f"the encoder keeps the {MOST_CATEGORIES} most frequent texts, others are as if missing", why
            )
        if name in self._equal:
            self._warn(name, f"equals the target ({self._equal[name]}): is it known before the target is?", why)
        return "time" if choice.reading.field.type in TIMES else "feature"

    def _warn(self, name: str, sentence: str, why: list[str]) -> None:
        why.append(sentence)
        self.warnings.append(f"{name}: {sentence}")

    def _note_missing(self, column: Column, reading: Reading, why: list[str]) -> None:
        """Warn of texts that are missing because they are so in other columns."""
        if reading is not TEXT or not column.readable:
            return
        for text in column.known.counts.keys() & {*self._missing} - {*self._facts.missing}:
            count, line = column.known.counts[text], column.known.lines[text]
            self._warn(
                column.name,
                f"{text!r} in line {line} ({count} in all) is missing here too, as in the columns of numbers",
                why,
            )


def _identity(column: Column, choice: Choice) -> Reading:
    """Identifiers are compared as texts, never as rounded numbers or times, unless all are whole numbers."""
    whole = choice.reading in (INTEGER, BOOLEAN) and not choice.warnings and not choice.missing
    return choice.reading if whole or choice.reading.reads_codes else TEXT
