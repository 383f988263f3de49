"""What can happen on one day: tables of prepared outcomes, from which every payment of that day is put together.

An outcome is the text that goes into the row as it is, and its risk: what it adds to the hidden score, the log
odds of fraud. So the hidden pattern is all in this module: risks that add up, and interactions (night and online,
foreign and online, amount beyond the customer's habit and new card) that are looked up together.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from random import Random
from statistics import NormalDist
from typing import NamedTuple

from patterns import price_level, seasonal_demand, wave
from payment_schema import CARD_DAYS, CATEGORIES, CHANNELS, COUNTRIES, DAILY_PAYMENTS, byte_text, csv_text
from pools import Customer, Merchant, make_pools

# Sizes of the tables. Payers are drawn by random bits, masked by size - 1, so that is a power of two. The others are
# read in order, side by side; their sizes share no factor, so that they do not begin again together.
PAYERS, PURCHASES, NIGHT_PURCHASES, SPREADS, LUCK = 1 << 13, 1 << 15, 1 << 13, 4_099, 16_411

BASE_RISK = -5.2


class Trade(NamedTuple):
    """A category: price as a factor of what the customer usually pays; popularity and channels as weights; risk.

    The channels are in the order of `CHANNELS`. Risks are in logits: a payment's add up to the logit of fraud.
    """

    price: float
    popularity: int
    channels: tuple[int, int, int, int]
    risk: float


TRADES = {
    "electronics": Trade(2.6, 6, (28, 8, 60, 4), 0.9),
    "entertainment": Trade(0.5, 8, (8, 20, 71, 1), 0.1),
    "fashion": Trade(1.3, 10, (25, 28, 46, 1), 0.2),
    "fuel": Trade(1.3, 10, (55, 45, 0, 0), -0.4),
    "gift_cards": Trade(1.2, 2, (12, 18, 70, 0), 1.4),
    "groceries": Trade(0.9, 30, (26, 70, 4, 0), -0.8),
    "health": Trade(0.8, 8, (38, 50, 9, 3), -0.6),
    "household": Trade(1.5, 6, (40, 24, 32, 4), 0.0),
    "restaurant": Trade(0.7, 17, (33, 60, 6, 1), -0.5),
    "travel": Trade(4.0, 3, (14, 4, 74, 8), 0.6),
}


class Use(NamedTuple):
    """A channel: shares of payments with a PIN or second factor and of those abroad, from 0 to 1; risk in logits."""

    authenticated: float
    foreign: float
    risk: float


USES = {
    "chip": Use(0.96, 0.04, -0.9),
    "contactless": Use(0.12, 0.04, -0.7),
    "online": Use(0.72, 0.16, 0.7),
    "phone": Use(0.03, 0.10, 1.1),
}
AUTHENTICATED_RISK, FOREIGN_RISK, FOREIGN_ONLINE_RISK = -2.0, 1.2, 1.0
NIGHT_RISK, NIGHT_ONLINE_RISK = 0.3, 1.6
NO_EMAIL_RISK, NEW_CARD_RISK = 0.5, 1.0
# A card is new for 60 days; for the first 30 nobody knows what the customer usually pays.
NEW_CARD_DAYS, UNKNOWN_HABIT_DAYS = 60, 30
# Per unit of log(amount / usual amount), for an old and for a new card.
EXCESS_RISK, EXCESS_RISK_OF_NEW_CARD = 1.6, 2.5
# A tiny payment tries whether a stolen card works.
TEST_PAYMENT, TEST_PAYMENT_SHARE, TEST_PAYMENT_RISK = 0.04, 0.005, 2.6
# Per payment beyond three in 24 hours; per unit of log(1 + kilometres / 50).
FREQUENT_FROM, FREQUENT_RISK = 3, 0.7
FAR_RISK, UNKNOWN_PLACE_RISK = 0.65, 0.6
# How far each pattern swings as the months go by.
CATEGORY_DRIFT, COUNTRY_DRIFT, NIGHT_DRIFT, ONLINE_SHARE_DRIFT = 1.0, 0.6, 0.8, 0.3

# Rough middles of the countries, in degrees north and east: enough to know which are far from each other.
MIDDLES = {
    "DE": (51.0, 10.0),
    "ES": (40.2, -3.6),
    "FR": (46.6, 2.5),
    "GB": (52.8, -1.6),
    "IT": (42.8, 12.5),
    "NL": (52.2, 5.3),
    "PL": (52.1, 19.4),
    "US": (39.8, -98.6),
}
EARTH_RADIUS_KM = 6371.0

# As the rows' loop unpacks them. Texts are CSV fields in the order of data.csv, each with a comma behind it, as
# `byte_text` has them.
Payer = tuple[str, float, float, float]  # customer's fields, usual amount, risk, risk per log excess
Purchase = tuple[list[Payer], str, float, float, float]  # who may pay, fields but amount, risk, price, log price
Spread = tuple[float, float, float]  # factor of the amount, its log, risk


class Tables(NamedTuple):
    """The outcomes of a day, in random order: purchases by day and by night, spreads of the amount, and luck in logits.

    A purchase happens in one country of customers.
    """

    by_day: list[Purchase]
    by_night: list[Purchase]
    spreads: list[Spread]
    luck: list[float]


@dataclass(frozen=True)
class Trends:
    """What the drift has come to on a day: risks in logits, the online share as a factor."""

    day: date
    risks: dict[str, float]  # by category and country
    night_online_risk: float
    online_share: float


def make_tables(seed: int, day: date) -> Tables:
    """Prepare the outcomes of one day."""
    rnd = Random(f"{seed}/{day}/tables")
    ways = _ways(rnd, _trends(seed, day), *make_pools(seed))
    weights = [way.weight for way in ways]
    spreads = _spreads()
    # Quantiles of the logistic distribution: P(score + luck > 0) = 1 / (1 + exp(-score)).
    luck = [math.log(u / (1 - u)) for u in _quantiles(LUCK)]
    # Drawn first, then made: purchases that are read in order lie in memory in that order, which is much faster.
    return Tables(
        by_day=[_purchase(rnd, way, is_night=False) for way in rnd.choices(ways, weights, k=PURCHASES)],
        by_night=[_purchase(rnd, way, is_night=True) for way in rnd.choices(ways, weights, k=NIGHT_PURCHASES)],
        spreads=rnd.sample(spreads, len(spreads)),
        luck=rnd.sample(luck, len(luck)),
    )


def _quantiles(size: int) -> list[float]:
    return [(i + 0.5) / size for i in range(size)]


def _trends(seed: int, day: date) -> Trends:
    risks = {name: CATEGORY_DRIFT * wave(seed, day, name) for name in CATEGORIES}
    risks |= {name: COUNTRY_DRIFT * wave(seed, day, name) for name in COUNTRIES}
    night = NIGHT_ONLINE_RISK + NIGHT_DRIFT * wave(seed, day, "night")
    return Trends(day, risks, night, 1 + ONLINE_SHARE_DRIFT * wave(seed, day, "online"))


def _payer(customer: Customer, day: date) -> Payer:
    """Fields customer_id to card_age_days. A card is replaced when it expires, so no card outlives CARD_DAYS."""
    age = (day.toordinal() + customer.card_offset) % CARD_DAYS
    usual = customer.usual_amount * price_level(day)
    is_new = age < NEW_CARD_DAYS
    known = "" if age < UNKNOWN_HABIT_DAYS else f"{usual:.2f}"
    return (
        byte_text(f"{customer.id},{csv_text(customer.name)},{customer.email_domain},{known},{age},"),
        usual,
        BASE_RISK + NEW_CARD_RISK * is_new + NO_EMAIL_RISK * (not customer.email_domain),
        EXCESS_RISK_OF_NEW_CARD if is_new else EXCESS_RISK,
    )


class Way(NamedTuple):
    """A way to pay a merchant; risks are in logits, prices factors of what a customer usually pays.

    `away` is how far that country is from the customers', in km, or None for online.
    """

    payers: list[Payer]
    text: str
    weight: float
    risk: float
    night_risk: float
    price: float
    log_price: float
    away: float | None


def _ways(rnd: Random, trends: Trends, customers: list[Customer], merchants: list[Merchant]) -> list[Way]:
    """All ways to pay; those of a country's customers together weigh what these customers are active."""
    ways = []
    for home in COUNTRIES:
        natives = [customer for customer in customers if customer.country == home]
        activities = [customer.activity for customer in natives]
        payers = rnd.choices([_payer(customer, trends.day) for customer in natives], activities, k=PAYERS)
        found = [way for merchant in merchants for way in _ways_to_pay(home, payers, merchant, trends)]
        share = sum(activities) / sum(way.weight for way in found)
        ways += [way._replace(weight=way.weight * share) for way in found]
    return ways


