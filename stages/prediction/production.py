"""Which model is in production, and what a newly validated one offers. Standard library only; writes nothing."""

import logging
import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stagekit import BadInput, NotReady, Partition

from bundle import ENCODER_FILE, METRICS_FILE, MODEL_FILE, model_name, read_metrics, read_validated

# The figures of metrics.json that models are compared by; a model need not have each.
FIGURES = (
    *("roc_auc", "average_precision", "log_loss", "brier_score", "accuracy", "precision", "recall", "f1"),
    *("threshold", "rows"),
)
ROLL_OUT = "set the Airflow Variable model_path to {}"

DAY = re.compile(r"\d{4}-\d\d-\d\d")

log = logging.getLogger("prediction")


def resolve(args: Namespace) -> dict[str, Any]:
    """Tell which model is in production: the one that was named, else the newest validated one."""
    if args.model:
        model, source = _verify(args.data_dir, model_name(args.data_dir, args.model)), "variable"
    else:
        found = next(_validated_models(args.data_dir), None)
        if found is None:
            raise NotReady(
                "there is no validated model under models/", expected="a model that train_model made and validated",
                do="run the Dag train_model, or " + ROLL_OUT.format("a validated model"),
            )  # fmt: skip
        model, source = found, "newest validated"
    log.info("%s is in production (%s)", model.name, source)
    return {
        "model": model.name,
        "model_sha256": model.hashes[f"{model.name}/{MODEL_FILE}"],
        "source": source,
        "metrics": _figures(model),
    }


def offer(args: Namespace) -> dict[str, Any]:
    """Verify a whole model partition; show its metrics beside those of the validated model before it."""
    candidate = _verify(args.data_dir, f"models/{args.ds}")
    previous = next(_validated_models(args.data_dir, before=args.ds), None)
    new, old = _figures(candidate), _figures(previous) if previous else {}
    difference = {key: round(new[key] - old[key], 10) for key in new if key in old and key != "rows"}
    _log_table(candidate, previous, new, old, difference)
    return {
        "candidate": candidate.name,
        "previous": previous.name if previous else None,
        "metrics": new,
        "difference": difference,
        "roll_out": ROLL_OUT.format(f"{args.data_dir}/{candidate.name}"),
    }


def _verify(root: Path, name: str) -> Partition:
    """Verify every file that the mark of a validated model names."""
    model = read_validated(root, name, [MODEL_FILE, ENCODER_FILE])
    model = read_validated(root, name, sorted(model.meta["outputs"].keys() - {METRICS_FILE}))
    read_metrics(model)
    return model


def _validated_models(root: Path, before: str = "9999-99-99") -> Iterator[Partition]:
    """The validated models of days before `before`, the newest first; warns of those that it passes over."""
    folder = root / "models"
    days = (
        sorted((path.name for path in folder.iterdir() if DAY.fullmatch(path.name)), reverse=True)
        if folder.is_dir()
        else []
    )
    for day in days:
        if day >= before:
            continue
        try:
            yield _verify(root, f"models/{day}")
        except (NotReady, BadInput) as error:
            log.warning("passed over: %s", error)


def _figures(model: Partition) -> dict[str, float]:
    found: Mapping[str, Any] = read_metrics(model)
    return {key: found[key] for key in FIGURES if isinstance(found.get(key), int | float)}


def _log_table(
    candidate: Partition,
    previous: Partition | None,
    new: Mapping[str, float],
    old: Mapping[str, float],
    difference: Mapping[str, float],
) -> None:
    """Log the two models side by side; each was measured on its own validation rows."""
    log.info("%-18s %18s %18s %12s", "", candidate.name, previous.name if previous else "no model before", "difference")
    for key, value in new.items():
        before = f"{old[key]:18.6g}" if key in old else f"{'-':>18}"
        change = f"{difference[key]:+12.6f}" if key in difference else f"{'-':>12}"
        log.info("%-18s %18.6g %s %s", key, value, before, change)
    log.info("each model was measured on its own validation rows; to roll out: %s", ROLL_OUT.format(candidate.name))
