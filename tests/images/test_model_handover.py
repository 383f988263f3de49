"""A model crosses from the training image to the prediction image as text: the scores must be LightGBM's own.

Random models of many shapes are trained with LightGBM in the training image; the prediction image, which has no
LightGBM, scores the same rows: those it was trained on, and rows of thresholds, their neighbours, odd values and
unseen categories.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness import CONFINED, docker, images

MODELS = 40

TRAIN = """
import random, sys
import lightgbm, numpy as np

ZERO = float(np.float32(1e-35))
ODD = [0.0, -0.0, 1e-36, -1e-36, ZERO, -ZERO, 1e300, -1e300, 5e-324, np.nan]
CODES = [*range(40), -1.0, 255.0, 256.0, 1000.0, 2.5, -0.5]

def make_table(draw, rows, columns, missing):
    kinds = [
        lambda: draw.normal(size=rows),
        lambda: np.round(draw.exponential(30, rows), 2),
        lambda: draw.integers(0, 2, rows),
        lambda: draw.integers(-3, 4, rows) * 1e-8,
        lambda: np.exp(draw.normal(0, 40, rows)),
        lambda: np.full(rows, 7.0),
    ]
    table = np.column_stack([kinds[draw.integers(len(kinds))]() for _ in range(columns)]).astype(float)
    table[draw.random(table.shape) < missing] = np.nan
    return table

def make_model(seed):
    draw = np.random.default_rng(seed)
    rows, columns, classes = int(draw.integers(60, 2000)), int(draw.integers(1, 9)), int(draw.choice([2, 2, 3, 7]))
    table = make_table(draw, rows, columns, draw.choice([0.0, 0.05, 0.6]))
    categories = [column for column in range(columns) if draw.random() < 0.3]
    for column in categories:
        codes = draw.integers(0, draw.choice([2, 30, 255]), rows)
        table[:, column] = np.where(np.isnan(table[:, column]), np.nan, codes)
    score = np.nan_to_num(table).clip(-5, 5) @ draw.normal(size=columns) + draw.normal(size=rows)
    target = np.digitize(score, np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1]))
    parameters = {
        "objective": "binary" if classes == 2 else "multiclass",
        "num_class": 1 if classes == 2 else classes,
        "num_leaves": int(draw.choice([2, 4, 31, 200])),
        "min_data_in_leaf": int(draw.choice([1, 20, 5000])),
        "max_bin": int(draw.choice([15, 255, 1000])),
        "boosting": str(draw.choice(["gbdt", "gbdt", "dart"])),
        "learning_rate": float(draw.choice([0.05, 0.3, 2.0])),
        "use_missing": bool(draw.random() < 0.8),
        "min_data_per_group": int(draw.choice([1, 50])),
        "max_cat_to_onehot": int(draw.choice([1, 4])),
        "boost_from_average": bool(draw.random() < 0.8),
        "is_unbalance": bool(classes == 2 and draw.random() < 0.3),
        "verbosity": -1, "num_threads": 1, "seed": seed,
    }
    data = lightgbm.Dataset(table, target, categorical_feature=categories, params=parameters)
    return lightgbm.train(parameters, data, int(draw.integers(1, 25))), table

def make_rows(text, table, seed):
    pick = random.Random(seed)
    lines = [line.partition("=")[2].split() for line in text.splitlines() if line.startswith("threshold=")]
    thresholds = [float(word) for line in lines for word in line][:500]
    near = [np.nextafter(t, side) for t in thresholds for side in (np.inf, -np.inf)]
    values = [*thresholds, *near, *ODD, *CODES]
    odd = [[pick.choice(values) for _ in range(table.shape[1])] for _ in range(400)]
    return np.vstack([table[:400], odd])

for seed in range(int(sys.argv[1])):
    model, table = make_model(seed)
    text = model.model_to_string()
    rows = make_rows(text, table, seed)
    open(f"/handover/{seed}.txt", "w").write(text)
    np.savez(f"/handover/{seed}.npz", rows=rows, scores=model.predict(rows, num_threads=1))
"""

SCORE = """
import importlib.util, json, sys
from pathlib import Path
import numpy as np
from lightgbm_model import read_model

assert importlib.util.find_spec("lightgbm") is None
for seed in range(int(sys.argv[1])):
    made = np.load(f"/handover/{seed}.npz")
    model = read_model(Path(f"/handover/{seed}.txt"), f"{seed}.txt")
    ours, theirs = model.probabilities(made["rows"]), made["scores"]
    theirs = np.column_stack([1.0 - theirs, theirs]) if theirs.ndim == 1 else theirs
    splits = sum(int((tree.nodes["is_leaf"] == 0).sum()) for tree in model.trees)
    categorical = sum(int(tree.nodes["is_categorical"].sum()) for tree in model.trees)
    print(json.dumps({
        "seed": seed, "classes": model.classes, "trees": len(model.trees), "splits": splits,
        "categorical": categorical, "columns": len(model.columns), "features": len({c.feature for c in model.columns}),
        "difference": float(np.abs(ours - theirs).max()),
    }))
"""


def run_in_image(stage: str, program: str, folder: Path, mode: str) -> str:
    mount = f"--volume={folder}:/handover:{mode}"
    python = ["--env=PYTHONPATH=/opt/stage", "--entrypoint=python", images()[stage], "-c", program, str(MODELS)]
    return docker("run", *CONFINED, mount, *python).stdout


@pytest.fixture(scope="module")
def handed_over(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("handover")
    folder.chmod(0o777)
    run_in_image("training", TRAIN, folder, "rw")
    return [json.loads(line) for line in run_in_image("prediction", SCORE, folder, "ro").splitlines()]


def test_handover_reproduces_every_score_exactly(handed_over: list[dict[str, Any]]) -> None:
    assert len(handed_over) == MODELS
    assert [made for made in handed_over if made["difference"] != 0.0] == []


def test_handover_is_tried_with_models_of_every_kind(handed_over: list[dict[str, Any]]) -> None:
    assert {made["classes"] for made in handed_over} >= {2, 3, 7}
    assert any(made["categorical"] for made in handed_over)
    assert any(made["splits"] == 0 for made in handed_over)
    assert max(made["splits"] for made in handed_over) > 1000
    # A feature of more thresholds than a byte can count.
    assert any(made["columns"] > made["features"] for made in handed_over)
