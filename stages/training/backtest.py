"""The command `backtest`: how models would have done over past days, for several windows and retraining steps."""

import logging
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

from stagekit import BadInput, Publication, available_cpus, publish, read_partition
from stagekit.contract import Encoder, read_document, read_encoder, write_document
from stagekit.options import whole_number

from backtest_days import days_to_score

LEFT_OUT, BACKTEST = "left_out.json", "backtest.json"
MOST_STRATEGIES, MOST_DAYS = 24, 366

log = logging.getLogger("training")


def days_list(least: int) -> Callable[[str], tuple[int, ...]]:
    """The type of numbers of days with commas between, each once, in order."""
    day = whole_number(least, MOST_DAYS)

    def parse(text: str) -> tuple[int, ...]:
        numbers = [day(part.strip()) for part in text.split(",")]
        if len(set(numbers)) < len(numbers):
            raise ArgumentTypeError(f"{text!r} has a number twice")
        return tuple(sorted(numbers))

    return parse


def backtest(args: Namespace) -> Mapping[str, Any]:
    """Walk through the days of backtests/{ds} and add backtest.json; returns the mean metric of each strategy.

    Errors: BadInput if there are too many strategies, or no day is left to score.
    """
    found = read_partition(args.data_dir, f"backtests/{args.ds}", ["encoder.json", LEFT_OUT])
    encoder = read_encoder(found)
    strategies = [(window, every) for window, every in product(args.windows, args.every)]
    require_days(encoder, strategies, args.ds)
    encoded = read_partition(
        args.data_dir, found.name, ["encoder.json", LEFT_OUT, *(f"{day}.csv" for day in encoder.days)]
    )

    def work(publication: Publication) -> Mapping[str, Any]:
        import lightgbm

        from backtest_document import document
        from encoded_days import EncodedDays
        from fitting import NativeLog
        from lightgbm_parameters import complete
        from walk import walk

        lightgbm.register_logger(NativeLog())
        parameters = complete({}, len(encoder.classes), available_cpus())
        outcome = walk(EncodedDays(encoded, encoder), strategies, parameters)
        content = document(args.ds, encoder.days, read_document(encoded, LEFT_OUT), outcome)
        write_document(publication.path(BACKTEST), content)
        means = {f"{one['window']}/{one['every']}": (one["mean"] or {}).get("value") for one in content["strategies"]}
        warnings = [f"{day} is left out: {why}" for day, why in content["left_out"].items()]
        return {
            "scored": len(content["scored"]),
            "models": len(content["models"]),
            "metric": content["metric"],
            "mean_by_window_and_step": means,
            **({"warnings": warnings} if warnings else {}),
        }

    return publish(args, encoded.name, "backtest", work, inputs=[encoded])


def require_days(encoder: Encoder, strategies: Sequence[tuple[int, int]], ds: str) -> None:
    """Errors: BadInput if this cannot be a backtest: strategies or days do not fit."""
    if len(strategies) > MOST_STRATEGIES:
        raise BadInput(
            f"{len(strategies)} strategies", expected=f"at most {MOST_STRATEGIES}", do="name fewer --windows"
        )
    if not days_to_score(encoder.days, max(window for window, _ in strategies)):
        longest = max(window for window, _ in strategies)
        raise BadInput(
            f"backtests/{ds} has {len(encoder.days)} days, {encoder.days[0]} to {encoder.days[-1]}"
            if encoder.days
            else f"backtests/{ds} has no days",
            expected=f"days after the first {longest}, which the longest window learns from",
            do="encode more --days, prepare the days that are missing, or name shorter --windows",
        )
