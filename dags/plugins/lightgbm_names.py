"""A plugin of Airflow: a run whose form names a parameter that LightGBM does not know is refused when it is triggered.

The form's schema gives the names a format, and JSON Schema lets a program say what a format means. A schema that lists
the names would answer with all of them, and suggest none. Airflow without this plugin ignores the format; then the
first task refuses the name. Reads `lightgbm_names.json`: a copy of LightGBM's names and their aliases, which
tests/images/test_form_defaults.py compares with the image.
"""

import difflib
import json
from functools import cache
from pathlib import Path

from airflow.plugins_manager import AirflowPlugin
from jsonschema import FormatChecker
from jsonschema.exceptions import FormatError

FORMAT = "LightGBM parameter"
NAMES = Path(__file__).parents[1] / "lightgbm_names.json"


@cache
def main_names() -> dict[str, str]:
    """LightGBM's own name of each name and alias."""
    found = json.loads(NAMES.read_text(encoding="utf-8"))
    return {alias: name for name, aliases in found.items() for alias in (name, *aliases)}


def is_known(name: object) -> bool:
    """Whether LightGBM knows the name. Errors: FormatError, which suggests others, if it does not."""
    names = main_names()
    if name in names:
        return True
    near = dict.fromkeys(names[close] for close in difflib.get_close_matches(str(name), names, n=3))
    expected = f"perhaps {', '.join(near)}" if near else "a name from LightGBM's documentation"
    raise FormatError(f"LightGBM has no parameter {name!r}; expected: {expected}")


# For all checkers, as Airflow makes one of its own for each validation.
FormatChecker.checkers[FORMAT] = (is_known, ())


class LightgbmNames(AirflowPlugin):
    """Makes Airflow load this file."""

    name = "airflow-ml names of LightGBM's parameters"