def _ways_to_pay(home: str, payers: list[Payer], merchant: Merchant, trends: Trends) -> Iterator[Way]:
    """Fields merchant to authenticated, for the customers from `home`."""
    trade = TRADES[merchant.category]
    is_foreign = merchant.country != home
    shop = byte_text(f"{csv_text(merchant.name)},{merchant.category},{csv_text(merchant.city)},{merchant.country}")
    demand = merchant.popularity * trade.popularity * seasonal_demand(trends.day, merchant.category)
    away = kilometres(MIDDLES[home], MIDDLES[merchant.country])
    for channel, popularity in zip(CHANNELS, trade.channels, strict=True):
        use, is_online = USES[channel], channel == "online"
        abroad = use.foreign / (len(COUNTRIES) - 1) if is_foreign else 1 - use.foreign
        risk = trade.risk + use.risk + trends.risks[merchant.category] + trends.risks[merchant.country]
        risk += (FOREIGN_RISK + FOREIGN_ONLINE_RISK * is_online) * is_foreign
        for authenticated, share in (("true", use.authenticated), ("false", 1 - use.authenticated)):
            yield Way(
                payers=payers,
                text=f"{shop},{channel},{authenticated}",
                weight=demand * popularity * abroad * share * (trends.online_share if is_online else 1),
                risk=risk + AUTHENTICATED_RISK * (authenticated == "true"),
                night_risk=NIGHT_RISK + trends.night_online_risk * is_online,
                price=trade.price,
                log_price=math.log(trade.price),
                away=None if is_online else away,
            )


