"""Documents that cross between stages: what writers write is read back, what is damaged is refused with its place."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stagekit import BadInput, Partition, Publication, contract, read_partition
from stagekit.contract import Encoder, Feature
from stagekit.shapes import ShapeError

NAME = "models/2026-11-21"
METRICS = {
    "rows": 10,
    "classes": ["no", "yes"],
    "class_rows": {"no": 8, "yes": 2},
    **dict.fromkeys(contract.HIGHER_IS_BETTER, 0.5),
    "threshold": 0.25,
    "confusion_matrix": [[7, 1], [0, 2]],
    "calibration": [{"rows": 10, "mean_predicted": 0.3, "observed": 0.2}],
    "calibrated": {"log_loss": 0.4, "brier_score": 0.3, "calibration": []},
}
CURVES = [
    {
        "class": "yes",
        "roc": {"fpr": [0.0, 1.0], "tpr": [0, 1]},
        "precision_recall": {"recall": [0.0, 1.0], "precision": [1.0, 0.2]},
    }
]
BINS = {"labels": ["up to 1", "above 1", "missing"], "edges": [1.0], "counts": [1, 2, 0]}
SHARES = {"labels": ["a", "missing"], "expected": [1.0, 0.0], "actual": [0.5, 0.5], "psi": 0.1}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "metrics.json": {**METRICS, "reproduction": {"rows": 10, "max_difference": 0.0}},
    "curves.json": {"version": 1, "classes": ["no", "yes"], "curves": CURVES},
    "baseline.json": {
        "version": 1,
        "rows": 3,
        "features": [
            {"name": "price", "kind": "number", **BINS},
            {"name": "shop", "kind": "category", "labels": ["a", "missing"], "codes": [[0]], "counts": [3, 0]},
        ],
        "score": {"labels": ["any value"], "edges": [], "counts": [3]},
    },
    "contributions.json": {
        "version": 1,
        "rows": 3,
        "classes": ["no", "yes"],
        "model": NAME,
        "features": [
            {
                "name": "price",
                "mean_absolute": 0.5,
                "bins": {"labels": ["up to 1", "above 1"], "rows": [3, 0], "means": [0.25, None]},
            }
        ],
    },
    "comparison.json": {
        "version": 1,
        "ds": "2026-11-21",
        "candidate": {"model": NAME, "metrics": METRICS},
        "champion": {"model": "models/2026-11-20", "version": "3", "metrics": METRICS},
        "incomparable": None,
        "rows": 10,
        "metric": "roc_auc",
        "difference": 0.01,
        "interval": [-0.01, 0.02],
        "interval_rows": 10,
        "confidence": 0.95,
        "resamples": 100,
        "rule": {"metric": "roc_auc", "floors": {"roc_auc": 0.75}, "tolerance": 0.01},
        "passed": True,
        "reasons": ["roc_auc 0.5 is better"],
        "segments": [
            {
                "field": "shop",
                "value": "a",
                "rows": 9,
                "candidate": 0.5,
                "champion": 0.4,
                "interval": [0.0, 0.2],
                "outcome": "passed",
            },
            {
                "field": "shop",
                "value": "b",
                "rows": 1,
                "candidate": None,
                "champion": None,
                "interval": None,
                "outcome": None,
            },
        ],
        "shadow": {"version": "7", "days": ["2026-11-21"], "of": 3, "complete": False},
        "curves": {"candidate": CURVES, "champion": None},
    },
    "best.json": {"version": 1, "trial": 2, "value": 0.1, "parameters": {"num_leaves": 7}},
    "left_out.json": {"2026-11-20": "it has no labels"},
    "backtest.json": {
        "version": 1,
        "ds": "2026-11-21",
        "metric": "roc_auc",
        "days": ["2026-11-19", "2026-11-21"],
        "left_out": {"2026-11-20": "it has no labels"},
        "scored": [{"ds": "2026-11-21", "rows": 10, "positives": 2}],
        "models": [{"window": 1, "trained": "2026-11-19"}],
        "strategies": [
            {
                "window": 1,
                "every": 0,
                "days": [{"ds": "2026-11-21", "trained": "2026-11-19", "value": 0.8, "interval": [0.7, 0.9]}],
                "mean": {"days": 1, "value": 0.8, "interval": [0.7, 0.9]},
                "gain": None,
                "promotions": [],
                "untrained": {},
            }
        ],
    },
    "evaluation.json": {
        "version": 1,
        "ds": "2026-11-21",
        "model": {"name": NAME, "version": 3, "run_id": None},
        "trained_on_day": False,
        "rows": 10,
        "target": {"rows": 10, "matched": 9, "without_target": 1, "new_classes": {"maybe": 1}},
        "metrics": METRICS,
        "trained": METRICS,
        "labelled": {"codes": [1], "predicted": [0], "probabilities": [[0.7], [0.3]], "weights": [2.0]},
        "curves": CURVES,
        "drift": {"features": [{"name": "price", "kind": "number", **SHARES}], "score": SHARES},
        "quality": {"rows_in": 10, "rows_out": 10, "rejected": {"data.csv": 0}, "reasons": {}},
        "rules": {"metric": "roc_auc", "floors": {}},
        "breaches": [{"what": "floors", "subject": "roc_auc", "value": 0.5, "limit": 0.7, "text": "too low"}],
    },
    "params.json": {
        "parameters": {"seed": 42},
        "seed": 42,
        "rows": {"train": 8, "val": 2},
        "best_iteration": 1,
        "validation": {"auc": 0.5},
        "curve": {"auc": [0.5]},
    },
}
ENCODER = Encoder(
    key=("id", "straße"),
    target="fraud",
    classes=("no", "yes"),
    features=(Feature("price", "price", "number"), Feature("shop", "shop", "category", ("a", "b"))),
    schema={"fields": [{"name": "id", "type": "string"}]},
)
ENCODER_JSON = {
    "version": 1,
    "key": ["id", "straße"],
    "target": {"name": "fraud", "classes": ["no", "yes"]},
    "features": [
        {"name": "price", "field": "price", "kind": "number"},
        {"name": "shop", "field": "shop", "kind": "category", "values": ["a", "b"]},
    ],
    "schema": {"fields": [{"name": "id", "type": "string"}]},
}


def publish(root: Path, file: str, content: str | bytes) -> Partition:
    with Publication(root, NAME, "make") as publication:
        publication.path(file).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_partition(root, NAME, [file])


@pytest.mark.parametrize("file", DOCUMENTS)
def test_document_is_written_as_indented_utf8_and_read_back(tmp_path: Path, file: str) -> None:
    contract.write_document(tmp_path / file, DOCUMENTS[file])
    text = (tmp_path / file).read_text(encoding="utf-8")
    assert text == json.dumps(DOCUMENTS[file], indent=2, ensure_ascii=False) + "\n"
    assert contract.read_document(publish(tmp_path, file, text), file) == DOCUMENTS[file]


NULLABLE = {
    "metrics.json": [
        *contract.HIGHER_IS_BETTER,
        "threshold",
        "class_rows",
        "calibration",
        "calibrated",
        "confusion_matrix",
    ],
    "comparison.json": [
        "champion",
        "difference",
        "interval",
        "interval_rows",
        "curves",
        "rule",
        "incomparable",
        "segments",
        "shadow",
    ],
    "evaluation.json": ["trained_on_day", "target", "metrics", "trained", "curves", "drift", "rules"],
    "params.json": ["seed", "rows", "best_iteration", "validation", "curve", "parameters"],
}


@pytest.mark.parametrize(("file", "key"), [(file, key) for file, keys in NULLABLE.items() for key in keys])
def test_what_has_no_value_is_null_or_missing(tmp_path: Path, file: str, key: str) -> None:
    for content in ({**DOCUMENTS[file], key: None}, {k: v for k, v in DOCUMENTS[file].items() if k != key}):
        assert contract.read_document(publish(tmp_path, file, json.dumps(content)), file) == content


def put(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        inner: Any = content
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("metrics.json", put("rows", value="10"), "rows is a text; expected: a whole number"),
        ("metrics.json", put("rows", value=True), "rows is true or false; expected: a whole number"),
        ("metrics.json", put("rows", value=10**400), "expected: a whole number of at most 63 bits"),
        ("metrics.json", put("class_rows", "no", value=2**63), "expected: a whole number of at most 63 bits"),
        ("metrics.json", put("roc_auc", value=[]), "roc_auc is a list; expected: a number"),
        ("metrics.json", put("threshold", value=10**400), "threshold is no finite number; expected: a number"),
        ("metrics.json", put("class_rows", "no", value=None), "class_rows.no is null; expected: a whole number"),
        ("metrics.json", put("confusion_matrix", 1, 0, value=0.5), "confusion_matrix[1][0] is a number; expected:"),
        ("curves.json", put("version", value=2), "version is 2; expected: 1"),
        ("curves.json", put("version", value={"a": 1}), "version is an object; expected: 1"),
        ("curves.json", put("curves", 0, "roc", "fpr", value=[0]), "curves[0].roc has 1 fpr, 2 tpr; expected: equally"),
        ("curves.json", put("curves", 0, value={}), "curves[0] has no class; expected: the key class"),
        ("baseline.json", put("features", 0, "counts", value=[1]), "features[0] has 3 labels, 1 counts"),
        ("comparison.json", put("passed", value=1), "passed is a whole number; expected: true or false"),
        ("comparison.json", put("champion", value="m"), "champion is a text; expected: an object"),
        ("comparison.json", put("champion", "version", value=1.5), "champion.version is a number; expected: a text or"),
        (
            "comparison.json",
            put("segments", 1, "rows", value=None),
            "segments[1].rows is null; expected: a whole number",
        ),
        ("comparison.json", put("shadow", "days", value="x"), "shadow.days is a text; expected: a list"),
        ("metrics.json", put("calibrated", "log_loss", value="x"), "calibrated.log_loss is a text; expected: a number"),
        ("evaluation.json", put("drift", "score", "psi", value=None), "drift.score.psi is null; expected: a number"),
        (
            "evaluation.json",
            put("labelled", "codes", value=["no"]),
            "labelled.codes[0] is a text; expected: a whole number",
        ),
        ("evaluation.json", put("breaches", value={}), "breaches is an object; expected: a list"),
        ("params.json", put("curve", "auc", value=0.5), "curve.auc is a number; expected: a list"),
    ],
)
def test_document_of_another_shape_is_refused_with_the_place(
    tmp_path: Path, file: str, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    content = json.loads(json.dumps(DOCUMENTS[file]))
    change(content)
    with pytest.raises(BadInput) as caught:
        contract.read_document(publish(tmp_path, file, json.dumps(content)), file)
    assert str(caught.value).startswith(f"{NAME}/{file}: ")
    assert message in str(caught.value)
    assert caught.value.do
    with pytest.raises(ShapeError):
        contract.write_document(tmp_path / file, content)


DAMAGED = {
    "": "is no JSON",
    "nul": "is no JSON",
    "{": "is no JSON (Expecting property name enclosed in double quotes: line 1 column 2",
    "[]": "the whole file is a list; expected: an object",
    "3": "the whole file is a whole number; expected: an object",
    '{"rows": NaN}': "rows is NaN, which is no number of JSON",
    '{"curve": {"auc": [0.5, -Infinity]}}': "curve.auc[1] is -Infinity, which is no number of JSON",
    '{"curve": {"auc": [1e999]}}': "curve.auc[0] is no finite number; expected: a number",
    '{"rows": {"train": 1, "train": 2}}': "rows has the key 'train' twice",
    '{"seed": 1, "seed": 1}': "the whole file has the key 'seed' twice",
    '{"a": {"b": NaN}, "a": 1}': "has the key 'a' twice",
    '{"note": "\\ud800"}': "note has half a character",
    '{"\\udfff": 1}': "has half a character",
    '{"seed": ' + "9" * 5000 + "}": "is no JSON",
    "[" * 200_000: "it is nested too deeply",
    '{"a":' * 200_000: "it is nested too deeply",
    '{"seed": ' + "[" * 200_000 + "]" * 200_000 + "}": "it is nested too deeply",
}


@pytest.mark.parametrize("text", DAMAGED, ids=[text[:30] for text in DAMAGED])
@pytest.mark.parametrize("file", ["params.json", "encoder.json"])
def test_damaged_document_is_bad_input(tmp_path: Path, text: str, file: str) -> None:
    partition = publish(tmp_path, file, text)
    with pytest.raises(BadInput) as caught:
        contract.read_encoder(partition) if file == "encoder.json" else contract.read_document(partition, file)
    assert str(caught.value).startswith(f"{NAME}/{file}: ")
    if file == "params.json" and text:
        assert DAMAGED[text] in str(caught.value)


def test_bytes_that_are_not_utf8_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"params\.json: it is no JSON .*utf-8.* position 2"):
        contract.read_document(publish(tmp_path, "params.json", b'{"\xff": 1}'), "params.json")


@pytest.mark.parametrize("content", ["{", "[1]", '{"a": 1, "a": 2}'])
def test_partition_reads_any_json_object_and_nothing_else(tmp_path: Path, content: str) -> None:
    assert publish(tmp_path, "a.json", '{"any": [1]}').json("a.json") == {"any": [1]}
    with pytest.raises(BadInput, match=r"models/2026-11-21/a\.json: "):
        publish(tmp_path, "a.json", content).json("a.json")


def test_encoder_is_written_and_read_back(tmp_path: Path) -> None:
    contract.write_encoder(tmp_path / "encoder.json", ENCODER)
    text = (tmp_path / "encoder.json").read_text(encoding="utf-8")
    assert text == json.dumps(ENCODER_JSON, indent=2, ensure_ascii=False) + "\n"
    encoder = contract.read_encoder(publish(tmp_path, "encoder.json", text))
    assert encoder == ENCODER
    assert encoder.feature_names == ("price", "shop")
    assert encoder.probability_columns == ("probability_no", "probability_yes")


def test_encoder_names_the_weight_if_there_is_one(tmp_path: Path) -> None:
    contract.write_encoder(tmp_path / "encoder.json", replace(ENCODER, weight="drawn"))
    text = (tmp_path / "encoder.json").read_text(encoding="utf-8")
    assert json.loads(text) == {**ENCODER_JSON, "weight": "drawn"}
    encoder = contract.read_encoder(publish(tmp_path, "encoder.json", text))
    assert (encoder.weight, encoder.feature_names) == ("drawn", ("price", "shop"))


def test_encoder_names_the_days_if_there_are_several(tmp_path: Path) -> None:
    days = ("2026-11-20", "2026-11-21")
    contract.write_encoder(tmp_path / "encoder.json", replace(ENCODER, days=days))
    text = (tmp_path / "encoder.json").read_text(encoding="utf-8")
    assert json.loads(text) == {**ENCODER_JSON, "days": list(days)}
    assert contract.read_encoder(publish(tmp_path, "encoder.json", text)).days == days


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("version", value=2), "version is 2; expected: 1"),
        (put("weight", value=""), "weight is ''; expected: a name, which is not empty"),
        (put("weight", value="price"), "has the column or class 'price' twice"),
        (put("weight", value="id"), "has the column or class 'id' twice"),
        (put("target", value="fraud"), "target is a text; expected: an object"),
        (put("target", "name", value=""), "target.name is ''; expected: a name, which is not empty"),
        (put("target", "classes", value=["no"]), "1 classes and 2 features"),
        (put("target", "classes", value=["no", "no"]), "has the column or class 'no' twice"),
        (put("features", value=[]), "2 classes and 0 features; expected: one key column, two classes and one feature"),
        (put("features", 0, "kind", value="week"), "features[0].kind is 'week'; expected: one of number, category"),
        (put("features", 1, "values", value="ab"), "features[1].values is a text; expected: a list"),
        (put("features", 1, "name", value="price"), "has the column or class 'price' twice"),
        (put("key", 0, value="probability_no"), "has the column or class 'probability_no' twice"),
        (put("key", 0, value="prediction"), "has the column or class 'prediction' twice"),
        (put("key", 0, value="price"), "has the column or class 'price' twice"),
        (put("key", 0, value="fraud"), "has the column or class 'fraud' twice"),
        (put("features", 0, "name", value="fraud"), "has the column or class 'fraud' twice"),
        (put("key", value=[]), "has 0 key columns"),
        (put("schema", value=[]), "schema is a list; expected: an object"),
    ],
)
def test_encoder_of_another_shape_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    content = json.loads(json.dumps(ENCODER_JSON))
    change(content)
    with pytest.raises(BadInput) as caught:
        contract.read_encoder(publish(tmp_path, "encoder.json", json.dumps(content)))
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["prediction", "probability_no"])
def test_feature_may_be_called_like_a_column_of_another_file(tmp_path: Path, name: str) -> None:
    content = json.loads(json.dumps(ENCODER_JSON))
    content["features"][0]["name"] = name
    encoder = contract.read_encoder(publish(tmp_path, "encoder.json", json.dumps(content)))
    assert encoder.feature_names[0] == name


def test_writer_may_give_tuples_where_json_has_lists(tmp_path: Path) -> None:
    content: Mapping[str, Any] = {**DOCUMENTS["params.json"], "curve": {"auc": (0.5,)}}
    contract.write_document(tmp_path / "params.json", content)
    assert json.loads((tmp_path / "params.json").read_text()) == DOCUMENTS["params.json"]
