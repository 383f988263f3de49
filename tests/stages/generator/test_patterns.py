"""What a model can learn, and what changes: customers come back, volume, prices and habits move with the date."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from statistics import mean

import pytest
from feed import Day, generate

from patterns import daily_rows
from payments import Order, make_batches

Condition = Callable[[dict[str, str]], bool]


def rate(day: Day, rows: list[dict[str, str]]) -> float:
    return mean(day.labels[row["transaction_id"]] == "1" for row in rows)


def is_online(row: dict[str, str]) -> bool:
    return row["channel"] == "online"


def times_the_habit(row: dict[str, str]) -> float:
    return float(row["amount"]) / float(row["usual_amount"]) if row["usual_amount"] else 0.0


def is_night(row: dict[str, str]) -> bool:
    return row["time"][11:13] < "05"


@pytest.mark.parametrize(
    ("risky", "than"),
    [
        (is_online, lambda row: row["channel"] == "chip"),
        (lambda row: is_online(row) and is_night(row), lambda row: is_online(row) and not is_night(row)),
        (
            lambda row: is_online(row) and row["authenticated"] == "false",
            lambda row: is_online(row) and row["authenticated"] == "true",
        ),
        (lambda row: int(row["transactions_last_24h"]) > 6, lambda row: int(row["transactions_last_24h"]) < 3),
        (lambda row: times_the_habit(row) > 5, lambda row: 0 < times_the_habit(row) < 1),
    ],
    ids=["online", "online at night", "not authenticated", "many payments", "above the habit"],
)
def test_fraud_has_reasons(clean_day: Day, risky: Condition, than: Condition) -> None:
    rates = [rate(clean_day, [row for row in clean_day.rows if belongs(row)]) for belongs in (risky, than)]
    assert rates[0] > 2 * rates[1]


@pytest.mark.parametrize("column", ["amount", "card_age_days", "distance_from_home_km", "transactions_last_24h"])
def test_no_column_gives_the_fraud_away(clean_day: Day, column: str) -> None:
    known = sorted(
        (float(row[column]), clean_day.labels[row["transaction_id"]] == "1") for row in clean_day.rows if row[column]
    )
    frauds = sum(is_fraud for _, is_fraud in known)
    # Area under the ROC curve, from the sum of the frauds' ranks (Mann-Whitney); ties hardly matter here.
    ranks = sum(rank for rank, (_, is_fraud) in enumerate(known, start=1) if is_fraud)
    area = (ranks - frauds * (frauds + 1) / 2) / (frauds * (len(known) - frauds))
    assert 0.2 < area < 0.85


def test_customers_come_back(clean_day: Day, tmp_path: Path) -> None:
    later = generate(tmp_path, "--rows", "20000", "--dirty", "0", ds="2027-01-15")
    domains = [{row["customer_id"]: row["email_domain"] for row in day.rows} for day in (clean_day, later)]
    both = domains[0].keys() & domains[1].keys()
    assert len(both) > 0.7 * len(domains[0])
    assert all(domains[0][customer] == domains[1][customer] for customer in both)
    assert len(clean_day.rows) > 2 * len(domains[0])


def test_card_ages_by_a_day_a_day(clean_day: Day, tmp_path: Path) -> None:
    later = generate(tmp_path, "--rows", "20000", "--dirty", "0", ds="2026-12-01")
    ages = [{row["customer_id"]: int(row["card_age_days"]) for row in day.rows} for day in (clean_day, later)]
    grown = {customer: ages[1][customer] - ages[0][customer] for customer in ages[0].keys() & ages[1].keys()}
    assert sum(days == 10 for days in grown.values()) > 0.97 * len(grown)
    assert all(days == 10 or ages[1][customer] < 10 for customer, days in grown.items())  # or the card was replaced


def volumes(start: date, days: int, weekday: int | None = None) -> list[int]:
    dates = [start + timedelta(number) for number in range(days)]
    return [daily_rows(42, day) for day in dates if weekday is None or day.weekday() == weekday]


def test_volume_is_about_twenty_thousand_a_day() -> None:
    year = volumes(date(2026, 1, 1), 365)
    assert 19_000 < mean(year) < 21_500
    assert min(year) > 10_000
    assert max(year) < 40_000


def test_volume_follows_the_weekday() -> None:
    monday, saturday, sunday = (mean(volumes(date(2026, 1, 1), 364, weekday)) for weekday in (0, 5, 6))
    assert saturday > 1.15 * monday
    assert sunday < 0.95 * monday


def test_volume_follows_the_season() -> None:
    assert mean(volumes(date(2026, 12, 1), 28)) > 1.3 * mean(volumes(date(2026, 1, 5), 28))


def test_volume_is_the_stage_s_default(tmp_path: Path) -> None:
    assert len(generate(tmp_path, "--seed", "5", ds="2026-03-02").rows) == daily_rows(5, date(2026, 3, 2))


def test_volume_differs_by_chance() -> None:
    assert len(set(volumes(date(2026, 6, 1), 28, weekday=2))) == 4


def test_prices_rise_by_the_year(clean_day: Day, tmp_path: Path) -> None:
    later = generate(tmp_path, "--rows", "20000", "--dirty", "0", ds="2027-11-21")
    usual = [{row["customer_id"]: row["usual_amount"] for row in day.rows} for day in (clean_day, later)]
    both = [customer for customer in usual[0].keys() & usual[1].keys() if usual[0][customer] and usual[1][customer]]
    growth = mean(float(usual[1][customer]) / float(usual[0][customer]) for customer in both)
    assert 1.02 < growth < 1.04


def online_share(day: date) -> float:
    text = b"".join(batch.data for batch in make_batches(Order(42, day, 6000, 0.0), range(1440)))
    return text.count(b",online,") / 6000


def test_habits_drift_over_months_more_than_within_a_week() -> None:
    week = [online_share(date(2026, 3, 2) + timedelta(number)) for number in range(5)]
    months = [online_share(date(2026, 3, 2) + timedelta(weeks=9 * number)) for number in range(8)]
    assert max(months) - min(months) > 2 * (max(week) - min(week))
    assert max(months) - min(months) > 0.08
