"""The options of the command `page`: sizes of images, addresses of Airflow and MLflow, name of the registered model."""

import json
import math
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from stagekit import UsageError


@dataclass(frozen=True)
class PageOptions:
    """Sizes in MB by image; addresses without a slash at their end, empty if not given."""

    images: Mapping[str, float]
    airflow: str
    mlflow: str
    model_name: str


def read_options(args: Namespace) -> PageOptions:
    """The options of a command line. Errors: UsageError, which names the wrong option."""
    airflow = _address("--airflow-page", args.airflow_page)
    mlflow = _address("--mlflow-page", args.mlflow_page)
    return PageOptions(_sizes(args.images_json), airflow, mlflow, args.model_name)


def _sizes(text: str) -> dict[str, float]:
    try:
        sizes: Any = json.loads(text or "{}")
        if isinstance(sizes, dict) and all(map(_is_size, sizes.values())):
            return {name: float(size) for name, size in sorted(sizes.items())}
    except (ValueError, RecursionError, OverflowError):  # the last: a whole number beyond every double
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
