"""Reads the reasons of a day's scores, if they are of the predictions that the page shows."""

import csv
import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stagekit import BadInput, Partition
from stagekit.contract import read_document

REASONS_FILE, CONTRIBUTIONS_FILE, PREDICTIONS_FILE = "reasons.csv", "contributions.json", "predictions.csv"
BEFORE_REASONS, AFTER_REASONS = ("explained_class", "score", "raw_score", "base_value"), ("other_contributions",)
OF_EACH = 3  # feature, value and contribution
MOST_ROWS = 10
NOT_MADE = "The reasons of the scores were not made for this day."
OUTDATED = "The reasons are of another model or of other features than the predictions: run `explanation` again."


@dataclass(frozen=True)
class ExplainedRow:
    """A row: its key, its class and score, and (feature, value, contribution) of each reason, the strongest first."""

    key: str
    of_class: str
    score: float
    parts: Sequence[tuple[str, str, float]]


@dataclass(frozen=True)
class Reasons:
    """The number of `classes`, and the `features` as contributions.json has them."""

    classes: int
    features: Sequence[Mapping[str, Any]]
    explained: Partition

    def highest(self) -> list[ExplainedRow]:
        """The rows with the highest scores; of equal ones, those that come first. Errors: BadInput."""
        return _highest(self.explained)


def read_reasons(explained: Partition | None, predictions: Partition) -> Reasons | str:
    """The reasons of a day, or a sentence that says why the page has none. Errors: BadInput if a file is damaged."""
    if explained is None or set(explained.files) != {REASONS_FILE, CONTRIBUTIONS_FILE}:
        return NOT_MADE
    explains, predicts = explained.inputs(REASONS_FILE), predictions.inputs(PREDICTIONS_FILE)
    scored_by = {path: digest for path, digest in predicts.items() if path.endswith(("/features.csv", "/model.txt"))}
    if not scored_by.items() <= explains.items():
        return OUTDATED
    content = read_document(explained, CONTRIBUTIONS_FILE)
    return Reasons(len(content["classes"]), content["features"], explained)


def _highest(explained: Partition) -> list[ExplainedRow]:
    with (explained / REASONS_FILE).open(newline="", encoding="utf-8", errors="replace") as file:
        lines = csv.reader(file)
        try:
            header = next(lines, [])
            if BEFORE_REASONS[0] not in header:
                raise _bad(explained, f"it has no column {BEFORE_REASONS[0]}", BEFORE_REASONS[0])
            width = header.index(BEFORE_REASONS[0])
            if (len(header) - width - len(BEFORE_REASONS) - len(AFTER_REASONS)) % OF_EACH:
                raise _bad(explained, f"it has {len(header)} columns", "three columns for each reason")
            rows = _checked(lines, len(header), explained)
            highest = heapq.nlargest(MOST_ROWS, rows, key=lambda line: _number(line[width + 1], explained))
            return [_row(line, width, explained) for line in highest]
        except csv.Error as error:
            raise _bad(explained, f"line {lines.line_num}: {error}", "CSV") from None


def _checked(lines: Iterable[list[str]], columns: int, explained: Partition) -> Iterator[list[str]]:
    for line in lines:
        if len(line) != columns:
            raise _bad(explained, f"a row has {len(line)} fields", f"{columns}")
        yield line


def _row(line: Sequence[str], width: int, explained: Partition) -> ExplainedRow:
    of_class, score, *_ = line[width:]
    parts = line[width + len(BEFORE_REASONS) : -len(AFTER_REASONS)]
    return ExplainedRow(" · ".join(line[:width]), of_class, float(score), list(_parts(parts, explained)))


def _parts(cells: Sequence[str], explained: Partition) -> Iterator[tuple[str, str, float]]:
    for at in range(0, len(cells), OF_EACH):
        name, value, contribution = cells[at : at + OF_EACH]
        if name:
            yield name, value, _number(contribution, explained)


def _number(text: str, explained: Partition) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    raise _bad(explained, f"it holds {text[:40]!r}", "a finite number")


def _bad(explained: Partition, found: str, expected: str) -> BadInput:
    name = f"{explained.name}/{REASONS_FILE}"
    return BadInput(f"{name}: {found}", expected=expected, do="run `explanation` again, with the images in use")
