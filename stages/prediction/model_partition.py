"""A model partition: its files, and the checks that come before its use. Standard library only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stagekit import BadInput, NotReady, Partition, read_partition
from stagekit.contract import Encoder, read_document, read_encoder

MODEL_FILE, ENCODER_FILE, REFERENCE_FILE = "model.txt", "encoder.json", "reference_scores.csv"
METRICS_FILE, CURVES_FILE, BASELINE_FILE = "metrics.json", "curves.json", "baseline.json"
CARD_FILE = "model_card.md"
# Of a shard of predictions or of an evaluation: what it passes on to the day; of the latter also its labelled rows.
COUNTS_FILE, LABELLED_FILE = "counts.json", "labelled.npz"


@dataclass(frozen=True)
class ValidatedModel:
    """A model that `validate` has passed. With two classes, the second one is predicted from `threshold` on.

    `decision` is what the threshold was chosen by: `costs`, `capacity`, neither, or both.
    """

    partition: Partition
    encoder: Encoder
    threshold: float | None
    decision: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its path below the data folder."""
        return self.partition.name

    def has_seen(self, ds: str) -> bool:
        """Whether it was trained on rows of a day."""
        return ds in self.encoder.days or self.name.removeprefix("models/").startswith(ds)


def read_validated(root: Path, name: str, optional: Iterable[str] = ()) -> ValidatedModel:
    """Verify a model's files, and those of `optional` that it has. NotReady if `validate` has not passed it yet."""
    model = read_partition(root, name, [MODEL_FILE, ENCODER_FILE])
    outputs = model.meta["outputs"]
    if METRICS_FILE not in outputs:
        raise NotReady(
            f"{name} is not validated: its mark names no {METRICS_FILE}",
            expected="a model that `validate` has passed",
            do=f"run `prediction validate --ds {name.removeprefix('models/')}`, or choose another model",
        )
    model = read_partition(root, name, [*model.files, METRICS_FILE, *(file for file in optional if file in outputs)])
    encoder = read_encoder(model)
    metrics = read_document(model, METRICS_FILE)
    return ValidatedModel(model, encoder, _read_threshold(model, encoder, metrics), metrics.get("decision") or {})


def _read_threshold(model: Partition, encoder: Encoder, metrics: Mapping[str, Any]) -> float | None:
    """The score from which on the second of two classes is predicted; None with more classes."""
    if len(encoder.classes) > 2:
        return None
    threshold = metrics.get("threshold")
    if not isinstance(threshold, float) or not 0 <= threshold <= 1:
        raise BadInput(
            f"{model.name}/{METRICS_FILE} has the threshold {threshold!r}",
            expected="a number from 0 to 1",
            do=f"run prediction validate --ds {model.name.removeprefix('models/')} again",
        )
    return threshold


def check_trained_beside(model: Partition, processed: Partition) -> None:
    """The validation rows must be the ones that training read: the reference scores belong to them."""
    file = f"{processed.name}/val.csv"
    if model.inputs(MODEL_FILE).get(file) != processed.hashes[file]:
        raise BadInput(
            f"{file} is not the file that {model.name} was trained beside",
            expected="the val.csv whose sha256 the model's mark names",
            do=f"run training --ds {model.name.removeprefix('models/')} again",
        )
