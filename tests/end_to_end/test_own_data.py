"""Own data takes the way that the README describes: three files, imported, then the same Dags unchanged."""

import pytest

from .conftest import Stack, data

EXPORT = """
import pathlib, sklearn.datasets
bunch = sklearn.datasets.load_{name}(as_frame=True)
folder = pathlib.Path('/data/import/{name}')
folder.mkdir(parents=True, exist_ok=True)
data = bunch.data.rename_axis('row_id').reset_index()
data.to_csv(folder / 'data.csv', index=False)
labels = bunch.target.map(lambda code: str(bunch.target_names[code]))
labels.rename('label').rename_axis('row_id').reset_index().to_csv(folder / 'target.csv', index=False)
"""


@pytest.mark.parametrize(
    ("name", "ds", "classes", "auc"), [("breast_cancer", "2026-05-01", 2, 0.95), ("wine", "2026-05-02", 3, 0.95)]
)
def test_own_data_is_trained_on_and_scored_unchanged(
    stack: Stack, name: str, ds: str, classes: int, auc: float
) -> None:
    data.python(EXPORT.format(name=name), image="prediction")
    folder = f"/data/import/{name}"
    data.stage(
        "preprocessing", "infer-schema", f"--data={folder}/data.csv", f"--target={folder}/target.csv", "--key=row_id",
        f"--out={folder}/schema.json",
    )  # fmt: skip
    files = [
        f"--{file}={folder}/{file}.{'json' if file == 'schema' else 'csv'}" for file in ("data", "target", "schema")
    ]
    data.stage("preprocessing", "import", f"--ds={ds}", *files)

    trained = stack.results("train_model", stack.run("train_model", {"ds": ds}))
    assert trained["prediction", "validate"]["roc_auc"] > auc
    with stack.variable("model_path", f"models/{ds}"):
        predicted = stack.results("predict", stack.run("predict", {"ds": ds}))["prediction", "predict"]
    encoder = data.json(f"models/{ds}/encoder.json")
    assert len(encoder["target"]["classes"]) == classes
    assert predicted["rows"] == len(data.rows(f"import/{name}/data.csv"))
