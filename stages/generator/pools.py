"""Who pays and who is paid: the customers and merchants that Faker makes. They depend on the seed only."""

from random import Random
from typing import NamedTuple

from faker import Faker

from payment_schema import CARD_DAYS, CATEGORIES

# Country of a customer or merchant: its Faker locale and its share of the customers.
HOMES = {
    "DE": ("de_DE", 24),
    "ES": ("es_ES", 10),
    "FR": ("fr_FR", 16),
    "GB": ("en_GB", 18),
    "IT": ("it_IT", 12),
    "NL": ("nl_NL", 8),
    "PL": ("pl_PL", 7),
    "US": ("en_US", 5),
}
CUSTOMERS = 6_000
MERCHANTS_PER_CATEGORY = 4


class Customer(NamedTuple):
    """One customer; `card_offset` is the day, within a card's validity, on which the card is renewed."""

    id: str
    country: str
    email_domain: str
    usual_amount: float
    card_offset: int
    activity: int


class Merchant(NamedTuple):
    """One merchant; `popularity` is its weight among the merchants of its category and country."""

    name: str
    category: str
    country: str
    popularity: int


def make_customers(seed: int) -> list[Customer]:
    """The customers, by id: 10 % with a mail domain of their own, 8 % without any; activity 1 to 20."""
    rnd = Random(f"{seed}/customers")
    fakers = _fakers(seed, "customers")
    countries = rnd.choices(list(fakers), [share for _, share in HOMES.values()], k=CUSTOMERS)
    return [
        Customer(
            id=f"C{number:06d}",
            country=country,
            email_domain=_email_domain(fakers[country], rnd.random()),
            usual_amount=round(min(max(rnd.lognormvariate(3.3, 0.6), 5.0), 250.0), 2),
            card_offset=rnd.randrange(CARD_DAYS),
            activity=min(20, 1 + int(rnd.expovariate(0.3))),
        )
        for number, country in enumerate(countries, start=1)
    ]


def make_merchants(seed: int) -> list[Merchant]:
    """The merchants: some of every category in every country."""
    rnd = Random(f"{seed}/merchants")
    return [
        Merchant(fake.company(), category, country, rnd.randint(1, 10))
        for country, fake in _fakers(seed, "merchants").items()
        for category in CATEGORIES
        for _ in range(MERCHANTS_PER_CATEGORY)
    ]


def _fakers(seed: int, purpose: str) -> dict[str, Faker]:
    fakers = {country: Faker(locale) for country, (locale, _) in HOMES.items()}
    for country, fake in fakers.items():
        fake.seed_instance(f"{seed}/{purpose}/{country}")
    return fakers


def _email_domain(fake: Faker, chance: float) -> str:
    if chance < 0.08:
        return ""
    return str(fake.domain_name() if chance < 0.18 else fake.free_email_domain())
