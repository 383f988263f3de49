"""Who pays and who is paid: the customers and merchants that Faker makes. They depend on the seed only."""

from collections.abc import Callable
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
CUSTOMERS, MERCHANTS_PER_CATEGORY = 6_000, 4
# How many names and domains Faker makes per country; customers share them, as people do.
NAMES, PROVIDERS, OWN_DOMAINS, CITIES = 200, 40, 20, 25
# Loading all of Faker's providers would take twice as long.
FAKER_PROVIDERS = [f"faker.providers.{name}" for name in ("company", "geo", "internet", "person")]


class Customer(NamedTuple):
    """One customer.

    `usual_amount` is in euros; `card_offset` is how many days into a card's life its card was on day 0 of the calendar;
    `activity` is the weight among the customers of the country, from 1 to 20.
    """

    id: str
    name: str
    country: str
    email_domain: str
    usual_amount: float
    card_offset: int
    activity: int


class Merchant(NamedTuple):
    """One merchant; `popularity` is its weight among the merchants of its category and country."""

    name: str
    category: str
    city: str
    country: str
    popularity: int


def make_pools(seed: int) -> tuple[list[Customer], list[Merchant]]:
    """All 6,000 customers, by id, and the merchants: four of every category in every country."""
    # Not at the top: neither --help nor the process that only collects the lines needs Faker's 0.2 seconds.
    from faker import Faker

    rnd = Random(f"{seed}/pools")
    makers, merchants = {}, []
    for country, (locale, _) in HOMES.items():
        fake = Faker(locale, providers=FAKER_PROVIDERS)
        fake.seed_instance(f"{seed}/{country}")
        makers[country] = _customer_maker(rnd, country, fake)
        merchants += _merchants(rnd, country, fake)
    countries = rnd.choices(list(HOMES), [share for _, share in HOMES.values()], k=CUSTOMERS)
    return [makers[country](number) for number, country in enumerate(countries, start=1)], merchants


def _customer_maker(rnd: Random, country: str, fake: Any) -> Callable[[int], Customer]:
    names = [fake.name() for _ in range(NAMES)]
    providers = [fake.free_email_domain() for _ in range(PROVIDERS)]
    # Of 100 customers 8 have no e-mail address, 10 one at a domain of their own.
    domains = rnd.choices(providers, k=820) + rnd.choices([fake.domain_name() for _ in range(OWN_DOMAINS)], k=100)
    domains += [""] * 80

    def make(number: int) -> Customer:
        return Customer(
            id=f"C{number:06d}",
            name=rnd.choice(names),
            country=country,
            email_domain=rnd.choice(domains),
            usual_amount=min(max(rnd.lognormvariate(3.3, 0.6), 5.0), 250.0),
            card_offset=rnd.randrange(CARD_DAYS),
            activity=min(20, 1 + int(rnd.expovariate(0.3))),
        )

    return make


def _merchants(rnd: Random, country: str, fake: Any) -> list[Merchant]:
    # Not fake.city(): the Italian one draws from a set, whose order changes from process to process.
    cities = [fake.local_latlng(country)[2] for _ in range(CITIES)]
    return [
        Merchant(fake.company(), category, rnd.choice(cities), country, rnd.randint(1, 10))
        for category in CATEGORIES
        for _ in range(MERCHANTS_PER_CATEGORY)
    ]
