"""Opens a table in any container."""

from collections.abc import Collection
from pathlib import Path

from stagekit import BadInput

from containers import open_container
from csv_table import CsvTable
from parquet_table import ParquetTable
from plain_text import recognise
from source_rows import SourceTable


def open_table(
    path: Path, label: str, scratch: Path, delimiter: str | None, encoding: str | None, wanted: Collection[str] = ()
) -> SourceTable:
    """Recognise a file and read its header. `wanted` are the columns that it should have, if they are known.

    Errors: BadInput that says what was found, what is read, and which option reads it.
    """
    if not path.stat().st_size:
        raise BadInput(f"{label} is empty (0 bytes)", expected="a header line and rows", do="deliver it again")
    container = open_container(path, label)
    if container.is_parquet:
        return ParquetTable(container, scratch)
    return CsvTable(container, recognise(container, delimiter, encoding, wanted), scratch)
