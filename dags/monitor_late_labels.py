"""Evaluates days again whose labels came late.

Runs daily at 05:00 UTC, after `monitor`. `late_labels` compares the marks of `raw/{ds}`, `labels/{ds}` and
`reports/{ds}` of the last 366 days. `evaluate_again` starts `monitor` for the newest 30 days whose evaluation lacks
labels, the oldest first, one at a time. The same labels start one run only. Days beyond the 30 have their turn
on the next days. A day that a person evaluated with *Labels until* stays as it is.
"""

from airflow.sdk import DAG

from ml import DS, RAW, REPORTS, at, dag_defaults, evaluate_again, form, stage

with DAG(
    "monitor_late_labels",
    description="Evaluates days again whose labels came late",
    doc_md=__doc__,
    schedule=at("0 5 * * *"),
    params=form("ds"),
    max_active_runs=1,
    tags=["ml", "monitoring"],
    **dag_defaults(),
):
    late_labels = stage(
        "preprocessing late-labels",
        [DS],
        uses=[RAW, REPORTS],
        read_only=True,
        doc="Reads the marks of `raw`, `labels`, `features`, `predictions` and `reports`, up to the day. Writes "
        "nothing; its result names the days whose evaluation lacks labels.",
    )

    late_labels >> evaluate_again(late_labels)
