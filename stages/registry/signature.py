"""Signatures of what the stage writes into MLflow, with a key that MLflow and its users do not have. Pure."""

import hashlib
import hmac
import json


def sign(key: str, *texts: str) -> str:
    """The signature of texts: their HMAC-SHA-256, as hexadecimal digits. No other texts have the same JSON."""
    return hmac.new(key.encode(), json.dumps(texts).encode(), hashlib.sha256).hexdigest()


def is_signed(key: str, signature: str, *texts: str) -> bool:
    """Whether it is the signature of these texts."""
    return hmac.compare_digest(sign(key, *texts).encode(), signature.encode())
