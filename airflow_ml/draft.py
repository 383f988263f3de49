"""The schema of a file of one's own: drafted beside the file by `preprocessing infer-schema`, and shown as a table."""

import json
import os
import shutil
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from airflow_ml.by_hand import OWN, bind, in_container, run_stage
from airflow_ml.common import AirflowMlError, write_atomic
from airflow_ml.data import Data

Schema = dict[str, Any]
COMPRESSED = (".gz", ".zst", ".zip")
# The draft in the container, which has no place beside the file.
OUT = f"{OWN}/out"
COLUMNS = ("column", "role", "type", "why")
# Properties of a field that say how its values are read.
READ_AS = (
    "format",
    "decimalChar",
    "groupChar",
    "bareNumber",
    "trueValues",
    "falseValues",
    "missingValues",
    "rowNumber",
)
NARROWEST = 40


def schema_beside(data: Path) -> Path:
    """Where the schema of a file is: my.schema.json beside my.csv or my.csv.gz."""
    name = data.with_suffix("") if data.suffix in COMPRESSED else data
    return name.with_suffix(".schema.json")


def draft(data: Data, files: Mapping[str, Path], facts: Sequence[str], path: Path, *mounts: str) -> Schema:
    """Draft the schema of `files`, by the option of `infer-schema` that names each, into `path`.

    Files of the data are named by `facts`, which are further options of `infer-schema`, and shown by `mounts`.

    Errors: AirflowMlError with the stage's sentence; then there is no draft.
    """
    # The file may be readable by its owner alone, and the draft shall be the owner's too.
    own = replace(data, user=f"{os.getuid()}:{os.getgid()}")
    with tempfile.TemporaryDirectory(prefix="airflow-ml-draft-") as folder:
        arguments = draft_arguments(files, facts, f"{OUT}/schema.json")
        run_stage(own, "preprocessing", arguments, bind(Path(folder), OUT), *mounts, files=files)
        text = (Path(folder) / "schema.json").read_text(encoding="utf-8")
    write_atomic(path, text)
    return read_draft(path)


def draft_arguments(files: Mapping[str, Path], facts: Sequence[str], out: str) -> list[str]:
    """The arguments of `infer-schema`; `out` is the path of the draft in the container."""
    named = [f"--{option}={in_container(option, file)}" for option, file in files.items()]
    return ["infer-schema", *named, *facts, f"--out={out}"]


def read_draft(path: Path) -> Schema:
    """A schema, as far as it is shown here; `import` checks it.

    Errors: AirflowMlError (exit code 3) if it has no list of fields with names.
    """
    try:
        schema: Schema = json.loads(path.read_text(encoding="utf-8-sig"))
        if all(isinstance(field["name"], str) for field in schema["fields"]):
            return schema
        found = "a field has no name"
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        found = f"{type(error).__name__}: {error}"
    raise AirflowMlError(
        f"{path} is no Table Schema: {found}", do="correct it, or remove it to draft it again", exit_code=3
    )


def target_of(schema: Schema) -> str:
    """The name of the target; empty if the schema has none."""
    return next((field["name"] for field in schema["fields"] if field.get("role") == "target"), "")


def table(schema: Schema, width: int | None = None) -> str:
    """The fields as a table for people, with the reasons that the draft gives, in lines of `width` characters."""
    rows = [COLUMNS, *(cells(field) for field in schema["fields"])]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    margin = sum(widths) + 2 * len(widths) + 2
    room = max((width or shutil.get_terminal_size((120, 24)).columns) - margin, NARROWEST)
    return "\n".join(line for row in rows for line in lines_of(row, widths, room))


def cells(field: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """The column, its role, its type with everything that says how values are read, and the reasons."""
    read_as = [f"{name} {json.dumps(field[name], ensure_ascii=False)}" for name in READ_AS if name in field]
    kind = ", ".join([str(field.get("type", "?")), *read_as])
    return field["name"], str(field.get("role", "?")), kind, str(field.get("description", ""))


def lines_of(row: Sequence[str], widths: Sequence[int], room: int) -> Iterator[str]:
    """The lines of a row: its cells, and what does not fit beside them."""
    first, *others = textwrap.wrap(row[3], room) or [""]
    head = "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=False))
    yield f"  {head}  {first}".rstrip()
    yield from (" " * (len(head) + 4) + other for other in others)
