"""Makes the columns of data.csv and target.csv as course work does it: one row at a time, one Faker call a value.

Usage: faker_rows.py ROWS FOLDER. Runs in the generator's image, whose Faker it uses. Prints as JSON `rows` and the
`seconds` of the loop alone, without the start of Python and Faker. The values mean nothing: no customer comes back,
nothing hangs together, no row is dirty.
"""

import csv
import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from faker import Faker

from payment_schema import CARD_DAYS, CATEGORIES, CHANNELS, COUNTRIES, DATA_COLUMNS, FARTHEST_KM, TARGET_COLUMNS

START, END = datetime(2026, 11, 21), datetime(2026, 11, 22)


def make_row(fake: Any, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A line of data.csv and one of target.csv."""
    key = f"T20261121-{number:010d}"
    data = {
        "transaction_id": key,
        "time": fake.date_time_between(START, END).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "customer_id": fake.numerify("C######"),
        "cardholder": fake.name(),
        "email_domain": fake.free_email_domain(),
        "usual_amount": fake.pyfloat(min_value=5, max_value=250, right_digits=2),
        "card_age_days": fake.random_int(0, CARD_DAYS),
        "merchant": fake.company(),
        "merchant_category": fake.random_element(CATEGORIES),
        "city": fake.city(),
        "country": fake.random_element(COUNTRIES),
        "channel": fake.random_element(CHANNELS),
        "authenticated": "true" if fake.boolean() else "false",
        "distance_from_home_km": fake.pyfloat(min_value=0, max_value=FARTHEST_KM, right_digits=1),
        "transactions_last_24h": fake.random_int(0, 10),
        "amount": fake.pyfloat(min_value=0.01, max_value=2000, right_digits=2),
    }
    return data, {"transaction_id": key, "is_fraud": int(fake.boolean(chance_of_getting_true=3))}


def main() -> int:
    rows, folder = int(sys.argv[1]), Path(sys.argv[2])
    fake = Faker()
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with (
        (folder / "data.csv").open("w", encoding="utf-8", newline="") as data_file,
        (folder / "target.csv").open("w", encoding="utf-8", newline="") as target_file,
    ):
        data, target = csv.DictWriter(data_file, DATA_COLUMNS), csv.DictWriter(target_file, TARGET_COLUMNS)
        data.writeheader()
        target.writeheader()
        for number in range(rows):
            data_row, target_row = make_row(fake, number)
            data.writerow(data_row)
            target.writerow(target_row)
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - started}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
