"""The walk through the days of a backtest: score a day with the models that were there, then train what is due.

A strategy is a window of days and the number of days between two trainings; 0 trains once. Strategies with one window
share the models of a day. Only the days of the longest window and the models in use are held in memory.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import lightgbm
from stagekit import track

from auc import Area, area
from backtest_days import first_training
from encoded_days import DayRows, EncodedDays
from fitting import Tables, fit
from lightgbm_tables import READING
from training_rows import Side, choose_rows

EPOCH = date(1970, 1, 1)

log = logging.getLogger("training")


@dataclass(frozen=True, eq=False)
class Model:
    """A model of a window that ended on the day `trained`: what it learned from, and its trees."""

    window: int
    trained: str
    days: Sequence[str]
    rows: Mapping[str, int]
    iterations: int
    sha256: str
    booster: lightgbm.Booster


@dataclass(frozen=True)
class Figure:
    """A figure of the rows of one day, and its variance."""

    value: float
    variance: float


@dataclass(frozen=True)
class Scored:
    """A day that a strategy scored: with which model, and the area under the ROC curve.

    `over_before` is the area less that of the model before, on the same rows; None while the first model is in use.
    `over_first` is the same for the first model; None if it is in use.
    """

    ds: str
    trained: str
    area: Figure
    over_before: Figure | None
    over_first: Figure | None


@dataclass
class Strategy:
    """A strategy, and what became of it. `untrained` says why there was no model on days when one was due."""

    window: int
    every: int
    scored: list[Scored] = field(default_factory=list)
    untrained: dict[str, str] = field(default_factory=dict)
    first: Model | None = None
    before: Model | None = None
    model: Model | None = None

    def is_due(self, since_first: int) -> bool:
        """Whether a model is trained so many days after the first."""
        return since_first == 0 or (self.every > 0 and since_first > 0 and since_first % self.every == 0)

    def take(self, model: Model) -> None:
        """Use another model from the next day on."""
        self.before, self.model = self.model, model
        self.first = self.first or model


@dataclass(frozen=True)
class Outcome:
    """What a walk found. `scored` has the rows of each scored day, and those of other classes than the first."""

    strategies: Sequence[Strategy]
    models: Sequence[Model]
    scored: Mapping[str, tuple[int, int]]


def walk(days: EncodedDays, strategies: Sequence[tuple[int, int]], parameters: Mapping[str, Any]) -> Outcome:
    """Walk from the first of the days to the last."""
    longest = max(window for window, _ in strategies)
    start, found = first_training(days.days, longest), [Strategy(*one) for one in strategies]
    models: list[Model] = []
    scored: dict[str, tuple[int, int]] = {}
    held: dict[date, DayRows] = {}
    first, last = (date.fromisoformat(days.days[place]) for place in (0, -1))
    calendar = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    for today in track(calendar, "backtest", len(calendar), "days"):
        held = {day: rows for day, rows in held.items() if (today - day).days < longest}
        if str(today) in days.days:
            held[today] = days.read(str(today))
            if today > start:
                scored[str(today)] = (len(held[today].codes), int((held[today].codes > 0).sum()))
                _score(str(today), held[today], found, parameters["num_threads"])
        due = [one for one in found if today < last and one.is_due((today - start).days)]
        for window in sorted({one.window for one in due}):
            of_window = {str(day): rows for day, rows in held.items() if (today - day).days < window}
            model = _train(window, today, of_window, days.categories, parameters)
            for strategy in due:
                if strategy.window == window and isinstance(model, Model):
                    strategy.take(model)
                elif strategy.window == window:
                    strategy.untrained[str(today)] = str(model)
            models += [model] if isinstance(model, Model) else []
    return Outcome(found, models, scored)


def _score(ds: str, rows: DayRows, strategies: Sequence[Strategy], threads: int) -> None:
    """Note the areas of a day for all models that a strategy has, each scored once. A day of one class has none.

    Of two classes, log-odds have the order of the probabilities, and no two of them are equal by rounding alone.
    """
    areas: dict[tuple[int, str], Area | None] = {}
    for model in {one for strategy in strategies for one in (strategy.model, strategy.before, strategy.first) if one}:
        two = model.booster.num_model_per_iteration() == 1
        scores = model.booster.predict(rows.features, raw_score=two, num_threads=threads)
        areas[model.window, model.trained] = area(scores, rows.codes)

    def of(model: Model | None) -> Area | None:
        return areas[model.window, model.trained] if model else None

    for one in strategies:
        if one.model and (now := of(one.model)):
            first = of(one.first) if one.first != one.model else None
            figure = Figure(now.value, now.covariance(now))
            one.scored.append(Scored(ds, one.model.trained, figure, _over(now, of(one.before)), _over(now, first)))


def _over(now: Area, other: Area | None) -> Figure | None:
    """By how much an area is greater than another of the same rows."""
    if other is None:
        return None
    variance = now.covariance(now) + other.covariance(other) - 2 * now.covariance(other)
    return Figure(now.value - other.value, max(0.0, variance))


def _train(
    window: int, day: date, rows: Mapping[str, DayRows], categories: list[int], parameters: Mapping[str, Any]
) -> Model | str:
    """A model of a window that ends with the day; why there is none if it cannot be trained."""
    chosen = choose_rows(rows, (day - EPOCH).days)
    if isinstance(chosen, str):
        log.warning("%s, window of %d days: not trained, %s", day, window, chosen)
        return chosen
    trains, validates, days = chosen
    train = _dataset(trains, categories, parameters)
    tables = Tables(train, _dataset(validates, categories, parameters, train), len(trains.codes))
    fitted = fit(tables, parameters, lambda *_: None)
    counts = {"train": len(trains.codes), "val": len(validates.codes)}
    log.info("%s, window of %d days: %s rows, %d iterations", day, window, counts, fitted.best_iteration)
    digest = hashlib.sha256(fitted.model.encode()).hexdigest()
    booster = lightgbm.Booster(model_str=fitted.model)
    return Model(window, str(day), days, counts, fitted.best_iteration, digest, booster)


def _dataset(
    side: Side, categories: list[int], parameters: Mapping[str, Any], reference: lightgbm.Dataset | None = None
) -> lightgbm.Dataset:
    return lightgbm.Dataset(
        side.features,
        side.codes,
        weight=side.weights,
        reference=reference,
        params={**parameters, **READING},  # which `fit` names again, and which may not differ
        categorical_feature=categories,
    ).construct()
