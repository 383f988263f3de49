"""Reads the bill of materials beside a lock: what the lock was made of, and what it held then."""

import json

from locks.bom import Json
from locks.files import Lock


def read_recorded(lock: Lock) -> Json:
    """The document; empty where there is none that can be read."""
    try:
        found = json.loads(lock.bom.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("components"), list) else {}
