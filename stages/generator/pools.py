"""Who pays and who is paid: the customers and merchants that Faker makes. They depend on the seed only."""

from random import Random
from typing import Any, NamedTuple

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
    """One customer; `card_offset` is how many days into a card's life its card was on day 0 of the calendar."""

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


def make_pools(seed: int) -> tuple[list[Customer], list[Merchant]]:
    """The customers, by id, and the merchants, some of every category in every country."""
    # Not at the top: neither --help nor the process that only collects the lines needs Faker's 0.2 seconds.
    from faker import Faker

    fakers = {country: Faker(locale) for country, (locale, _) in HOMES.items()}
    for country, fake in fakers.items():
        fake.seed_instance(f"{seed}/{country}")
    rnd = Random(f"{seed}/pools")
    merchants = [
        Merchant(fake.company(), category, country, rnd.randint(1, 10))
        for country, fake in fakers.items()
        for category in CATEGORIES
        for _ in range(MERCHANTS_PER_CATEGORY)
    ]
    countries = rnd.choices(list(fakers), [share for _, share in HOMES.values()], k=CUSTOMERS)
    customers = [
        Customer(
            id=f"C{number:06d}",
            country=country,
            email_domain=_email_domain(fakers[country], rnd.random()),
            usual_amount=min(max(rnd.lognormvariate(3.3, 0.6), 5.0), 250.0),
            card_offset=rnd.randrange(CARD_DAYS),
            activity=min(20, 1 + int(rnd.expovariate(0.3))),
        )
        for number, country in enumerate(countries, start=1)
    ]
    return customers, merchants


def _email_domain(fake: Any, chance: float) -> str:
    """A provider's for most, one of their own for 10 %, none for 8 %."""
    if chance < 0.08:
        return ""
    return str(fake.domain_name() if chance < 0.18 else fake.free_email_domain())
