"""Reads a day's features in chunks of bounded memory: keys and features as texts, the features as numbers too."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from stagekit import BadInput, Partition
from stagekit.contract import Encoder

from partition_files import FEATURES_FILE


@dataclass(frozen=True)
class Chunk:
    """Some rows: texts of key and features by row. `values`: (rows, features), float64; NaN is missing."""

    keys: list[list[str]]
    texts: list[list[str]]
    values: np.ndarray


def read_chunks(features: Partition, encoder: Encoder, rows: int) -> Iterator[Chunk]:
    """The rows of features.csv in their order, `rows` at a time. Errors: BadInput that names the line."""
    label, names = f"{features.name}/{FEATURES_FILE}", encoder.feature_names
    header = [*encoder.key, *([encoder.weight] if encoder.weight else []), *names]
    width, first = len(encoder.key), len(header) - len(names)
    csv.field_size_limit(1 << 30)
    with (features / FEATURES_FILE).open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file, strict=True)
        try:
            if (found := next(lines, [])) != header:
                raise _bad(f"{label} has the header {','.join(found)}", ",".join(header), features)
            while part := list(islice(lines, rows)):
                for number, line in enumerate(part):
                    if len(line) != len(header):
                        place = f"{label}, line {lines.line_num - len(part) + number + 1} or near it"
                        raise _bad(f"{place}: {len(line)} fields", f"{len(header)}", features)
                texts = [line[first:] for line in part]
                yield Chunk([line[:width] for line in part], texts, _numbers(texts, encoder, features))
        except (csv.Error, UnicodeDecodeError) as error:
            raise _bad(f"{label} line {lines.line_num}: {error}", "CSV in UTF-8", features) from None


def _numbers(texts: list[list[str]], encoder: Encoder, features: Partition) -> np.ndarray:
    """The texts as doubles. Errors: BadInput that names the feature."""
    try:
        numbers = np.array([[float(text) if text else math.nan for text in line] for line in texts])
    except ValueError:
        numbers = np.empty(0)
    if numbers.size and not np.isinf(numbers).any():
        return numbers
    name, text = next(
        (name, text)
        for line in texts
        for name, text in zip(encoder.feature_names, line, strict=True)
        if text and not _is_finite(text)
    )
    raise _bad(f"{features.name}/{FEATURES_FILE}: {name} is {text[:40]!r}", "a finite number, or nothing", features)


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _bad(found: str, expected: str, features: Partition) -> BadInput:
    ds = features.name.removeprefix("features/")
    return BadInput(found, expected=expected, do=f"run `preprocessing features --ds {ds} --force` again")
