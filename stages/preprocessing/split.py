"""`split`: split prepared days into rows that train and rows that validate, and fit the encoder."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import NotReady, Publication, publish

from window import days_of, read_earlier_day, read_prepared_day, use_days, window_result, window_warnings


def split(args: Namespace) -> Mapping[str, Any]:
    """train_data.csv of processed/{ds}, and of the window's other days, to train.csv, val.csv, val_data.csv and
    encoder.json in processed/{ds}.

    Errors: NotReady if fewer days than --min-days can be used.
    """
    last = read_prepared_day(args.data_dir, args.ds, args.as_of)
    days, left_out = use_days(
        days_of(args), lambda day: last if day == args.ds else read_earlier_day(args.data_dir, day, args.as_of, last)
    )
    if len(days) < args.min_days:
        raise NotReady(
            f"{len(days)} of {args.days} days can be used: " + "; ".join(window_warnings(left_out)),
            expected=f"at least {args.min_days}",
            do="deliver the days that are missing, or lower --min-days",
        )

    def work(publication: Publication) -> dict[str, Any]:
        from prepared_table import PreparedTable
        from splitting import SplitRules, split_tables

        tables = {
            name: PreparedTable(day.processed / "train_data.csv", f"{day.processed.name}/train_data.csv", day.schema)
            for name, day in days.items()
        }
        rules = SplitRules(args.val_fraction, args.seed, args.max_categories)
        result = split_tables(tables, rules, publication)
        warnings = [*result.pop("warnings", []), *window_warnings(left_out)]
        return {
            **result,
            **window_result(list(days), left_out),
            **({"warnings": warnings} if warnings else {}),
        }

    return publish(
        args,
        f"processed/{args.ds}",
        "split",
        work,
        inputs=[partition for day in days.values() for partition in (day.processed, day.raw)],
        parameters={"val_fraction": args.val_fraction, "max_categories": args.max_categories},
        seed=args.seed,
    )
