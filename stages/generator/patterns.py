"""What changes with the date: volume, prices, habits and the fraudsters' tricks. Bounded on every date."""

import math
from datetime import date
from random import Random

DEFAULT_ROWS = 20_000
# A target line without a row has a key beyond the day's rows, so there must be twice as many keys of ten digits.
MOST_ROWS = 500_000_000
# Monday to Sunday.
WEEKDAY_VOLUME = (0.92, 0.94, 0.97, 1.02, 1.15, 1.18, 0.82)
# January to December.
SEASON_VOLUME = (0.86, 0.88, 0.95, 0.98, 1.0, 1.02, 1.04, 1.0, 0.98, 1.0, 1.08, 1.28)
# Payments by hour of the day: weights for working days, and for Saturday and Sunday.
HOURS_OF_WORKDAY = (6, 4, 3, 2, 2, 4, 12, 28, 42, 40, 42, 52, 66, 56, 46, 46, 56, 74, 76, 60, 44, 32, 20, 11)
HOURS_OF_WEEKEND = (14, 10, 7, 4, 3, 3, 6, 12, 26, 44, 62, 70, 72, 66, 60, 56, 54, 56, 58, 56, 50, 42, 32, 22)
MINUTES = 24 * 60
NIGHT_HOURS = frozenset({0, 1, 2, 3, 4, 23})
DAYS_PER_MONTH = 30.44


def daily_rows(seed: int, day: date) -> int:
    """How many payments a day has by itself: about 20,000, by weekday and season, and chance."""
    chance = Random(f"{seed}/{day}/volume").uniform(0.96, 1.04)
    return round(DEFAULT_ROWS * WEEKDAY_VOLUME[day.weekday()] * SEASON_VOLUME[day.month - 1] * chance)


def minute_starts(day: date, rows: int) -> list[int]:
    """The number of the first payment of each of the day's 1,440 minutes, from 0, and `rows` at the end.

    Integers throughout, so that the rows are exactly as many as asked for and never depend on rounding.
    """
    hours = HOURS_OF_WEEKEND if day.weekday() >= 5 else HOURS_OF_WORKDAY
    starts, before = [], 0
    for minute in range(MINUTES):
        starts.append(rows * before // (60 * sum(hours)))
        before += hours[minute // 60]
    return [*starts, rows]


def wave(seed: int, day: date, name: str) -> float:
    """A slow swing between -1 and 1 with a period of 10 to 18 months: how the pattern `name` drifts."""
    rnd = Random(f"{seed}/wave/{name}")
    period, phase = rnd.uniform(10, 18), rnd.random()
    return math.sin(math.tau * (day.toordinal() / DAYS_PER_MONTH / period + phase))


def price_level(day: date) -> float:
    """Prices as a factor of those of January 2026: they rise by 3 % a year, for 15 years before and after."""
    years = (day - date(2026, 1, 1)).days / 365.25
    return float(1.03 ** min(max(years, -15.0), 15.0))


def seasonal_demand(day: date, category: str) -> float:
    """By what factor more of a category is bought at this time of the year; 1 on average, about."""
    if category == "travel":
        return 1.0 + 0.5 * math.cos(math.tau * (day.timetuple().tm_yday - 200) / 365.25)
    if category in ("electronics", "fashion", "gift_cards"):
        return 1.6 if day.month == 12 else 0.95
    return 1.0
