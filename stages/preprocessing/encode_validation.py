"""`encode-validation`: the rows that validate a day's model, in the encoding of another model.

So two models, which know different categories, are measured on the same rows.
"""

import logging
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stagekit import NotReady, Partition, Publication, partition_name, publish, read_partition
from stagekit.contract import Encoder, read_encoder

from encoder import trained_schema, what_cannot_be_compared

if TYPE_CHECKING:
    from prepared_table import PreparedTable

log = logging.getLogger(__name__)

SHOWN_DIFFERENCES, SHOWN_CHARACTERS = 5, 200


def encode_validation(args: Namespace) -> Mapping[str, Any]:
    """val_data.csv of processed/{ds} to comparisons/{ds}/val.csv, if there is a model that can be compared.

    Data changes during the life of a model. If this day has other fields or classes, the result names them.
    """
    if not args.model:
        return {"champion": None}
    processed = _processed(args)
    model = read_partition(args.data_dir, partition_name(args.data_dir, args.model), ["encoder.json"])
    own, encoder = read_encoder(processed), read_encoder(model)
    schema = trained_schema(own, processed.name)
    if found := what_cannot_be_compared(own, schema, encoder, trained_schema(encoder, model.name)):
        log.warning("%s cannot be measured on %s: %s", model.name, processed.name, "; ".join(found))
        return {"champion": model.name, "incomparable": _in_short(found)}

    def work(publication: Publication) -> dict[str, Any]:
        from prepared_table import PreparedTable

        table = PreparedTable(processed / "val_data.csv", f"{processed.name}/val_data.csv", schema)
        rows = _write(table, encoder, publication)
        result = {"champion": model.name, "incomparable": None}
        return {**result, "rows": rows, "features": len(encoder.features)}

    return publish(
        args,
        f"comparisons/{args.ds}",
        "encode-validation",
        work,
        inputs=[processed, model],
        parameters={"model": model.name},
    )


def _processed(args: Namespace) -> Partition:
    """The split day. Errors: NotReady if it was split by a release that did not write val_data.csv."""
    processed = read_partition(args.data_dir, f"processed/{args.ds}", ["encoder.json"])
    if "val_data.csv" not in processed.meta["outputs"]:
        raise NotReady(
            f"{processed.name} has no val_data.csv: an earlier release split this day",
            expected="val_data.csv, the rows that validate",
            do=f"run `preprocessing split --ds {args.ds}` again, then train again",
        )
    return read_partition(args.data_dir, processed.name, ["val_data.csv", "encoder.json"])


def _write(table: "PreparedTable", encoder: Encoder, publication: Publication) -> int:
    """Write val.csv: the target's code, then the features, in the order of the table; returns the number of rows."""
    from csv_output import CsvWriter
    from feature_numbers import code_of, encode
    from parallel import in_order

    code = code_of(encoder.target, encoder.classes)
    with CsvWriter(publication.path("val.csv")) as written:
        for frame in in_order(lambda block: encode(encoder, table.typed(block), [code]), table.blocks()):
            written.write(frame)
    publication.rows = {"val.csv": written.rows}
    return written.rows


def _in_short(found: Sequence[str]) -> str:
    """The first differences, short enough for a command line."""
    more = f"; and {len(found) - SHOWN_DIFFERENCES} more" if len(found) > SHOWN_DIFFERENCES else ""
    return "; ".join(text[:SHOWN_CHARACTERS] for text in found[:SHOWN_DIFFERENCES]) + more
