"""Shows how models would have done over past days: for windows of days, and for how often they are trained.

It has no schedule: trigger it for the last day of a period. `prepare` is that of `train_model`, and prepares no day
again that it has prepared. `encode_days` makes numbers of the days, each row with the day on which its label was known.
`backtest` walks through them: it trains on what was known on a day, scores the days after it, and compares each model
with the one that it would have replaced. No model of it is kept. `backtest_page` makes a page of it, which the start
page of the reports links. Reads `raw` of the days; writes `processed` of the days, `backtests/{ds}` and `reports/{ds}`.
"""

from airflow.sdk import DAG

from ml import BACKTESTS, DS, PROCESSED, RAW, dag_defaults, flag, form, option, prepare_days, stage, wait_for

with DAG(
    "backtest",
    description="Shows how models would have done over past days",
    doc_md=__doc__,
    schedule=None,
    params=form(
        *("ds", "days", "windows", "every", "wait_hours", "max_rejected", "force"),
        days="backtest_days",
    ),
    max_active_runs=1,
    tags=["ml", "training"],
    **dag_defaults(),
):
    wait_for_raw = wait_for(RAW)
    prepare = prepare_days()
    encode_days = stage(
        "preprocessing encode-days",
        [DS, option("days"), flag("force")],
        uses=[RAW, PROCESSED],
        doc="Reads `train_data.csv` of `processed` of the `days`, and when labels arrived. Writes `backtests/{ds}`: a "
        "table of numbers for each day, and why days are left out.",
    )
    backtest = stage(
        "training backtest",
        [DS, option("windows"), option("every"), flag("force")],
        uses=[BACKTESTS],
        makes=[BACKTESTS],
        hours=6,
        doc="Reads the tables of `backtests/{ds}`. Writes `backtest.json` beside them: the metric of each day and "
        "strategy, and what each new model was worth.",
    )

    backtest_page = stage(
        "report backtest-page",
        [DS, flag("force")],
        uses=[BACKTESTS],
        doc="Reads `backtest.json` of `backtests/{ds}`. Writes `backtest.html` of `reports/{ds}`.",
    )

    wait_for_raw >> prepare >> encode_days >> backtest >> backtest_page
