"""Signatures of what the stage writes into MLflow, with a key that MLflow and its users do not have. Pure.

While a key is replaced, `key` is the new one and the one before it, with a comma between: the first signs, both are
valid. Where there was none before, the second is empty, and what has no signature is valid too.
"""

import hashlib
import hmac
import json
from collections.abc import Sequence

# How a key begins that never signed in an old form.
NEW_KEY = "v2."


def sign(key: str, *texts: str) -> str:
    """The signature of texts: their HMAC-SHA-256, as hexadecimal digits. No other texts have the same JSON."""
    first = key.split(",")[0]
    return hmac.new(first.encode(), json.dumps(texts).encode(), hashlib.sha256).hexdigest()


def is_signed(key: str, signature: str, *texts: str) -> bool:
    """Whether it is the signature of these texts, or nothing asks for one."""
    return any(not one or _signs(one, signature, texts) for one in key.split(","))


def is_signed_in_old_form(key: str, signature: str, *texts: str) -> bool:
    """Whether it is the signature of these texts with a key that signed in the old form too."""
    return any(_signs(one, signature, texts) for one in key.split(",") if one and not one.startswith(NEW_KEY))


def _signs(one: str, signature: str, texts: Sequence[str]) -> bool:
    return hmac.compare_digest(sign(one, *texts).encode(), signature.encode())
