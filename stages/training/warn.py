"""What an expert would doubt about a training, as the sentences of a result line's `warnings`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stagekit.contract import CALENDAR, Feature

from fitting import Fit

FEWEST_ROWS, MOST_NAMES = 50, 5


def find_warnings(rows: Mapping[str, int], features: Sequence[Feature], fitted: Fit) -> list[str]:
    """The warnings on a model; `rows` are those of train.csv and val.csv, `features` those of the encoder."""
    return [
        *_on_few_rows(rows),
        *_on_features_without_a_split(rows["train"], features, fitted),
        *_on_constant_model(fitted.model),
        *_on_last_iteration(fitted.best_iteration, fitted.parameters),
    ]


def _on_few_rows(rows: Mapping[str, int]) -> Iterator[str]:
    if min(rows.values()) < FEWEST_ROWS:
        yield (
            f"{rows['train']} rows train and {rows['val']} validate: with fewer than {FEWEST_ROWS}, "
            "every figure is mostly chance"
        )


def _on_features_without_a_split(rows: int, features: Sequence[Feature], fitted: Fit) -> Iterator[str]:
    """LightGBM writes `none` for the range of a feature that it cannot split, which may be all if there are few rows.

    Parts of the calendar are not named: the rows of one day have one weekday, one month, and so on.
    """
    leaf = re.search(r"(?m)^\[min_data_in_leaf: (\d+)\]$", fitted.model)
    if leaf and rows < (least := 2 * int(leaf[1])):
        yield f"{rows} rows train, and a split needs {least}, twice min_data_in_leaf: no feature can be used"
        return
    found = re.search(r"(?m)^feature_infos=(.*)$", fitted.model)
    ranges = found[1].split() if found else []
    constant = [
        feature.name
        for feature, known in zip(features, ranges, strict=True)
        if known == "none" and feature.kind not in CALENDAR
    ]
    if constant:
        more = f" and {len(constant) - MOST_NAMES} more" if len(constant) > MOST_NAMES else ""
        yield (
            f"{', '.join(constant[:MOST_NAMES])}{more}: the same value in all training rows, or in all but a few, "
            "so the model cannot use it"
        )


def _on_constant_model(model: str) -> Iterator[str]:
    if set(re.findall(r"(?m)^num_leaves=(\d+)$", model)) <= {"1"}:
        yield "the model gives every row the same score: no feature helped to distinguish the classes"


def _on_last_iteration(best: int, parameters: Mapping[str, Any]) -> Iterator[str]:
    if parameters["early_stopping_round"] > 0 and best >= parameters["num_iterations"]:
        yield f"the last of {best} iterations was the best, so more may be better: raise num_iterations"
