"""The libraries, cut as they are, still work in the finished images: one real operation for each part that is used.

Expected values are worked out by hand or follow from the operation's definition.
"""

import pytest

from tests.harness import images, python

# polars puts its methods on Series together by looking at their bytecode, and reads CSV, times and text natively.
POLARS = """
import datetime as dt, io, polars as pl
frame = pl.read_csv(io.BytesIO(b'k,t,x\\n1,2026-11-21T10:00:00,a b\\n2,2026-11-22T11:30:00,"c ""d"" e"\\n'))
assert pl.Series("s", ["a b"]).str.split(" ").to_list() == [["a", "b"]]
assert pl.Series([dt.datetime(2026, 11, 21, tzinfo=dt.UTC)]).dt.day().to_list() == [21]
times = frame.select(pl.col("t").str.to_datetime(time_zone="UTC"))["t"]
assert times.dt.hour().to_list() == [10, 11] and times.dt.weekday().to_list() == [6, 7]
assert frame["x"].str.count_matches('"', literal=True).to_list() == [0, 2]
assert frame.lazy().filter(pl.col("k") > 1).select(pl.len()).collect().item() == 1
lower = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
assert frame.select(pl.col("t").str.to_datetime(time_zone="UTC") > lower)["t"].to_list() == [False, True]
assert frame.join(pl.DataFrame({"k": [2]}), on="k", how="semi").height == 1
assert frame.group_by("k").agg(pl.col("x").str.len_bytes().sum()).sort("k")["x"].to_list() == [3, 7]
assert pl.DataFrame({"c": ["x"]}, schema={"c": pl.Enum(["x"])})["c"].to_physical().to_list() == [0]
frame.write_csv("/tmp/out.csv")
assert pl.scan_csv("/tmp/out.csv").collect().equals(frame)
frame.write_ipc("/tmp/out.arrow")
assert pl.read_ipc("/tmp/out.arrow").equals(frame)
try:
    pl.read_csv(io.BytesIO(b"a\\n\\xff\\n"))
except pl.exceptions.ComputeError as error:
    assert "utf-8" in str(error)
"""
LIGHTGBM = """
import io, lightgbm, numpy as np
x = np.arange(400.0).reshape(200, 2)
y = (x[:, 0] > 200).astype(float)
np.savetxt("/tmp/train.csv", np.column_stack([y, x]), delimiter=",", header="y,a,b", comments="")
data = lightgbm.Dataset("/tmp/train.csv", params={"header": True, "label_column": "name:y"})
valid = lightgbm.Dataset("/tmp/train.csv", reference=data)
history = {}
model = lightgbm.train({"objective": "binary", "metric": "auc", "verbose": -1, "num_threads": 2}, data, 10, [valid],
                       callbacks=[lightgbm.record_evaluation(history), lightgbm.early_stopping(5, verbose=False)])
assert max(history["valid_0"]["auc"]) > 0.98
again = lightgbm.Booster(model_str=model.model_to_string())
assert (again.predict(x) == model.predict(x, num_iteration=model.best_iteration)).all()
assert ((again.predict(x) > 0.5) == y).mean() > 0.98
import scipy.sparse
assert (again.predict(scipy.sparse.csr_matrix(x)) == again.predict(x)).all()
assert np.random.default_rng(1).random() == np.random.default_rng(1).random()
assert np.allclose(np.linalg.inv(np.array([[2.0, 0], [0, 4]])), [[0.5, 0], [0, 0.25]])
"""
EXPLANATION = """
import lightgbm, numpy as np
x = np.arange(400.0).reshape(200, 2)
data = lightgbm.Dataset(x, (x[:, 0] > 200).astype(float))
model = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 2}, data, 10)
again = lightgbm.Booster(model_str=model.model_to_string())
parts = again.predict(x, pred_contrib=True)
assert parts.shape == (200, 3) and len(set(parts[:, 2])) == 1
assert np.abs(parts.sum(axis=1) - again.predict(x, raw_score=True)).max() <= 1e-9
assert np.mean((parts[:, :2].sum(axis=1) > 0) == (x[:, 0] > 200)) > 0.95
"""
SCIKIT_LEARN = """
import io, math, numpy as np, pandas as pd
from scipy.special import expit
from sklearn import metrics
from sklearn.ensemble import HistGradientBoostingClassifier
y, p = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
assert metrics.roc_auc_score(y, p) == 0.75
assert metrics.brier_score_loss(y, p) == np.mean((y - p) ** 2)
assert math.isclose(metrics.log_loss(y, p), -np.mean(np.log([0.9, 0.6, 0.35, 0.8])))
assert metrics.average_precision_score(y, p) == 0.5 * 1 + 0.5 * 2 / 3
assert metrics.confusion_matrix(y, p > 0.5).tolist() == [[2, 0], [1, 1]]
assert metrics.accuracy_score(y, p > 0.5) == 0.75
precision, recall, thresholds = metrics.precision_recall_curve(y, p)
assert recall[0] == 1 and precision[-1] == 1 and len(thresholds) == len(recall) - 1
assert metrics.precision_recall_fscore_support(y, p > 0.5, average="macro")[1] == 0.75
assert metrics.roc_auc_score([0, 1, 2], np.eye(3), multi_class="ovr") == 1
assert expit(0.0) == 0.5
x = np.arange(100.0).reshape(-1, 1)
model = HistGradientBoostingClassifier(max_iter=5).fit(x, x[:, 0] > 50)
assert model.score(x, x[:, 0] > 50) == 1
frame = pd.read_csv(io.StringIO("k,v\\na,1.5\\nb,\\n"), dtype={"k": str}, chunksize=1)
parts = [part for part in frame]
assert [len(part) for part in parts] == [1, 1] and parts[0]["v"].iloc[0] == 1.5 and math.isnan(parts[1]["v"].iloc[0])
assert pd.concat(parts).groupby("k")["v"].count().to_dict() == {"a": 1, "b": 0}
assert pd.Timestamp("2026-07-01", tz="Europe/Paris").utcoffset().total_seconds() == 7200
"""
FAKER = """
import faker
for locale in ("en_US", "de_DE", "pl_PL"):
    fake, again = faker.Faker(locale), faker.Faker(locale)
    fake.seed_instance(7), again.seed_instance(7)
    assert [fake.name(), fake.city(), fake.company()] == [again.name(), again.city(), again.company()]
    assert fake.name() != fake.name()
assert "@" in fake.email() and "." in fake.free_email_domain()
"""
TUNING = """
import lightgbm, numpy as np, optuna
optuna.logging.set_verbosity(optuna.logging.WARNING)
seen = []
for _ in range(2):
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=3))
    study.optimize(lambda trial: trial.suggest_float("x", -4, 4) ** 2, n_trials=25)
    seen.append([trial.params["x"] for trial in study.trials])
assert seen[0] == seen[1] and study.best_value < 0.5
x = np.arange(200.0).reshape(-1, 1)
assert lightgbm.train({"objective": "binary", "verbosity": -1}, lightgbm.Dataset(x, x[:, 0] > 90), 3).num_trees() == 3
"""
CHECKS = {
    "preprocessing": POLARS,
    "training": LIGHTGBM,
    "explanation": EXPLANATION,
    "tuning": TUNING,
    "prediction": SCIKIT_LEARN,
    "generator": FAKER,
}


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_libraries_of_a_stage_work_in_its_image(name: str) -> None:
    python(images()[name], CHECKS[name])
