"""What the page tells that no partition knows: sizes of images, and where people see Airflow and MLflow."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from stagekit import UsageError


@dataclass(frozen=True)
class Settings:
    """Sizes in MB by image; addresses without a slash at their end, empty where there is none."""

    images: Mapping[str, float]
    airflow: str
    mlflow: str
    model_name: str


def read_settings(images: str, airflow: str, mlflow: str, model_name: str) -> Settings:
    """Errors: UsageError, which names the option that is wrong."""
    return Settings(_sizes(images), _address("--airflow-page", airflow), _address("--mlflow-page", mlflow), model_name)


def _sizes(text: str) -> dict[str, float]:
    try:
        sizes: Any = json.loads(text or "{}")
        if isinstance(sizes, dict) and all(_is_size(size) for size in sizes.values()):
            return {name: float(size) for name, size in sorted(sizes.items())}
    except (ValueError, RecursionError):
        pass
    raise UsageError(f"--images-json is {text[:80]!r}", expected='sizes in MB by image, such as {"training": 183}')


def _is_size(size: Any) -> bool:
    return isinstance(size, int | float) and not isinstance(size, bool) and math.isfinite(size) and size >= 0


def _address(option: str, text: str) -> str:
    try:
        parts = urlsplit(text)
        good = not text or (parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username)
    except ValueError:
        good = False
    if good:
        return text.rstrip("/")
    raise UsageError(f"{option} is {text[:80]!r}", expected="an address such as http://localhost:8080")
