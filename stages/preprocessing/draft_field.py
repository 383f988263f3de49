"""A field of a drafted Table Schema."""

from collections.abc import Sequence
from typing import Any

from readings import Reading


def field_document(name: str, reading: Reading, role: str, why: Sequence[str]) -> dict[str, Any]:
    """A field of a Table Schema."""
    field = reading.field
    document: dict[str, Any] = {"name": name, "type": field.type}
    if field.format != "default":
        document["format"] = field.format
    if field.decimal_char != ".":
        document["decimalChar"] = field.decimal_char
    if field.group_char:
        document["groupChar"] = field.group_char
    if not field.bare_number:
        document["bareNumber"] = False
    document["role"] = role
    if role in ("key", "target"):
        document["constraints"] = {"required": True}
    document["description"] = "; ".join(why)
    return document
