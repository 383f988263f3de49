"""`predict`: reads a validated model and a day's features, publishes the predictions. Standard library only."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import BadInput, Partition, Publication, publish, read_partition

from model_partition import ENCODER_FILE, MODEL_FILE, model_name, read_validated


def predict(args: Namespace) -> Mapping[str, Any]:
    """Publish predictions.csv of predictions/{ds}."""
    model = read_validated(args.data_dir, model_name(args.data_dir, args.model))
    _check_sha256(model.partition, args.model_sha256)
    features = read_partition(args.data_dir, f"features/{args.ds}", ["features.csv"])
    _check_made_for(features, model.partition)
    recorded = {"model": model.name, "version": args.model_version, "run_id": args.model_run_id or None}

    def work(publication: Publication) -> dict[str, Any]:
        from scoring import predict_day

        return {**recorded, **predict_day(model, features, publication)}

    return publish(
        args,
        f"predictions/{args.ds}",
        "predict",
        work,
        inputs=[features, model.partition],
        parameters={**recorded, "threshold": model.threshold},
    )


def _check_sha256(model: Partition, expected: str | None) -> None:
    found = model.hashes[f"{model.name}/{MODEL_FILE}"]
    if expected and found != expected:
        raise BadInput(
            f"{model.name}/{MODEL_FILE} was replaced since it was resolved: it has sha256 {found[:12]}…",
            expected=f"{expected[:12]}…, as --model-sha256 says",
            do="start the run again",
        )


def _check_made_for(features: Partition, model: Partition) -> None:
    """The features must have been encoded with this model's encoder."""
    inputs = features.inputs("features.csv")
    encoders = {path: digest for path, digest in inputs.items() if path.endswith(f"/{ENCODER_FILE}")}
    if list(encoders.values()) != [model.hashes[f"{model.name}/{ENCODER_FILE}"]]:
        ds = features.name.removeprefix("features/")
        raise BadInput(
            f"{features.name} was made for another model, with {', '.join(encoders) or 'no encoder'}",
            expected=f"features made with the present {model.name}/{ENCODER_FILE}",
            do=f"run preprocessing features --ds {ds} --model {model.name}",
        )
