"""The baseline of a model: how its validation rows are spread over bins, which a day is compared with."""

import logging

from stagekit import BadInput
from stagekit.contract import read_document

from drift import read_bins
from model_partition import BASELINE_FILE
from scored_day import ScoredDay

log = logging.getLogger("prediction")


class Baseline:
    """`baseline.json`: the bins of each feature and of the score, how many validation rows each has; their segments."""

    def __init__(self, day: ScoredDay) -> None:
        content = read_document(day.model.partition, BASELINE_FILE)
        try:
            self.features = [(f["name"], f["kind"], read_bins(f), f["counts"]) for f in content["features"]]
            self.score = (read_bins(content["score"], missing=False), content["score"]["counts"])
            self.segments = content.get("segments")
            if tuple(name for name, *_ in self.features) != day.model.encoder.feature_names:
                raise ValueError("its features are not those of the encoder")
        except ValueError as error:
            raise BadInput(
                f"{day.model.name}/{BASELINE_FILE} cannot be used: {error}",
                expected="the bins of each feature of the encoder",
                do=f"run prediction validate --ds {day.model.name.removeprefix('models/')} again",
            ) from None


def read_baseline(day: ScoredDay) -> Baseline | None:
    """The baseline of the model that scored a day; None, with a warning, if it has none."""
    if BASELINE_FILE in day.model.partition.files:
        return Baseline(day)
    log.warning(
        "%s has no %s: drift is not measured; do: run prediction validate again for this model",
        *(day.model.name, BASELINE_FILE),
    )
    return None
