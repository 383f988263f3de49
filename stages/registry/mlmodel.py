"""What makes a bundle loadable by MLflow: `MLmodel` and the files it names, written without lightgbm or pandas.

Anyone with mlflow and lightgbm can then `mlflow.lightgbm.load_model("models:/NAME@champion")`, or load it as a
`python_function`. The layout is that of mlflow.lightgbm.save_model in MLflow 3; model.txt stays where it is.
"""

import csv
import json
import platform
import uuid
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from stagekit import BadInput, Partition

from bundle import ENCODER_FILE, MODEL_FILE, model_hash, read_json
from versions import MLMODEL_FILE

EXAMPLE_FILE, SERVING_FILE = "input_example.json", "serving_input_example.json"
REQUIREMENTS_FILE, PYTHON_FILE, CONDA_FILE = "requirements.txt", "python_env.yaml", "conda.yaml"
EXAMPLE_ROWS = 5


def write_loading_files(folder: Path, model: Partition, val: Path | None, run_id: str, artifact_path: str) -> None:
    """Write all into `folder`; `val` is the table of which the first rows become the input example, if it is there."""
    encoder = read_json(model, ENCODER_FILE)
    try:
        features = [feature["name"] for feature in encoder["features"]]
        classes = encoder["target"]["classes"]
    except (KeyError, TypeError) as error:
        raise BadInput(
            f"{model.name}/{ENCODER_FILE} is not understood ({error!r})", do="train the model again"
        ) from None
    train = _step(model, MODEL_FILE)
    example = _write_example(folder, features, val) if val else None
    packages = _packages(train.get("versions", {}))
    _write_environment(folder, packages)
    content = {
        "artifact_path": artifact_path,
        "flavors": _flavors(packages["lightgbm"]),
        "is_signature_from_type_hint": False,
        "mlflow_version": packages["mlflow"],
        "model_size_bytes": sum(model.meta["outputs"][file]["size"] for file in model.files),
        # The same model in the same run is the same MLmodel, to the byte.
        "model_uuid": uuid.uuid5(uuid.NAMESPACE_URL, f"{run_id}/{model_hash(model)}").hex,
        "prompts": None,
        "run_id": run_id,
        **({"saved_input_example_info": example} if example else {}),
        "signature": signature(features, len(classes)),
        "type_hint_from_example": False,
        "utc_time_created": train.get("started", "1970-01-01T00:00:00Z").replace("T", " ").replace("Z", ".000000"),
    }
    _write_yaml(folder / MLMODEL_FILE, content)


def signature(features: Iterable[str], classes: int) -> dict[str, Any]:
    """Every feature a double, as features.csv has them: empty is missing. Out come probabilities: one a row with
    two classes, that of the second; else one a class."""
    shape = [-1] if classes == 2 else [-1, classes]
    inputs = [{"type": "double", "name": name, "required": True} for name in features]
    outputs = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": shape}}]
    return {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs), "params": None}


def _flavors(lightgbm: str) -> dict[str, Any]:
    return {
        "lightgbm": {
            "code": None,
            "data": MODEL_FILE,
            "lgb_version": lightgbm,
            "model_class": "lightgbm.basic.Booster",
        },
        "python_function": {
            "data": MODEL_FILE,
            "env": {"conda": CONDA_FILE, "virtualenv": PYTHON_FILE},
            "loader_module": "mlflow.lightgbm",
            "python_version": platform.python_version(),
        },
    }


def _step(model: Partition, file: str) -> Mapping[str, Any]:
    """The record of the step that wrote a file."""
    record: Mapping[str, Any] = model.meta["steps"].get(model.meta["outputs"][file]["step"], {})
    return record


def _packages(trained_with: Mapping[str, str]) -> dict[str, str]:
    """What it takes to load the model: the MLflow of this image, and what the model was trained with."""
    from mlflow.version import VERSION

    packages = {"mlflow": VERSION, "lightgbm": trained_with.get("lightgbm", "")}
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
    import yaml  # type: ignore[import-untyped]

    path.write_text(yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True), encoding="utf-8")


def _write_example(folder: Path, features: list[str], val: Path) -> dict[str, Any]:
    """The first rows of val.csv without its target, an empty field as null."""
    with val.open(newline="", encoding="utf-8") as file:
        rows = list(islice(csv.reader(file), 1, 1 + EXAMPLE_ROWS))
    split = {"columns": features, "data": [[float(cell) if cell else None for cell in row[1:]] for row in rows]}
    (folder / EXAMPLE_FILE).write_text(json.dumps(split), encoding="utf-8")
    (folder / SERVING_FILE).write_text(json.dumps({"dataframe_split": split}), encoding="utf-8")
    return {
        "artifact_path": EXAMPLE_FILE,
        "pandas_orient": "split",
        "serving_input_path": SERVING_FILE,
        "type": "dataframe",
    }
