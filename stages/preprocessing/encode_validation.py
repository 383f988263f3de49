"""The work of `encode-validation`: the rows that `split` chose to validate, in the encoding of another model.

val.csv holds numbers that only the day's own encoder can read. So the rows are chosen once more from
train_data.csv, by the code, the fraction and the seed of `split`; val.csv says whether they are the same rows.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from stagekit import BadInput

from csv_input import Block, CsvFile
from encoder import Encoder
from parallel import in_order
from prepare import CsvWriter
from split import CODE, TrainData, choose_rows, code_of, with_sides

AGAIN = "run `preprocessing split` again, and train on what it writes: another image may have split this day"


def encode_validation(
    data: TrainData,
    classes: Sequence[str],
    fraction: float,
    seed: int,
    val: tuple[Path, str],
    encoder: Encoder,
    output: Path,
) -> int:
    """Write the rows of `val`, a val.csv and its label, in its order: the target's code as there, then `encoder`'s
    features. Returns how many rows these are.

    Errors: BadInput where the rows that are chosen now are not those of val.csv.
    """
    codes, validates = choose_rows(data, classes, fraction, seed)
    _require_same(codes.filter(validates), *val, data.target)
    code = code_of(data.target, classes)

    def encode(chunk: tuple[pl.DataFrame, pl.Series]) -> pl.DataFrame:
        rows, chosen = chunk
        return encoder.encode(rows.filter(chosen), [code])

    with CsvWriter(output) as written:
        for frame in in_order(encode, with_sides(data.frames(), validates)):
            written.write(frame)
    return written.rows


def _require_same(codes: pl.Series, path: Path, label: str, target: str) -> None:
    """Compare the target of the rows chosen now with that of val.csv, value by value."""
    published = _first_column(path, label, target)
    if published.len() != codes.len():
        raise BadInput(f"{label} has {published.len()} rows", expected=f"{codes.len()}, as split now", do=AGAIN)
    differs = (published != codes).fill_null(True)
    if differs.any():
        first = int(differs.arg_true()[0])
        raise BadInput(
            f"{label}: {target} is another in {differs.sum()} of {codes.len()} rows, in line {first + 2} "
            f"it is {published[first]}",
            expected=f"{codes[first]}, as split now",
            do=AGAIN,
        )


def _first_column(path: Path, label: str, name: str) -> pl.Series:
    """The target's codes, as val.csv has them."""
    file = CsvFile(path, label)
    if file.header[0] != name:
        raise BadInput(f"the first column of {label} is {file.header[0]!r}", expected=repr(name), do=AGAIN)
    schema = {CODE: pl.UInt32(), **dict.fromkeys(file.header[1:], pl.String())}

    def read(block: Block) -> pl.Series:
        return pl.scan_csv(block.content, has_header=False, schema=schema).select(CODE).collect().to_series()

    return pl.concat(in_order(read, file.blocks()))
