"""Opens a table in any container."""

from collections.abc import Sequence
from pathlib import Path

from stagekit import BadInput

from containers import open_container
from csv_table import CsvTable
from parquet_table import ParquetTable
from plain_text import recognise
from source_rows import SourceTable
from table_schema import Field, is_pattern


def open_table(
    path: Path, label: str, scratch: Path, delimiter: str | None, encoding: str | None, fields: Sequence[Field] = ()
) -> SourceTable:
    """Recognise a file and read its header. `fields` are those of the schema that it should have, if they are known.

    Errors: BadInput that says what was found, what is read, and which option reads it.
    """
    if not path.stat().st_size:
        raise BadInput(f"{label} is empty (0 bytes)", expected="a header line and rows", do="give one with rows")
    container = open_container(path, label)
    if container.is_parquet:
        table: SourceTable = ParquetTable(container, scratch, fields)
    else:
        wanted = [field.name for field in fields]
        table = CsvTable(container, recognise(container, delimiter, encoding, wanted), scratch)
    if patterns := [name for name in table.header if is_pattern(name)]:
        raise BadInput(
            f"the header of {label} names {', '.join(patterns)}, a pattern for several columns",
            expected="names other than * and ^...$",
            do="rename the column in the file",
        )
    return table
