"""Words of the page: names of figures, names of the data inside sentences, numbers with their nouns."""

from collections.abc import Mapping

from markupsafe import Markup

from svg import short

MOST_NAME = 120
FIGURES: Mapping[str, str] = {
    "roc_auc": "Area under the ROC curve",
    "average_precision": "Average precision",
    "log_loss": "Log loss",
    "brier_score": "Brier score",
    "f1": "F1",
}


def figure_name(key: str) -> str:
    """The name of a figure of metrics.json for people."""
    return FIGURES.get(key, key.replace("_", " ").capitalize())


def named(text: object, most: int = MOST_NAME) -> Markup:
    """A text of the data for use inside a sentence: escaped, cut, and kept from changing the direction around it."""
    return Markup("<bdi>{}</bdi>").format(short(text, most))


def plural(count: int, one: str, more: str = "") -> str:
    """A number with its noun: 1 row, 2 rows."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"