def _purchase(rnd: Random, way: Way, *, is_night: bool) -> Purchase:
    """Fields merchant to transactions_last_24h."""
    km = _distance_online(rnd) if way.away is None else _distance(rnd, way.away)
    far, far_risk = ("", UNKNOWN_PLACE_RISK) if km is None else (f"{km:.1f}", FAR_RISK * math.log1p(km / 50))
    often = min(DAILY_PAYMENTS, int(-math.log2(1 - rnd.random())))
    risk = way.risk + way.night_risk * is_night + far_risk + FREQUENT_RISK * max(0, often - FREQUENT_FROM)
    return way.payers, f"{way.text},{far},{often},", risk, way.price, way.log_price


def _distance(rnd: Random, between: float) -> float:
    """Where the card is: abroad, at home, or on the way in its own country."""
    if between:
        return between * rnd.uniform(0.7, 1.3)
    return rnd.expovariate(1 / 6) if rnd.random() < 0.85 else rnd.uniform(20, 600)


def _distance_online(rnd: Random) -> float | None:
    """Where the device is, as far as that is known: mostly at home."""
    chance = rnd.random()
    if chance < 0.25:
        return None
    return rnd.expovariate(1 / 8) if chance < 0.9 else min(15_000.0, rnd.lognormvariate(6, 1.2))


def kilometres(here: tuple[float, float], there: tuple[float, float]) -> float:
    """Great-circle distance between two (latitude, longitude) in degrees, by the haversine formula."""
    (lat1, lon1), (lat2, lon2) = (map(math.radians, place) for place in (here, there))
    a = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(a))


def _spreads() -> list[Spread]:
    normal = NormalDist(0, 0.6)
    tests = round(SPREADS * TEST_PAYMENT_SHARE)
    usual = [(math.exp(x), x, 0.0) for x in map(normal.inv_cdf, _quantiles(SPREADS - tests))]
    return usual + [(TEST_PAYMENT, math.log(TEST_PAYMENT), TEST_PAYMENT_RISK)] * tests
