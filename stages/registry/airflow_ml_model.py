"""Loads a registered model as a python_function of MLflow that takes raw rows. A copy of this file is in every bundle.

MLflow imports the copy where the model is loaded; no stage imports this file. It needs lightgbm and pandas, and no
other file of this project. Reads encoder.json and model.txt beside it. Writes nothing.

Raw rows have the columns of data.csv that the model uses, with typed values: a number as a number, a category as text,
a time as a time or as ISO 8601 in UTC. Encoded rows have the columns of features.csv, all of them numbers. If the texts
of a category are all numbers, such as 01 and 02, its numbers could be codes or these texts, so they are refused. Text
that only the schema explains, such as 1.234,50, is refused: `preprocessing` reads that.
"""

import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import lightgbm
import pandas as pd

ENCODER_FILE, MODEL_FILE = "encoder.json", "model.txt"
# The parts of a time, and how pandas names them.
PARTS = {"hour": "hour", "weekday": "weekday", "day": "day", "month": "month", "yearday": "dayofyear"}
# polars, with which `preprocessing` works, divides by a number in this way; the last digit of a quotient may differ.
DAYS_OF_A_MICROSECOND = 1 / 86_400_000_000
# A number as a text, as `preprocessing` knows it.
NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
# In place of a value of a sensitive field, as in the messages of `preprocessing`.
HIDDEN = "…"
TRUE, FALSE = ("true", "True", "TRUE", "1"), ("false", "False", "FALSE", "0")


def _load_pyfunc(path: str) -> "Model":
    """What MLflow calls with the folder of the bundle."""
    return Model(Path(path))


