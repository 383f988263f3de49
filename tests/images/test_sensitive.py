"""Values of fields that a schema marks as sensitive are in nothing that the pipeline prints or shows."""

import html
import json
import random
from collections.abc import Iterator

import pytest

from tests.harness import ROOT, Data, data_volume

from .registry_lab import serve

TRAINED, SCORED = "2026-11-21", "2026-11-22"
MODEL = f"models/{TRAINED}"
RULES = json.loads((ROOT / "dags/rules.json").read_text())
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


def publish_raw(data: Data, ds: str, seed: int) -> None:
    """A day of 600 rows by way of `import`; some rows break a rule with a sensitive value, one with an open value."""
    draw = random.Random(seed)
    lines, targets = ["id,email,phone,town,income,visits"], ["id,churned"]
    for number in range(600):
        visits, town = draw.randrange(9), draw.choice(["SecretTown-A", "SecretTown-B", "SecretTown-C"])
        email = f"{'UPPER' if number % 40 == 1 else 'lower'}@secret.example"
        phone = f"0990-77{number - (number % 50 == 3)}"
        income = "98765432" if number % 60 == 5 else f"4711.{draw.randrange(100, 999)}"
        income = "4711.x" if number % 60 == 7 else income
        lines.append(f"{number},{email},{phone},{town},{income},{901 if number == 9 else visits}")
        targets.append(f"{number},{int(draw.random() < visits / 10)}")
    for name, content in (("data.csv", lines), ("target.csv", targets), ("schema.json", [json.dumps(SCHEMA)])):
        data.write(f"own-{ds}-{name}", "\n".join(content) + "\n")
    files = [f"--{kind}=/data/own-{ds}-{kind}.{ending}" for kind, ending in
             (("data", "csv"), ("target", "csv"), ("schema", "json"))]  # fmt: skip
    data.stage("preprocessing", "import", f"--ds={ds}", *files)


@pytest.fixture(scope="module")
def shown() -> Iterator[dict[str, str]]:
    """Everything that a whole day prints and shows: logs with result lines, the page, the plots, MLflow's pages."""
    with data_volume("sensitive") as data, serve(data) as server:
        for seed, ds in enumerate((TRAINED, SCORED)):
            publish_raw(data, ds, seed)
        done = {
            "prepare": data.prepare(TRAINED, "--max-rejected=0.5"),
            "split": data.split(TRAINED),
            "train": data.train(TRAINED, "--param=num_iterations=5"),
            "validate": data.validate(TRAINED),
            "plot": data.plot(TRAINED),
            "register": server.registry("register", "--ds", TRAINED),
            "features": data.features(SCORED, MODEL, "--max-rejected=0.5"),
            "predict": data.predict(SCORED, MODEL),
            "explain": data.explain(SCORED, MODEL),
            "label": data.label(SCORED),
            "evaluate": data.evaluate(SCORED, RULES["monitoring"]),
            "page": data.page(SCORED),
            "refused": data.stage("preprocessing", "features", f"--ds={SCORED}", f"--model={MODEL}",
                                  "--max-rejected=0.001", "--force", code=3),
        }  # fmt: skip
        texts = {name: f"{one.log}\n{json.dumps(one.line)}" for name, one in done.items()}
        texts["index.html"] = html.unescape(data.read(f"reports/{SCORED}/index.html"))
        # The reasons are for people to read: a sensitive value is in none of these files.
        texts |= {name: data.read(f"explanations/{SCORED}/{name}") for name in ("reasons.csv", "contributions.json")}
        run_id = done["register"].line["run_id"]
        example = server.artifact(run_id, "model/input_example.json")
        assert len(example["data"]) == 5
        texts["MLflow"] = json.dumps([server.run(run_id), server.version("1"), server.model(), example])
        plots = [path for path in data.files() if path.startswith("plots/") and path.endswith(".svg")]
        yield {**texts, **{path: data.read(path) for path in plots}}


@pytest.mark.parametrize("secret", SECRETS)
def test_sensitive_values_are_shown_nowhere(shown: dict[str, str], secret: str) -> None:
    assert [name for name, text in shown.items() if secret in text] == []


def test_what_is_not_sensitive_and_the_rules_that_were_broken_are_shown(shown: dict[str, str]) -> None:
    for name in ("prepare", "features", "refused"):
        assert "email: '…' does not match [a-z.@]+" in shown[name]
    assert "phone: '…' is not unique, it is on line " in shown["prepare"] + shown["index.html"]
    assert "income: '…' above maximum 9999" in shown["index.html"] + shown["refused"]
    assert "visits: '901' above maximum 900" in shown["index.html"]
    assert "value 1" in shown["index.html"]
