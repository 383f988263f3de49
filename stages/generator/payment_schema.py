"""The Table Schema of the feed: what a row looks like and what each column is for."""

from typing import Any

COUNTRIES = ("DE", "ES", "FR", "GB", "IT", "NL", "PL", "US")
CATEGORIES = (
    "electronics",
    "entertainment",
    "fashion",
    "fuel",
    "gift_cards",
    "groceries",
    "health",
    "household",
    "restaurant",
    "travel",
)
CHANNELS = ("chip", "contactless", "online", "phone")
# Longest validity of a card, largest number of payments a day, half of the Earth's circumference.
CARD_DAYS, DAILY_PAYMENTS, FARTHEST_KM = 1460, 100, 20_038
LARGEST_AMOUNT = 20_000


def _field(name: str, kind: str, role: str, description: str, **constraints: Any) -> dict[str, Any]:
    field = {"name": name, "type": kind, "role": role, "description": description}
    return {**field, "constraints": constraints} if constraints else field


# In the order of data.csv; the target comes last and is in target.csv only. Patterns match the whole text.
FIELDS: tuple[dict[str, Any], ...] = (
    _field(
        "transaction_id", "string", "key", "the payment: T, day, number", required=True, pattern="T[0-9]{8}-[0-9]{10}"
    ),
    _field("time", "datetime", "time", "when it was made, in UTC", required=True),
    _field("customer_id", "string", "entity", "who paid; customers come back", required=True, pattern="C[0-9]{6}"),
    _field("cardholder", "string", "ignore", "the name on the card; no model should know it", required=True),
    _field("email_domain", "string", "feature", "domain of the customer's e-mail address, if there is one"),
    _field(
        "usual_amount", "number", "feature", "usual payment, in euros; unknown for new cards", minimum=0
    ),
    _field(
        "card_age_days", "integer", "feature", "days since the card was issued",
        required=True, minimum=0, maximum=CARD_DAYS,
    ),
    _field("merchant", "string", "ignore", "who was paid", required=True),
    _field("merchant_category", "string", "feature", "the merchant's trade", required=True, enum=list(CATEGORIES)),
    _field("city", "string", "ignore", "the merchant's city", required=True),
    _field("country", "string", "feature", "the merchant's country", required=True, enum=list(COUNTRIES)),
    _field("channel", "string", "feature", "how the card was used", required=True, enum=list(CHANNELS)),
    _field("authenticated", "boolean", "feature", "whether a PIN or a second factor was given", required=True),
    _field(
        "distance_from_home_km", "number", "feature", "from the customer's home; unknown for some online payments",
        minimum=0, maximum=FARTHEST_KM,
    ),
    _field(
        "transactions_last_24h", "integer", "feature", "payments with this card in the 24 hours before",
        required=True, minimum=0, maximum=DAILY_PAYMENTS,
    ),
    _field("amount", "number", "feature", "in euros", required=True, minimum=0.01, maximum=LARGEST_AMOUNT),
    _field("is_fraud", "integer", "target", "1 if the customer did not make this payment", required=True, enum=[0, 1]),
)  # fmt: skip

SCHEMA: dict[str, Any] = {"fields": list(FIELDS), "primaryKey": ["transaction_id"], "missingValues": [""]}
TARGET_COLUMNS = ("transaction_id", "is_fraud")
DATA_COLUMNS = tuple(field["name"] for field in FIELDS if field["role"] != "target")


def csv_text(text: str) -> str:
    """A text without line breaks as a CSV field: in quotes where it needs them."""
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text


def byte_text(text: str) -> str:
    """The text's UTF-8 bytes as one character each: Python joins and writes these faster than wide characters."""
    return text.encode().decode("latin-1")


def as_bytes(text: str) -> bytes:
    """The bytes that a byte text stands for."""
    return text.encode("latin-1")
