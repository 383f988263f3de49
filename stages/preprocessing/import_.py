"""`import`: publish your own files as the raw data of a day. An underscore ends the name: `import` is a keyword."""

import hashlib
import shutil
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stagekit import BadInput, NotReady, Partition, Publication, UsageError, publish, read_partition

from deliveries import DATA, TARGET, arrival, targets_of
from encoder import require_features
from output_columns import require_other_names
from table_schema import properties_not_used, read_schema

SCHEMA = "schema.json"


def import_(args: Namespace) -> Mapping[str, Any]:
    """Own files to raw/{ds}: data.csv, schema.json and, unless the day is only to be scored, target.csv.

    Data and target may be in any container that `source_table` opens; the target may be a column of the data file.
    If no file is named, the files in that folder are published.
    Errors: UsageError if a file does not exist; BadInput if the schema or a file as such cannot be read.
    """
    folder = args.data_dir / "raw" / args.ds
    named = {DATA: args.data, TARGET: args.target, SCHEMA: args.schema}
    incoming = _incoming(args) if args.incoming else None
    if incoming:
        named |= {f"{file}.csv": incoming / file for file in incoming.files}
    files = _files({name: path for name, path in named.items() if path}, folder)
    schema = read_schema(files[SCHEMA], str(files[SCHEMA]), scoring=TARGET not in files)
    # Files from outside have no mark. Their content is recorded here: it decides whether there is anything to do.
    contents = {name: content_of(path) for name, path in files.items()}

    def work(publication: Publication) -> dict[str, Any]:
        from checks import require_followable  # with polars, which a day that is imported already does without
        from csv_input import in_short
        from raw_day import RawDay
        from source_table import open_table

        require_followable(schema, str(files[SCHEMA]))
        require_features(str(files[SCHEMA]), schema)
        require_other_names(str(files[SCHEMA]), schema)
        unused = properties_not_used(schema)
        warnings = [f"{files[SCHEMA]} has properties that are not used: {in_short(unused)}"] if unused else []
        day = RawDay(schema, publication, warnings)
        for name in (TARGET, DATA):
            if name in files:
                columns = schema.data_columns if name == DATA else schema.target_columns
                fields = schema.of([*columns, *schema.named("target")])
                table = open_table(
                    files[name], str(files[name]), publication.scratch, args.delimiter, args.encoding, fields
                )
                day.write_data(table, files[name]) if name == DATA else day.write_target(table, files[name])
        if TARGET not in publication.rows:
            _require_no_old_target(args)
        shutil.copyfile(files[SCHEMA], publication.path(SCHEMA))
        require_unchanged(files, contents)
        return {"rows": publication.rows, "read": day.read, **day.faults()}

    inputs = [incoming] if incoming else []
    parameters = {"files": contents, **({"arrived": args.arrived} if args.arrived else {})}
    return publish(args, f"raw/{args.ds}", "import", work, inputs=inputs, parameters=parameters)


def _incoming(args: Namespace) -> Partition:
    """What `exchange ingest` has published: data, and target if it was delivered by itself."""
    if args.data or args.target:
        raise UsageError("--incoming and a file are named", expected="one of them", do="leave out --data and --target")
    name = f"incoming/{args.ds}"
    delivered = read_partition(args.data_dir, name, ["data"]).meta["outputs"]
    # A target that came later is a delivery of its own: `import-target` reads it.
    together = [file for file, output in delivered.items() if output["step"] == delivered["data"]["step"]]
    return read_partition(args.data_dir, name, together)


def _files(named: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """The files to publish, by the name that they get."""
    files = dict(named)
    if not files:
        files = {name: folder / name for name in (DATA, SCHEMA)}
        files |= {TARGET: folder / TARGET} if (folder / TARGET).is_file() else {}
    for name in (DATA, SCHEMA, *files):
        if name not in files or not files[name].is_file():
            raise UsageError(f"there is no file {files.get(name, name)}", do=f"name {name} with --{Path(name).stem}")
    return files


def _require_no_old_target(args: Namespace) -> None:
    """New data must not meet the target of data that was published here before."""
    try:
        raw = read_partition(args.data_dir, f"raw/{args.ds}", [])
    except (BadInput, NotReady):
        return  # a damaged mark publishes nothing, and this command replaces it
    if targets := targets_of(raw):
        names = ", ".join(f"{file} ({arrived})" if (arrived := arrival(raw, file)) else file for file in targets)
        other = "" if args.incoming else "name one with --target; or "
        raise UsageError(
            f"{raw.path} was published with a target.csv, and this call names none",
            do=f"{other}copy its labels elsewhere, remove that folder, run this again, and add the copies with "
            "`preprocessing import-target --target FILE --arrived TIME`. The labels, and when they arrived: " + names,
        )


def content_of(path: Path) -> dict[str, Any]:
    """The sha256 and the size of a file from outside."""
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size": path.stat().st_size}


def require_unchanged(files: Mapping[str, Path], contents: Mapping[str, Any]) -> None:
    """Errors: BadInput if the content of a file is no longer what it was."""
    for name, path in files.items():
        if content_of(path) != contents[name]:
            raise BadInput(
                f"{path} changed while it was imported",
                expected="a file that is complete",
                do="run this again when nobody writes the file any more",
            )
