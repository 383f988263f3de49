"""`predict`: reads a validated model and a day's features, publishes the predictions. Standard library only."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import BadInput, Partition, Publication, UsageError, publish, read_partition
from stagekit.models import check_made_for, check_sha256, model_name
from stagekit.shards import LINES_FILE, read_shard, shard_of, shards_to_merge

from model_partition import COUNTS_FILE, ValidatedModel, read_validated


def predict(args: Namespace) -> Mapping[str, Any]:
    """Publish predictions.csv of predictions/{ds}, or of shadows/{ds}-v{N} beside its features.

    With --shards it is merged from the day's shards, which --shard has made.
    """
    model, shard = read_validated(args.data_dir, model_name(args.data_dir, args.model)), shard_of(args)
    check_sha256(model.partition, args.model_sha256)
    if args.shards > 1:
        _require_shards_possible(args, model)
    place = f"shadows/{args.ds}-v{args.shadow}" if args.shadow else f"features/{args.ds}"
    features = read_partition(args.data_dir, shard.place(place) if shard else place, ["features.csv"])
    check_made_for(features, model.partition)
    recorded = {"model": model.name, "version": args.shadow or args.model_version, "run_id": args.model_run_id or None}

    name, parameters = f"predictions/{args.ds}", {**recorded, "threshold": model.threshold}
    shards = _read_shards(args, name, features, model.partition, parameters)

    def work(publication: Publication) -> dict[str, Any]:
        from scoring import merge_shards, predict_day, predict_shard

        if shards:
            return {**recorded, **merge_shards(model, shards, publication)}
        scored = (predict_shard if shard else predict_day)(model, features, publication)
        return {**recorded, **scored}

    return publish(
        args,
        features.name if args.shadow else shard.place(name) if shard else name,
        "predict",
        work,
        inputs=[features, model.partition, *(part for both in shards for part in both)],
        parameters=parameters,
    )


def _require_shards_possible(args: Namespace, model: ValidatedModel) -> None:
    if args.shadow:
        raise UsageError("--shadow with --shards", expected="a day in shadow without shards", do="leave out --shards")
    if model.decision.get("capacity"):
        raise BadInput(
            f"{model.name} has a capacity: which rows are positive depends on all rows of the day",
            expected="a model without a capacity, where a day is in shards",
            do="leave out --shards, or validate the model with rules that have no capacity",
        )


def _read_shards(
    args: Namespace, name: str, features: Partition, model: Partition, parameters: Mapping[str, Any]
) -> list[tuple[Partition, Partition]]:
    """The shards of the day, features with predictions; none if it has no shards.

    Errors: BadInput if predictions were not made from these features, or the day's features not from these shards.
    """
    found = []
    for shard in shards_to_merge(args):
        place, made_from = shard.place(features.name), features.inputs("features.csv")
        hashes = {path: made_from.get(path, "") for path in (f"{place}/features.csv", f"{place}/{LINES_FILE}")}
        of_features = read_partition(args.data_dir, place, [LINES_FILE])
        if of_features.hashes[f"{place}/{LINES_FILE}"] != hashes.pop(f"{place}/{LINES_FILE}"):
            raise BadInput(
                f"{features.name} was not made from the {place} that is there now",
                expected="features of the day that were made from its shards",
                do=f"run `preprocessing features --ds {args.ds} --model {model.name} --shards {args.shards}`",
            )
        files = ["predictions.csv", COUNTS_FILE]
        predictions = read_shard(args.data_dir, shard, name, files, {**hashes, **model.hashes}, parameters)
        found.append((of_features, predictions))
    return found
