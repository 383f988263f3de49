"""Signatures of what the stage writes into MLflow, with a key that MLflow and its users do not have. Pure.

While a key is replaced, `key` is the new one and the one before it, with a comma between: the first signs, both are
valid. Where there was none before, the second is empty, and what has no signature is valid too.
"""

import hashlib
import hmac
import json


def sign(key: str, *texts: str) -> str:
    """The signature of texts: their HMAC-SHA-256, as hexadecimal digits. No other texts have the same JSON."""
    first = key.split(",")[0]
    return hmac.new(first.encode(), json.dumps(texts).encode(), hashlib.sha256).hexdigest()


def is_signed(key: str, signature: str, *texts: str) -> bool:
    """Whether it is the signature of these texts, or nothing asks for one."""
    return any(not one or hmac.compare_digest(sign(one, *texts).encode(), signature.encode()) for one in key.split(","))
