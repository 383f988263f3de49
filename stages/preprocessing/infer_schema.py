"""`infer-schema`: draft a schema.json from own CSV files, for a person to correct."""

import json
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import UsageError


def run(args: Namespace) -> Mapping[str, Any]:
    """CSV files to the file that --out names."""
    if args.out.exists() and not args.force:
        raise UsageError(f"{args.out} exists already", do="name another file with --out, or add --force")
    from schema_draft import draft_schema

    schema = draft_schema(args.data, args.target, args.key, args.entity, args.missing)
    text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    args.out.write_text(text, encoding="utf-8")
    roles = {field["name"]: f"{field['role']} ({field['type']})" for field in schema["fields"]}
    return {"schema": str(args.out), "fields": roles}
