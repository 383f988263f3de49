"""A plugin of Airflow: a run whose form has NaN or Infinity as a number is refused when it is triggered.

JSON has no such numbers, but Python reads them, NaN is within all bounds, and Airflow's database refuses to keep it:
without this plugin the answer is an internal error. JSON Schema lets a program say what a format means.
"""

import math

from airflow.plugins_manager import AirflowPlugin
from jsonschema import FormatChecker
from jsonschema.exceptions import FormatError

FORMAT = "finite"


def is_finite(value: object) -> bool:
    """Whether no number in the value, which may hold lists and objects, is NaN or infinite. Errors: FormatError."""
    if isinstance(value, dict):
        return all(map(is_finite, value.values()))
    if isinstance(value, list):
        return all(map(is_finite, value))
    if isinstance(value, float) and not math.isfinite(value):
        raise FormatError(f"{value} is no finite number")
    return True


# For all checkers, as Airflow makes one of its own for each validation.
FormatChecker.checkers[FORMAT] = (is_finite, ())


class FiniteNumbers(AirflowPlugin):
    """Makes Airflow load this file."""

    name = "airflow-ml finite numbers"