class Model:
    """The model of a bundle, with its encoder."""

    def __init__(self, folder: Path) -> None:
        encoder = json.loads((folder / ENCODER_FILE).read_text(encoding="utf-8"))
        self._features = encoder["features"]
        self._fields = {field["name"]: field for field in encoder["schema"]["fields"]}
        missing = encoder["schema"].get("missingValues", [])
        self._missing = {name: {"", *field.get("missingValues", missing)} for name, field in self._fields.items()}
        self._doubtful = [one["name"] for one in self._features if one["kind"] == "category" and _are_numbers(one)]
        self._booster = lightgbm.Booster(model_file=folder / MODEL_FILE)

    def predict(self, model_input: pd.DataFrame, params: Any = None) -> Any:  # noqa: ARG002 - MLflow's
        """The probabilities: with two classes one a row, that of the second class; else one a class.

        :param model_input: raw rows or encoded rows; their order stays, further columns do not count
        Errors: ValueError that names the column, the row and what was expected; no value of a sensitive field.
        """
        encoded = self._checked(model_input) if self.is_encoded(model_input) else self.encode(model_input)
        # By position: LightGBM writes some names in another way.
        return self._booster.predict(encoded.to_numpy(dtype=float, na_value=math.nan))

    @property
    def _names(self) -> list[str]:
        return [feature["name"] for feature in self._features]

    def is_encoded(self, rows: pd.DataFrame) -> bool:
        """Whether the rows have every feature as a number. Raw rows have text in a category, and times as times.

        pandas reads the texts true and false as booleans, and counts those among the numbers. A code is none.
        """
        return all(
            one["name"] in rows
            and pd.api.types.is_numeric_dtype(rows[one["name"]])
            and (one["kind"] == "number" or not pd.api.types.is_bool_dtype(rows[one["name"]]))
            for one in self._features
        )

    def _checked(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The features of rows that have a number for each. Raw rows of numbers alone are such rows, too.

        Errors: ValueError for a category whose texts pandas reads as numbers.
        """
        if self._doubtful:
            raise ValueError(
                f"column {self._doubtful[0]}: numbers; its texts are numbers too, so these may be codes or the texts; "
                "expected the text of data.csv, so read it with dtype=str; for encoded rows use mlflow.lightgbm"
            )
        encoded = rows[self._names].copy()
        for one in self._features:
            codes = _codes(self._missing[one["field"]]) if one["kind"] == "number" else set()
            # In a field of booleans 0 and 1 are values.
            codes -= {0.0, 1.0} if self._fields[one["field"]]["type"] == "boolean" else set()
            if (is_missing := encoded[one["name"]].isin(codes)).any():
                encoded[one["name"]] = encoded[one["name"]].mask(is_missing)
        return encoded

    def encode(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The features of raw rows, as `preprocessing features` makes them: one column of doubles each."""
        fields = {feature["field"] for feature in self._features}
        fields |= {feature["since"] for feature in self._features if feature.get("since")}
        if absent := sorted(fields - set(rows)):
            raise ValueError(
                f"the rows have no column {', '.join(absent)}; expected: the columns of data.csv "
                f"({', '.join(sorted(fields))}), or those of features.csv"
            )
        columns = {feature["name"]: self._encode(feature, rows) for feature in self._features}
        return pd.DataFrame(columns, index=rows.index)

    def _encode(self, feature: Mapping[str, Any], rows: pd.DataFrame) -> pd.Series:
        field, kind, values = self._fields[feature["field"]], feature["kind"], rows[feature["field"]]
        if kind in PARTS:
            return getattr(self._times(field, values).dt, PARTS[kind]).astype(float)
        if kind == "days":
            times, since = self._times(field, values), feature.get("since")
            start = _microseconds(self._times(self._fields[since], rows[since])) if since else 0.0
            return (_microseconds(times) - start) * DAYS_OF_A_MICROSECOND
        if kind == "category":
            codes = {text: code for code, text in enumerate(feature["values"])}
            return self._each(field, values, lambda value: _code(value, codes))
        missing = self._missing[field["name"]]
        convert = (lambda value: _flag(value, field)) if field["type"] == "boolean" else _number_of(field, missing)
        return self._each(field, values, convert)

    def _each(self, field: Mapping[str, Any], values: pd.Series, convert: Callable[[Any], float]) -> pd.Series:
        """Each value as a number; NaN for one that is missing. Errors: ValueError that names column and row."""
        numbers = []
        for place, value in enumerate(values):
            try:
                numbers.append(math.nan if self._is_missing(field, value) else convert(value))
            except ValueError as error:
                raise _wrong(field, values, place, str(error)) from None
        return pd.Series(numbers, index=values.index, dtype=float)

    def _is_missing(self, field: Mapping[str, Any], value: Any) -> bool:
        return value.strip() in self._missing[field["name"]] if isinstance(value, str) else bool(pd.isna(value))

    def _times(self, field: Mapping[str, Any], values: pd.Series) -> pd.Series:
        """Times in UTC."""
        present = values.where(~values.map(lambda value: self._is_missing(field, value)), None)
        if pd.api.types.is_numeric_dtype(values) and present.notna().any():
            raise ValueError(f"column {values.name}: numbers; expected times, or text such as 2026-11-22T03:00:00Z")
        if field.get("format", "default") != "default" and present.map(lambda value: isinstance(value, str)).any():
            raise ValueError(f"column {values.name}: text in the format {field['format']}; expected times")
        # pandas' own message shows the value.
        times = pd.to_datetime(present, utc=True, format="ISO8601", errors="coerce")
        if (unread := (times.isna() & present.notna()).to_numpy()).any():
            raise _wrong(field, values, int(unread.argmax()), "is no time; expected a time, or text of ISO 8601")
        return times


def _microseconds(times: pd.Series) -> pd.Series:
    """Since 1970, NaN for a missing time. A double holds those of the years 1685 to 2255 exactly."""
    return times.dt.as_unit("us").astype("int64").astype(float).where(times.notna())


def _wrong(field: Mapping[str, Any], values: pd.Series, place: int, what: str) -> ValueError:
    """The error about one value; `what` is what is wrong with it, such as "is no number"."""
    value = HIDDEN if field.get("sensitive") else values.iloc[place]
    # Not repr of all: that of NumPy's numbers is np.float64(1.5).
    shown = repr(value) if isinstance(value, str) else str(value)
    return ValueError(f"column {values.name}, row {place}: {shown} {what}")


def _code(value: Any, codes: Mapping[str, int]) -> float:
    """The code of a category; NaN for one that the model did not see."""
    if not isinstance(value, str):
        raise ValueError("is no text; expected the text of data.csv, so read it with dtype=str")
    return float(codes.get(value, codes.get(value.strip(), math.nan)))


def _flag(value: Any, field: Mapping[str, Any]) -> float:
    if not isinstance(value, str) and value in (0, 1):
        return float(value)
    if str(value).strip() in field.get("trueValues", TRUE):
        return 1.0
    if str(value).strip() in field.get("falseValues", FALSE):
        return 0.0
    raise ValueError("is no boolean; expected true or false")


def _are_numbers(feature: Mapping[str, Any]) -> bool:
    """Whether pandas, unless it is asked for texts, reads each value of a category as a number."""
    try:
        return bool([float(text) for text in feature["values"]])
    except ValueError:
        return False


def _codes(missing: Collection[str]) -> set[float]:
    """The texts that mean "missing" and are numbers."""
    return {float(text) for text in missing if re.fullmatch(NUMBER, text)}


def _number_of(field: Mapping[str, Any], missing: Collection[str]) -> Callable[[Any], float]:
    """Values to numbers; NaN for a number that equals one of the texts that mean "missing"."""
    codes = _codes(missing)
    is_plain = field.get("decimalChar", ".") == "." and not field.get("groupChar") and field.get("bareNumber", True)

    def number(value: Any) -> float:
        if isinstance(value, str) and not is_plain:
            raise ValueError("is text that only schema.json explains; expected a number")
        try:
            return math.nan if float(value) in codes else float(value)
        except (TypeError, ValueError):
            raise ValueError("is no number") from None

    return number
