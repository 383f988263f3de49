"""`infer-schema`: draft a schema.json from your own files, for a person to correct."""

import json
import logging
import tempfile
from argparse import ArgumentTypeError, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stagekit import UsageError

log = logging.getLogger(__name__)

# A result line is bounded.
MOST_NAMES = 200


def infer_schema(args: Namespace) -> Mapping[str, Any]:
    """Files of your own, in any container, to the file that --out names: a Table Schema with the reasons in it."""
    if args.out.exists() and not args.force:
        raise UsageError(f"{args.out} exists already", do="name another file with --out, or add --force")
    for option, path in (("--data", args.data), ("--target", args.target)):
        if path and not path.is_file():
            raise UsageError(
                f"{option}: there is no file {path}",
                expected="a file in this container",
                do="mount its folder with `docker run -v`; --target-column names a column of the data",
            )
    if args.target and args.target_column:
        raise UsageError(
            "--target and --target-column are both given",
            expected="one of them: the labels are in a file of their own or in the data",
            do="leave one out",
        )
    from file_look import Facts
    from schema_draft import draft_schema

    facts = Facts(
        key=args.key,
        entity=args.entity,
        weight=args.weight,
        target_column=args.target_column,
        missing=args.missing,
        assume=dict(args.assume),
        delimiter=args.delimiter,
        encoding=args.encoding,
    )
    folder = args.out.absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=folder) as scratch:
        draft = draft_schema(args.data, args.target, facts, Path(scratch))
        text = json.dumps(draft.document, indent=2, ensure_ascii=False) + "\n"
        written = Path(scratch) / "schema.json"
        written.write_text(text, encoding="utf-8")
        written.replace(args.out)
    fields = draft.document["fields"]
    positive = [field["positiveClass"] for field in fields if "positiveClass" in field]
    for field in fields:
        log.info("%s: %s, %s: %s", field["name"], field["role"], field["type"], field["description"])
    return {
        "schema": str(args.out),
        "rows": draft.rows,
        "fields": {field["name"]: f"{field['role']} ({field['type']})" for field in fields[:MOST_NAMES]},
        "key": draft.named("key"),
        "target": next(iter(draft.named("target")), None),
        **({"positive_class": positive[0]} if positive else {}),
        "ignored": draft.named("ignore")[:MOST_NAMES],
        "warnings": draft.warnings,
    }


def assumption(text: str) -> tuple[str, str]:
    """The type of the option --assume: the column and how it is read."""
    column, equals, format_ = text.rpartition("=")
    if not (column and equals and format_):
        raise ArgumentTypeError(f"{text!r} is not COLUMN=FORMAT, such as when=%d/%m/%Y")
    return column, format_
