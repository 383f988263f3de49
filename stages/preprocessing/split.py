"""`split`: split a prepared day into rows that train and rows that validate, and fit the encoder."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import BadInput, Publication, publish, read_partition

from table_schema import read_schema


def run(args: Namespace) -> Mapping[str, Any]:
    """train_data.csv of processed/{ds} to train.csv, val.csv, val_data.csv and encoder.json beside it."""
    processed = read_partition(args.data_dir, f"processed/{args.ds}", ["train_data.csv"])
    raw = read_partition(args.data_dir, f"raw/{args.ds}", ["schema.json"])
    label = f"{raw.name}/schema.json"
    if processed.inputs("train_data.csv").get(label) != raw.hashes[label]:
        raise BadInput(
            f"{label} has changed since {processed.name}/train_data.csv was made",
            expected="the schema that the data was checked with",
            do="run `preprocessing prepare` again",
        )
    schema = read_schema(raw / "schema.json", label)

    def work(publication: Publication) -> dict[str, Any]:
        from prepared_table import PreparedTable
        from splitting import SplitRules, split

        table = PreparedTable(processed / "train_data.csv", f"{processed.name}/train_data.csv", schema)
        rules = SplitRules(args.val_fraction, args.seed, args.max_categories)
        return {"partition": processed.name, **split(table, rules, publication)}

    parameters = {"val_fraction": args.val_fraction, "max_categories": args.max_categories}
    return publish(args, processed.name, "split", work, inputs=[processed, raw], parameters=parameters, seed=args.seed)
