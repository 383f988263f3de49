"""The columns that other stages put beside the key: a key with such a name is refused before a model is trained.

The names are those of explanation/partition_files.py and exchange/predictions.py; a test compares them.
"""

import re

from stagekit import BadInput

from table_schema import Schema

REASONS = "explained_class", "score", "raw_score", "base_value", "other_contributions"
OF_EACH = re.compile(r"(?:feature|value|contribution)_[1-9][0-9]*")
EXPORTED = "ds", "model", "model_version", "run_id"


def require_other_names(label: str, schema: Schema) -> None:
    """Errors: BadInput if a key has the name of a column of reasons.csv or of exported predictions."""
    for name in schema.named("key"):
        if name in REASONS or OF_EACH.fullmatch(name):
            raise _taken(label, name, "a column of reasons.csv", f"{', '.join(REASONS)}, feature_1, value_1, ...")
        if name in EXPORTED:
            raise _taken(label, name, "a column that an export of predictions adds", ", ".join(EXPORTED))


def _taken(label: str, name: str, what: str, others: str) -> BadInput:
    return BadInput(
        f"{label}: the key {name!r} has the name of {what}",
        expected=f"a key with another name than {others}",
        do="rename the column and the field",
    )
