"""The code in each bundle makes from raw rows what `preprocessing features` makes: each kind of feature and field."""

import json
import random
import re
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.harness import PATIENCE_S, ROOT, Data, data_folder

TRAINED, SCORED = "2026-11-21", "2026-11-22"
MODEL = f"models/{TRAINED}"
SCHEMA = {
    "fields": [
        {"name": "id", "type": "integer", "role": "key"},
        {"name": "amount", "type": "number", "role": "feature", "missingValues": ["", "none", "-99"]},
        {"name": "is_new", "type": "boolean", "role": "feature", "trueValues": ["yes"], "falseValues": ["no"]},
        {"name": 'shop, "old"', "type": "string", "role": "feature"},
        {"name": "born", "type": "date", "role": "feature"},
        {
            "name": "seen",
            "type": "datetime",
            "role": "time",
            "parts": ["hour", "weekday", "day", "month", "yearday"],
            "since": ["born", "joined"],
        },
        {"name": "joined", "type": "datetime", "role": "time", "parts": []},
        {"name": "left", "type": "integer", "role": "target"},
    ],
    "missingValues": ["", "none"],
}
# Of each kind of feature there is one.
KINDS = {"number", "category", "hour", "weekday", "day", "month", "yearday", "days"}
# The values of the table, and once more as a program has them: numbers, booleans, times.
LOAD = """
import csv, io, json, pathlib, sys
import pandas

given = json.load(sys.stdin)
folder = pathlib.Path("/tmp/model")
folder.mkdir()
for name, text in given["files"].items():
    (folder / name).write_text(text)
sys.path.insert(0, str(folder))
import airflow_ml_model

model = airflow_ml_model._load_pyfunc(str(folder))
encoder = json.loads(given["files"]["encoder.json"])
for field in encoder["schema"]["fields"]:
    field["sensitive"] = True
(folder / "encoder.json").write_text(json.dumps(encoder))
sensitive = airflow_ml_model._load_pyfunc(str(folder))
rows = list(csv.DictReader(io.StringIO(given["raw"])))
texts = pandas.DataFrame(rows)
present = lambda name: texts[name].where(~texts[name].isin(["", "none"]), None)
typed = texts.assign(
    amount=pandas.to_numeric(present("amount")).astype("Float64"),
    is_new=present("is_new").map({"yes": True, "no": False}),
    born=pandas.to_datetime(present("born")),
    seen=pandas.to_datetime(present("seen"), utc=True, format="ISO8601"),
    joined=pandas.to_datetime(present("joined"), utc=True, format="ISO8601"),
)
shown = lambda frame: [[None if cell != cell else cell for cell in row] for row in frame.astype(float).values.tolist()]
encoded = model.encode(texts)

def complaint(model, rows):
    try:
        model.predict(rows)
    except ValueError as error:
        return str(error)

wrong = [
    typed.drop(columns="amount"),
    typed.drop(columns="joined"),
    typed.assign(amount="many"),
    typed.assign(**{'shop, "old"': 123.5}),
    typed.assign(is_new="perhaps"),
    typed.assign(seen=["2026-11-16T01:00:00Z", "yesterday", *["2026-11-16"] * (len(typed) - 2)]),
    typed.assign(seen=3),
]
print(json.dumps({
    "names": list(encoded),
    "texts": shown(encoded),
    "typed": shown(model.encode(typed)),
    "complaints": [complaint(model, rows) for rows in wrong],
    "complaints_of_sensitive": [complaint(sensitive, rows) for rows in wrong],
    "scores": {
        name: list(model.predict(rows)) for name, rows in [("texts", texts), ("typed", typed), ("encoded", encoded)]
    },
}))
"""

# Models whose raw rows pandas reads as numbers alone.
NUMBERS = """
import io, json, pathlib, sys
import lightgbm, numpy, pandas

folder = pathlib.Path("/tmp/model")
folder.mkdir()
(folder / "airflow_ml_model.py").write_text(sys.stdin.read())
sys.path.insert(0, str(folder))
import airflow_ml_model

def model(kinds, values, missing):
    x = numpy.array([[draw % (7 + place) for place in range(len(kinds))] for draw in range(200)], dtype=float)
    x[::5, 0] = numpy.nan
    options = {"objective": "binary", "min_data_in_leaf": 5, "verbose": -1}
    lightgbm.train(options, lightgbm.Dataset(x, numpy.isnan(x[:, 0])), 5).save_model(folder / "model.txt")
    types = {"number": "number", "flag": "boolean", "category": "string", "weekday": "date"}
    features = [
        {"name": f"c{place}", "field": f"c{place}", "kind": "number" if kind == "flag" else kind, "values": values}
        for place, kind in enumerate(kinds)
    ]
    fields = [{"name": f"c{place}", "type": types[kind]} for place, kind in enumerate(kinds)]
    document = {"features": features, "schema": {"fields": fields, "missingValues": missing}}
    (folder / "encoder.json").write_text(json.dumps(document))
    return airflow_ml_model._load_pyfunc(str(folder))

def answer(model, table, **options):
    try:
        return list(model.predict(pandas.read_csv(io.StringIO(table), **options)))
    except ValueError as error:
        return str(error)

numbers = model(["number", "flag"], [], ["", "-999", "1"])
codes = model(["number", "category"], ["01", "02", "10"], [""])
truths = model(["number", "category"], ["False", "True"], [""])
words = model(["number", "category"], ["north", "1"], [""])
print(json.dumps({
    "code": answer(numbers, "c0,c1\\n-999,1\\n3,0\\n1,1\\n"),
    "empty": answer(numbers, "c0,c1\\n,1\\n3,0\\n,1\\n"),
    "as numbers": answer(codes, "c0,c1\\n1,01\\n2,10\\n"),
    "as texts": answer(codes, "c0,c1\\n1,01\\n2,10\\n", dtype={"c1": str}),
    "as booleans": answer(truths, "c0,c1\\n1,True\\n2,False\\n"),
    "encoded": answer(words, "c0,c1\\n1,0\\n2,1\\n"),
}))
"""


