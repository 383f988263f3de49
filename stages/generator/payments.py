"""The payments of a day, minute by minute: what is bought, for how much, and whether it is fraud.

Every random choice is a lookup in a table of prepared outcomes, which is made once a day: text that goes into
the row as it is, and what it adds to the hidden score. The score is the log odds of fraud; the label is 1
where the score and a draw from the logistic distribution are positive together, that is with the probability
1 / (1 + exp(-score)). What the model sees is only the text.
"""

import math
from collections.abc import Iterator
from datetime import date
from itertools import count
from random import Random
from statistics import NormalDist
from typing import NamedTuple

from calendar_patterns import MINUTES, NIGHT_HOURS, minute_starts, price_level, seasonal_demand, wave
from payment_schema import CARD_DAYS, CATEGORIES, COUNTRIES, DAILY_PAYMENTS
from pools import Customer, Merchant

# Sizes of the tables: powers of two, so that a 16-bit random number masked by size - 1 is an index.
ALL, OFFERS, FEW = 1 << 16, 1 << 13, 1 << 12

# By category: price relative to what the customer usually pays, popularity, weights of the channels
# (chip, contactless, online, phone), risk.
TRADES = {
    "electronics": (2.6, 6, (28, 8, 60, 4), 0.9),
    "entertainment": (0.5, 8, (8, 20, 71, 1), 0.1),
    "fashion": (1.3, 10, (25, 28, 46, 1), 0.2),
    "fuel": (1.3, 10, (55, 45, 0, 0), -0.4),
    "gift_cards": (1.2, 2, (12, 18, 70, 0), 1.4),
    "groceries": (0.9, 30, (26, 70, 4, 0), -0.8),
    "health": (0.8, 8, (38, 50, 9, 3), -0.6),
    "household": (1.5, 6, (40, 24, 32, 4), 0.0),
    "restaurant": (0.7, 17, (33, 60, 6, 1), -0.5),
    "travel": (4.0, 3, (14, 4, 74, 8), 0.6),
}
# By channel: how often a PIN or second factor is given, risk.
USES = {"chip": (0.96, -0.9), "contactless": (0.12, -0.7), "online": (0.72, 0.7), "phone": (0.03, 1.1)}
FOREIGN_SHARE = {"chip": 0.04, "contactless": 0.04, "online": 0.16, "phone": 0.1}

BASE_RISK = -5.0
AUTHENTICATED_RISK, FOREIGN_RISK, FOREIGN_ONLINE_RISK = -1.6, 1.2, 1.0
NIGHT_RISK, NIGHT_ONLINE_RISK = 0.3, 1.5
NEW_CARD_DAYS, NEW_CARD_RISK, NO_EMAIL_RISK = 60, 1.0, 0.5
# Per unit of log(amount / usual amount), for an old and for a new card.
EXCESS_RISK, EXCESS_RISK_OF_NEW_CARD = 1.3, 2.2
TEST_PAYMENT_RISK = 2.6
FREQUENT_FROM, FREQUENT_RISK = 3, 0.55
FAR_RISK, UNKNOWN_PLACE_RISK = 0.55, 0.6
# How far each risk swings as the months go by.
CATEGORY_DRIFT, COUNTRY_DRIFT, NIGHT_DRIFT, ONLINE_SHARE_DRIFT = 1.0, 0.6, 0.8, 0.3

# Great-circle distance between countries, in degrees: rough middles are enough for a demonstration.
PLACES = {
    "DE": (51.0, 10.0), "ES": (40.2, -3.6), "FR": (46.6, 2.5), "GB": (52.8, -1.6),
    "IT": (42.8, 12.5), "NL": (52.2, 5.3), "PL": (52.1, 19.4), "US": (39.8, -98.6),
}  # fmt: skip
EARTH_RADIUS_KM = 6371.0

# Outcomes, as the rows' loop unpacks them.
Outcome = tuple[str, float]  # text, score
Offer = tuple[str, float, float, float, list[Outcome]]  # text, score, price, log price, distances
Payer = tuple[str, int, float, float, float]  # text, home, usual amount, score, score per log excess
Spread = tuple[float, float, float]  # factor, log factor, score


