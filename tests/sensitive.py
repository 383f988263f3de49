"""Days with fields that their schema marks as sensitive, and parts of the values that nobody may see."""

import json
import random

from tests.harness import Data

# A part of each sensitive value: of texts that are rejected, of a category, of numbers.
SECRETS = ("secret.example", "SecretTown", "0990-77", "98765432", "4711.")
SENSITIVE = {"sensitive": True}
SCHEMA = {
    "fields": [
        {"name": "id", "type": "integer", "role": "key"},
        {"name": "email", "type": "string", "role": "ignore", "constraints": {"pattern": "[a-z.@]+"}, **SENSITIVE},
        {"name": "phone", "type": "string", "role": "entity", "constraints": {"unique": True}, **SENSITIVE},
        {"name": "town", "type": "string", "role": "feature", **SENSITIVE},
        {"name": "income", "type": "number", "role": "feature", "constraints": {"maximum": 9999}, **SENSITIVE},
        {"name": "visits", "type": "integer", "role": "feature", "constraints": {"maximum": 900}},
        {"name": "churned", "type": "integer", "role": "target"},
    ]
}


def publish_raw(data: Data, ds: str, seed: int, wrong: int = 60) -> None:
    """A day of 600 rows by way of `import`; some rows break a rule with a sensitive value, one with an open value.

    :param wrong: one row of so many has an income that is not allowed
    """
    draw = random.Random(seed)
    lines, targets = ["id,email,phone,town,income,visits"], ["id,churned"]
    for number in range(600):
        visits, town = draw.randrange(9), draw.choice(["SecretTown-A", "SecretTown-B", "SecretTown-C"])
        email = f"{'UPPER' if number % 40 == 1 else 'lower'}@secret.example"
        phone = f"0990-77{number - (number % 50 == 3)}"
        income = "98765432" if number % wrong == 5 else f"4711.{draw.randrange(100, 999)}"
        income = "4711.x" if number % 60 == 7 else income
        lines.append(f"{number},{email},{phone},{town},{income},{901 if number == 9 else visits}")
        targets.append(f"{number},{int(draw.random() < visits / 10)}")
    for name, content in (("data.csv", lines), ("target.csv", targets), ("schema.json", [json.dumps(SCHEMA)])):
        data.write(f"own-{ds}-{name}", "\n".join(content) + "\n")
    files = [f"--{kind}=/data/own-{ds}-{kind}.{ending}" for kind, ending in
             (("data", "csv"), ("target", "csv"), ("schema", "json"))]  # fmt: skip
    data.stage("preprocessing", "import", f"--ds={ds}", *files)
