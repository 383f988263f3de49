"""`prepare`: check data.csv and the labels row by row, join them by key, and write the good and the rejected rows."""

import logging
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import BadInput, NotReady, Publication, publish
from stagekit.call import for_day
from stagekit.shards import shard_of

from day_shards import read_shards, require_comparable
from deliveries import deliveries, read_raw_day, require_labels
from table_schema import read_schema
from window import days_of, use_days, window_result, window_warnings

log = logging.getLogger(__name__)


def prepare(args: Namespace) -> Mapping[str, Any]:
    """raw/{ds} to processed/{ds}: train_data.csv and rejected.csv; the same for each usable day of the window.

    With --shards they are merged from the day's shards, which --shard has made.
    """
    results, left_out = use_days(
        days_of(args), lambda day: _prepare(for_day(args, day, days=1), earlier=day != args.ds)
    )
    result = dict(results[args.ds])
    result.update(window_result(list(results), left_out))
    warnings = [*result.get("warnings", []), *window_warnings(left_out)]
    return {**result, **({"warnings": warnings} if warnings else {})}


def _prepare(args: Namespace, *, earlier: bool) -> Mapping[str, Any]:
    raw = read_raw_day(args.data_dir, args.ds, ["data.csv", "schema.json"], args.as_of)
    require_labels(raw, args.as_of)
    schema, name = read_schema(raw / "schema.json", f"{raw.name}/schema.json"), f"processed/{args.ds}"
    shard = shard_of(args)
    if args.shards > 1:
        require_comparable(schema, [field.name for field in schema.fields], f"{raw.name}/schema.json")
    try:
        shards = read_shards(args, name, "train_data.csv", [raw])
    except (BadInput, NotReady) as error:
        # An earlier day would be left out. But its shards may be another run's, and if they are missing because the
        # day cannot be used, its rows say why.
        if not earlier:
            raise
        log.warning("%s is prepared without shards: %s", args.ds, error)
        return _prepare(for_day(args, args.ds, shards=1), earlier=earlier)

    def work(publication: Publication) -> dict[str, Any]:
        from day_rows import new_counts, write_joined
        from merged_day import merge_shards, pass_on

        counts = new_counts(schema)
        if shards:
            merge_shards(shards, "train_data.csv", publication, counts)
        else:
            write_joined(raw, schema, publication, counts, shard)
        if shard:
            pass_on(counts, publication)
        else:
            counts.report(args.max_rejected, raw.name)
        return {**counts.result(), **deliveries(raw)}

    parameters = {"max_rejected": args.max_rejected, **deliveries(raw)}
    place = shard.place(name) if shard else name
    return publish(args, place, "prepare", work, inputs=[raw, *shards], parameters=parameters)
