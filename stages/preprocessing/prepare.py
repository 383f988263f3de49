"""The work of `prepare`: check data.csv and target.csv, bring them together, write the good rows and the bad ones."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import polars as pl
from stagekit import BadInput, StageError

from checks import DTYPES, Checked, FieldChecks
from csv_input import KINDS, LINE, OFFSET, REASON, REJECTED, TEXT, Batch, CsvFile, down, texts_at
from keys import BATCH, PLACE, Rows, settle
from parallel import in_order
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

    rows: dict[str, int]
    rejected: dict[str, int]
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    written: int = 0

    def add(self, file: str, bad: pl.DataFrame) -> None:
        """Count rejected rows of a file (the columns of REJECTED)."""
        self.rejected[file] += bad.height
        self.reasons.update(dict(bad[KINDS].explode().value_counts().iter_rows()))
        for line, reason in bad.select(LINE, REASON).head(SHOWN_REJECTS - len(self.examples)).iter_rows():
            self.examples.append(f"{file} line {line}: {reason}")


class CsvWriter:
    """A CSV file that is written frame by frame. Floats are the shortest text that reads back the same."""

    def __init__(self, path: Path) -> None:
        self._path, self.rows, self._begun = path, 0, False

    def __enter__(self) -> "CsvWriter":
        # No buffer of Python's: polars writes to the file itself, with all processors.
        self._file = self._path.open("wb", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, frame: pl.DataFrame) -> None:
        """Append rows; the first ones, be there none, bring the header."""
        frame.write_csv(self._file, include_header=not self._begun, datetime_format=DATETIME_FORMAT)
        self._begun, self.rows = True, self.rows + frame.height


class CheckedFile:
    """One file of the raw partition, checked row by row and kept on disk, batch by batch."""

    def __init__(
        self,
        path: Path,
        label: str,
        schema: Schema,
        columns: Sequence[str],
        required: Sequence[str],
        scratch: Path,
        parts: int,
    ) -> None:
        self.name, self.count, self._path = path.name, 0, path
        self._kept = [field.name for field in schema.of(columns) if field.role not in ("ignore", "target")]
        folder = scratch / self.name
        # A few rows taken from a batch would keep the texts of the whole batch in memory: they go to disk.
        self._good, self._bad = Shelf(folder / "good"), Shelf(folder / "bad", in_memory=False)
        file = CsvFile(path, label)
        file.require_columns(columns)
        fields = schema.of(columns)
        checks = FieldChecks(fields, schema.missing, required, "schema.json")
        dtypes = {field.name: DTYPES[field.type] for field in fields}
        carry = [name for name in schema.named("target") if name in columns]
        key = schema.named("key")
        unique = [f.name for f in fields if f.constraints.get("unique") and key != [f.name]]
        self.rows = Rows(folder, self.name, dtypes, key, unique, carry, parts)
        line = file.first_line
        for lines, checked in in_order(lambda block: _checked(file.parse(block), checks), file.blocks()):
            self._add(down(checked.good, line), down(checked.bad, line))
            line += lines
        log.info("checked %d rows of %s", self.count, label)

    @property
    def batches(self) -> int:
        return self._good.count

    def _add(self, good: pl.DataFrame, bad: pl.DataFrame) -> None:
        self.rows.add(self.batches, good, sound=True)
        self.rows.add(self.batches, bad, sound=False)
        size = pl.col(TEXT).str.len_bytes().alias(SIZE)
        self._good.add(good.select(LINE, OFFSET, size, *self._kept))
        self._bad.add(bad.select(*REJECTED))
        self.count += good.height + bad.height

    def settled(self, batch: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The good and the rejected rows of a batch, once the keys of all of them have been settled."""
        good, bad = self._good.read(batch), self._bad.read(batch)
        late = self.rows.reasons.read(batch)
        if late.height:
            late = late.sort(LINE, KINDS).group_by(LINE).agg(KINDS, pl.col(REASON).str.join("; "))
            rejected = good.select(LINE, OFFSET, SIZE).join(late, on=LINE)
            texts = texts_at(self._path, rejected.select(OFFSET, SIZE).iter_rows())
            rejected = rejected.with_columns(pl.Series(TEXT, texts, dtype=pl.String))
            bad = pl.concat([bad, rejected.select(*REJECTED)]).sort(LINE)
            good = good.join(late, on=LINE, how="anti", maintain_order="left")
        return good, bad


def _checked(batch: Batch, checks: FieldChecks) -> tuple[int, Checked]:
    return batch.lines, checks.apply(batch)


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

    def check(name: str, columns: Sequence[str], required: Sequence[str]) -> CheckedFile:
        return CheckedFile(raw / name, f"{label}/{name}", schema, columns, required, scratch, parts)

    data = check("data.csv", schema.data_columns, [*key, *(schema.named("entity") if with_target else [])])
    if not with_target:
        settle(data.rows, None, None)
        return _write(outputs, [data], lambda rows, _: columns(rows))
    target = check("target.csv", schema.target_columns, [*key, *target_name])
    dtypes = {field.name: DTYPES[field.type] for field in schema.of(target_name)}
    matches = Spill(scratch / "matches", BATCH, {**PLACE, **dtypes})
    settle(data.rows, target.rows, matches)

    def labelled(rows: pl.DataFrame, batch: int) -> pl.DataFrame:
        labels = matches.read(batch).sort(LINE)
        if labels.height > rows.height:  # some were rejected for a value that is not unique
            labels = labels.join(rows, on=LINE, how="semi", maintain_order="left")
        if not labels[LINE].equals(rows[LINE]):
            raise StageError(f"{label}: {rows.height} rows of batch {batch} are left, {labels.height} have a target")
        return columns(rows.hstack(labels.select(target_name)))

    return _write(outputs, [data, target], labelled)


def _write(
    outputs: tuple[Path, Path], files: Sequence[CheckedFile], finish: Callable[[pl.DataFrame, int], pl.DataFrame]
) -> Counts:
    """Write the good rows of the first file, as `finish` makes them from a batch, and the rejected rows of all."""
    counts = Counts(
        {file.name: file.count for file in files},
        {file.name: 0 for file in files},
    )

    def work(place: tuple[int, int]) -> tuple[pl.DataFrame | None, pl.DataFrame]:
        number, batch = place
        good, bad = files[number].settled(batch)
        return None if number else finish(good, batch), bad

    places = [(number, batch) for number, file in enumerate(files) for batch in range(file.batches)]
    with CsvWriter(outputs[0]) as accepted, CsvWriter(outputs[1]) as rejected:
        for (number, _), (good, bad) in zip(places, in_order(work, places), strict=True):
            if good is not None:
                accepted.write(good)
            name = files[number].name
            rejected.write(bad.select(file=pl.lit(name), line=LINE, reason=REASON, row=TEXT))
            counts.add(name, bad)
    counts.written = accepted.rows
    return counts


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
