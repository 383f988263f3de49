"""Signs that a column holds times though no reading takes them as such: its name, its texts, its numbers."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from draft_keys import words_of

# Words in the name of a column that say that its numbers are times, also those of other languages.
TIME_WORDS = re.compile(
    r"(?<![a-z])(time|timestamp|date|datetime|ts|epoch|at|when|created|updated|unix|day|month|period|yyyymm|dob|datum|fecha"
    r"|dato|дата|日期|日付)(?![a-z])|(?<!candi)(?<!man)date(?![a-z])",
    re.IGNORECASE,
)

ENGLISH = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
# Months, as most languages of Europe begin them.
MONTH = (
    rf"(?:{ENGLISH}|fév|fev|mär|avr|abr|mai|maj|mei|mag|jui|giu|lug|aoû|aou|ago|set|okt|out|ott|dez|déc|dic|gen|ene"
    r"|янв|фев|мар|апр|май|мая|июн|июл|авг|сен|окт|ноя|дек)[^\W\d]*\.?"
)
WEEKDAY = r"(?:mon|tue|wed|thu|fri|sat|sun)[^\W\d]*"
ZONE = r"[A-Z]{3,4}|\[[\w/+-]+\]"
WORD = rf"(?i:{MONTH}|{WEEKDAY}|[ap]\.?m\.?|st|nd|rd|th|de|of|uhr)|{ZONE}|[THWZQhq年月日時分秒]"
YEAR = r"(?<!\d)(?:19|20)\d\d(?!\d)"
# One or two digits; a whole date; what stands behind a T or a clock; the day of a year as ISO 8601 has it.
NUMBER = (
    r"(?<!\d)(?:\d{1,2}|(?:19|20)\d{6})(?!\d)|(?<=T)\d{4,6}(?!\d)|(?<=:\d\d)[.,]\d{1,9}|(?<=:\d\d)[+-]\d{4}"
    r"|(?<=:\d\d )[+-]\d{4}|(?<=\d{4}-)[0-3]\d\d(?!\d)"
)
# A text of nothing else,
PARTS = re.compile(rf"(?:(?:{YEAR}|{NUMBER}|{WORD})[-/.,:+ \u00a0\u202f]{{0,3}})+")
# with a clock, a year beside something else, or a day and a month.
EVIDENCE = re.compile(
    rf"(?<!\d)\d{{1,2}}[:hH]\d\d(?!\d)|{YEAR}.|.{YEAR}|(?<!\d)(?:19|20)\d{{6}}(?!\d)."
    rf"|^\d{{1,2}}[ -](?i:{ENGLISH})$"
)

# Microseconds and nanoseconds are likely times from the first of these years on, before the last.
FIRST_YEAR, LAST_YEAR = 2000, 2040
MONTH_NUMBER, DAY_NUMBER = "(?:0[1-9]|1[0-2])", "(?:0?[1-9]|[12][0-9]|3[01])"
YEAR_AND_MONTH = re.compile(rf"(?:19|20)[0-9]{{2}}{MONTH_NUMBER}")
DAY_AND_MONTH = re.compile(rf"{DAY_NUMBER}\.{MONTH_NUMBER}")
# Ten digits: they would be seconds since 1970 too, from 2033 on.
DAY_AND_HOUR = re.compile(rf"20[0-9]{{2}}{MONTH_NUMBER}(?:0[1-9]|[12][0-9]|3[01])(?:[01][0-9]|2[0-3])")


@dataclass(frozen=True)
class Unit:
    """A way to count time that no reading has: its name, the numbers that are likely times, the day of a number."""

    what: str
    least: float
    greatest: float
    day: Callable[[float], date]


def _since_1970(parts_of_a_second: int) -> Unit:
    first, last = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (FIRST_YEAR, LAST_YEAR))
    name = {10**6: "microseconds", 10**9: "nanoseconds"}[parts_of_a_second]
    return Unit(
        f"{name} since 1970",
        first * parts_of_a_second,
        last * parts_of_a_second,
        lambda number: datetime.fromtimestamp(number / parts_of_a_second, UTC).date(),
    )


UNITS = (
    Unit("the days of a spreadsheet", 20_000, 60_000, lambda days: date(1899, 12, 30) + timedelta(days=int(days))),
    _since_1970(10**6),
    _since_1970(10**9),
)


def text_like_a_time(texts: Collection[str], share: float) -> str | None:
    """One of the texts, if so large a share of them looks like times or dates; otherwise None."""
    found = [text for text in texts if PARTS.fullmatch(text) and EVIDENCE.search(text)]
    return found[0] if found and len(found) >= share * len(texts) else None


def are_days_with_an_hour(texts: Collection[str]) -> bool:
    """Whether each text is a year, month, day and hour, without anything between, such as 2026112114."""
    return bool(texts) and all(map(DAY_AND_HOUR.fullmatch, texts))


def numbers_like_times(name: str, least: float, greatest: float, texts: Collection[str]) -> str:
    """What the numbers of a column may be: mostly, its name has to speak of time; empty if they are none.

    `least` and `greatest` are the ends of the numbers, `texts` some of them as in the file.
    """
    if are_days_with_an_hour(texts):
        return "a year, month, day and hour in one number, so that midnight is 77 or more after the hour before"
    if not TIME_WORDS.search(words_of(name)):
        return ""
    for unit in UNITS:
        if unit.least <= least and greatest < unit.greatest:
            return f"{unit.what}, from {unit.day(least)} to {unit.day(greatest)}"
    if texts and all(map(YEAR_AND_MONTH.fullmatch, texts)):
        return "a year and a month in one number, so that January is 89 after December"
    if texts and all(map(DAY_AND_MONTH.fullmatch, texts)):
        return "a day and a month, so that 1 February comes before 2 January"
    return ""
