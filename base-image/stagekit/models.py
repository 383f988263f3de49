"""What every stage that takes a model checks: its name, its trees, and that features were made with its encoder."""

from pathlib import Path

from stagekit.contract import ENCODER_FILE
from stagekit.errors import BadInput, UsageError
from stagekit.partition import Partition, partition_name

MODEL_FILE, FEATURES_FILE = "model.txt", "features.csv"


def model_name(root: Path, text: str) -> str:
    """The partition that an option names: `models/2026-11-21`, or the same below the data folder."""
    name = partition_name(root, text)
    if not name.startswith("models/") or name.count("/") != 1:
        raise UsageError(f"{text!r} is not a model", expected="a path such as models/2026-11-21")
    return name


def check_sha256(model: Partition, expected: str | None) -> None:
    """The trees must be those that were resolved; None or an empty text accepts any. Errors: BadInput."""
    found = model.hashes[f"{model.name}/{MODEL_FILE}"]
    if expected and found != expected:
        raise BadInput(
            f"{model.name}/{MODEL_FILE} was replaced since it was resolved: it has sha256 {found[:12]}…",
            expected=f"{expected[:12]}…, as --model-sha256 says",
            do="start the run again",
        )


def check_made_for(features: Partition, model: Partition) -> None:
    """The features must have been encoded with this model's encoder. Errors: BadInput."""
    inputs = features.inputs(FEATURES_FILE)
    encoders = {path: digest for path, digest in inputs.items() if path.endswith(f"/{ENCODER_FILE}")}
    if list(encoders.values()) != [model.hashes[f"{model.name}/{ENCODER_FILE}"]]:
        ds = features.name.partition("/")[2][: len("2026-11-21")]
        raise BadInput(
            f"{features.name} was made for another model, with {', '.join(encoders) or 'no encoder'}",
            expected=f"features made with the present {model.name}/{ENCODER_FILE}",
            do=f"run `preprocessing features --ds {ds} --model {model.name}`",
        )
