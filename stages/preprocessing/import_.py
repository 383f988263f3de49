"""`import`: publish own files as a day's raw data. The name ends in an underscore because `import` is a keyword."""

import hashlib
import json
import shutil
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stagekit import META, BadInput, Partition, Publication, UsageError, publish, read_partition

from table_schema import read_schema


def run(args: Namespace) -> Mapping[str, Any]:
    """Own files to raw/{ds}: data.csv, schema.json and, unless the day is only to be scored, target.csv.

    If no file is named, the files in that folder are published as they are.
    Errors: UsageError if a file does not exist; BadInput if the schema or a file as such cannot be read.
    """
    folder = args.data_dir / "raw" / args.ds
    named = {"data.csv": args.data, "target.csv": args.target, "schema.json": args.schema}
    incoming = _incoming(args) if args.incoming else None
    if incoming:
        named |= {f"{file}.csv": incoming / file for file in incoming.files}
    files = _files({name: path for name, path in named.items() if path}, folder)
    schema = read_schema(files["schema.json"], str(files["schema.json"]), scoring="target.csv" not in files)
    columns = {"data.csv": schema.data_columns, "target.csv": schema.target_columns}
    # Files from outside have no mark. Their content is recorded here: it decides whether there is anything to do.
    contents = {name: _content(path) for name, path in files.items()}

    def work(publication: Publication) -> dict[str, Any]:
        for name, path in files.items():
            _copy(path, publication.path(name), contents[name])
            if name in columns:
                publication.rows[name] = _count_rows(publication.path(name), str(path), columns[name])
        return {"partition": publication.name, "rows": publication.rows}

    inputs = [incoming] if incoming else []
    return publish(args, f"raw/{args.ds}", "import", work, inputs=inputs, parameters={"files": contents})


def _incoming(args: Namespace) -> Partition:
    """What `exchange ingest` has published: data, and target if it was delivered by itself."""
    if args.data or args.target:
        raise UsageError("--incoming and a file are named", expected="one of them", do="leave out --data and --target")
    name = f"incoming/{args.ds}"
    delivered = read_partition(args.data_dir, name, ["data"]).meta["outputs"]
    return read_partition(args.data_dir, name, [file for file in ("data", "target") if file in delivered])


def _files(named: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """The files to publish, by the name that they get."""
    files = dict(named)
    if not files:
        files = {name: folder / name for name in ("data.csv", "schema.json")}
        files |= {"target.csv": folder / "target.csv"} if (folder / "target.csv").is_file() else {}
    for name in ("data.csv", "schema.json", *files):
        if name not in files or not files[name].is_file():
            raise UsageError(f"there is no file {files.get(name, name)}", do=f"name {name} with --{Path(name).stem}")
    if "target.csv" not in files:
        _require_no_old_target(folder)
    return files


def _require_no_old_target(folder: Path) -> None:
    """New data must not meet the target of data that was published here before."""
    mark = folder / META
    try:
        outputs = json.loads(mark.read_text(encoding="utf-8"))["outputs"] if mark.is_file() else {}
    except (ValueError, KeyError, TypeError):  # a damaged mark publishes nothing, and this command replaces it
        outputs = {}
    if "target.csv" in outputs:
        raise UsageError(
            f"{folder} was published with a target.csv, and this call names none",
            do="name one with --target, or remove that folder first",
        )


def _content(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size": path.stat().st_size}


def _copy(path: Path, to: Path, content: Mapping[str, Any]) -> None:
    """Copy a file. Errors: BadInput if its content is no longer `content`."""
    with path.open("rb") as source, to.open("wb") as copy:
        shutil.copyfileobj(source, copy)
    if _content(to) != content:
        raise BadInput(
            f"{path} changed while it was imported",
            expected="a file that is complete",
            do="run this again when nobody writes the file any more",
        )


def _count_rows(path: Path, label: str, columns: Sequence[str]) -> int:
    from csv_input import CsvFile  # with polars, which a day that is imported already does without

    file = CsvFile(path, label)
    file.require_columns(columns)
    return sum(batch.rows.height + batch.rejected.height for batch in file.batches())
