"""What makes a bundle loadable by MLflow: `MLmodel` and the files that it names, written without lightgbm or pandas.

Anyone with mlflow and lightgbm can then `mlflow.lightgbm.load_model("models:/NAME@champion")`, or load it as a
`python_function`. The layout is that of mlflow.lightgbm.save_model; model.txt stays where it is.

`mlflow.models.Model` writes MLmodel. mlflow-skinny cannot do the rest without numpy, which this image does not have:
mlflow.models.signature and mlflow.pyfunc import it.
"""

import csv
import json
import platform
import shutil
import uuid
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from stagekit import Partition
from stagekit.contract import Encoder, read_encoder

from bundle import CODE_FILE, MLMODEL_FILE, MODEL_FILE, model_hash

EXAMPLE_FILE, SERVING_FILE = "input_example.json", "serving_input_example.json"
REQUIREMENTS_FILE, PYTHON_FILE, CONDA_FILE = "requirements.txt", "python_env.yaml", "conda.yaml"
EXAMPLE_ROWS = 5


def write_loading_files(folder: Path, model: Partition, val: Path | None, run_id: str, artifact_path: str) -> None:
    """Write all into `folder`. `val` is the table of which the first rows become the input example, if it exists."""
    encoder = read_encoder(model)
    trained = model.step(MODEL_FILE)
    example = _write_example(folder, encoder, val) if val else None
    shutil.copyfile(Path(__file__).with_name(CODE_FILE), folder / CODE_FILE)
    packages = _packages(trained.get("versions", {}))
    _write_environment(folder, packages)
    from mlflow.models import Model

    description = Model(
        artifact_path=artifact_path,
        run_id=run_id,
        utc_time_created=trained.get("started", "1970-01-01T00:00:00Z").replace("T", " ").replace("Z", ".000000"),
        signature=Signature(encoder, len(encoder.classes)),
        saved_input_example_info=example,
        # The same model in the same run is the same MLmodel, to the byte.
        model_uuid=uuid.uuid5(uuid.NAMESPACE_URL, f"{run_id}/{model_hash(model)}").hex,
        model_size_bytes=sum(model.meta["outputs"][file]["size"] for file in model.files),
    )
    _add_flavors(description, packages["lightgbm"])
    description.save(folder / MLMODEL_FILE)


class Signature:
    """A signature as `mlflow.models.Model` writes one; MLflow's own class of it needs numpy.

    Rows are raw, with the columns of data.csv, or encoded, with those of features.csv. A column can have one name and
    two types in the two, so each column is of any type and optional: airflow_ml_model.py checks the rows. The output is
    the probabilities: with two classes one a row, that of the second class; else one a class.
    """

    _is_signature_from_type_hint = _is_type_hint_from_example = False

    def __init__(self, encoder: Encoder, classes: int) -> None:
        fields = [name for feature in encoder.features for name in (feature.field, feature.since) if name]
        self._columns = list(dict.fromkeys([*fields, *encoder.feature_names]))
        self._shape = [-1] if classes == 2 else [-1, classes]

    def to_dict(self) -> dict[str, Any]:
        """What MLmodel holds: the columns as JSON."""
        inputs = [{"type": "any", "name": name, "required": False} for name in self._columns]
        outputs = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": self._shape}}]
        return {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs), "params": None}


def _add_flavors(description: Any, lightgbm: str) -> None:
    description.add_flavor(
        "lightgbm", code=None, data=MODEL_FILE, lgb_version=lightgbm, model_class="lightgbm.basic.Booster"
    )
    description.add_flavor(
        "python_function",
        code=".",
        env={"conda": CONDA_FILE, "virtualenv": PYTHON_FILE},
        loader_module=Path(CODE_FILE).stem,
        python_version=platform.python_version(),
    )


def _packages(trained_with: Mapping[str, str]) -> dict[str, str]:
    """What it takes to load the model: the MLflow of this image, and the packages that the model was trained with."""
    from mlflow.version import VERSION

    packages = {"mlflow": VERSION, "lightgbm": trained_with.get("lightgbm", ""), "pandas": ""}
    if "numpy" in trained_with:
        packages["numpy"] = trained_with["numpy"]
    return packages


def _write_environment(folder: Path, packages: Mapping[str, str]) -> None:
    lines = [f"{name}=={version}" if version else name for name, version in packages.items()]
    (folder / REQUIREMENTS_FILE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    python = platform.python_version()
    _write_yaml(
        folder / PYTHON_FILE,
        {"python": python, "build_dependencies": ["pip"], "dependencies": [f"-r {REQUIREMENTS_FILE}"]},
    )
    conda = {"name": "mlflow-env", "channels": ["conda-forge"]}
    _write_yaml(folder / CONDA_FILE, {**conda, "dependencies": [f"python={python}", "pip", {"pip": lines}]})


def _write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    import yaml

    path.write_text(yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True), encoding="utf-8")


def _write_example(folder: Path, encoder: Encoder, val: Path) -> dict[str, Any]:
    """The features of the first rows of val.csv; an empty field, and one of a sensitive field, as null."""
    with val.open(newline="", encoding="utf-8") as file:
        rows = list(islice(csv.reader(file), 1, 1 + EXAMPLE_ROWS))
    shown = [feature.field not in encoder.sensitive for feature in encoder.features]
    features = [row[-len(shown) :] for row in rows]
    data = [[float(cell) if cell and show else None for cell, show in zip(row, shown, strict=True)] for row in features]
    split = {"columns": list(encoder.feature_names), "data": data}
    (folder / EXAMPLE_FILE).write_text(json.dumps(split), encoding="utf-8")
    (folder / SERVING_FILE).write_text(json.dumps({"dataframe_split": split}), encoding="utf-8")
    return {
        "artifact_path": EXAMPLE_FILE,
        "pandas_orient": "split",
        "serving_input_path": SERVING_FILE,
        "type": "dataframe",
    }
