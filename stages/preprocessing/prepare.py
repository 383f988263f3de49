"""The work of `prepare`: check data.csv and target.csv, bring them together, write the good rows and the bad ones."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar

import polars as pl
from stagekit import BadInput

from checks import DTYPES, Checked, FieldChecks
from csv_input import KINDS, LINE, OFFSET, REASON, REJECTED, TEXT, CsvFile, text_at
from keys import BATCH, PLACE, Rows, settle
from spill import Shelf, Spill
from table_schema import Schema

log = logging.getLogger(__name__)

# Keys are settled in so many parts that each has those of this much data, some 500,000 rows.
PART_BYTES = 64 << 20
DATETIME_FORMAT = "%Y-%m-%dT%H:%M:%S%.f"
SHOWN_REJECTS = 5
SIZE = "\0size"


@dataclass
class Counts:
    """What became of the rows: of each file how many came in and were rejected, why, and how many went out."""

    rows: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    written: int = 0


class CsvWriter:
    """A CSV file that is written frame by frame. Floats are the shortest text that reads back the same."""

    def __init__(self, path: Path) -> None:
        self._path, self.rows = path, 0
        self._started = False

    def __enter__(self) -> "CsvWriter":
        self._file: BinaryIO = self._path.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, frame: pl.DataFrame) -> None:
        """Append rows, all with the same columns; the first frame gives the header, rows or no rows."""
        frame.write_csv(self._file, include_header=not self._started, datetime_format=DATETIME_FORMAT)
        self._started = True
        self.rows += frame.height


class CheckedFile:
    """One file of the raw partition, checked row by row and kept on disk, batch by batch."""

    def __init__(
        self,
        path: Path,
        name: str,
        schema: Schema,
        columns: Sequence[str],
        required: Collection[str],
        label: str,
        folder: Path,
        parts: int,
    ) -> None:
        self.name, self.count, self._path = name, 0, path
        folder = folder / name
        self._good, self._bad = Shelf(folder / "good"), Shelf(folder / "bad")
        file = CsvFile(path, label)
        file.require_columns(columns)
        fields = schema.of(columns)
        checks = FieldChecks(fields, schema.missing, required, "schema.json")
        dtypes = {field.name: DTYPES[field.type] for field in fields}
        carry = [name for name in schema.named("target") if name in columns]
        key = schema.named("key")
        unique = [f.name for f in fields if f.constraints.get("unique") and key != [f.name]]
        self.rows = Rows(folder, name, dtypes, key, unique, carry, parts)
        for batch in ahead(file.batches()):
            self._add(checks.apply(batch))
        log.info("checked %d rows of %s", self.count, label)

    @property
    def batches(self) -> int:
        return self._good.count

    def _add(self, checked: Checked) -> None:
        self.rows.add(self.batches, checked.good, sound=True)
        self.rows.add(self.batches, checked.bad, sound=False)
        self._good.add(checked.good.with_columns(pl.col(TEXT).str.len_bytes().alias(SIZE)).drop(TEXT))
        self._bad.add(checked.bad.select(*REJECTED))
        self.count += checked.good.height + checked.bad.height

    def settled(self, batch: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The good and the rejected rows of a batch, once the keys of all of them have been settled."""
        good, bad = self._good.read(batch), self._bad.read(batch)
        late = self.rows.reasons.read(batch)
        if late.height:
            late = late.sort(LINE, KINDS).group_by(LINE).agg(KINDS, pl.col(REASON).str.join("; "))
            rejected = good.select(LINE, OFFSET, SIZE).join(late, on=LINE)
            texts = [text_at(self._path, offset, size) for offset, size in rejected.select(OFFSET, SIZE).iter_rows()]
            rejected = rejected.with_columns(pl.Series(TEXT, texts, dtype=pl.String))
            bad = pl.concat([bad, rejected.select(*REJECTED)]).sort(LINE)
            good = good.join(late, on=LINE, how="anti", maintain_order="left")
        return good, bad


Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items; the next one is made in another thread while this one is used (polars frees the lock)."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, items, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item


def prepare(
    raw: Path,
    label: str,
    schema: Schema,
    scratch: Path,
    outputs: tuple[Path, Path],
    columns: Callable[[pl.DataFrame], pl.DataFrame],
    *,
    with_target: bool,
) -> Counts:
    """Check the files below `raw`; write the good rows, as `columns` makes them, and the rejected ones.

    Without target, entities may be missing and no row is rejected for want of a target.
    """
    parts = 1 + (raw / "data.csv").stat().st_size // PART_BYTES
    key, target_name = schema.named("key"), schema.named("target")
    needed = [*key, *(schema.named("entity") if with_target else [])]
    data = CheckedFile(
        raw / "data.csv", "data.csv", schema, schema.data_columns, needed, f"{label}/data.csv", scratch, parts
    )
    target = matches = None
    if with_target:
        target = CheckedFile(
            raw / "target.csv",
            "target.csv",
            schema,
            schema.target_columns,
            [*key, *target_name],
            f"{label}/target.csv",
            scratch,
            parts,
        )
        dtypes = {name: DTYPES[schema.of([name])[0].type] for name in target_name}
        matches = Spill(scratch / "matches", BATCH, {**PLACE, **dtypes})
    settle(data.rows, target.rows if target else None, matches)
    counts = Counts()
    with CsvWriter(outputs[0]) as accepted, CsvWriter(outputs[1]) as rejected:
        for batch in range(data.batches):
            good, bad = data.settled(batch)
            if matches:
                good = good.join(matches.read(batch).drop(BATCH), on=LINE, maintain_order="left")
            accepted.write(columns(good))
            _write_rejects(rejected, counts, data, bad)
        if target:
            for batch in range(target.batches):
                _write_rejects(rejected, counts, target, target.settled(batch)[1])
    counts.written = accepted.rows
    return counts


def _write_rejects(writer: CsvWriter, counts: Counts, file: CheckedFile, bad: pl.DataFrame) -> None:
    writer.write(bad.select(file=pl.lit(file.name), line=LINE, reason=REASON, row=TEXT))
    counts.rows[file.name] = file.count
    counts.rejected[file.name] = counts.rejected.get(file.name, 0) + bad.height
    counts.reasons.update(dict(bad[KINDS].explode().value_counts().iter_rows()))
    for line, reason in bad.select(LINE, REASON).head(SHOWN_REJECTS - len(counts.examples)).iter_rows():
        counts.examples.append(f"{file.name} line {line}: {reason}")


def require_enough(counts: Counts, most: float, label: str) -> None:
    """Log what was rejected. Errors: BadInput where that is all, or more than the fraction `most` of a file."""
    for example in counts.examples:
        log.warning("rejected %s", example)
    reasons = ", ".join(f"{kind} ({number})" for kind, number in counts.reasons.most_common())
    if reasons:
        log.warning("reasons: %s", reasons)
    for file, rejected in counts.rejected.items():
        rows = counts.rows[file]
        if rejected > most * rows or (file == "data.csv" and not counts.written):
            raise BadInput(
                f"{rejected} of {rows} rows of {label}/{file} are rejected ({rejected / rows:.1%}): {reasons}",
                expected=f"at most {most:.1%}, and at least one good row",
                do=f"correct the file or schema.json, or allow more with --max-rejected; {' | '.join(counts.examples)}",
            )