class Tables(NamedTuple):
    """What can happen on one day: `offers` by night (0, 1), then by the customer's home country."""

    payers: list[Payer]
    offers: tuple[list[list[Offer]], list[list[Offer]]]
    velocities: list[Outcome]
    spreads: list[Spread]
    luck: list[float]


def make_tables(seed: int, day: date, customers: list[Customer], merchants: list[Merchant]) -> Tables:
    """Prepare the outcomes of one day."""
    rnd = Random(f"{seed}/{day}/tables")
    return Tables(
        payers=_payers(rnd, day, customers),
        offers=_offers(rnd, seed, day, merchants),
        velocities=_velocities(),
        spreads=_spreads(),
        luck=[math.log(u / (1 - u)) for u in _quantiles(ALL)],
    )


def _quantiles(size: int) -> list[float]:
    return [(i + 0.5) / size for i in range(size)]


def csv_text(text: str) -> str:
    """The text as a CSV field: in quotes where it needs them."""
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text


def _payers(rnd: Random, day: date, customers: list[Customer]) -> list[Payer]:
    level = price_level(day)
    payers = []
    for customer in customers:
        age = (day.toordinal() + customer.card_offset) % CARD_DAYS
        usual = customer.usual_amount * level
        is_new = age < NEW_CARD_DAYS
        known = f"{usual:.2f}" if age >= 30 else ""
        score = BASE_RISK + NEW_CARD_RISK * is_new + NO_EMAIL_RISK * (not customer.email_domain)
        payers.append((
            f"{customer.id},{csv_text(customer.email_domain)},{known},{age}",
            COUNTRIES.index(customer.country), usual, score,
            EXCESS_RISK_OF_NEW_CARD if is_new else EXCESS_RISK,
        ))  # fmt: skip
    return rnd.choices(payers, [customer.activity for customer in customers], k=ALL)


def _offers(
    rnd: Random, seed: int, day: date, merchants: list[Merchant]
) -> tuple[list[list[Offer]], list[list[Offer]]]:
    online = 1 + ONLINE_SHARE_DRIFT * wave(seed, day, "online")
    hot = {name: CATEGORY_DRIFT * wave(seed, day, name) for name in CATEGORIES}
    hot |= {name: COUNTRY_DRIFT * wave(seed, day, name) for name in COUNTRIES}
    by_night = NIGHT_RISK, NIGHT_ONLINE_RISK + NIGHT_DRIFT * wave(seed, day, "night")
    by_day: list[list[Offer]] = []
    at_night: list[list[Offer]] = []
    for home in COUNTRIES:
        distances = {country: _distances(rnd, home, country) for country in COUNTRIES}
        at_home = _distances_online(rnd)
        offers, nightly, weights = [], [], []
        for shop in merchants:
            price, popularity, channels, risk = TRADES[shop.category]
            foreign = shop.country != home
            demand = shop.popularity * popularity * seasonal_demand(day, shop.category)
            for channel, weight in zip(USES, channels, strict=True):
                proof, channel_risk = USES[channel]
                is_online = channel == "online"
                share = FOREIGN_SHARE[channel] / (len(COUNTRIES) - 1) if foreign else 1 - FOREIGN_SHARE[channel]
                score = risk + hot[shop.category] + hot[shop.country] + channel_risk + FOREIGN_RISK * foreign
                score += FOREIGN_ONLINE_RISK * (foreign and is_online)
                night = by_night[0] + by_night[1] * is_online
                for proven, chance in (("true", proof), ("false", 1 - proof)):
                    total = score + AUTHENTICATED_RISK * (proven == "true")
                    text = f"{csv_text(shop.name)},{shop.category},{shop.country},{channel},{proven}"
                    where = at_home if is_online else distances[shop.country]
                    offers.append((text, total, price, math.log(price), where))
                    nightly.append((text, total + night, price, math.log(price), where))
                    weights.append(demand * weight * share * chance * (online if is_online else 1.0))
        state = rnd.getrandbits(64)
        by_day.append(Random(state).choices(offers, weights, k=OFFERS))
        at_night.append(Random(state).choices(nightly, weights, k=OFFERS))
    return by_day, at_night


