"""`label`: the classes in a scored day's target.csv, in the words of the model that scored the day."""

import logging
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stagekit import BadInput, NotReady, Partition, Publication, partition_name, publish, read_partition
from stagekit.contract import read_encoder
from stagekit.shards import shard_of

from day_shards import read_shards, require_comparable
from deliveries import deliveries, read_raw_day, targets_of
from encoder import trained_schema
from table_schema import Schema, read_schema

log = logging.getLogger(__name__)


def label(args: Namespace) -> Mapping[str, Any]:
    """raw/{ds}/target.csv to labels/{ds}: labels.csv and rejected.csv; nothing if there is no target.csv yet.

    With --shards they are merged from the day's shards, which --shard has made.
    """
    shard = shard_of(args)
    predictions = read_partition(args.data_dir, f"predictions/{args.ds}", ["predictions.csv"])
    name = _model_of(predictions)
    raw = _raw_with_target(args)
    if raw is None:
        return {"labels": None, "model": name}
    model = read_partition(args.data_dir, partition_name(args.data_dir, name), ["encoder.json"])
    encoder = read_encoder(model)
    delivered = read_schema(raw / "schema.json", f"{raw.name}/schema.json", scoring=True)
    schema = _as_delivered(trained_schema(encoder, model.name), delivered)
    if args.shards > 1:
        require_comparable(schema, schema.named("key"), f"{model.name}/encoder.json")
    # No row of the predictions is read, but their mark decides which model names the classes.
    inputs, parameters = [raw, model, predictions], {"model": model.name, **deliveries(raw)}
    shards = read_shards(args, f"labels/{args.ds}", "labels.csv", inputs, **parameters)

    def work(publication: Publication) -> dict[str, Any]:
        from labels import new_counts, write_labels
        from merged_day import merge_shards, pass_on

        counts = new_counts(raw, encoder, partial=delivered.labels_are_partial)
        if shards:
            merge_shards(shards, "labels.csv", publication, counts)
        else:
            write_labels(raw, encoder, schema, publication, counts, shard)
        if shard:
            pass_on(counts, publication)
        else:
            counts.log()
        result = {"model": model.name, **counts.result()}
        return {**result, **deliveries(raw)}

    place = shard.place(f"labels/{args.ds}") if shard else f"labels/{args.ds}"
    return publish(args, place, "label", work, inputs=[*inputs, *shards], parameters=parameters)


def _model_of(predictions: Partition) -> str:
    """The model that scored the day, as the mark of the predictions names it."""
    model = predictions.step("predictions.csv").get("parameters", {}).get("model")
    if not isinstance(model, str):
        raise BadInput(
            f"the mark of {predictions.name} has the model {model!r}",
            expected="the step that wrote predictions.csv, with the model as a parameter",
            do="run `prediction predict` for this day again",
        )
    return model


def _as_delivered(trained: Schema, delivered: Schema) -> Schema:
    """The model's schema; the target is spelt as the day's own schema says, if it names a target of the same type."""
    spelt = {(field.name, field.type): field for field in delivered.fields if field.role == "target"}
    return replace(trained, fields=tuple(spelt.get((field.name, field.type), field) for field in trained.fields))


def _raw_with_target(args: Namespace) -> Partition | None:
    """The raw day with its schema.json and the labels that had arrived; None if no labels are there at all."""
    try:
        raw = read_partition(args.data_dir, f"raw/{args.ds}", [])
    except NotReady as error:
        log.warning("no labels: %s", error)
        return None
    if not targets_of(raw):
        log.warning("no labels: %s has no target.csv yet", raw.name)
        return None
    return read_raw_day(args.data_dir, args.ds, ["schema.json"], args.as_of)
