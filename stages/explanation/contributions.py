"""LightGBM's own contributions: how much each feature adds to the raw score of each row.

The contributions are SHAP values of the trees (Lundberg, Erion and Lee, Consistent Individualized Feature Attribution
for Tree Ensembles, 2018), exact for these trees. The base value is the mean raw score that the trees give the rows that
they were trained on.
"""

import logging
from dataclasses import dataclass

import lightgbm
import numpy as np
from stagekit import BadInput, Partition, available_cpus
from stagekit.contract import Encoder
from stagekit.model_text import ModelText, read_model_text

from partition_files import MODEL_FILE

# How far the sum of a row's contributions may be from its raw score, absolute and relative.
TOLERANCE = 1e-9
# Of the trees. A row takes LightGBM memory by the square of the depth, and a call within a call for each step.
MOST_DEPTH = 1_000

log = logging.getLogger("explanation")


@dataclass(frozen=True)
class Explained:
    """Rows with the class whose score is explained.

    `classes` (rows,) are its codes, `scores` (rows,) its probabilities; `raw` (rows,) and `base` (rows,) are in
    log-odds, as are `contributions` of shape (rows, features): base and contributions add up to raw.
    """

    classes: np.ndarray
    scores: np.ndarray
    raw: np.ndarray
    base: np.ndarray
    contributions: np.ndarray

    @property
    def difference(self) -> float:
        """The greatest difference between a raw score and the sum of its parts."""
        return float(np.abs(self.base + self.contributions.sum(axis=1) - self.raw).max(initial=0.0))


class Contributions:
    """A model that explains rows.

    Of two classes the second is explained; of more, for each row, the most probable one, which `predict` predicts.
    """

    def __init__(self, model: Partition, encoder: Encoder) -> None:
        lightgbm.register_logger(log)
        self._label, self._classes = f"{model.name}/{MODEL_FILE}", len(encoder.classes)
        self._booster = self._load(read_model_text(model / MODEL_FILE, self._label), len(encoder.features))
        self._threads = available_cpus()

    def explain(self, values: np.ndarray) -> Explained:
        """Explain rows of shape (rows, features), NaN where a value is missing.

        Errors: BadInput if the contributions of a row do not add up to its raw score.
        """
        rows = np.arange(len(values))
        probabilities, raw = self._predict(values), self._predict(values, raw_score=True)
        parts = self._predict(values, pred_contrib=True)
        if self._classes == 2:
            explained = Explained(np.ones(len(rows), np.intp), probabilities, raw, parts[:, -1], parts[:, :-1])
        else:
            code = probabilities.argmax(axis=1)
            own = parts.reshape(len(rows), self._classes, -1)[rows, code]
            explained = Explained(code, probabilities[rows, code], raw[rows, code], own[:, -1], own[:, :-1])
        self._check_sum(explained)
        return explained

    def _load(self, text: ModelText, features: int) -> "lightgbm.Booster":
        found = (len(text.feature_names), text.classes)
        if found != (features, self._classes):
            raise self._bad(
                f"it has {found[0]} features and {found[1]} classes",
                f"the {features} features and {self._classes} classes of its encoder.json",
            )
        if (depth := max(tree.depth for tree in text.trees)) > MOST_DEPTH:
            raise self._bad(f"a tree of it has a depth of {depth:,}", f"at most {MOST_DEPTH:,} to explain its scores")
        try:
            return lightgbm.Booster(model_str=text.text)
        except lightgbm.basic.LightGBMError as error:
            raise self._bad(f"LightGBM cannot read it: {error}", "a LightGBM model in text form") from None

    def _predict(self, values: np.ndarray, **what: bool) -> np.ndarray:
        try:
            return np.asarray(self._booster.predict(values, num_threads=self._threads, **what))
        except lightgbm.basic.LightGBMError as error:
            raise self._bad(f"LightGBM cannot explain its scores: {error}", "trees with constant leaves") from None

    def _check_sum(self, explained: Explained) -> None:
        sums = explained.base + explained.contributions.sum(axis=1)
        if not np.allclose(sums, explained.raw, rtol=TOLERANCE, atol=TOLERANCE):
            raise self._bad(
                f"the contributions of a row differ from its raw score by {explained.difference:.3g}",
                f"at most {TOLERANCE:g}, as for trees with constant leaves",
            )

    def _bad(self, found: str, expected: str) -> BadInput:
        return BadInput(f"{self._label}: {found}", expected=expected, do="train the model again, or choose another one")
