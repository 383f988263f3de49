"""`predict`: reads a validated model and a day's features, publishes the predictions. Standard library only."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import Publication, publish, read_partition
from stagekit.models import check_made_for, check_sha256, model_name

from model_partition import read_validated


def predict(args: Namespace) -> Mapping[str, Any]:
    """Publish predictions.csv of predictions/{ds}, or of shadows/{ds}-v{N} beside its features."""
    model = read_validated(args.data_dir, model_name(args.data_dir, args.model))
    check_sha256(model.partition, args.model_sha256)
    place = f"shadows/{args.ds}-v{args.shadow}" if args.shadow else f"features/{args.ds}"
    features = read_partition(args.data_dir, place, ["features.csv"])
    check_made_for(features, model.partition)
    recorded = {"model": model.name, "version": args.shadow or args.model_version, "run_id": args.model_run_id or None}

    def work(publication: Publication) -> dict[str, Any]:
        from scoring import predict_day

        return {**recorded, **predict_day(model, features, publication)}

    return publish(
        args,
        features.name if args.shadow else f"predictions/{args.ds}",
        "predict",
        work,
        inputs=[features, model.partition],
        parameters={**recorded, "threshold": model.threshold},
    )
