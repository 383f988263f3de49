"""`encode-days`: prepared days as numbers, for a backtest, each row with the day on which its label was known."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import Publication, publish

from delivered_day import read_delivered
from deliveries import TARGET
from window import days_of, read_earlier_day, read_prepared_day, use_days, window_warnings


def encode_days(args: Namespace) -> Mapping[str, Any]:
    """train_data.csv of processed/{day}, for each usable day, to backtests/{ds}: {day}.csv, encoder.json and
    left_out.json, which says why the other days are left out.
    """
    last = read_prepared_day(args.data_dir, args.ds, None)
    found, left_out = use_days(
        days_of(args), lambda ds: last if ds == args.ds else read_earlier_day(args.data_dir, ds, None, last)
    )
    days = {ds: read_delivered(args.data_dir, ds, day) for ds, day in found.items()}

    def work(publication: Publication) -> Mapping[str, Any]:
        from day_encoding import encode_each_day

        classes, warnings = encode_each_day(days, left_out, publication)
        warnings = [*window_warnings(left_out), *warnings]
        return {
            "days": len(days),
            "rows": sum(publication.rows.values()),
            "classes": classes,
            **({"warnings": warnings} if warnings else {}),
        }

    inputs = [partition for one in days.values() for partition in (one.day.processed, one.day.raw, one.labels)]
    known = {ds: {file: str(day) for file, day in one.known.items()} for ds, one in days.items()}
    parameters = {"known": {ds: files for ds, files in known.items() if files != {TARGET: ds}}}
    return publish(args, f"backtests/{args.ds}", "encode-days", work, inputs=inputs, parameters=parameters)