def publish_raw(data: Data, ds: str, seed: int) -> None:
    """A day of 400 rows; a tenth of the values is missing."""
    draw = random.Random(seed)
    lines, targets = ['id,amount,is_new,"shop, ""old""",born,seen,joined'], ["id,left"]
    for number in range(400):
        seen = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=draw.randrange(325 * 86_400_000_000))
        joined = seen - timedelta(seconds=draw.randrange(10**8), microseconds=draw.randrange(10**6))
        born = joined.date() - timedelta(days=draw.randrange(30_000))
        amount = -99.0 if number % 40 == 0 else round(draw.uniform(-9, 9), 3)
        values: list[Any] = [amount, draw.choice(["yes", "no"]), draw.choice(["north", "süd"])]
        values += [born, seen.isoformat(), f"{joined:%Y-%m-%dT%H:%M:%S.%f}+00:00"]
        shown = [draw.choice(["", "none"]) if draw.random() < 0.1 else str(value) for value in values]
        lines.append(f"{number},{','.join(shown)}")
        targets.append(f"{number},{int(draw.random() < 0.5)}")
    table = "\n".join(lines) + "\n"
    for name, content in (
        ("data.csv", table),
        ("target.csv", "\n".join(targets) + "\n"),
        ("schema.json", json.dumps(SCHEMA)),
    ):
        data.write(f"own-{ds}-{name}", content)
    files = [f"--{kind}=/data/own-{ds}-{kind}.{ending}" for kind, ending in
             (("data", "csv"), ("target", "csv"), ("schema", "json"))]  # fmt: skip
    data.stage("preprocessing", "import", f"--ds={ds}", *files)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """A model, and a day that the real stages scored with it."""
    data = data_folder(tmp_path_factory.mktemp("raw-rows") / "data")
    publish_raw(data, TRAINED, 1)
    data.prepare(TRAINED)
    data.split(TRAINED)
    data.train(TRAINED, "--param=num_iterations=20", "--param=min_data_in_leaf=5")
    data.validate(TRAINED)
    publish_raw(data, SCORED, 2)
    data.features(SCORED, MODEL)
    data.predict(SCORED, MODEL)
    return data


@pytest.fixture(scope="module")
def found(data: Data) -> dict[str, Any]:
    """What the code in the bundle makes of the raw rows of that day."""
    files = {name: data.read(f"{MODEL}/{name}") for name in ("encoder.json", "model.txt")}
    code = (ROOT / "stages/registry/airflow_ml_model.py").read_text(encoding="utf-8")
    raw = data.read(f"raw/{SCORED}/data.csv")
    given = json.dumps({"files": {**files, "airflow_ml_model.py": code}, "raw": raw})
    client = [str(ROOT / "airflow-ml"), "mlflow-client", "none", "-c", LOAD]
    done = subprocess.run(client, input=given, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_raw_rows_are_encoded_and_scored_as_the_stages_do(data: Data, found: dict[str, Any]) -> None:
    encoder = data.json(f"{MODEL}/encoder.json")
    assert {feature["kind"] for feature in encoder["features"]} == KINDS
    assert found["names"] == [feature["name"] for feature in encoder["features"]]
    expected = [
        [float(row[name]) if row[name] else None for name in found["names"]]
        for row in data.rows(f"features/{SCORED}/features.csv")
    ]
    assert found["texts"] == found["typed"] == expected
    scores = [float(row["probability_1"]) for row in data.rows(f"predictions/{SCORED}/predictions.csv")]
    assert len(scores) == 400
    assert found["scores"] == {"texts": scores, "typed": scores, "encoded": scores}


def test_complaints_about_raw_rows_name_the_place_and_hide_sensitive_values(found: dict[str, Any]) -> None:
    parts = [
        "the rows have no column amount; expected: the columns of data.csv",
        "the rows have no column joined; expected: the columns of data.csv",
        "column amount, row 0: 'many' is no number",
        'column shop, "old", row 0: 123.5 is no text',
        "column is_new, row 0: 'perhaps' is no boolean",
        "column seen, row 1: 'yesterday' is no time",
        "column seen: numbers; expected times",
    ]
    for complaint, hidden, part in zip(found["complaints"], found["complaints_of_sensitive"], parts, strict=True):
        assert part in complaint
        assert re.sub(r"'many'|123\.5|'perhaps'|'yesterday'", "'…'", part) in hidden
        assert not re.search(r"many|123\.5|perhaps|yesterday", hidden)


def test_raw_rows_of_numbers_alone_are_not_taken_for_encoded_ones() -> None:
    """A number that means "missing" is missing, and a category that pandas reads as numbers is no code."""
    code = (ROOT / "stages/registry/airflow_ml_model.py").read_text(encoding="utf-8")
    client = [str(ROOT / "airflow-ml"), "mlflow-client", "none", "-c", NUMBERS]
    done = subprocess.run(client, input=code, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["code"] == found["empty"]
    assert len({*found["code"]}) > 1
    assert "column c1: numbers; its texts are numbers too" in found["as numbers"]
    assert "read it with dtype=str" in found["as numbers"]
    assert "column c1, row 0: True is no text; expected the text of data.csv" in found["as booleans"]
    assert all(len(found[name]) == 2 for name in ("as texts", "encoded"))
