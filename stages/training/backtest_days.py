"""Which days of a backtest are scored. No numpy."""

from collections.abc import Sequence
from datetime import date, timedelta


def first_training(days: Sequence[str], longest: int) -> date:
    """The day at whose end all strategies train for the first time: the longest window ends there."""
    return date.fromisoformat(days[0]) + timedelta(days=longest - 1)


def days_to_score(days: Sequence[str], longest: int) -> list[str]:
    """The days after the first training; the same for all strategies, so that they can be compared."""
    return [day for day in days if date.fromisoformat(day) > first_training(days, longest)] if days else []