def _distances(rnd: Random, home: str, country: str) -> list[Outcome]:
    between = _kilometres(PLACES[home], PLACES[country])
    outcomes = []
    for _ in range(FEW):
        if home == country:
            km = rnd.expovariate(1 / 6) if rnd.random() < 0.85 else rnd.uniform(20, 600)
        else:
            km = between * rnd.uniform(0.7, 1.3)
        outcomes.append((f"{km:.1f}", FAR_RISK * math.log1p(km / 50)))
    return outcomes


def _distances_online(rnd: Random) -> list[Outcome]:
    outcomes = []
    for _ in range(FEW):
        chance = rnd.random()
        if chance < 0.25:
            outcomes.append(("", UNKNOWN_PLACE_RISK))
            continue
        km = rnd.expovariate(1 / 8) if chance < 0.9 else rnd.lognormvariate(6, 1.2) % 15_000
        outcomes.append((f"{km:.1f}", FAR_RISK * math.log1p(km / 50)))
    return outcomes


def _kilometres(here: tuple[float, float], there: tuple[float, float]) -> float:
    """Great-circle distance between two (latitude, longitude) in degrees: the haversine formula."""
    (lat1, lon1), (lat2, lon2) = (map(math.radians, place) for place in (here, there))
    a = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(a))


def _velocities() -> list[Outcome]:
    outcomes = []
    for u in _quantiles(FEW):
        payments = min(DAILY_PAYMENTS, int(math.log(1 - u) / math.log(0.5)))
        outcomes.append((str(payments), FREQUENT_RISK * max(0, payments - FREQUENT_FROM)))
    return outcomes


def _spreads() -> list[Spread]:
    normal = NormalDist(0, 0.6)
    spreads = [(math.exp(x), x, 0.0) for x in map(normal.inv_cdf, _quantiles(FEW))]
    tests = FEW // 200  # a tiny payment that tries whether a stolen card works
    spreads[FEW // 2 : FEW // 2 + tests] = [(0.04, math.log(0.04), TEST_PAYMENT_RISK)] * tests
    return spreads


def make_minutes(seed: int, day: date, rows: int, tables: Tables) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the lines of data.csv and of target.csv, without line ends, for each minute of the day."""
    starts = minute_starts(day, rows)
    for minute in range(MINUTES):
        first, last = starts[minute], starts[minute + 1]
        if first < last:
            yield make_minute(Random(f"{seed}/{day}/{minute}"), day, minute, first, last - first, tables)


SECONDS = [f":{byte * 60 // 256:02d}Z" for byte in range(256)]


def make_minute(
    rnd: Random, day: date, minute: int, first: int, rows: int, tables: Tables
) -> tuple[list[str], list[str]]:
    payers, offers_by_night, velocities, spreads, luck = tables
    hour = minute // 60
    offers = offers_by_night[hour in NIGHT_HOURS]
    prefix, moment = f"T{day:%Y%m%d}-", f"{day}T{hour:02d}:{minute % 60:02d}"
    draws = [memoryview(rnd.randbytes(2 * rows)).cast("H") for _ in range(6)]
    data, target = [], []
    for number, second, a, b, c, d, e, f in zip(count(first), sorted(rnd.randbytes(rows)), *draws):
        who, home, usual, score, per_excess = payers[a]
        what, risk, price, log_price, distances = offers[home][b & 8191]
        far, far_risk = distances[c & 4095]
        often, often_risk = velocities[d & 4095]
        factor, log_factor, test_risk = spreads[e & 4095]
        excess = log_price + log_factor
        score += risk + far_risk + often_risk + test_risk
        if excess > 0:
            score += per_excess * excess
        key = f"{prefix}{number:09d}"
        data.append(f"{key},{moment}{SECONDS[second]},{who},{what},{far},{often},{usual * price * factor:.2f}")
        target.append(f"{key},1" if score + luck[f] > 0 else f"{key},0")
    return data, target
