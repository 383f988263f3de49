"""The command `explain`: reads a model and a day's features, publishes the reasons of each score."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stagekit import BadInput, Partition, Publication, publish, read_partition
from stagekit.contract import Encoder, read_encoder
from stagekit.models import check_made_for, check_sha256, model_name

from partition_files import BASELINE_FILE, ENCODER_FILE, FEATURES_FILE, MODEL_FILE, reason_columns


def explain(args: Namespace) -> Mapping[str, Any]:
    """Publish reasons.csv and contributions.json of explanations/{ds}; returns rows, base value, strongest features."""
    model = _read_model(args.data_dir, args.model)
    check_sha256(model, args.model_sha256)
    encoder = read_encoder(model)
    _check_key(encoder, model, args.reasons)
    features = read_partition(args.data_dir, f"features/{args.ds}", [FEATURES_FILE])
    check_made_for(features, model)
    recorded = {"model": model.name, "version": args.model_version, "run_id": args.model_run_id or None}

    def work(publication: Publication) -> Mapping[str, Any]:
        # LightGBM takes a second to load, and reasons that are up to date are found without it.
        from reasons import explain_day

        return {
            **recorded,
            **explain_day(model, encoder, features, publication, args.reasons),
        }

    parameters = {**recorded, "reasons": args.reasons}
    inputs = [features, model]
    return publish(args, f"explanations/{args.ds}", "explain", work, inputs=inputs, parameters=parameters)


def _read_model(root: Path, text: str) -> Partition:
    """A model that an option names, with its baseline if it has one."""
    name = model_name(root, text)
    outputs = read_partition(root, name, [MODEL_FILE, ENCODER_FILE]).meta["outputs"]
    optional = [BASELINE_FILE] if BASELINE_FILE in outputs else []
    return read_partition(root, name, [MODEL_FILE, ENCODER_FILE, *optional])


def _check_key(encoder: Encoder, model: Partition, number: int) -> None:
    """A key must not have the name of another column of reasons.csv."""
    if taken := sorted(set(encoder.key) & set(reason_columns(number))):
        raise BadInput(
            f"{model.name}/{ENCODER_FILE} has the key {taken[0]!r}, which is a column of reasons.csv too",
            expected="names that differ",
            do="rename the field in schema.json, then publish the day and train again",
        )
