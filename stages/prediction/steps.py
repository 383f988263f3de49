"""What each command reads, verifies and publishes. Standard library only: what takes numpy is imported at its work.

So bad input, and a step that is up to date already, end before libraries have been loaded.
"""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagekit import BadInput, Partition, Publication, read_partition

from bundle import (
    ENCODER_FILE,
    MODEL_FILE,
    REFERENCE_FILE,
    Encoder,
    inputs_of,
    model_name,
    read_encoder,
    read_threshold,
    read_validated,
)
from rules import GATE, MONITORING, read_rules
from scored_day import read_scored_day


def validate(args: Namespace) -> dict[str, Any]:
    """Score `val.csv`, compare with LightGBM's own scores, publish what was measured."""
    root, name = args.data_dir, f"models/{args.ds}"
    model = read_partition(root, name, [MODEL_FILE, ENCODER_FILE, REFERENCE_FILE])
    processed = read_partition(root, f"processed/{args.ds}", ["val.csv"])
    _check_same_rows(model, processed)
    encoder = read_encoder(model)
    with Publication(root, name, "validate", inputs=[model, processed]) as publication:
        from validation import validate_model

        return validate_model(model, encoder, processed, publication)


def predict(args: Namespace) -> dict[str, Any]:
    """Score `features.csv` with a validated model, publish `predictions.csv`."""
    root, name = args.data_dir, model_name(args.data_dir, args.model)
    model = read_validated(root, name, [MODEL_FILE, ENCODER_FILE])
    _check_sha256(model, args.model_sha256)
    features = read_partition(root, f"features/{args.ds}", ["features.csv"])
    _check_prepared_for(features, model)
    encoder = read_encoder(model)
    threshold = read_threshold(model, encoder)
    known = {"model": name, "version": args.model_version, "run_id": args.model_run_id or None}
    with Publication(
        root,
        f"predictions/{args.ds}",
        "predict",
        inputs=[features, model],
        parameters={**known, "threshold": threshold},
    ) as publication:
        from scoring import predict_day

        return {**known, **predict_day(model, encoder, threshold, features, publication)}


def compare(args: Namespace) -> dict[str, Any]:
    """Measure a model and the champion on the same rows, publish `comparison.json`."""
    root, name = args.data_dir, f"models/{args.ds}"
    rules = read_rules(args.rules_json, GATE)
    candidate = read_validated(root, name, [MODEL_FILE, ENCODER_FILE])
    processed = read_partition(root, f"processed/{args.ds}", ["val.csv"])
    _check_same_rows(candidate, processed)
    inputs = [candidate, processed]
    encoder = read_encoder(candidate)
    side = Contender(candidate, encoder, read_threshold(candidate, encoder), processed)
    champion, other = None, None
    if args.champion:
        champion = {"model": model_name(root, args.champion), "version": args.champion_version}
        if not args.incomparable:
            other = _read_champion(root, args.ds, str(champion["model"]), side)
            inputs += [other.model, other.rows]
    with Publication(
        root,
        f"comparisons/{args.ds}",
        "compare",
        inputs=_merged(inputs),
        parameters={"champion": champion, "incomparable": args.incomparable or None, "rules": rules},
    ) as publication:
        from comparison import compare_models

        return compare_models(args.ds, side, other, champion, args.incomparable, rules, publication)


@dataclass(frozen=True)
class Contender:
    """A model in a comparison, and the partition with the validation rows in its own encoding."""

    model: Partition
    encoder: Encoder
    threshold: float | None
    rows: Partition


def _read_champion(root: Path, ds: str, name: str, candidate: Contender) -> Contender:
    """Verify the champion, and that its rows are the candidate's."""
    model = read_validated(root, name, [MODEL_FILE, ENCODER_FILE])
    encoder = read_encoder(model)
    if encoder.target != candidate.encoder.target:
        raise BadInput(
            f"{name} predicts {encoder.target!r}, {candidate.model.name} {candidate.encoder.target!r}",
            expected="two models of one target", do="choose another champion",
        )  # fmt: skip
    rows = read_partition(root, f"comparisons/{ds}", ["val.csv"])
    again = f"run preprocessing encode-validation --ds {ds} --model {name}"
    read = inputs_of(rows, "val.csv")
    encoders = {path: digest for path, digest in read.items() if path.endswith(f"/{ENCODER_FILE}")}
    if model.hashes[f"{name}/{ENCODER_FILE}"] not in encoders.values():
        raise BadInput(
            f"{rows.name}/val.csv was encoded for another model, by {', '.join(encoders) or 'no encoder'}",
            expected=f"rows made with the present {name}/{ENCODER_FILE}", do=again,
        )  # fmt: skip
    present = candidate.rows.meta["outputs"]
    for path, digest in read.items():
        folder, _, file = path.rpartition("/")
        if folder == candidate.rows.name and present.get(file, {}).get("sha256") != digest:
            raise BadInput(f"{rows.name}/val.csv was made from another {path}", expected="the present one", do=again)
    counted, expected = rows.rows("val.csv"), candidate.rows.rows("val.csv")
    if counted != expected and None not in (counted, expected):
        raise BadInput(
            f"{rows.name}/val.csv has {counted} rows",
            expected=f"{expected}, as {candidate.rows.name}/val.csv",
            do=again,
        )
    return Contender(model, encoder, read_threshold(model, encoder), rows)


def _merged(partitions: list[Partition]) -> list[Partition]:
    """Each partition once: a model may be compared with itself."""
    return list({partition.name: partition for partition in partitions}.values())


def evaluate(args: Namespace) -> dict[str, Any]:
    """Measure a scored day, publish `evaluation.json`."""
    root = args.data_dir
    rules = read_rules(args.rules_json, MONITORING)
    day = read_scored_day(root, args.ds)
    with Publication(
        root,
        f"reports/{args.ds}",
        "evaluate",
        inputs=day.inputs,
        # Of the marks, which are no inputs: what they say is told again.
        parameters={"model": day.named, "quality": day.quality, "rules": rules},
    ) as publication:
        from evaluation import evaluate_day

        return evaluate_day(args.ds, day, rules, publication)


def _check_sha256(model: Partition, resolved: str | None) -> None:
    found = model.hashes[f"{model.name}/{MODEL_FILE}"]
    if resolved and found != resolved:
        raise BadInput(
            f"{model.name}/{MODEL_FILE} was replaced since it was resolved: it has sha256 {found[:12]}…",
            expected=f"{resolved[:12]}…, as --model-sha256 says", do="start the run again",
        )  # fmt: skip


def _check_same_rows(model: Partition, processed: Partition) -> None:
    """The reference scores speak of the validation rows that training saw."""
    file = f"{processed.name}/val.csv"
    if inputs_of(model, MODEL_FILE).get(file) != processed.hashes[file]:
        raise BadInput(
            f"{file} is not the file that {model.name} was trained beside",
            expected="the val.csv whose hash the model's mark names", do=f"run training --ds {model.name[7:]} again",
        )  # fmt: skip


def _check_prepared_for(features: Partition, model: Partition) -> None:
    """The features must have been encoded by this very model's encoder."""
    read = inputs_of(features, "features.csv")
    used = {path: digest for path, digest in read.items() if path.endswith(f"/{ENCODER_FILE}")}
    if list(used.values()) != [model.hashes[f"{model.name}/{ENCODER_FILE}"]]:
        raise BadInput(
            f"{features.name} was prepared for another model, by {', '.join(used) or 'no encoder'}",
            expected=f"features made with the present {model.name}/{ENCODER_FILE}",
            do=f"run preprocessing prepare --ds {features.name[9:]} --model {model.name}",
        )
