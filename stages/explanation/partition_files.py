"""The files that the stage reads, and the columns of the table that it writes. Standard library only."""

MODEL_FILE, ENCODER_FILE, BASELINE_FILE = "model.txt", "encoder.json", "baseline.json"
FEATURES_FILE = "features.csv"


def reason_columns(number: int) -> list[str]:
    """The columns of reasons.csv that follow the key, for so many features a row."""
    of_each = ("feature", "value", "contribution")
    each = [f"{what}_{place}" for place in range(1, number + 1) for what in of_each]
    return ["explained_class", "score", "raw_score", "base_value", *each, "other_contributions"]
