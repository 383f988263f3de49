"""The model card: what a model is for, what it learned from, how good it is, and where it ends. Markdown.

After Mitchell et al., Model Cards for Model Reporting, FAT* (2019). It has no value of a sensitive field.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from stagekit import Partition
from stagekit.contract import HIGHER_IS_BETTER, Encoder

from model_partition import MODEL_FILE
from rules import GATE

MOST_FEATURES, MOST_SEGMENTS, DIGEST = 30, 10, 12
NOT_SAID = "Not said; `card` of dags/rules.json has a place for it."


def model_card(
    model: Partition,
    encoder: Encoder,
    processed: Partition,
    figures: Mapping[str, Any],
    confidence: float,
    said: Mapping[str, str],
    warnings: Sequence[str],
    segments: Sequence[Mapping[str, Any]],
) -> str:
    """The text of `model_card.md`: the same for the same model, rows and words.

    :param figures: the content of metrics.json
    :param confidence: of its intervals
    :param said: purpose, owner and limits, in the words of those who know
    :param warnings: the sentences of `validate`
    :param segments: what segments.py measured, empty if no category divides the rows
    """
    sections = {
        "Purpose": [said["purpose"] or NOT_SAID, f"It predicts {code(encoder.target)}."],
        "Owner": [said["owner"] or NOT_SAID],
        "Data": _data(model, encoder, processed, figures),
        "Figures": _figures(figures, confidence),
        "Segments": _segments(segments, confidence),
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


def _figures(figures: Mapping[str, Any], confidence: float) -> list[str]:
    lines = [f"| figure | validation | {100 * confidence:g} % interval |", "|---|---|---|"]
    for name in HIGHER_IS_BETTER:
        value, bounds = figures[name], figures["intervals"].get(name)
        shown = "none" if value is None else f"{value:.4f}"
        lines.append(f"| {name} | {shown} | {_bounds(bounds)} |")
    content = ["\n".join(lines)]
    if figures["threshold"] is not None:
        content.append(_decision(figures))
    return content


def _decision(figures: Mapping[str, Any]) -> str:
    """When the second class is predicted, and what that costs; with a capacity a score alone does not say it."""
    decision, otherwise = figures.get("decision") or {}, "the threshold of the greatest F1"
    score = f"{figures['threshold']:.4f}"
    sentences = [f"The second class is predicted from the score {score} on."]
    if capacity := decision.get("capacity"):
        most = f"for at most {capacity:,} rows a day, those with the highest scores."
        sentences = [f"The second class is predicted {most}"]
        sentences.append(f"Their scores are {score} or more{'' if decision.get('costs') else ' in validation'}.")
        otherwise += " and no capacity"
    if figures.get("cost") is not None:
        sentences.append(f"A row costs {figures['cost']:.4f}; with {otherwise}, {figures['default_cost']:.4f}.")
    return " ".join(sentences)


def _segments(segments: Sequence[Mapping[str, Any]], confidence: float) -> list[str]:
    """The segments with the worst figure. None is called weak: their own past alone could show that."""
    if not segments:
        return ["No category has few enough values to divide the rows."]
    metric = GATE["metric"]
    known = [one for one in segments if one["figures"].get(metric) is not None]
    worst = sorted(known, key=lambda one: one["figures"][metric], reverse=not HIGHER_IS_BETTER[metric])[:MOST_SEGMENTS]
    fields = ", ".join(code(name) for name in dict.fromkeys(one["field"] for one in segments))
    lines = [f"| segment | rows | {metric} | interval |", "|---|---|---|---|"]
    for one in worst:
        place = code(f"{one['field']} {one['value']}")
        bounds = _bounds(one["intervals"].get(metric))
        lines.append(f"| {place} | {one['rows']:,} | {one['figures'][metric]:.4f} | {bounds} |")
    return [
        f"Of {len(segments)} values of {fields}, those with the worst figure. That is no fault by itself: rows of one "
        "value may be harder to rank, or the class is rarer there. The reports compare each value with its later days.",
        "\n".join(lines),
        f"The intervals of all segments together have a confidence of {100 * confidence:g} %.",
    ]


def _bounds(interval: Sequence[float] | None) -> str:
    return f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else "none"


def _limits(said: str, figures: Mapping[str, Any], warnings: Sequence[str]) -> list[str]:
    found = [f"- {' '.join(text.split())}" for text in warnings]
    return [
        said or NOT_SAID,
        f"The figures are of {figures['rows']:,} rows of its own time; the reports of later days show more.",
        *(["`validate` warns:", "\n".join(found)] if found else []),
    ]
