"""The values of features as people know them: the encoder turns the numbers of features.csv back."""

from stagekit.contract import CATEGORY, NUMBER, Encoder, Feature

# In place of a value of a sensitive field, as in the messages of `preprocessing`.
HIDDEN = "…"
BOOLEANS = {"0": "false", "1": "true"}


class ValueTexts:
    """The text of each value of each feature.

    A category is its text, a boolean `true` or `false`, every other feature the number in features.csv. An empty text
    is a missing value, or a category that the model does not know. A value of a sensitive field is hidden.
    """

    def __init__(self, encoder: Encoder) -> None:
        types = {field["name"]: field.get("type") for field in encoder.fields}
        self._features = encoder.features
        self._booleans = [f.kind == NUMBER and types.get(f.field) == "boolean" for f in encoder.features]
        self.hidden = [bool({f.field, f.since} & encoder.sensitive) for f in encoder.features]

    def text(self, number: int, written: str) -> str:
        """The text of what features.csv has in the feature of this number."""
        if not written:
            return ""
        if self.hidden[number]:
            return HIDDEN
        if self._booleans[number]:
            return BOOLEANS.get(written, written)
        return _category(self._features[number], written)


def _category(feature: Feature, written: str) -> str:
    code = int(float(written)) if feature.kind == CATEGORY else -1
    return feature.values[code] if 0 <= code < len(feature.values) else written
