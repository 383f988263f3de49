"""The model card: what a model is for, what it learned from, how good it is, and where it ends. Markdown.

After Mitchell et al., Model Cards for Model Reporting, FAT* (2019). It has no value of a sensitive field.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from stagekit import Partition
from stagekit.contract import HIGHER_IS_BETTER, Encoder

from model_partition import MODEL_FILE
from segments import weakest

MOST_FEATURES, DIGEST = 30, 12
NOT_SAID = "Not said; `card` of dags/rules.json has a place for it."


def model_card(
    model: Partition,
    encoder: Encoder,
    processed: Partition,
    figures: Mapping[str, Any],
    intervals: Mapping[str, Any],
    confidence: float,
    said: Mapping[str, str],
    warnings: Sequence[str],
    segments: Mapping[str, Any] | None,
) -> str:
    """The text of `model_card.md`: the same for the same model, rows and words.

    :param figures: the content of metrics.json
    :param intervals: two bounds by figure, or None, at `confidence`
    :param said: purpose, owner and limits, in the words of those who know
    :param warnings: the sentences of `validate`
    :param segments: what segments.py measured, None if no category divides the rows
    """
    sections = {
        "Purpose": [said["purpose"] or NOT_SAID, f"It predicts {code(encoder.target)}."],
        "Owner": [said["owner"] or NOT_SAID],
        "Data": _data(model, encoder, processed, figures),
        "Figures": _figures(figures, intervals, confidence),
        "Segments": _segments(segments),
        "Limits": _limits(said["limits"], figures, warnings),
    }
    text = "\n\n".join("\n\n".join([f"## {title}", *content]) for title, content in sections.items())
    return f"# Model card of {model.name}\n\n{text}\n"


def code(text: str) -> str:
    """A name of the data, which nothing reads as Markdown."""
    shown = " ".join(text.split()).replace("`", "'").replace("|", "¦")
    return f"`{shown}`"


def _data(model: Partition, encoder: Encoder, processed: Partition, figures: Mapping[str, Any]) -> list[str]:
    days = encoder.days or (processed.name.removeprefix("processed/"),)
    window = days[0] if len(days) == 1 else f"{len(days)} days from {days[0]} to {days[-1]}"
    fewest = min(figures["class_rows"].values())
    names = [code(name) for name in encoder.feature_names]
    more = f" and {len(names) - MOST_FEATURES} more" if len(names) > MOST_FEATURES else ""
    read = sorted(model.inputs(MODEL_FILE).items())
    return [
        f"The window is {window}. The model was measured on {figures['rows']:,} rows that it has not learned from.",
        f"There are {len(encoder.classes)} classes, the rarest has {fewest:,} of the rows that it was measured on.",
        *([f"Each row counts by its weight {code(encoder.weight)}."] if encoder.weight else []),
        f"Features: {', '.join(names[:MOST_FEATURES])}{more}.",
        f"Training read {', '.join(f'{code(path)} (sha256 {digest[:DIGEST]})' for path, digest in read)}. "
        f"`./airflow-ml lineage {model.name}/{MODEL_FILE}` shows all files and steps before.",
    ]


def _figures(figures: Mapping[str, Any], intervals: Mapping[str, Any], confidence: float) -> list[str]:
    lines = [f"| figure | validation | {100 * confidence:g} % interval |", "|---|---|---|"]
    for name in HIGHER_IS_BETTER:
        value, bounds = figures[name], intervals.get(name)
        shown = "none" if value is None else f"{value:.4f}"
        lines.append(f"| {name} | {shown} | {f'{bounds[0]:.4f} to {bounds[1]:.4f}' if bounds else 'none'} |")
    content = ["\n".join(lines)]
    if figures["threshold"] is not None:
        content.append(f"The second class is predicted from the score {figures['threshold']:.4f} on.")
    if figures.get("cost") is not None:
        usual = f"with the threshold of the greatest F1, {figures['default_cost']:.4f}"
        content.append(f"A row costs {figures['cost']:.4f}; {usual}.")
    if capacity := (figures.get("decision") or {}).get("capacity"):
        content.append(f"At most {capacity:,} rows a day are predicted as it.")
    return content


def _segments(segments: Mapping[str, Any] | None) -> list[str]:
    if not segments:
        return ["No category has few enough values to divide the rows."]
    fields = ", ".join(code(name) for name in dict.fromkeys(part["field"] for part in segments["parts"]))
    weak = weakest(segments)
    if not weak:
        return [f"Of the values of {fields}, none is shown to be worse than all rows."]
    return [f"Weaker than all rows, of the values of {fields}:", "\n".join(f"- {code(text)}" for text in weak)]


def _limits(said: str, figures: Mapping[str, Any], warnings: Sequence[str]) -> list[str]:
    found = [f"- {' '.join(text.split())}" for text in warnings]
    return [
        said or NOT_SAID,
        f"The figures are of {figures['rows']:,} rows of its own time; the reports of later days show more.",
        *(["`validate` warns:", "\n".join(found)] if found else []),
    ]
