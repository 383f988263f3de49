"""Values of fields that a schema marks as sensitive are in nothing that the pipeline prints or shows."""

import html
import json
from collections.abc import Iterator

import pytest

from tests.harness import ROOT, data_volume
from tests.sensitive import SECRETS, publish_raw

from .registry_lab import serve

REFUSED, TRAINED, SCORED = "2026-11-20", "2026-11-21", "2026-11-22"
MODEL = f"models/{TRAINED}"
RULES = json.loads((ROOT / "dags/rules.json").read_text())


@pytest.fixture(scope="module")
def shown() -> Iterator[dict[str, str]]:
    """Everything that days print and show: logs with result lines, the pages, the plots, MLflow's pages."""
    with data_volume("sensitive") as data, serve(data) as server:
        for seed, ds in enumerate((TRAINED, SCORED)):
            publish_raw(data, ds, seed)
        publish_raw(data, REFUSED, 2, wrong=6)
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
            "refused day": data.stage("preprocessing", "prepare", f"--ds={REFUSED}", code=3),
            "days": data.prepare(SCORED, "--days=3", "--max-rejected=0.15"),
            "encode-days": data.stage("preprocessing", "encode-days", f"--ds={SCORED}", "--days=3"),
            "backtest": data.stage("training", "backtest", f"--ds={SCORED}", "--windows=1", "--every=1"),
            "backtest-page": data.stage("report", "backtest-page", f"--ds={SCORED}"),
        }  # fmt: skip
        texts = {name: f"{one.log}\n{json.dumps(one.line)}" for name, one in done.items()}
        pages = ("index.html", "backtest.html")
        texts |= {name: html.unescape(data.read(f"reports/{SCORED}/{name}")) for name in pages}
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
    for name in ("prepare", "features", "refused", "refused day", "days"):
        assert "email: '…' does not match [a-z.@]+" in shown[name]
    assert "phone: '…' is not unique, it is on line " in shown["prepare"] + shown["index.html"]
    assert "income: '…' above maximum 9999" in shown["index.html"] + shown["refused"]
    assert "visits: '901' above maximum 900" in shown["index.html"]
    assert "value 1" in shown["index.html"]
