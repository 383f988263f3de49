"""`import-target`: publish labels that came after the data of a raw day, as a further delivery."""

import csv
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stagekit import BadInput, NotReady, Partition, Publication, UsageError, publish, read_partition

from deliveries import TARGET, arrival, targets_of
from import_ import content_of, require_unchanged
from table_schema import read_schema

# The targets of a day that `exchange ingest` has taken in.
INCOMING = "target"


def import_target(args: Namespace) -> Mapping[str, Any]:
    """A file of keys and classes to raw/{ds}: target.csv, or target-2.csv and so on if there is one already.

    A delivery that is there already is not published again. Errors: UsageError if the file does not exist; NotReady if
    the day has no data, or nothing is incoming; BadInput if the file as such cannot be read, has other columns than
    target.csv, or no key of the data.
    """
    if bool(args.target) == args.incoming:
        raise UsageError(
            f"--target and --incoming are {'both given' if args.incoming else 'missing'}",
            expected="one of them",
            do="name the file, or take what `exchange ingest` has left",
        )
    incoming = [read_partition(args.data_dir, f"incoming/{args.ds}", [INCOMING])] if args.incoming else []
    path: Path = incoming[0] / INCOMING if incoming else args.target
    if not path.is_file():
        raise UsageError(f"there is no file {path}", do="name it with --target")
    raw = read_partition(args.data_dir, f"raw/{args.ds}", ["data.csv", "schema.json"])
    label = f"{raw.name}/schema.json"
    schema = read_schema(raw / "schema.json", label)
    if schema.row_number:
        raise BadInput(
            f"the key {schema.row_number} of {label} is the number of the row",
            expected="a key that is a column of the labels",
            do="import data and labels together with `import`, or give both a key column",
        )
    content = content_of(path)
    there = targets_of(raw)
    same = [file for file in there if _content_then(raw, file) == content]
    if same and not args.force and not args.explain:
        # Published again, it would have arrived now.
        read_partition(args.data_dir, raw.name, same[:1])
        return {"partition": raw.name, "file": same[0], "arrived": arrival(raw, same[0]), "cached": True}
    file = same[0] if same else f"target-{len(there) + 1}.csv" if there else TARGET

    def work(publication: Publication) -> dict[str, Any]:
        from raw_day import RawDay
        from source_table import open_table

        of_target, of_data = schema.of(schema.target_columns), schema.of(schema.data_columns)
        table = open_table(path, str(path), publication.scratch, args.delimiter, args.encoding, of_target)
        data = open_table(raw / "data.csv", f"{raw.name}/data.csv", publication.scratch, None, None, of_data)
        day = RawDay(schema, publication)
        day.write_delivery(table, path, file, _columns(raw), data)
        require_unchanged({TARGET: path}, {TARGET: content})
        return {"file": file, "rows": publication.rows, "read": day.read, **day.faults()}

    step = "import-target" if file == TARGET else f"import-{file.removesuffix('.csv')}"
    parameters = {"files": {TARGET: content}, **({"arrived": args.arrived} if args.arrived else {})}
    return publish(args, raw.name, step, work, inputs=[raw, *incoming], parameters=parameters)


def _content_then(raw: Partition, file: str) -> Any:
    """The content of the delivered file that became `file`."""
    return ((raw.step(file).get("parameters") or {}).get("files") or {}).get(TARGET)


def _columns(raw: Partition) -> list[str] | None:
    """The columns of target.csv, which all deliveries have in the same order; None if there is none yet."""
    try:
        first = read_partition(raw.path.parents[1], raw.name, [TARGET])
    except NotReady:
        return None
    with (first / TARGET).open(newline="", encoding="utf-8-sig") as file:
        return next(csv.reader(file))
