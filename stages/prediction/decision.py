"""The threshold with the least cost, and no more positives than people can handle in a day."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import expit, logit
from stagekit import BadInput, Partition
from stagekit.contract import NUMBER, Encoder

from metrics import predict_codes, rounded
from rules import KINDS_OF_ERROR

# The curve of the costs is smoothed over log-odds, because the lowest point of a few errors is chance. Of the widths
# that were tried on the demo's days, 0.3 came closest to the best threshold of later days (docs/decisions).
WIDTH, STEP, FARTHEST = 0.3, 0.02, 20.0


def check_decision(rules: Mapping[str, Any], encoder: Encoder) -> None:
    """Refuse costs or a capacity that do not suit the model. Errors: BadInput, which names the rule."""
    if not (rules["costs"] or rules["capacity"]):
        return
    if len(encoder.classes) != 2:
        raise BadInput(
            f"the rules have costs or a capacity, and {encoder.target} has {len(encoder.classes)} classes",
            expected="two classes",
            do="take `costs` and `capacity` out of `decision` in dags/rules.json",
        )
    numbers = [feature.name for feature in encoder.features if feature.kind == NUMBER]
    for kind, cost in rules["costs"].items():
        if isinstance(cost, str) and cost not in numbers:
            raise BadInput(
                f"the cost {kind} is the column {cost!r}, which is no feature with numbers",
                expected=f"a number, or one of {', '.join(numbers) or 'no feature'}",
                do="correct `costs` of `decision` in dags/rules.json",
            )


def costs_of_rows(costs: Mapping[str, Any], names: Sequence[str], features: np.ndarray) -> np.ndarray:
    """What each row costs as a false positive and as a false negative, float64 of shape (rows, 2).

    NaN where the column of a cost has no value, or one below 0. `names` are those of the columns of `features`.
    """
    found = np.empty((len(features), len(KINDS_OF_ERROR)))
    for column, kind in enumerate(KINDS_OF_ERROR):
        cost = costs[kind]
        found[:, column] = features[:, names.index(cost)] if isinstance(cost, str) else float(cost)
    found[found < 0] = np.nan
    return found


def mean_cost(costs: np.ndarray, codes: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> float | None:
    """The mean cost of a row, as it is written; None if a row that was predicted wrongly has no cost."""
    paid = np.where(codes == predicted, 0.0, np.where(predicted == 1, costs[:, 0], costs[:, 1]))
    mean = float(np.average(paid, weights=weights))
    return None if np.isnan(mean) else rounded(mean)


def cheapest_threshold(costs: np.ndarray, chances: np.ndarray, scores: np.ndarray, weights: np.ndarray | None) -> float:
    """The score from which on predicting the second class costs least, by the smoothed curve of the expected costs.

    :param chances: how probable the second class is in each row; the codes, 0 or 1, give the costs of the rows
    """
    steps = int(FARTHEST / STEP)
    change = (1 - chances) * costs[:, 0] - chances * costs[:, 1]  # of the cost, if the row becomes positive
    with np.errstate(divide="ignore"):
        places = np.clip(np.rint(logit(scores) / STEP), -steps, steps).astype(np.intp) + steps
    added = np.bincount(places, change if weights is None else change * weights, minlength=2 * steps + 1)
    # The entry of a place is the change of the cost if all rows from it on are positive; the last: none is.
    total = np.append(np.cumsum(added[::-1])[::-1], 0.0)
    best = np.argmin(gaussian_filter1d(total, WIDTH / STEP, mode="nearest"))
    return float(expit((best - steps - 0.5) * STEP))


def threshold_of_capacity(capacity: int, scores: np.ndarray) -> float:
    """The score of the row from which on at most `capacity` rows are positive; rows with equal scores stay together.

    1.0 if the rows with the highest score are more than that.
    """
    if capacity >= len(scores):
        return 0.0
    beyond = np.partition(scores, len(scores) - capacity - 1)[len(scores) - capacity - 1]
    above = scores[scores > beyond]
    return float(above.min()) if len(above) else 1.0


def decide(
    rules: Mapping[str, Any],
    default: float,
    codes: np.ndarray,
    chances: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray | None,
    costs: np.ndarray | None,
    rows_of_day: int,
) -> tuple[float, float, dict[str, Any]]:
    """The model's threshold, that of these rows, and what metrics.json records: the rules, and the costs of the latter.

    Both thresholds are the same but for costs with a capacity. Then the first one is the cheapest, which `predict`
    raises to the limit of each day, and the second one is raised to the limit of these rows. Without rules both are
    `default`, and nothing is recorded.

    :param chances: those of `cheapest_threshold`
    :param costs: those of `costs_of_rows`, None without costs
    :param rows_of_day: how many rows the whole day has, of which these are a sample; 0 if that is not known
    """
    if not any(rules.values()):
        return default, default, {}
    threshold = default if costs is None else cheapest_threshold(costs, chances, scores, weights)
    of_rows = threshold_of_rows(threshold, rules, scores, rows_of_day)
    threshold = of_rows if costs is None else threshold
    recorded: dict[str, Any] = {"decision": {key: value for key, value in rules.items() if value}}
    recorded["default_threshold"] = default
    if costs is not None:
        probabilities = np.column_stack([1 - scores, scores])
        for name, value in (("cost", of_rows), ("default_cost", default)):
            recorded[name] = mean_cost(costs, codes, predict_codes(probabilities, value), weights)
    return threshold, of_rows, recorded


def threshold_of_rows(threshold: float, decision: Mapping[str, Any], scores: np.ndarray, rows_of_day: int) -> float:
    """The threshold that a model has for a sample of a day's rows, as `predict` has one for the whole day.

    With a capacity it is that of these rows' share of the capacity, at most their highest score: with no positive row,
    the figures would say nothing of a model that has some each day. With costs too, it is the higher one of both.

    :param threshold: the model's
    :param decision: by what the model's threshold was chosen: `costs`, `capacity`, neither, or both
    :param rows_of_day: as `decide` has it
    """
    if not decision.get("capacity"):
        return threshold
    of_sample = int(decision["capacity"] * len(scores) / max(rows_of_day, len(scores)))
    limit = min(threshold_of_capacity(of_sample, scores), float(scores.max()))
    return max(threshold, limit) if decision.get("costs") else limit


def count_rows_of_day(processed: Partition) -> int:
    """How many rows the day has, those for training and those without a label among them; 0 if no mark says it."""
    labelled = processed.rows("train_data.csv") if "train_data.csv" in processed.meta["outputs"] else None
    unlabelled = (processed.step("train_data.csv").get("result") or {}).get("unlabelled") or 0
    return labelled + unlabelled if labelled else 0
